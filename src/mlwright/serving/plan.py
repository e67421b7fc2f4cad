"""What serving a model would do, and what its environment must hold for that."""

from __future__ import annotations

from importlib import metadata

from packaging.requirements import Requirement

from mlwright.kernel.errors import Invalid, Unavailable
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.sockets import is_loopback, url_of
from mlwright.serving.spec import ReplicaSpec
from mlwright.serving.telemetry import configured

_EXTRA, _TRACES = "serve", "otel"


def plan_serve(spec: ReplicaSpec, *, host: str, port: int) -> Plan:
    """What `mlwright serve` will do.

    Args:
        spec: of the replica.
        host: a loopback address.
        port: 0 for a free one.

    Raises:
        Invalid: an address that others can reach, or a port that is none.
    """
    url = url_of(loopback(host, port), port or "PORT")
    return Plan(
        f"serve {spec.told}",
        (
            Change(
                "run", f"a replica of {spec.told}", "in the model's environment, with the server's packages"
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


def serve_requirements() -> list[str]:
    """What a replica needs beside its model's packages, as PEP 508 requirements: our core and `serve`.

    And `otel`, where this environment says that traces are exported.

    `mlwright` itself is not among them: the engine lends the replica its own.

    Raises:
        Unavailable: mlwright is not installed, so that nothing says what it needs.
    """
    try:
        required = metadata.requires("mlwright") or []
    except metadata.PackageNotFoundError as error:
        raise Unavailable("mlwright is not installed here", hint="uv pip install mlwright") from error
    needed, extras = [], ["", _EXTRA, *([_TRACES] if configured() else [])]
    for requirement in map(Requirement, required):
        marker, requirement.marker = requirement.marker, None
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
            needed.append(str(requirement))
    return sorted(set(needed))


def table_requirements() -> list[str]:
    """What reads Parquet and Arrow, as PEP 508 requirements."""
    required = map(Requirement, metadata.requires("mlwright") or [])
    return sorted({f"{each.name}{each.specifier}" for each in required if each.name == "pyarrow"})
