"""What answers for a model version, and where: see `way_of`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Literal

from mlwright import serving
from mlwright.environments import Exclusive, Lock
from mlwright.environments.own import own_requirements
from mlwright.kernel.digest import digest_of
from mlwright.kernel.errors import Incompatible
from mlwright.versioning import Apart, Conversion, ModelDetail
from mlwright.versioning.apart import record_apart, remove_apart
from mlwright.workflow import Rooms
from mlwright.workflow.conversion import SERVED_WITH, convert_model, is_convertible, known_conversion

RuntimeName = Literal["auto", "native", "onnx"]
Way = Literal["onnx", "together", "child"]

_NICENESS = 10
_GRACE_S = 5.0
_CONVERT = """
import os, sys
os.nice(int(sys.argv[1]))
from mlwright.app import Project
with Project.open(sys.argv[2]) as project:
    for reference in sys.argv[3:]:
        project.models.convert(reference)
"""


def conversions_of(details: Sequence[ModelDetail], runtime: RuntimeName) -> Sequence[Conversion]:
    """The conversions that answer for some versions, as they are on record; none if not all have one."""
    if runtime == "native":
        return ()
    found = [known_conversion(each) for each in details]
    used = [each for each in found if each is not None and each.used]
    return used if len(used) == len(details) else ()


def with_conversion(rooms: Rooms, detail: ModelDetail, say: Callable[[str], object]) -> ModelDetail:
    """A version with the conversion that answers for it, made now if need be.

    Raises:
        Incompatible: it has none that is used.
    """
    found = convert_model(rooms, detail, say)
    if not found.used:
        reference = detail.version.reference
        raise Incompatible(
            f"{reference} cannot answer as ONNX: {found.why}",
            hint=f"serve it as it is: mlwright serve {reference} --runtime native",
        )
    return rooms.models.detail(detail.version.reference)


def way_of(details: Sequence[ModelDetail], runtime: RuntimeName) -> Way:
    """How versions are served together, by what is on record of them and by nothing else.

    Args:
        details: made in one environment, unless all have conversions that are used.
        runtime: what is asked for.

    Returns:
        `onnx`: ONNX Runtime answers, in an environment of the server's own. `together`: the models as they
        are, in an environment of their lock and the server's packages. `child`: each in a process of its
        own on their lock, beside a server in an environment of its own, as the two exclude each other.
        Nobody may have tried yet to have them together; `settled` does.
    """
    if conversions_of(details, runtime):
        return "onnx"
    return "child" if any(known_apart(each) for each in details) else "together"


def known_apart(detail: ModelDetail) -> Apart | None:
    """Why a version cannot share an environment with the server, if that is on record for this server."""
    found = detail.apart
    return found if found is not None and found.asked == _asked() else None


def settled(
    rooms: Rooms, details: Sequence[ModelDetail], runtime: RuntimeName, say: Callable[[str], object]
) -> tuple[Sequence[ModelDetail], Lock]:
    """Versions with all on record that `way_of` needs, and the lock of the environment of their replica.

    Where nobody has tried yet to have the models' packages and the server's together, uv does, and what it
    finds is recorded.

    Args:
        more: what else is needed there, as PEP 508 requirements.

    Raises:
        NotFound, Unavailable: a package of the server cannot be had.
    """
    told = ", ".join(each.version.reference for each in details)
    if conversions := conversions_of(details, runtime):
        say(f"ONNX Runtime answers for {told} (with --runtime native, its own library)")
        wanted = serving.serve_requirements("onnx")
        if wanted == own_requirements(*SERVED_WITH):
            return details, rooms.environments.get(conversions[0].environment)
        return details, rooms.environments.resolve_alone(wanted)  # what exports traces comes with it
    for each in details if runtime == "auto" else ():
        known = known_conversion(each)
        if known is not None and not known.used and is_convertible(each):
            say(f"ONNX Runtime does not answer for {each.version.reference}: {known.why}")
    say(f"preparing the environment of {told}, with the server's packages")
    lock = rooms.environments.get(details[0].environment)
    why = next((found.why for found in map(known_apart, details) if found), "")
    if not why:
        try:
            together = rooms.environments.resolve_with(lock, serving.serve_requirements())
        except Exclusive as error:
            why = error.why
        else:
            return [_recorded(rooms, each, "") for each in details], together
    say(f"{told} answers in a process of its own, as its packages and the server's exclude each other: {why}")
    return [_recorded(rooms, each, why) for each in details], lock_apart(rooms, lock)


def lock_apart(rooms: Rooms, lock: Lock, *, arrow: bool = False) -> Lock:
    """The lock of the environment of a server whose model has a process of its own.

    Args:
        lock: the model's.
        arrow: it must read Parquet and Arrow; else it does if the model's packages would.

    Raises:
        NotFound, Unavailable: a package of the server cannot be had.
    """
    arrow = arrow or "pyarrow" in rooms.environments.build(lock).inventory.pins
    return rooms.environments.resolve_alone(serving.apart_requirements(arrow=arrow))


def _recorded(rooms: Rooms, detail: ModelDetail, why: str) -> ModelDetail:
    """A version for which it is on record why it is apart, or that it is not."""
    known = known_apart(detail)
    if (known.why if known else "") == why and (why or detail.apart is None):
        return detail
    with rooms.database.transaction() as tx:
        if why:
            record_apart(tx, detail.version, why, _asked())
        else:
            remove_apart(tx, detail.version.id)
    return rooms.models.detail(detail.version.reference)


def _asked() -> str:
    """What is asked for beside a model's lock, in short."""
    return digest_of("\n".join(serving.serve_requirements()).encode())[:16]


@contextmanager
def converting_beside(rooms: Rooms, details: Sequence[ModelDetail], runtime: RuntimeName) -> Iterator[None]:
    """Convert what nobody has tried to convert, while the block runs; what is not done then waits.

    It goes on in a process of its own, which yields to all others.
    """
    unknown = [each for each in details if runtime == "auto" and known_conversion(each) is None]
    process = None
    with suppress(OSError):  # without it, the model answers as it is
        process = _convert(rooms, [each.version.reference for each in unknown]) if unknown else None
    try:
        yield
    finally:
        if process is not None:
            process.terminate()
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _convert(rooms: Rooms, references: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _CONVERT, str(_NICENESS), str(rooms.project.root), *references],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # the terminal's Ctrl-C is the engine's to act on
    )
