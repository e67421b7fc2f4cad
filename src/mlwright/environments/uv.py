"""The one place that runs uv."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from msgspec import Struct

from mlwright.environments.credentials import masked
from mlwright.environments.declared import dependencies
from mlwright.kernel.errors import MlwrightError


class Uv(Struct, frozen=True):
    """uv, run in a project's folder, where its settings (indexes above all) are found."""

    root: Path

    def run(
        self, *arguments: str, what: str = "uv failed", check: bool = True, held: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one command of uv and wait for its end.

        Args:
            what: what could not be done, should it fail.
            check: whether a failure is an error.
            held: a descriptor that uv inherits, and holds as long as it lives.

        Raises:
            Invalid, NotFound, Incompatible, Corrupt, Unavailable: it failed; which of them, and why, says
                `refusal`.
        """
        from uv import find_uv_bin

        # The caller's own virtual environment is not asked for, nor an interpreter fetched behind their back.
        variables = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
        variables.setdefault("UV_PYTHON_DOWNLOADS", "never")
        variables["UV_NO_WRAP"] = "1"  # what uv says is read by a program
        # What is built has the same bytes whenever it is: the times in a wheel are the first it can hold.
        variables.setdefault("SOURCE_DATE_EPOCH", "315532800")
        done = subprocess.run(
            [find_uv_bin(), "--no-progress", "--color", "never", *arguments],
            cwd=self.root,
            env=variables,
            pass_fds=() if held is None else (held,),
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode != 0:
            raise self.refused(what, done)
        return done

    def refused(self, what: str, done: subprocess.CompletedProcess[str]) -> MlwrightError:
        """The error that says why a command failed.

        Args:
            what: could not be done.
            done: by `run`.
        """
        from mlwright.environments.refusals import refusal

        return refusal(what, masked(done.stderr), known=self._locked_names(), declared=self._declared())

    def _declared(self) -> list[str]:
        try:
            return dependencies(self.root)
        except ValueError:  # no TOML, of which uv has told
            return []

    def _locked_names(self) -> list[str]:
        """What somebody may have meant who mistyped a name."""
        try:
            return re.findall(r'^name = "(.+)"$', (self.root / "uv.lock").read_text(), re.MULTILINE)
        except (OSError, UnicodeDecodeError):
            return []
