"""Trees out of the store, as files that may be edited."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlwright.kernel.errors import Unavailable, disk_full, is_disk_full
from mlwright.kernel.progress import SILENT, Progress
from mlwright.storage import writing
from mlwright.storage.inline import InlineObjects
from mlwright.storage.reading import files_behind
from mlwright.storage.scan import State, state_of
from mlwright.storage.trees import Tree

_MANY = 2_000
"""So many files are worth a process for each processor."""
_HELPERS = 3


def check_out(
    objects: InlineObjects,
    tree: Tree,
    folder: Path,
    *,
    link: bool = False,
    force: bool = False,
    progress: Progress = SILENT,
) -> dict[str, State]:
    """Write a tree's files into a folder where none of them is, sharing blocks where the file system can.

    Args:
        folder: made if it is missing.
        link: make hard links to objects that hold one file; who edits one edits the store.
        force: files of the same names that are there give way.

    Returns:
        By path, what tells whether a file has changed since.

    Raises:
        NotFound: an object is not in the store.
        Corrupt: one is damaged; nothing wrong is written.
        Unavailable: the disk is full.
    """
    entries = tree.entries
    with _said(folder, tree):
        for parent in {os.path.dirname(f"{folder}/{entry.path}") for entry in entries}:  # noqa: PTH120
            os.makedirs(parent, exist_ok=True)  # noqa: PTH103
    states: dict[str, State] = {}
    jobs, written = [], []
    for entry, ranges in zip(entries, files_behind(objects.packs, entries), strict=True):
        target = f"{folder}/{entry.path}"
        if force:
            Path(target).unlink(missing_ok=True)
        whole = len(ranges) == 1 and ranges[0].size_bytes == ranges[0].path.stat().st_size
        if link and whole and not entry.executable:  # what is stored is not
            with _said(folder, tree):
                Path(target).hardlink_to(ranges[0].path)
            states[entry.path] = state_of(Path(target).stat())
        else:
            sources = [(str(each.path), each.start, each.size_bytes) for each in ranges]
            jobs.append((target, 0o777 if entry.executable else 0o666, sources))
            written.append(entry)
    with _said(folder, tree):
        done = _write(jobs, progress)
    states |= {entry.path: state for entry, state in zip(written, done, strict=True)}
    return states


@contextlib.contextmanager
def _said(folder: Path, tree: Tree) -> Iterator[None]:
    """Say what the file system refuses."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(folder, tree.size_bytes) from error
        if error.errno == errno.EXDEV:
            raise Unavailable(
                "no hard link leads to another file system", where=str(folder), hint="leave out --link"
            ) from error
        where = str(error.filename2 or error.filename)
        raise Unavailable(f"a file cannot be written: {error.strerror}", where=where) from error


def _write(jobs: Sequence[writing.Job], progress: Progress) -> list[State]:
    """Write in this process, and a part of many files in others."""
    helpers = min((os.cpu_count() or 1) - 1, _HELPERS) if len(jobs) >= _MANY else 0
    share = -(-len(jobs) // (helpers + 1)) or 1  # nothing may be left to write
    parts = [jobs[start : start + share] for start in range(share, len(jobs), share)]
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(_helper(part)) for part in parts]
        states = writing.write_files(jobs[:share], progress.advance)
        for process, part in zip(running, parts, strict=True):
            states += _answer(process)
            progress.advance(sum(size for _, _, ranges in part for _, _, size in ranges))
    return states


@contextlib.contextmanager
def _helper(jobs: Sequence[writing.Job]) -> Iterator[subprocess.Popen[bytes]]:
    files = list({file for _, _, ranges in jobs for file, _, _ in ranges})
    number = {file: at for at, file in enumerate(files)}
    order = [
        (target, mode, [(number[file], start, size) for file, start, size in ranges])
        for target, mode, ranges in jobs
    ]
    text = json.dumps({"files": files, "jobs": order, "parent": os.getpid()}).encode()
    with subprocess.Popen(
        [sys.executable, "-I", "-S", writing.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,  # an interrupt of the terminal is ours to pass on
    ) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(text)
            process.stdin.close()
            yield process
        finally:
            process.kill()


def _answer(process: subprocess.Popen[bytes]) -> list[State]:
    assert process.stdout is not None
    text = process.stdout.read()
    if not text:
        raise Unavailable(f"a process that writes files ended with {process.wait()}")
    answer = json.loads(text)
    if "errno" in answer:
        raise OSError(answer["errno"], os.strerror(answer["errno"]), answer["target"])
    return [(size, written, inode, changed) for size, written, inode, changed in answer["states"]]
