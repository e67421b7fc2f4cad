"""Secrets are named, never written: `env:NAME` is a variable, `file:PATH` the content of a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from mlwright.kernel.errors import Invalid, NotFound


def read_secret(
    reference: str, what: str, *, folder: Path = Path(), variables: Mapping[str, str] | None = None
) -> str:
    """A secret, read now, without white space around it.

    Args:
        reference: where it is.
        what: how messages name it; what it holds they never do.
        folder: that relative paths begin in.
        variables: instead of this process's.

    Raises:
        Invalid: it is no reference: perhaps the secret itself.
        NotFound: it is not there, or empty.
    """
    how, _, name = reference.partition(":")
    if how not in {"env", "file"} or not name:
        raise Invalid(f"{what} must be named, not written", hint="write env:NAME or file:PATH")
    if how == "env":
        found = (os.environ if variables is None else variables).get(name, "")
        missing = f"the variable {name}, which has {what}, is not set"
    else:
        missing = f"the file {name} with {what} cannot be read, or is empty"
        try:
            found = (folder / Path(name).expanduser()).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise NotFound(missing) from error
    if not found.strip():
        raise NotFound(missing)
    return found.strip()
