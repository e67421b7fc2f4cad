"""Locks: the packages of an environment as a pylock (PEP 751), for one interpreter and platform."""

from __future__ import annotations

import platform
import sys
import sysconfig
import tomllib
from collections.abc import Mapping
from functools import cache
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mlwright.kernel.digest import Digest, composite
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Corrupt


class Lock(Struct, frozen=True):
    """What an environment is made of.

    Args:
        digest: of all three parts: the name of the environment everywhere.
        pylock: the digest of the pylock file, an object.
        python: minor version of the interpreter, as `3.12`.
        platform: system, processor and C library, as `linux-x86_64-glibc`.
        packages: how many the file locks; some may be for other platforms.
    """

    digest: Digest
    pylock: Digest
    python: str
    platform: str
    packages: int

    @property
    def end(self) -> End:
        """The lock as an end of edges."""
        return End("lock", self.digest)

    @property
    def label(self) -> str:
        """`environment b3:ab12... (Python 3.12, linux-x86_64-glibc)`."""
        return f"environment b3:{self.digest[:12]} (Python {self.python}, {self.platform})"


def check_lock(lock: Lock) -> None:
    """Whether a lock from elsewhere has the name that its parts give it: environments are found by it.

    Raises:
        Corrupt: it has not.
    """
    if lock.digest != _identity(lock.pylock, lock.python, lock.platform):
        raise Corrupt(f"the environment {lock.digest[:12]} is not what it is called")


def make_lock(text: bytes, pylock: Digest, python: str) -> Lock:
    """The lock of a pylock file on this platform.

    Args:
        pylock: the digest of `text`.
        python: minor version of the interpreter.
    """
    return lock_of(tomllib.loads(text.decode()), pylock, python)


def lock_of(document: Mapping[str, Any], pylock: Digest, python: str) -> Lock:
    """As `make_lock`, of a file that is parsed already, which takes 15 ms for 150 kB.

    Args:
        document: what the file holds.
        pylock: the digest of the file.
        python: minor version of the interpreter.
    """
    here = current_platform()
    return Lock(_identity(pylock, python, here), pylock, python, here, len(document.get("packages", [])))


def at_platform(lock: Lock, platform: str) -> Lock:
    """The lock with the same file and interpreter on another platform."""
    return replace(lock, digest=_identity(lock.pylock, lock.python, platform), platform=platform)


def _identity(pylock: Digest, python: str, platform: str) -> Digest:
    """The name of an environment, from what it is made of."""
    return composite("lock", {"pylock": pylock, "python": python, "platform": platform})


def current_python() -> str:
    """The minor version of the interpreter that runs this."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


@cache
def current_platform() -> str:
    """System, processor and C library of this machine, as wheels see them."""
    library = platform.libc_ver()[0] or ("musl" if sys.platform == "linux" else "")
    return "-".join(part for part in (sysconfig.get_platform(), library) if part)
