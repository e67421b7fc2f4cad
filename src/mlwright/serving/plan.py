"""What serving a model would do, and what its environment must hold for that."""

from __future__ import annotations

import ipaddress
from importlib import metadata

from packaging.requirements import Requirement

from mlwright.kernel.errors import Invalid, Unavailable
from mlwright.kernel.plan import Change, Plan

_EXTRA = "serve"


def plan_serve(model: str, environment: str, *, built: bool, host: str, port: int) -> Plan:
    """What `mlwright serve` will do.

    Args:
        model: the version's reference.
        environment: how a person names the replica's environment.
        built: whether that environment is there.
        port: 0 for a free one.

    Raises:
        Invalid: an address that others can reach, or a port that is none.
    """
    address = loopback(host, port)
    shown = f"[{address}]" if ":" in address else address
    return Plan(
        f"serve {model}",
        (
            Change("reuse" if built else "add", environment, "the model's packages and the server's"),
            Change("run", f"a replica of {model}", f"http://{shown}:{port or '(a free port)'}"),
            Change(
                "check", f"the example of {model}", "answered as the pipeline recorded, or it is not ready"
            ),
        ),
    )


def loopback(host: str, port: int) -> str:
    """The address to listen on.

    Raises:
        Invalid: one that others can reach, or a port that is none.
    """
    address = "127.0.0.1" if host == "localhost" else host
    if not _is_loopback(address):
        raise Invalid(
            f"{host} can be reached from outside, and predictions are answered without asking who asks",
            hint="leave out --host, and put a proxy that asks in front",
        )
    if not 0 <= port <= 65535:
        raise Invalid(f"{port} is not a port", hint="choose one from 1024 to 65535, or 0 for a free one")
    return address


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def serve_requirements() -> list[str]:
    """What a replica needs beside its model's packages, as PEP 508 requirements: our core and `serve`.

    `mlwright` itself is not among them: the engine lends the replica its own.

    Raises:
        Unavailable: mlwright is not installed, so that nothing says what it needs.
    """
    try:
        required = metadata.requires("mlwright") or []
    except metadata.PackageNotFoundError as error:
        raise Unavailable("mlwright is not installed here", hint="uv pip install mlwright") from error
    needed = []
    for requirement in map(Requirement, required):
        marker, requirement.marker = requirement.marker, None
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", _EXTRA)):
            needed.append(str(requirement))
    return sorted(set(needed))
