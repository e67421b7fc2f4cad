"""What a client's folder with a model tells of it: `MLmodel` and `requirements.txt` are read as text.

Nothing of it is run, and of YAML only what MLflow writes is understood: what is not, is not known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MLMODEL = "MLmodel"
REQUIREMENTS = "requirements.txt"
READ = (MLMODEL, REQUIREMENTS)
"""The files that tell something."""
READ_BYTES = 256 << 10
"""A larger file is not read."""

_FLAVOR = re.compile(r"^  ([A-Za-z]\w*):", re.MULTILINE)
_TOLD = re.compile(
    r"^(?:    )?(mlflow_version|python_version|model_size_bytes): *['\"]?([\w.+-]+)", re.MULTILINE
)
_MOST = 200


def known_of(files: Mapping[str, bytes]) -> dict[str, Any]:
    """What is known of a model: `flavors`, `requirements`, `mlflow_version`, `python_version`.

    Args:
        files: the contents of those of `READ` that are there.
    """
    text = files.get(MLMODEL, b"").decode("utf-8", "replace")
    _, _, below = text.partition("flavors:\n")
    flavors = []
    for line in below.splitlines():
        if not line.startswith(" "):
            break
        if found := _FLAVOR.match(line):
            flavors.append(found[1])
    known: dict[str, Any] = {"flavors": flavors} if flavors else {}
    known |= dict(_TOLD.findall(text))
    lines = files.get(REQUIREMENTS, b"").decode("utf-8", "replace").splitlines()
    if required := [line.strip() for line in lines if line.strip() and not line.startswith("#")]:
        known["requirements"] = required[:_MOST]
    return known


def flavor_of(known: Mapping[str, Any]) -> str:
    """What wrote a model: `mlflow.sklearn`, or `mlflow.pyfunc` when nothing more is told."""
    own = [flavor for flavor in known.get("flavors", ()) if flavor != "python_function"]
    return f"mlflow.{own[0]}" if own else "mlflow.pyfunc"
