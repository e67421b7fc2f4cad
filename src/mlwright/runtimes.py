"""What answers for a model version: its conversion to ONNX, where that is used, or the model as it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Literal

from mlwright import serving
from mlwright.environments import Lock
from mlwright.environments.own import own_requirements
from mlwright.kernel.errors import Incompatible
from mlwright.versioning import Conversion, ModelDetail
from mlwright.workflow import Rooms
from mlwright.workflow.conversion import SERVED_WITH, convert_model, is_convertible, known_conversion

RuntimeName = Literal["auto", "native", "onnx"]

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


def lock_to_serve(
    rooms: Rooms,
    details: Sequence[ModelDetail],
    runtime: RuntimeName,
    say: Callable[[str], object],
    more: Sequence[str] = (),
) -> Lock:
    """The lock of the environment that a replica runs in: of ONNX Runtime alone, or of the models and more.

    Args:
        more: what else is needed there, as PEP 508 requirements.

    Raises:
        Unavailable: the models' packages and the server's do not go together, or cannot be had.
    """
    told = ", ".join(each.version.reference for each in details)
    if conversions := conversions_of(details, runtime):
        say(f"ONNX Runtime answers for {told} (with --runtime native, its own library)")
        wanted = [*serving.serve_requirements("onnx"), *more]
        if wanted == own_requirements(*SERVED_WITH):
            return rooms.environments.get(conversions[0].environment)
        return rooms.environments.resolve_alone(wanted)
    for each in details if runtime == "auto" else ():
        known = known_conversion(each)
        if known is not None and not known.used and is_convertible(each):
            say(f"ONNX Runtime does not answer for {each.version.reference}: {known.why}")
    say(f"preparing the environment of {told}, with the server's packages")
    lock = rooms.environments.get(details[0].environment)
    return rooms.environments.resolve_with(lock, [*serving.serve_requirements(), *more])


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
