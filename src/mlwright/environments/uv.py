"""The one place that runs uv."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from msgspec import Struct

from mlwright.kernel.errors import Unavailable


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
            Unavailable: it failed; its own words follow.
        """
        from uv import find_uv_bin

        # The caller's own virtual environment is not asked for, nor an interpreter fetched behind their back.
        variables = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
        variables.setdefault("UV_PYTHON_DOWNLOADS", "never")
        done = subprocess.run(
            [find_uv_bin(), "--no-progress", *arguments],
            cwd=self.root,
            env=variables,
            pass_fds=() if held is None else (held,),
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode != 0:
            raise Unavailable(
                f"{what}:\n{done.stderr.strip()}", hint="check the names and the network, then try again"
            )
        return done
