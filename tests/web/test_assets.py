"""What stands still."""

from __future__ import annotations

import hashlib
import re
import tomllib

from mlwright.web import assets
from mlwright.web.declared import PACKAGE

_INLINE = re.compile(
    r"<style|\sstyle\s*=|\son\w+\s*=|javascript:|hx-on|<script(?![^>]*\ssrc=)", re.IGNORECASE
)


def test_what_others_wrote_is_as_they_published_it() -> None:
    """Each vendored file is listed with its digest, and nothing else lies beside them."""
    folder = assets.FOLDER / "vendor"
    listed = tomllib.loads((folder / "vendored.toml").read_text())["package"]
    wanted = {name: digest for package in listed for name, digest in package["files"].items()}

    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != "vendored.toml"
    }

    assert found == wanted
    assert all(any(name.endswith("LICENSE") for name in package["files"]) for package in listed)


def test_a_page_weighs_little() -> None:
    """All that a page loads beside itself is at most 100 KB as it is sent."""
    sent = {name: each for name, each in assets.assets().items() if name.endswith((".js", ".css", ".svg"))}

    assert sum(len(each.compressed) for each in sent.values()) <= 100_000


def test_no_template_holds_script_or_style() -> None:
    """The policy of the pages forbids both, and nothing that a page does needs them."""
    templates = [*PACKAGE.glob("*/pages/*.html"), *PACKAGE.glob("web/shell/*.html")]

    found = {path.name: _INLINE.findall(path.read_text()) for path in templates}

    assert templates
    assert not {name: each for name, each in found.items() if each}


def test_a_file_stands_below_the_version_of_all() -> None:
    """A browser may keep a file for a year, since its address changes with it."""
    assert assets.address("style.css") == f"/static/{assets.version()}/style.css"
