"""The code of predictors: the classes of a project that answer with its models."""

from __future__ import annotations

from mlwright.kernel.digest import composite
from mlwright.versioning import Snapshot
from mlwright.versioning.models import PredictorCode
from mlwright.workflow.rooms import Rooms


def predictor_code(rooms: Rooms, snapshot: Snapshot, address: str) -> PredictorCode | None:
    """The code that a predictor is made of.

    Args:
        snapshot: the project's code.
        address: `module:Class`; empty for a model that answers itself.
    """
    if not address:
        return None
    from mlwright.workflow.code import CodeIndex  # parses, which others need not

    code = rooms.materialise(snapshot)
    files = {each.path: each.digest for each in rooms.snapshots.tree(snapshot).entries}
    others = {path: digest for path, digest in files.items() if not path.endswith(".py")}
    reach = CodeIndex(code, code / "src", files=others).reach(address)
    return PredictorCode(snapshot, composite("predictor", [address, reach.units]))
