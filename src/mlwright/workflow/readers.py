"""Which interpreter reads tables: one that has pyarrow, the project's before our own."""

from __future__ import annotations

import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

from mlwright.environments import Environments, Lock
from mlwright.kernel.errors import MlwrightError

_LIBRARY = "pyarrow"
_OLDEST = 20
"""Tested with none before; those before 14.0.1 run code that a file holds (CVE-2023-47248)."""


def python_for_tables(environments: Environments) -> Path | None:
    """An interpreter that has pyarrow; None when neither the project's environment nor our own has it.

    The project's is built for this only if our own has none.

    Raises:
        Unavailable: the project's environment has it and cannot be built.
    """
    lock = _locked(environments)
    if lock is not None and environments.built(lock):
        return environments.build(lock).python
    if find_spec(_LIBRARY) is not None:
        return Path(sys.executable)
    return None if lock is None else environments.build(lock).python


def _locked(environments: Environments) -> Lock | None:
    """The lock of the project's own environment, if it is there, in order, and has the library."""
    try:
        lock = environments.current()
    except MlwrightError:
        return None  # whoever runs a pipeline is told; here it is no reason not to show data
    packages = tomllib.loads(environments.text(lock).decode()).get("packages", [])
    versions = [each.get("version", "") for each in packages if each.get("name") == _LIBRARY]
    return lock if any(_major(version) >= _OLDEST for version in versions) else None


def _major(version: str) -> int:
    first = version.partition(".")[0]
    return int(first) if first.isdecimal() else 0
