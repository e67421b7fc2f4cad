"""What serving a model would do, and what its environment must hold for that."""

from __future__ import annotations

from mlwright.environments.own import CORE, own_requirements
from mlwright.kernel.errors import Invalid
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.sockets import is_loopback, url_of
from mlwright.serving.spec import ReplicaSpec
from mlwright.serving.telemetry import configured

_EXTRA, _TRACES = "serve", "otel"


def plan_serve(spec: ReplicaSpec, *, host: str, port: int, replicas: int = 1) -> Plan:
    """What `mlwright serve` will do.

    Args:
        spec: of the replica.
        host: a loopback address.
        port: 0 for a free one.
        replicas: processes that answer.

    Raises:
        Invalid: an address that others can reach, or a port that is none.
    """
    what = "a replica" if replicas == 1 else f"{replicas} replicas"
    url = url_of(loopback(host, port), port or "PORT")
    return Plan(
        f"serve {spec.told}",
        (
            Change(
                "run",
                f"{what} of {spec.told}",
                "by ONNX Runtime, as converted, in an environment of the server's own"
                if spec.models[0].onnx
                else "in the model's environment, with the server's packages",
            ),
            Change(
                "check",
                "the model's example" if len(spec.models) == 1 else "each model's example",
                "answered as the pipeline recorded, or nothing is served",
            ),
            Change("add", url, "" if port else "PORT is any free one"),
        ),
    )


def loopback(host: str, port: int) -> str:
    """The address to listen on.

    Raises:
        Invalid: one that others can reach, or a port that is none.
    """
    address = "127.0.0.1" if host == "localhost" else host
    if not is_loopback(address):
        raise Invalid(
            f"{host} can be reached from outside, and predictions are answered without asking who asks",
            hint="leave out --host, and put a proxy that asks in front",
        )
    if not 0 <= port <= 65535:
        raise Invalid(f"{port} is not a port", hint="choose one from 1024 to 65535, or 0 for a free one")
    return address


def serve_requirements(*more: str) -> list[str]:
    """What a replica needs beside its model's packages, as PEP 508 requirements: our core and `serve`.

    And `otel`, where this environment says that traces are exported.

    `mlwright` itself is not among them: the engine lends the replica its own.

    Args:
        more: extras that it needs too.

    Raises:
        Unavailable: mlwright is not installed, so that nothing says what it needs.
    """
    return own_requirements(CORE, _EXTRA, *([_TRACES] if configured() else []), *more)


def table_requirements() -> list[str]:
    """What reads Parquet and Arrow, as PEP 508 requirements."""
    return [each for each in own_requirements("sklearn") if each.startswith("pyarrow")]
