"""What serving a model would do, and what its environment must hold for that."""

from __future__ import annotations

from mlwright.environments.own import CORE, own_requirements
from mlwright.kernel.errors import Invalid
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.sockets import is_loopback, url_of
from mlwright.serving.access import Access
from mlwright.serving.installed import has_grpc
from mlwright.serving.limits import changed_limits
from mlwright.serving.spec import ModelSpec, ReplicaSpec
from mlwright.serving.telemetry import configured

_EXTRA, _TRACES, _CALLS = "serve", "otel", "grpc"
_TOKEN = Change("check", "a token", "of every request, but for /health")


def plan_serve(spec: ReplicaSpec, *, host: str, port: int, replicas: int = 1) -> Plan:
    """What `mlwright serve` will do.

    Args:
        spec: of the replica.
        host: the address to listen on.
        port: 0 for a free one.
        replicas: processes that answer.

    Raises:
        Invalid: an address that others can reach, without a token; or a port that is none.
    """
    what = "a replica" if replicas == 1 else f"{replicas} replicas"
    url = url_of(address_of(host, port, spec.access), port or "PORT")
    told = ", ".join(f"{name} {value:,}" for name, value in changed_limits(spec.limits).items())
    return Plan(
        f"serve {spec.told}",
        (
            Change(
                "run",
                f"{what} of {spec.told}",
                _how(spec.models[0]),
            ),
            Change(
                "check",
                "the model's example" if len(spec.models) == 1 else "each model's example",
                "answered as the pipeline recorded, or nothing is served",
            ),
            Change("add", url, "" if port else "PORT is any free one"),
            *((_TOKEN,) if spec.access.digest else ()),
            *((Change("with", "limits of its own", told),) if told else ()),
        ),
    )


def _how(model: ModelSpec) -> str:
    if model.onnx:
        return "by ONNX Runtime, as converted, in an environment of the server's own"
    if model.python:
        return "in a process of its own, in the model's environment, beside a server in another"
    return "in the model's environment, with the server's packages"


def address_of(host: str, port: int, access: Access) -> str:
    """The address to listen on.

    Args:
        access: the terms on which it is answered.

    Raises:
        Invalid: others can reach it, and nothing says that they may; or a port that is none.
    """
    address = "127.0.0.1" if host == "localhost" else host
    if not (is_loopback(address) or access.digest or access.anybody):
        raise Invalid(
            f"{host} can be reached from outside, and predictions are answered without asking who asks",
            hint="say what opens: --token env:NAME; or --open for whoever reaches it; or leave out --host",
        )
    if not 0 <= port <= 65535:
        raise Invalid(f"{port} is not a port", hint="choose one from 1024 to 65535, or 0 for a free one")
    return address


def serve_requirements(*more: str) -> list[str]:
    """What a replica needs beside its model's packages, as PEP 508 requirements: our core and `serve`.

    And `otel`, where this environment says that traces are exported; and `grpc`, where it is installed here.

    `mlwright` itself is not among them: the engine lends the replica its own.

    Args:
        more: extras that it needs too.

    Raises:
        Unavailable: mlwright is not installed, so that nothing says what it needs.
    """
    chosen = [*([_TRACES] if configured() else []), *([_CALLS] if has_grpc() else [])]
    return own_requirements(CORE, _EXTRA, *chosen, *more)


def apart_requirements(*, arrow: bool) -> list[str]:
    """What a replica needs whose model has a process for itself, as PEP 508 requirements.

    Args:
        arrow: it is to read Parquet and Arrow, as it would where the model brings what does.
    """
    numpy = [each for each in own_requirements("onnx") if each.startswith("numpy")]
    return [*serve_requirements(), *numpy, *(table_requirements() if arrow else [])]


def table_requirements() -> list[str]:
    """What reads Parquet and Arrow, as PEP 508 requirements."""
    return [each for each in own_requirements("sklearn") if each.startswith("pyarrow")]
