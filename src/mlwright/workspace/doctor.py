"""The doctor: what a machine and a workspace are like, a line each, and what to do where it is not well.

A check is a function without arguments that answers one finding. Those here judge what they are given, so
that an engine beside them adds its own in the same way.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from msgspec import Struct

from mlwright.compute.machine import Machine, this_machine
from mlwright.kernel.clock import now_us, show, show_seconds
from mlwright.kernel.errors import MlwrightError
from mlwright.kernel.sqlite import NETWORK_FILE_SYSTEMS, file_system_of, sqlite_version
from mlwright.kernel.version import VERSION
from mlwright.kernel.words import are_counted, counted

_GIB = 1 << 30
_LOW_BYTES = 5 * _GIB
_LOW_SHARE = 0.05
_FULL_BYTES = 100 << 20
_DAY_S = 86_400.0
_AHEAD_US = 60_000_000
_BUILT_US = 1_767_225_600_000_000
"""The begin of 2026: a clock that shows less was never set."""
_SAFE_SQLITE = (3, 51, 3)

EXTRAS = {
    "sklearn": (("pandas", "pyarrow", "sklearn", "skops"), "tables and scikit-learn models in this Python"),
    "serve": (("httptools", "starlette", "uvloop"), "a replica in this Python; `serve` makes its own"),
    "onnx": (
        ("numpy", "onnxruntime"),
        "answering by ONNX Runtime in this Python; `serve` makes its own",
    ),
    "convert": (("onnx", "skl2onnx", "onnxmltools"), "converting models to ONNX in this Python; likewise"),
    "grpc": (("h2",), "asking served models by gRPC; `serve` takes it along"),
    "otel": (("opentelemetry",), "spans of requests to served models"),
    "s3": (("obstore",), "objects and remotes in S3"),
    "postgres": (("psycopg",), "records in PostgreSQL"),
    "login": (("jwt", "cryptography"), "logging in at a provider of OpenID Connect"),
}
"""What each extra brings, by module, and what that is for."""


class Finding(Struct, frozen=True):
    """What a check has found, and what to do about it."""

    name: str
    state: Literal["ok", "warning", "problem"]
    found: str
    hint: str = ""


Check = Callable[[], Finding]


def examine(checks: Mapping[str, Check]) -> list[Finding]:
    """Make every check; one that cannot be made is a problem of that name."""
    found = []
    for name, check in checks.items():
        try:
            found.append(check())
        except MlwrightError as error:
            found.append(Finding(name, "problem", error.message, error.hint or ""))
        except OSError as error:
            found.append(Finding(name, "problem", f"the system refused: {error}"))
    return found


def machine_checks(folder: Path) -> dict[str, Check]:
    """The checks that need no project.

    Args:
        folder: where the work is, or is to be.
    """
    return {
        "machine": lambda: check_machine(this_machine()),
        "python": lambda: Finding("python", "ok", f"{platform.python_version()}, mlwright {VERSION}"),
        "sqlite": lambda: check_sqlite(sqlite_version()),
        "file system": lambda: check_file_system(file_system_of(folder)),
        "disk": lambda: _disk(folder),
        "clock": lambda: check_clock(now_us(), None),
        "git": lambda: check_git(_version_of("git")),
        "uv": lambda: check_uv(_uv_version()),
        **{f"extra {name}": lambda name=name: check_extra(name, _missing(name)) for name in EXTRAS},  # type: ignore[misc]
    }


def check_machine(machine: Machine) -> Finding:
    """What work can have here."""
    gpus = f", {counted(len(machine.gpus), 'GPU')}" if machine.gpus else ""
    memory = f"{machine.memory_bytes / _GIB:.1f} GiB of memory"
    found = f"{counted(machine.cpus, 'processor')} ({machine.processor}), {memory}{gpus}"
    if machine.memory_bytes < _GIB:
        return Finding("machine", "warning", found, "models and tables may not fit: use a larger machine")
    return Finding("machine", "ok", found)


def check_sqlite(version: str) -> Finding:
    """Older ones can corrupt a database that several processes write."""
    if tuple(map(int, version.split(".")[:3])) < _SAFE_SQLITE:
        return Finding("sqlite", "problem", f"{version} can damage records", "uv pip install --upgrade apsw")
    return Finding("sqlite", "ok", version)


def check_file_system(kind: str) -> Finding:
    """SQLite's locks hold on local file systems only."""
    if kind in NETWORK_FILE_SYSTEMS:
        return Finding(
            "file system", "problem", f"{kind}: locks do not hold there", "put the project on a local disk"
        )
    return Finding("file system", "ok", kind or "unknown")


