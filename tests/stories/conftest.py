"""One starter project for the stories, made by the installed command as a user makes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import installed


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh project from `mlwright init`, with its packages installed and its data written."""
    folder = tmp_path_factory.mktemp("story")
    made = installed("init", "demo", cwd=folder)
    assert made.returncode == 0, made.stderr
    return folder / "demo"
