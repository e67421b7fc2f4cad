"""A real browser, and a server of a workspace that has something on every page."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.server.conftest import Up
from tests.web.filled import fill

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_FLAGS = (
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window.

    While it is there an event loop runs in this thread, so that it is gone before the tests of another file.
    """
    if CHROMIUM is None:
        pytest.skip("there is no chromium: apt-get install chromium, or `make setup-test` as root")
    from playwright.sync_api import sync_playwright

    alone = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*_FLAGS, *alone], headless=True)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def workspace() -> Iterator[Path]:
    """A project in which much has happened."""
    with tempfile.TemporaryDirectory(prefix="mlwright-web-") as folder:
        root = Path(folder) / "small"
        fill(root)
        yield root


@pytest.fixture(scope="session")
def site(workspace: Path) -> Iterator[Up]:
    """A server of it."""
    up = Up(workspace)
    yield up
    up.close()
