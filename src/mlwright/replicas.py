"""Replicas of model versions, each in the environment that its model was made in, or as it was converted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Literal

from mlwright import serving
from mlwright.environments import Lock
from mlwright.kernel.errors import Incompatible
from mlwright.versioning import Conversion, ModelDetail
from mlwright.workflow import Rooms
from mlwright.workflow.conversion import convert_model, known_conversion

RuntimeName = Literal["auto", "native", "onnx"]

_NICENESS = 10
_GRACE_S = 5.0


def spec_of(
    rooms: Rooms, details: Sequence[ModelDetail], runtime: RuntimeName = "auto"
) -> serving.ReplicaSpec:
    """What a replica needs to know, as its models are converted now.

    Args:
        details: versions that can be served.

    Raises:
        Invalid: two of one model.
        Incompatible: they were made in different environments.
    """
    found = [] if runtime == "native" else [known_conversion(each) for each in details]
    conversions = [each for each in found if each is not None and each.used]
    if details and len(conversions) == len(details):
        return _spec(rooms, details, conversions)
    first, *others = details
    for other in others:
        if other.environment != first.environment:
            raise Incompatible(
                f"{other.version.reference} was made in another environment than {first.version.reference}",
                hint="serve each by itself, on a port of its own",
            )
    return _spec(rooms, details, [None] * len(details))


def _spec(
    rooms: Rooms, details: Sequence[ModelDetail], conversions: Sequence[Conversion | None]
) -> serving.ReplicaSpec:
    models = (
        _model_spec(rooms, detail, conversion)
        for detail, conversion in zip(details, conversions, strict=True)
    )
    return serving.ReplicaSpec(tuple(models)).checked()


def _model_spec(rooms: Rooms, detail: ModelDetail, conversion: Conversion | None) -> serving.ModelSpec:
    assert detail.signature is not None
    version, codec = detail.version, detail.artifact.codec
    path = rooms.objects.path(detail.artifact.digest)
    onnx = "" if conversion is None else str(rooms.objects.path(conversion.digest))
    return serving.ModelSpec(version.reference, version.id, codec, str(path), detail.signature, onnx)


@contextmanager
def serve(
    rooms: Rooms,
    details: Sequence[ModelDetail],
    *,
    host: str,
    port: int,
    runtime: RuntimeName = "auto",
    preparing: Callable[[str], object] | None = None,
) -> Iterator[serving.Server]:
    """Answer predictions over HTTP while the block runs, with the server's packages beside the model's.

    Args:
        details: versions that can be served.
        runtime: what answers; with `auto`, what was not converted yet is, beside the server.
        preparing: is told what takes long.

    Raises:
        Invalid: an address that others can reach; two versions of one model.
        Incompatible: the models were made in different environments; or `onnx` is asked for, and one has no
            conversion that is used.
        Unavailable: the port is taken, or the environment cannot be made.
        WorkFailed: the replica never got ready; the message says why.
    """
    serving.loopback(host, port)  # an address that may not be served is refused at once
    say = preparing or (lambda what: None)
    if runtime == "onnx":
        details = [_with_conversion(rooms, each, say) for each in details]
    spec = spec_of(rooms, details, runtime)
    with rooms.environments.holding():
        python = rooms.environments.build(_lock(rooms, details, spec, say)).python
        folder = rooms.workspace.local / "serving"
        say(f"starting a replica of {spec.told}: it must answer its example as the pipeline did")
        server = serving.start_replica(spec, python, host=host, port=port, folder=folder)
        unknown = [each for each in details if runtime == "auto" and known_conversion(each) is None]
        converting = _convert_beside(rooms, unknown)
        try:
            yield server
        finally:
            server.stop()
            if converting is not None:
                _end(converting)


def _with_conversion(rooms: Rooms, detail: ModelDetail, say: Callable[[str], object]) -> ModelDetail:
    """A version with the conversion that answers for it.

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


def _lock(
    rooms: Rooms, details: Sequence[ModelDetail], spec: serving.ReplicaSpec, say: Callable[[str], object]
) -> Lock:
    """The lock of the environment that a replica runs in."""
    first = details[0]
    if spec.models[0].onnx:
        assert first.conversion is not None
        say(f"{spec.told}: answered by ONNX Runtime (--runtime native for the model's own library)")
        return rooms.environments.get(first.conversion.environment)
    if (known := known_conversion(first)) is not None and first.conversion is not None and not known.used:
        say(f"{first.version.reference} is not answered by ONNX Runtime: {known.why}")
    say(f"preparing the environment of {spec.told}, with the server's packages")
    lock = rooms.environments.get(first.environment)
    return rooms.environments.resolve_with(lock, serving.serve_requirements())


def _convert_beside(rooms: Rooms, details: Sequence[ModelDetail]) -> subprocess.Popen[bytes] | None:
    """Convert versions in a process of its own, which yields to all others; nobody waits for it."""
    if not details:
        return None
    references = [each.version.reference for each in details]
    code = (
        "import os, sys; os.nice(int(sys.argv[1]));"
        " from mlwright.app import Project; project = Project.open(sys.argv[2]);"
        " [project.models.convert(each) for each in sys.argv[3:]]; project.close()"
    )
    with suppress(OSError):  # without it, the model answers as it is
        return subprocess.Popen(
            [sys.executable, "-P", "-c", code, str(_NICENESS), str(rooms.project.root), *references],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ},
            start_new_session=True,  # the terminal's Ctrl-C is the engine's to act on
        )
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what converts, if it still does; what is not recorded yet is done by the next server."""
    process.terminate()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
