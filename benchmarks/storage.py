"""Claim: data is versioned at the speed of the disk, and found unchanged in the time a look takes.

    python benchmarks/storage.py [large insert many]         every figure, or those named
    make bench-peers                                          installs DVC too, which is measured beside ours

Unit: seconds of whole processes, unless the line says otherwise; medians of five rounds, in which ours, the
baseline and DVC take turns. Each round has a new project, and what it adds was just written, so that it is in
the page cache for all of them. Before each measure what was written is flushed and the disk has two seconds
to come to rest, so that nobody pays for what another left behind.

`large` is one file of 2 GiB of random bytes; its baseline is what cannot be spared: `cp`, a flush of the
copy, and BLAKE3 on every core. `many` is 20,000 files of 20 KiB in 20 folders; its baselines are `cp -r` with
a flush (`sync -f`) for adding, a walk with `stat` for status, and `cp -r` for checkout. DVC runs as a
user would, without analytics: it hashes with MD5 and copies, since this file system has no reflinks; it does
not flush, and what it has added can be lost with the power.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from _figures import Figure, medians, say_figures
from _processes import MLWRIGHT, PYTHON, cost_of
from blake3 import blake3

MIB = 1 << 20
_MEASURED = Path(__file__).with_name("_measured.py")
_DVC = Path(__file__).parents[1] / ".cache" / "peers" / "dvc" / "bin" / "dvc"
_PYPROJECT = '[project]\nname = "benchmark"\nversion = "0"\nrequires-python = ">=3.11"\n[tool.mlwright]\n'
_FOLDERS, _FILES, _FILE_BYTES, _LARGE_BYTES = 20, 20_000, 20 << 10, 2 << 30
_LOOK = "import os, sys; [os.stat(f'{at}/{n}') for at, _, names in os.walk(sys.argv[1]) for n in names]"


def large() -> Iterator[Figure]:
    with _folder() as home:
        data = _write_large(home / "data")

        def ours(number: int) -> Mapping[str, float]:
            with _project(home) as project:
                return _ours(project, "datasets", "add", data, "--name", "large")

        def limit(number: int) -> Mapping[str, float]:
            copy = home / "copy"
            _settle()
            began = time.perf_counter()
            cost_of(["cp", data, copy], home)
            cost_of(["sync", copy], home)
            blake3(max_threads=blake3.AUTO).update_mmap(data)
            took = time.perf_counter() - began
            copy.unlink()
            return {"limit": took}

        def dvc(number: int) -> Mapping[str, float]:
            with _dvc_project(home, data) as project:
                return {"dvc": _rested([_DVC, "add", "-q", "data"], project)}

        took = medians(ours, limit, *([dvc] if _DVC.exists() else []))
    yield Figure("add one 2 GiB file (s)", took["ours"], took["limit"], "cp, flush, BLAKE3", "ratio 1.25")
    if "dvc" in took:
        yield Figure("add one 2 GiB file (s)", took["ours"], took["dvc"], "dvc add", "ratio 0.2")
    yield Figure("add one 2 GiB file: peak memory (MiB)", took["memory"], 300, "what is allowed", "300")


def insert() -> Iterator[Figure]:
    with _folder() as home, _project(home) as project:
        data = _write_large(home / "data")
        _ours(project, "datasets", "add", data, "--name", "large")
        before = _stored_bytes(project)
        edited = home / "edited"
        with data.open("rb") as source, edited.open("wb") as target:
            for at in range(0, _LARGE_BYTES, 64 * MIB):
                if at == _LARGE_BYTES // 2:
                    target.write(os.urandom(MIB))
                target.write(source.read(64 * MIB))
        took = _ours(project, "datasets", "add", edited, "--name", "large")
        stored = (_stored_bytes(project) - before) / MIB
    yield Figure("1 MiB inserted into 2 GiB: stored (MiB)", stored, 2048, "all of it again", "8")
    yield Figure(
        "1 MiB inserted into 2 GiB: peak memory (MiB)", took["memory"], 300, "what is allowed", "300"
    )


def many() -> Iterator[Figure]:
    with _folder() as home:
        data = _write_many(home / "data")
        one = data / "07" / "7.bin"

        def ours(number: int) -> Mapping[str, float]:
            with _project(home) as project:
                took = {"add": _ours(project, "datasets", "add", data, "--name", "many")}
                took["status"] = _ours(project, "datasets", "status")
                one.write_bytes(os.urandom(_FILE_BYTES))
                took["again"] = _ours(project, "datasets", "add", data, "--name", "many")
                took["checkout"] = _ours(project, "datasets", "checkout", "many@2", project / "out")
            return {
                **{name: each["ours"] for name, each in took.items()},
                "memory": max(each["memory"] for each in took.values()),
            }

        def limits(number: int) -> Mapping[str, float]:
            copy, again = home / "copy", home / "again"
            _settle()
            began = time.perf_counter()
            cost_of(["cp", "-r", data, copy], home)
            cost_of(["sync", "-f", copy], home)
            added = time.perf_counter() - began
            looked = _rested([PYTHON, "-c", _LOOK, data], home)
            copied = _rested(["cp", "-r", copy, again], home)
            for each in (copy, again):
                shutil.rmtree(each)
            return {"cp flushed": added, "look": looked, "cp": copied}

        def dvc(number: int) -> Mapping[str, float]:
            with _dvc_project(home, data) as project:
                took = {"dvc add": _rested([_DVC, "add", "-q", "data"], project)}
                took["dvc status"] = _rested([_DVC, "status", "-q"], project)
                (project / "data" / "07" / "7.bin").unlink()
                (project / "data" / "07" / "7.bin").write_bytes(os.urandom(_FILE_BYTES))
                took["dvc again"] = _rested([_DVC, "add", "-q", "data"], project)
                shutil.rmtree(project / "data")
                took["dvc checkout"] = _rested([_DVC, "checkout", "-q"], project)
            return took

        took = medians(ours, limits, *([dvc] if _DVC.exists() else []))
    work = "20,000 files of 20 KiB"
    lines = [
        (f"add {work} (s)", "add", "cp flushed", "cp -r, flushed", ""),
        (f"add {work} (s)", "add", "dvc add", "dvc add", "ratio 0.125"),
        (f"status, nothing changed, {work} (s)", "status", "look", "a walk with stat", "0.25"),
        (f"status, nothing changed, {work} (s)", "status", "dvc status", "dvc status", ""),
        (f"add again, one changed, {work} (s)", "again", "look", "a walk with stat", "0.4"),
        (f"add again, one changed, {work} (s)", "again", "dvc again", "dvc add", ""),
        (f"checkout of {work} (s)", "checkout", "cp", "cp -r", "1.5"),
        (f"checkout of {work} (s)", "checkout", "dvc checkout", "dvc checkout", "ratio 0.25"),
    ]
    for what, name, baseline, against, reach in lines:
        if baseline in took:
            yield Figure(what, took[name], took[baseline], against, reach)
    yield Figure(f"{work}: peak memory of any (MiB)", took["memory"], 300, "what is allowed", "300")


def _ours(project: Path, *arguments: str | Path) -> Mapping[str, float]:
    """The command, timed as a user starts it; its peak of memory is written down by itself at its end."""
    peak = project / "peak.txt"
    took = _rested([PYTHON, _MEASURED, peak, *arguments], project)
    return {"ours": took, "memory": int(peak.read_text()) / MIB}


def _rested(command: Sequence[str | Path], folder: Path) -> float:
    """How long a command takes, in seconds, that begins when the disk is at rest."""
    _settle()
    return cost_of(command, folder).wall_s


def _settle() -> None:
    os.sync()
    time.sleep(2)


def _stored_bytes(project: Path) -> int:
    objects = project / ".mlwright" / "objects"
    return sum(path.stat().st_size for path in objects.rglob("*") if path.is_file())


def _write_large(path: Path) -> Path:
    with path.open("wb") as file:
        for _ in range(0, _LARGE_BYTES, 64 * MIB):
            file.write(os.urandom(64 * MIB))
    os.sync()
    return path


def _write_many(folder: Path) -> Path:
    for number in range(_FILES):
        if number < _FOLDERS:
            (folder / f"{number:02}").mkdir(parents=True)
        (folder / f"{number % _FOLDERS:02}" / f"{number}.bin").write_bytes(os.urandom(_FILE_BYTES))
    os.sync()
    return folder


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mlwright-benchmark-") as name:
        yield Path(name)


@contextmanager
def _project(home: Path) -> Iterator[Path]:
    """A new project, whose workspace is made already; what it wrote is flushed before the next begins."""
    folder = home / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(_PYPROJECT)
    cost_of([MLWRIGHT, "datasets", "list"], folder)
    yield folder
    shutil.rmtree(folder)
    os.sync()


@contextmanager
def _dvc_project(home: Path, data: Path) -> Iterator[Path]:
    """A new repository of DVC with a copy of the data in it, since DVC makes the data its own."""
    folder = home / "dvc"
    folder.mkdir()
    cost_of([_DVC, "init", "-q", "--no-scm"], folder)
    cost_of([_DVC, "config", "core.analytics", "false"], folder)
    cost_of(["cp", "-r", data, folder / "data"], folder)
    os.sync()
    yield folder
    shutil.rmtree(folder)
    os.sync()


if __name__ == "__main__":
    say_figures(large, insert, many)
