"""Looking after a workspace: what its rooms say of it together, and a backup with the project's code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from msgspec import Struct
from msgspec.structs import replace

from mlwright.kernel import edges, events, leases
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import all_migrations
from mlwright.kernel.digest import Digest, is_digest
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.history import EventFilter, history
from mlwright.kernel.progress import SILENT, Progress
from mlwright.kernel.words import are_counted
from mlwright.storage.collect import SPARED_US, Sweep, plan_sweep, sweep
from mlwright.storage.named import COLLECT
from mlwright.storage.objects import RENEWED_US
from mlwright.tracking.files import loose_files
from mlwright.versioning.lineage import counts, loose_edges
from mlwright.workflow.rooms import Rooms
from mlwright.workspace.backup import Manifest, back_up, check_target
from mlwright.workspace.doctor import (
    Check,
    Finding,
    check_backup,
    check_clock,
    check_incoming,
    check_left_over_runs,
    check_repository,
)
from mlwright.workspace.layout import OBJECTS, server_of
from mlwright.workspace.summary import Summary, summarise
from mlwright.workspace.verify import Verified, Words, verify

_REMADE = ("snapshots/*", "graphs/*", "made/incoming/*", "summaries/*", "transfer/*.part", "queue/*.log")
"""What the local state holds that is made again when it is needed; what is used is touched. Beside what is in
transfer lie a lock and marks of damage, which stay."""
_MADE = "made/"
"""And files that were made of pieces, each by its digest."""

_KEPT = {
    ("artifact", "bytes"): "artifacts, datasets and models",
    ("attempt", "log"): "logs of steps",
    ("file", "bytes"): "files that clients stored",
    ("lock", "bytes"): "environments",
    ("lock", "wheel"): "wheels of environments",
    ("snapshot", "files"): "code snapshots",
}


def summary(rooms: Rooms) -> Summary:
    """What is recorded, and how much room it takes."""
    recorded = {
        "runs": rooms.runs.count(),
        "attempts": rooms.attempts.count(),
        **counts(rooms.database),
        "environments": rooms.environments.count(),
    }
    return summarise(rooms.workspace, recorded)


def verified(rooms: Rooms, label: Callable[[End], str], progress: Progress = SILENT) -> Verified:
    """Look at every record, edge and byte.

    Args:
        label: how a thing is named to people.
    """

    def loose() -> Iterator[Edge]:
        yield from rooms.runs.loose_edges()
        yield from loose_files(rooms.database)
        yield from rooms.attempts.loose_edges()
        yield from loose_edges(rooms.database)
        yield from rooms.environments.loose_edges()

    words = Words(label, lambda end: _remedy(rooms, end))
    return verify(rooms.database, rooms.objects, loose, words, progress)


def backed_up(rooms: Rooms, target: Path, progress: Progress = SILENT) -> tuple[Manifest, tuple[str, ...]]:
    """Back up the workspace, with the project's files as they are now.

    Returns:
        What the backup says of itself; and the files of the project that are too large to be code.
    """
    project = rooms.project
    check_target(rooms.workspace, project.root, target)  # before anything is recorded
    snapshot = rooms.snapshots.take()
    with rooms.database.transaction() as tx:
        rooms.snapshots.record(tx, snapshot)
    manifest = back_up(rooms.workspace, project.name, project.root, target, snapshot.tree, progress)
    return manifest, snapshot.left_out


class Collected(Struct, frozen=True):
    """What was collected, or would be.

    Args:
        sweep: of the store.
        local: folders and files of this machine that nobody used for long, with their sizes.
        kept: how many references to bytes things of each kind have.
        before_us: what was put or used since then is spared, in microseconds since the epoch.
    """

    sweep: Sweep
    kept: dict[str, int]
    local: tuple[tuple[str, int], ...]
    before_us: int

    @property
    def bytes(self) -> int:
        """All that is free then."""
        return self.sweep.bytes + sum(size for _, size in self.local)


def plan_collect(rooms: Rooms) -> Collected:
    """What `collect` would take away: objects that no record names, and what this machine can make again.

    Raises:
        Corrupt: a tree or a recipe cannot be read: what it names cannot be known, and nothing may go.
    """
    # What a run relies on was renewed when it asked, or before, if it was young enough then.
    started_us = rooms.runs.oldest_living_us() or now_us()
    before_us = min(now_us() - SPARED_US, started_us - RENEWED_US)
    planned = plan_sweep(rooms.database, rooms.objects, before_us)
    roles = edges.roles_towards(rooms.database, ("object", "tree"))
    kept = {_KEPT.get(role, " ".join(role)): count for role, count in sorted(roles.items())}
    return Collected(planned, kept, tuple(_unused(rooms, before_us)), before_us)


def collect(rooms: Rooms, progress: Progress = SILENT) -> Collected:
    """Take away what nothing needs; runs may go on meanwhile.

    Raises:
        Conflict: somebody else collects, or makes a backup; or has taken that over meanwhile.
        Corrupt: as `plan_collect`.
    """
    with leases.held(rooms.database, COLLECT, "objects are being collected or backed up") as lease:
        rooms.runs.bury_lost()
        plan = plan_collect(rooms)
        swept = sweep(rooms.database, rooms.objects, plan.sweep, plan.before_us, lease, progress)
        done = replace(plan, sweep=swept)
        for name, _ in plan.local:
            _remove(rooms, name, plan.before_us)
        with rooms.database.transaction() as tx:
            it = End("workspace", rooms.workspace.id)
            events.record(tx, "workspace.collected", it, objects=len(done.sweep.dead), bytes=done.bytes)
    return done


def _unused(rooms: Rooms, before_us: int) -> Iterator[tuple[str, int]]:
    """What lies in the local state, can be made again, and was not used since."""
    local = rooms.workspace.local
    for kind in _REMADE:
        for path in sorted(local.glob(kind)):
            with suppress(OSError):
                if _used_us(path) < before_us:
                    yield path.relative_to(local).as_posix(), _size_of(path)
    for held in rooms.objects.packs.made:
        if held.put_us < before_us:
            yield f"{_MADE}{held.digest}", held.size_bytes


def _used_us(path: Path) -> int:
    return path.stat().st_mtime_ns // 1000


def _size_of(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file() and not each.is_symlink())


def _remove(rooms: Rooms, name: str, before_us: int) -> None:
    """Take away what still was not used since."""
    if is_digest(digest := name.removeprefix(_MADE)):
        rooms.objects.packs.made.remove(Digest(digest), before_us=before_us)
        return
    path = rooms.workspace.local / name
    with suppress(OSError):
        if _used_us(path) >= before_us:
            return
        if path.is_file():
            path.unlink()
            return
        # Under its name there is all of a folder or nothing; who comes to use it in this moment gets it back.
        aside = path.rename(mkdtemp(dir=path.parent, prefix="making-"))
        if _used_us(aside) >= before_us:
            aside.rename(path)
        else:
            rmtree(aside, ignore_errors=True)


def project_checks(rooms: Rooms) -> dict[str, Check]:
    """What the doctor looks at in a project and its workspace."""
    newest = history(rooms.database, EventFilter(limit=1)).found
    newest_us = newest[0].at_us if newest else None
    objects = rooms.workspace.root / OBJECTS
    return {
        "project": lambda: Finding("project", "ok", f"{rooms.project.name} in {rooms.project.root}"),
        "repository": lambda: check_repository(rooms.snapshots.commit()),
        "packages": lambda: _check_packages(rooms),
        "workspace": lambda: _check_workspace(rooms),
        "clock": lambda: check_clock(now_us(), newest_us),
        "runs": lambda: check_left_over_runs(len(rooms.runs.left_over())),
        "left files": lambda: check_incoming(objects / "incoming", now_us()),
        "backup": lambda: check_backup(events.last(rooms.database, "workspace.backed-up"), now_us()),
    }


def _schema() -> int:
    return all_migrations()[-1].number


def _check_workspace(rooms: Rooms) -> Finding:
    """Which one it is; and where its records are, if not here."""
    server = server_of(rooms.workspace.root)
    records = "" if server is None else f", records in {server}"
    return Finding("workspace", "ok", f"{rooms.workspace.id}, schema {_schema()}{records}")


def _check_packages(rooms: Rooms) -> Finding:
    """Whether the project's packages are locked, as they are asked for, and installed."""
    lock = rooms.environments.current()
    told = f"{are_counted(lock.packages, 'package')} locked"
    if rooms.environments.built(lock):
        return Finding("packages", "ok", f"{told}, and the environment is built")
    hint = "the next run builds it, or: mlwright environments sync"
    return Finding("packages", "ok", f"{told}; the environment is not built yet", hint)


def _remedy(rooms: Rooms, end: End) -> str:
    """What makes the bytes of a thing anew; empty when only a backup does."""
    if end.kind == "attempt":
        attempt = rooms.attempts.find(end.id)
        if attempt is not None:
            run = rooms.runs.recorded(attempt.run_id)
            return f"compute it again: mlwright run {run.pipeline} --no-cache"
    if end.kind == "version":
        version = rooms.datasets.versions.by_id(end.id)
        if version.kind == "dataset":
            return f"add the same files again: mlwright datasets add --verify PATH --name {version.name}"
    if end.kind == "lock":
        return "if uv.lock is still the same, this stores it again: mlwright environments show"
    if end.kind == "file":
        return "store the file at the same place again, from where it came"
    if end.kind == "snapshot":
        return "if the project's files are still the same, the next `mlwright run` stores them again"
    return ""
