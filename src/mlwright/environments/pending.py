"""Replacing `pyproject.toml` and `uv.lock` together: half of it is never left, whatever dies."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from pathlib import Path

import msgspec
from msgspec import Struct

from mlwright.environments.aside import PYPROJECT, UV_LOCK
from mlwright.kernel.digest import Digest, digest_of
from mlwright.kernel.errors import Conflict
from mlwright.kernel.files import content_of, flush, locked, replace_own, write_flushed

_FILES = (PYPROJECT, UV_LOCK)


class _Begun(Struct, frozen=True):
    """A change that is decided on: what it is called, and what each file was before."""

    title: str
    before: dict[str, str]


class Pending:
    """At most one change of the two files, which is done once it is written down.

    Args:
        root: the project's folder.
        local: where it is written down.
    """

    def __init__(self, root: Path, local: Path) -> None:
        self._root = root
        self._local = local
        self._place = local / "change"

    def replace(self, pyproject: bytes, uv_lock: bytes, since: Digest, title: str) -> None:
        """Put both in place.

        Args:
            since: the state of both that the change was worked out from.

        Raises:
            Conflict: they are in another state by now.
        """
        self.mend()
        self._local.mkdir(parents=True, exist_ok=True)
        with locked(self._local / "change.lock", fcntl.LOCK_EX):
            before = {name: content_of(self._root / name) for name in _FILES}
            if state_of(before[PYPROJECT] or b"", before[UV_LOCK]) != since:
                raise Conflict(
                    "pyproject.toml or uv.lock was changed since this was worked out; nothing was written",
                    where=str(self._root),
                    hint="run the same command again",
                )
            for left in self._local.glob("change-*"):  # of somebody who was killed before it was decided
                shutil.rmtree(left, ignore_errors=True)
            making = Path(tempfile.mkdtemp(dir=self._local, prefix="change-"))
            begun = _Begun(title, {name: _digest(data) for name, data in before.items()})
            for name, data in ((PYPROJECT, pyproject), (UV_LOCK, uv_lock)):
                write_flushed(making / name, data)
            write_flushed(making / "change.json", msgspec.json.encode(begun))
            flush(making)
            making.rename(self._place)  # from here on it is done, by us or by whoever looks next
            flush(self._local)
            self._finish()

    def mend(self) -> str | None:
        """Finish what was written down and not done; says what that was, or None."""
        if not self._place.exists():
            return None
        with locked(self._local / "change.lock", fcntl.LOCK_EX):
            return self._finish() if self._place.exists() else None

    def _finish(self) -> str:
        begun = msgspec.json.decode((self._place / "change.json").read_bytes(), type=_Begun)
        after = {name: (self._place / name).read_bytes() for name in _FILES}
        edited = [
            name
            for name in _FILES
            if _digest(content_of(self._root / name)) not in {begun.before[name], _digest(after[name])}
        ]
        if not edited:
            for name in _FILES:
                replace_own(self._root / name, after[name])
            flush(self._root)
        gone = self._place.with_name(f"{self._place.name}.done")
        shutil.rmtree(gone, ignore_errors=True)
        self._place.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        if edited:
            return (
                f"`{begun.title}` was interrupted, and {' and '.join(edited)} edited since: it was given up;"
                " look at the two files"
            )
        return (
            f"`{begun.title}` had been interrupted, and is done now: pyproject.toml and uv.lock are replaced"
        )


def state_of(pyproject: bytes, uv_lock: bytes | None) -> Digest:
    """Both files, as one digest."""
    return digest_of(f"{_digest(pyproject)} {_digest(uv_lock)}".encode())


def _digest(data: bytes | None) -> str:
    return "" if data is None else digest_of(data)