def check_disk(free_bytes: int, disk_bytes: int) -> Finding:
    """Whether there is room for environments, objects and records."""
    found = f"{free_bytes / _GIB:.1f} of {disk_bytes / _GIB:.1f} GiB are free"
    hint = "free some: mlwright workspace show tells what takes how much"
    if free_bytes < _FULL_BYTES:
        return Finding("disk", "problem", found, hint)
    if free_bytes < _LOW_BYTES or free_bytes < _LOW_SHARE * disk_bytes:
        return Finding("disk", "warning", found, hint)
    return Finding("disk", "ok", found)


def check_clock(at_us: int, newest_us: int | None) -> Finding:
    """Whether the clock can be right: later than this code, and no earlier than what was recorded."""
    hint = "set the clock, best by NTP: ids and ages are told by it"
    if at_us < _BUILT_US:
        return Finding("clock", "problem", f"it shows {show(at_us)}", hint)
    if newest_us is not None and newest_us > at_us + _AHEAD_US:
        ahead = show_seconds((newest_us - at_us) / 1e6)
        return Finding("clock", "problem", f"the newest record is {ahead} in the future", hint)
    return Finding("clock", "ok", show(at_us))


def check_git(version: str | None) -> Finding:
    """Runs record their code without Git too; a commit says where it comes from."""
    if version is None:
        return Finding(
            "git", "warning", "not installed", "install it, and runs record the commit of their code"
        )
    return Finding("git", "ok", version)


def check_repository(commit: tuple[str, bool] | None) -> Finding:
    """Whether the code of a run has a name in Git: commit, and whether files differ from it."""
    if commit is None:
        return Finding("repository", "warning", "none: runs record their code, and no commit", "git init")
    name, dirty = commit
    if not name:
        return Finding("repository", "warning", "no commit yet", "git add and git commit")
    return Finding("repository", "ok", f"commit {name[:10]}{', with changes' if dirty else ''}")


def check_uv(version: str | None) -> Finding:
    """It locks and builds every environment."""
    if version is None:
        return Finding("uv", "problem", "not found", "install mlwright again, which brings it")
    return Finding("uv", "ok", version)


def check_extra(name: str, missing: Iterable[str]) -> Finding:
    """Whether an extra is installed; without it, the rest works."""
    purpose = EXTRAS[name][1]
    if lacking := list(missing):
        told = f"not installed (no {', '.join(lacking)}): {purpose}"
        return Finding(f"extra {name}", "ok", told, f"if you need it: uv pip install 'mlwright[{name}]'")
    return Finding(f"extra {name}", "ok", f"installed: {purpose}")


def check_left_over_runs(runs: int) -> Finding:
    """Runs whose process is gone, and which nobody has looked at since."""
    if runs:
        told = f"{are_counted(runs, 'run')} recorded as running, and nobody executes what is"
        return Finding("runs", "warning", told, "mlwright runs list records them as lost; then: runs resume")
    return Finding("runs", "ok", "none is left over from a process that died")


def check_incoming(folder: Path, at_us: int) -> Finding:
    """Files that somebody began to store more than a day ago, and did not end."""
    old = [size for size, at_s in _files(folder) if at_us / 1e6 - at_s > _DAY_S]
    if old:
        told = (
            f"{counted(len(old), 'file')} ({sum(old) / 2**20:.1f} MiB) in objects/incoming, older than a day"
        )
        return Finding("left files", "warning", told, "mlwright gc takes them away")
    return Finding("left files", "ok", "none on the way into the object store")


def check_backup(made_us: int | None, at_us: int) -> Finding:
    """When the workspace was backed up last."""
    hint = "mlwright workspace backup DIR, best on another disk"
    if made_us is None:
        return Finding("backup", "ok", "none was made yet", hint)
    days = (at_us - made_us) / 1e6 / _DAY_S
    return Finding("backup", "ok", f"the last one is {days:.1f} days old", hint if days > 7 else "")


def _files(folder: Path) -> list[tuple[int, float]]:
    found = []
    if folder.is_dir():
        for entry in os.scandir(folder):
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # stored by now
            found.append((status.st_size, status.st_mtime))
    return found


def _disk(folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    return check_disk(usage.free, usage.total)


def _missing(extra: str) -> list[str]:
    return [module for module in EXTRAS[extra][0] if find_spec(module) is None]


def _uv_version() -> str | None:
    from uv import find_uv_bin

    try:
        return _version_of(find_uv_bin())
    except FileNotFoundError:
        return None


def _version_of(program: str) -> str | None:
    """What a program says of its version, without its name."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip().removeprefix("git version ").removeprefix("uv ") or None
