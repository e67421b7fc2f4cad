"""Interpreters: which Python an environment has, found on this machine by uv, by its minor version."""

from __future__ import annotations

import os
import platform
import re
import sys

from mlwright.environments.locks import current_platform, current_python
from mlwright.environments.uv import Uv
from mlwright.kernel.errors import Incompatible, Invalid

OLDEST = (3, 11)
"""What the worker of a step runs on."""


def interpreter(uv: Uv, python: str) -> str:
    """The interpreter of an environment: our own if it is of that version, else one that uv finds.

    Args:
        python: minor version, as `3.12`.

    Raises:
        Incompatible: this machine has none, and uv may fetch none.
    """
    if python == current_python():
        return sys.executable
    found = uv.run("python", "find", "--no-project", "--system", python, check=False)
    if found.returncode == 0:
        return found.stdout.strip()
    if os.environ.get("UV_PYTHON_DOWNLOADS", "never") != "never":
        return python
    raise Incompatible(
        f"the environment is for Python {python}, and none is found on this machine ({current_platform()})",
        hint=f"install it: uv python install {python}; or let uv fetch it: UV_PYTHON_DOWNLOADS=automatic",
    )


def minor_for(uv: Uv, versions: str, where: str) -> str:
    """The minor version of the interpreter that fits: our own if it does, else of one that uv finds.

    Args:
        versions: as `requires-python` says: `>=3.12`.

    Raises:
        Invalid: they are no versions, or older than a step can run on.
        Incompatible: this machine has none that fits.
    """
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        wanted = SpecifierSet(versions)
    except InvalidSpecifier as error:
        raise Invalid(f"requires-python {versions!r} is not understood", where=where) from error
    if wanted.contains(platform.python_version(), prereleases=True):
        return current_python()
    found = uv.run("python", "find", "--no-project", "--system", "--show-version", versions, check=False)
    version = re.match(r"\d+\.\d+", found.stdout.strip())
    if found.returncode != 0 or version is None:
        raise Incompatible(
            f"Python {versions} is asked for, this is {platform.python_version()}, and no other is found",
            where=where,
            hint="install one that fits: uv python install VERSION",
        )
    return new_enough(version[0], where)


def new_enough(python: str, where: str) -> str:
    """A minor version that steps can run on.

    Raises:
        Invalid: it is too old.
    """
    if tuple(map(int, python.split("."))) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise Invalid(f"steps run on Python {oldest} and newer, not on {python}", where=where)
    return python
