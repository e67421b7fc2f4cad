"""The folder of a virtual environment: what lies in it and beside it, and the mark of a damaged one."""

from __future__ import annotations

import json
from pathlib import Path

from mlwright.kernel.files import write_whole

INVENTORY = "inventory.json"
"""Written last: without it the environment is not complete."""
_DAMAGED = "damaged.json"


def beside(place: Path, suffix: str) -> Path:
    """The file or folder of an environment that lies beside it."""
    return place.with_name(place.name + suffix)


def is_whole(place: Path) -> bool:
    """Whether an environment is complete, and not known to be damaged."""
    return (place / INVENTORY).exists() and not (place / _DAMAGED).exists()


def mark_damaged(place: Path, packages: list[str]) -> None:
    """Note that an environment is damaged: whoever needs it next makes it anew.

    Args:
        packages: whose files are, as far as it is known.
    """
    write_whole(place / _DAMAGED, json.dumps(packages).encode())


def damaged_packages(place: Path) -> list[str]:
    """The packages whose files are known to be damaged."""
    try:
        return [str(each) for each in json.loads((place / _DAMAGED).read_bytes())]
    except FileNotFoundError:
        return []


def site_packages_of(place: Path) -> Path:
    """Where the packages of an environment are."""
    return next((place / "lib").glob("python*/site-packages"))
