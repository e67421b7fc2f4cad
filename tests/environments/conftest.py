"""A package index on loopback with tiny wheels, and projects that depend on them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from uv import find_uv_bin

from mlwright.environments import Environment, Environments
from mlwright.kernel.settings import find_project
from mlwright.workspace import Workspace, open_workspace

BARE = """
[[tool.uv.index]]
url = "{index}/simple"
default = true

[tool.mlwright]
{settings}
"""

PYPROJECT = """
[project]
name = "small"
version = "0"
requires-python = ">=3.11"
dependencies = {dependencies}

[tool.uv]
package = false

[[tool.uv.index]]
url = "{index}/simple"
default = true

[tool.mlwright]
"""


def wheel(name: str, version: str, requires: Sequence[str], files: Mapping[str, str]) -> bytes:
    """A wheel for every platform, the same bytes each time."""
    info = f"{name}-{version}.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    contents = {
        **files,
        f"{info}/METADATA": "\n".join([*metadata, *(f"Requires-Dist: {each}" for each in requires), ""]),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()[:43]},"
        for path, text in contents.items()
    ]
    contents[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in contents.items():
            archive.writestr(zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0)), text)
    return buffer.getvalue()


def metadata_of(data: bytes) -> bytes:
    """What a wheel says of itself."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("/METADATA")))


@dataclass
class Index:
    """A package index. A file named in `held` is only sent when `release` is called.

    `lasting` says of files that they never change, as public indexes do: uv then asks once.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    lasting: bool = False
    asked: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def add(self, name: str, version: str, *requires: str, **modules: str) -> None:
        """Offer a distribution; its modules are `modules`, or one of its own name."""
        files = modules or {name: f"VERSION = '{version}'\n"}
        paths = {f"{path.replace('__', '/')}.py": text for path, text in files.items()}
        self.files[f"{name}-{version}-py3-none-any.whl"] = wheel(name, version, requires, paths)

    def hold(self, file: str) -> None:
        """From now on let those wait who ask for a file."""
        self.released.clear()
        self.held.add(file)

    def release(self) -> None:
        """Send what was held."""
        self.held.clear()
        self.released.set()


class _Handler(BaseHTTPRequestHandler):
    index: Index

    def do_GET(self) -> None:
        *_, folder, name = self.path.rstrip("/").split("/")
        self.index.asked.append(name)
        if folder == "simple":
            links = [
                f'<a href="/files/{file}#sha256={hashlib.sha256(data).hexdigest()}"'
                f' data-core-metadata="true">{file}</a>'
                for file, data in self.index.files.items()
                if file.partition("-")[0].lower().replace("_", "-") == name
            ]
            self._answer("\n".join(["<!DOCTYPE html>", *links]).encode() if links else None, "text/html")
            return
        if name in self.index.held:
            self.index.released.wait(60)
        data = self.index.files.get(name.removesuffix(".metadata"))
        if data is not None and name.endswith(".metadata"):
            data = metadata_of(data)
        self._answer(data, "application/octet-stream")

    def _answer(self, data: bytes | None, kind: str) -> None:
        self.send_response(404 if data is None else 200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data or b"")))
        if self.index.lasting:
            self.send_header("Cache-Control", "max-age=365000000, immutable, public")
        self.end_headers()
        self.wfile.write(data or b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture(scope="module")  # a file that offers more offers it to itself alone
def index() -> Iterator[Index]:
    """The index: `one` needs `two`, of which there are two versions; `three` needs the older one."""
    made = Index()
    made.add("one", "1.0", "two>=1")
    made.add("two", "1.0")
    made.add("two", "2.0")
    made.add("three", "1.0", "two<2")
    made.add(
        "Big_Name",
        "1.0",
        "one; extra == 'more'",
        "nowhere; sys_platform == 'win32'",
        big____init__="",
        big__part="",
        _single="",
    )
    made.add("nowhere", "1.0")
    made.add("big_more", "1.0", big__more="")
    handler = type("Handler", (_Handler,), {"index": made})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.release()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def uv_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """uv keeps what it downloads with these tests: an index of another time may have had our port."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "uv-cache"))


@dataclass
class Small:
    """A project with its workspace and environments."""

    root: Path
    workspace: Workspace
    environments: Environments

    def depend(self, index: Index, *dependencies: str) -> None:
        """Write `pyproject.toml` anew."""
        text = PYPROJECT.format(dependencies=json.dumps(dependencies), index=index.url)
        (self.root / "pyproject.toml").write_text(text)

    def bring(self, index: Index, files: Mapping[str, str], settings: str = "") -> None:
        """Write a `pyproject.toml` without `[project]`, and files that say what is needed."""
        (self.root / "pyproject.toml").write_text(BARE.format(index=index.url, settings=settings))
        for name, text in files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)

    def versions(self, name: str = "") -> dict[str, str]:
        """What one of the project's environments holds, built."""
        return versions(self.environments.build(self.environments.current(name)))


def versions(environment: Environment) -> dict[str, str]:
    """What an environment holds."""
    return {name: pin.partition(" ")[0] for name, pin in environment.inventory.pins.items()}


@pytest.fixture
def other_python(monkeypatch: pytest.MonkeyPatch) -> str:
    """The minor version of another interpreter than ours, newer than 3.11, where uv finds it."""
    for minor in range(12, 20):
        if sys.version_info[1] == minor:
            continue
        for folder in [None, *(Path.home() / ".pyenv" / "versions").glob(f"3.{minor}.*/bin")]:
            if folder is not None:
                monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
            find = [find_uv_bin(), "python", "find", "--no-project", "--system", f"3.{minor}"]
            if subprocess.run(find, capture_output=True, check=False).returncode == 0:
                return f"3.{minor}"
    pytest.skip("there is no other Python than ours on this machine, of 3.12 or newer")


@pytest.fixture
def make(tmp_path: Path, index: Index) -> Iterator[Callable[..., Small]]:
    """Makes and locks a project that depends on what is given: `make("one", "two<2", folder="a")`."""
    opened = []

    def build(*dependencies: str, folder: str = "small", lock: bool = True) -> Small:
        root = tmp_path / folder
        root.mkdir(parents=True)
        (root / "pyproject.toml").write_text("[tool.mlwright]\n")
        workspace = open_workspace(find_project(root))
        opened.append(workspace)
        made = Small(
            root, workspace, Environments(workspace.database, workspace.objects, root, workspace.local)
        )
        made.depend(index, *dependencies)
        if lock:
            made.environments.lock()
        return made

    yield build
    for workspace in opened:
        workspace.close()
