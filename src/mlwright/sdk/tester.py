"""The project's tests, run by pytest in one of its environments, which need not hold this package."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from mlwright.sdk.script import make_importable


def main(arguments: Sequence[str]) -> None:
    """Run pytest in a project's folder and end with its exit status.

    Args:
        arguments: the folder, then those of pytest.
    """
    folder, *rest = arguments
    os.chdir(folder)
    make_importable(Path(folder) / "src", Path(folder))
    sys.argv = ["pytest", *rest]
    runpy.run_module("pytest", run_name="__main__", alter_sys=True)
