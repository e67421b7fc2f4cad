"""Replicas of model versions, each in the environment that its model was made in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from mlwright import serving
from mlwright.kernel.errors import Incompatible
from mlwright.versioning import ModelDetail
from mlwright.workflow import Rooms


def spec_of(rooms: Rooms, details: Sequence[ModelDetail]) -> serving.ReplicaSpec:
    """What a replica needs to know.

    Args:
        details: versions that can be served.

    Raises:
        Invalid: two of one model.
        Incompatible: they were made in different environments.
    """
    first, *others = details
    for other in others:
        if other.environment != first.environment:
            raise Incompatible(
                f"{other.version.reference} was made in another environment than {first.version.reference}",
                hint="serve each by itself, on a port of its own",
            )
    return serving.ReplicaSpec(tuple(_model_spec(rooms, each) for each in details)).checked()


def _model_spec(rooms: Rooms, detail: ModelDetail) -> serving.ModelSpec:
    assert detail.signature is not None
    version, codec = detail.version, detail.artifact.codec
    path = rooms.objects.path(detail.artifact.digest)
    return serving.ModelSpec(version.reference, version.id, codec, str(path), detail.signature)


@contextmanager
def serve(
    rooms: Rooms,
    details: Sequence[ModelDetail],
    *,
    host: str,
    port: int,
    replicas: int = 1,
    preparing: Callable[[str], object] | None = None,
) -> Iterator[serving.Server]:
    """Answer predictions over HTTP while the block runs, with the server's packages beside the model's.

    Args:
        details: versions that can be served.
        replicas: processes that answer.
        preparing: is told what takes long.

    Raises:
        Invalid: an address that others can reach; two versions of one model.
        Incompatible: the models were made in different environments.
        Unavailable: the port is taken, or the environment cannot be made.
        WorkFailed: the replica never got ready; the message says why.
    """
    spec = spec_of(rooms, details)
    serving.plan_serve(
        spec, host=host, port=port, replicas=replicas
    )  # an address that may not be served is refused at once
    lock = rooms.environments.get(details[0].environment)
    say = preparing or (lambda what: None)
    say(f"preparing the environment of {spec.told}, with the server's packages")
    with rooms.environments.holding():
        with_server = rooms.environments.resolve_with(lock, serving.serve_requirements())
        python = rooms.environments.build(with_server).python
        folder = rooms.workspace.local / "serving"
        what = (
            f"a replica of {spec.told}: it" if replicas == 1 else f"{replicas} replicas of {spec.told}: each"
        )
        say(f"starting {what} must answer its example as the pipeline did")
        with serving.start(spec, python, host=host, port=port, replicas=replicas, folder=folder) as server:
            yield server
