"""What mlwright itself needs, as its metadata say: its code alone is lent to environments."""

from __future__ import annotations

from importlib import metadata

from mlwright.kernel.errors import Unavailable

CORE = ""
"""What is needed with any extra."""


def own_requirements(*extras: str) -> list[str]:
    """What parts of mlwright need, as PEP 508 requirements.

    `mlwright` itself is not among them.

    Args:
        extras: their names; `CORE` for what all need.

    Raises:
        Unavailable: mlwright is not installed, so that nothing says what it needs.
    """
    from packaging.requirements import Requirement

    try:
        required = metadata.requires("mlwright") or []
    except metadata.PackageNotFoundError as error:
        raise Unavailable("mlwright is not installed here", hint="uv pip install mlwright") from error
    needed = set()
    for requirement in map(Requirement, required):
        marker, requirement.marker = requirement.marker, None
        if requirement.name == "mlwright":
            continue
        if marker is None:
            wanted = CORE in extras
        else:
            # A marker that holds without any extra is about the platform: a part of the core.
            core = marker.evaluate({"extra": CORE})
            wanted = (core and CORE in extras) or (
                not core and any(marker.evaluate({"extra": extra}) for extra in extras if extra)
            )
        if wanted:
            needed.add(str(requirement))
    return sorted(needed)
