"""Packages that are folders (`[tool.uv.sources]`): built into wheels, which are kept as objects."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from mlwright.environments.pylocks import write_pylock
from mlwright.environments.uv import Uv
from mlwright.kernel.digest import Digest, composite
from mlwright.kernel.errors import NotFound, Unavailable
from mlwright.kernel.files import write_whole
from mlwright.storage import InlineObjects

_PASSED_OVER = re.compile(r"\..*|__pycache__|build|dist|node_modules|.*\.egg-info")


class KeptWheel(Struct, frozen=True):
    """A wheel that was built of a folder.

    Args:
        file: its name, as `shared-1.0-py3-none-any.whl`.
        digest: of its bytes, an object.
        sha256: of the same bytes.
    """

    file: str
    digest: Digest
    sha256: str

    @property
    def path(self) -> str:
        """Where it lies beside a lock."""
        return f"wheels/b3-{self.digest}/{self.file}"


class FolderWheels(Struct, frozen=True):
    """Wheels of folders.

    Args:
        root: what the paths in a lock start from.
        cache: what was built of which files, by name, size and time.
    """

    objects: InlineObjects
    uv: Uv
    root: Path
    cache: Path

    def fixed(self, text: bytes, on_change: Callable[[], None]) -> bytes:
        """A pylock in which each package that is a folder is a wheel of it.

        Args:
            on_change: called before one is built: the folder may ask for other packages by now.

        Raises:
            NotFound: there is no such folder.
            Unavailable: a wheel cannot be built; uv's own words follow.
        """
        if b"directory = {" not in text:
            return text
        document = tomllib.loads(text.decode())
        packages = [
            self._fixed(each, on_change) if "directory" in each else each for each in document["packages"]
        ]
        return write_pylock(document | {"packages": packages})

    def _fixed(self, package: dict[str, Any], on_change: Callable[[], None]) -> dict[str, Any]:
        directory = package["directory"]
        folder = (self.root / directory["path"] / directory.get("subdirectory", "")).resolve()
        if not folder.is_dir():
            raise NotFound(
                f"there is no folder {directory['path']}, which `{package['name']}` is built from",
                where=str(self.root / "pyproject.toml"),
            )
        wheel = self._wheel(package["name"], folder, on_change)
        kept = {name: value for name, value in package.items() if name not in {"directory", "version"}}
        archive = {"path": wheel.path, "hashes": {"sha256": wheel.sha256}}
        return {"name": kept.pop("name"), "version": wheel.file.split("-")[1], **kept, "archive": archive}

    def _wheel(self, name: str, folder: Path, on_change: Callable[[], None]) -> KeptWheel:
        known = self.cache / f"{composite('folder', list(_listing(folder)))}.json"
        if known.exists():
            found = msgspec.json.decode(known.read_bytes(), type=KeptWheel)
            if self.objects.renew(found.digest):
                return found
        on_change()
        with tempfile.TemporaryDirectory() as target:
            self.uv.run(
                *["build", "--quiet", "--wheel", "--no-create-gitignore", "--out-dir", target, str(folder)],
                what=f"no wheel can be built of `{name}`, which is a folder",
            )
            built = sorted(Path(target).glob("*.whl"))
            if len(built) != 1:
                raise Unavailable(f"building `{name}` made {len(built)} wheels", where=str(folder))
            data = built[0].read_bytes()
        wheel = KeptWheel(built[0].name, self.objects.put(data).digest, hashlib.sha256(data).hexdigest())
        write_whole(known, msgspec.json.encode(wheel))
        return wheel


def _listing(folder: Path) -> Iterator[list[Any]]:
    """The files that a wheel may be built of, as far as they can be told apart without reading them."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(each for each in folders if not _PASSED_OVER.fullmatch(each))
        for name in sorted(files):
            path = Path(parent, name)
            if not name.endswith(".pyc") and path.is_file():
                found = path.stat()
                yield [str(path.relative_to(folder)), found.st_size, found.st_mtime_ns]
