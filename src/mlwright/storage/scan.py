"""What lies in a folder: its files with what the system tells of them; nothing is read."""

from __future__ import annotations

import os
import stat
import time
from operator import attrgetter
from pathlib import Path

from msgspec import Struct

from mlwright.kernel.errors import Invalid

State = tuple[int, int, int, int]
"""Size, time of last write, inode, time of last change (ns): while they stay, a file's bytes do."""


class Source(Struct, frozen=True, gc=False):
    """A file on disk that is to become an entry of a tree.

    Args:
        path: in the tree, relative, with `/`.
        file: where it lies.
    """

    path: str
    file: str
    state: State
    executable: bool

    @property
    def size_bytes(self) -> int:
        """As the system tells it."""
        return self.state[0]


_TICK_NS = 20_000_000
"""Two writes that are closer than this may leave the same times: the clock of a file system ticks slowly."""


def settle(changed_ns: int) -> None:
    """Wait until a file that was changed at a time cannot be changed again without looking different.

    Who waits before reading sees by the file's state whether it was written since.
    """
    if 0 < (wait_ns := changed_ns + _TICK_NS - time.time_ns()) <= _TICK_NS:
        time.sleep(wait_ns / 1e9)


def scan(path: Path) -> list[Source]:
    """The files of a folder, or the one file, as they would be stored; nothing is read.

    A link to a file stands for that file.

    Raises:
        Invalid: the path is missing, empty of files, cannot be read, or holds what is neither file nor
            folder.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Invalid(
            f"there is no file or folder {path}", hint="check the path: it is relative to where you are"
        ) from error
    except OSError as error:  # a link that leads to itself, a name too long, no permission
        raise _unreadable(str(path), error) from error
    if stat.S_ISREG(status.st_mode):
        return [_source(checked_name(path.name), str(path), status)]
    if not stat.S_ISDIR(status.st_mode):
        raise Invalid(f"{path} is neither a file nor a folder")
    found = sorted(_walk(str(path)), key=attrgetter("path"))
    if not found:
        raise Invalid(f"{path} has no files in it")
    return found


def is_bare(folder: Path) -> bool:
    """Whether there is nothing in a folder but folders of its own: no file, no link."""
    for at, folders, names in os.walk(folder):
        if names or any(Path(at, name).is_symlink() for name in folders):
            return False
    return True


def state_of(status: os.stat_result) -> State:
    """What tells whether a file's bytes have changed."""
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns


def checked_name(name: str, hint: str = "rename the file") -> str:
    """A file's name, which a manifest can hold.

    Raises:
        Invalid: it is not UTF-8; `hint` says what to do then.
    """
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise Invalid(f"the file name {name!r} is not UTF-8", hint=hint) from error
    return name


def _walk(top: str) -> list[Source]:
    """Names and states by each folder's descriptor, which spares the system the way to each file."""
    found: list[Source] = []
    waiting = [(top, "")]
    while waiting:
        folder, prefix = waiting.pop()
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise _unreadable(folder, error) from error
        try:
            for name in os.listdir(descriptor):  # noqa: PTH208 - by a descriptor
                path, file = prefix + name, f"{folder}/{name}"
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if stat.S_ISLNK(status.st_mode):
                    status = _behind_link(name, descriptor, file)
                if not name.isascii():
                    checked_name(name)
                if stat.S_ISREG(status.st_mode):
                    found.append(_source(path, file, status))
                elif stat.S_ISDIR(status.st_mode):
                    waiting.append((file, f"{path}/"))
                else:
                    raise Invalid(
                        f"{file} is not a regular file", hint="a dataset holds files and folders only"
                    )
        finally:
            os.close(descriptor)
    return found


def _unreadable(path: str, error: OSError) -> Invalid:
    return Invalid(f"{path} cannot be read: {error.strerror}", hint="look at its permissions")


def _behind_link(name: str, folder: int, file: str) -> os.stat_result:
    try:
        status = os.stat(name, dir_fd=folder)
    except OSError as error:
        raise Invalid(
            f"{file} is a link that leads nowhere", hint="a dataset holds files and folders only"
        ) from error
    if stat.S_ISDIR(status.st_mode):
        raise Invalid(f"{file} is a link to a folder", hint="put the folder itself in its place")
    return status


def _source(path: str, file: str, status: os.stat_result) -> Source:
    return Source(path, file, state_of(status), status.st_mode & stat.S_IXUSR != 0)
