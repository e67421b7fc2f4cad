"""Push and pull: versions with their bytes and records, to a remote and from it.

A remote holds the same objects as a workspace, and of each version a record, written last: what it names is
there. A version never changes, on a remote either: the same number with other bytes is a conflict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from mlwright.kernel import edges, events
from mlwright.kernel.database import Database
from mlwright.kernel.digest import Digest, digest_of_blocks
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Conflict, Corrupt, NotFound, nearest
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.progress import SILENT, Progress
from mlwright.kernel.words import counted
from mlwright.sdk.ranges import Range
from mlwright.storage import Entry, InlineObjects, load_tree, verify_entries
from mlwright.storage.packs import RECIPE, Packed, PackedObjects
from mlwright.storage.remotes import Remote, check_remote
from mlwright.storage.trees import KIND as TREE_KIND
from mlwright.versioning.artifacts import add_dataset
from mlwright.versioning.records import FORMAT, Part, Record, find_record, record_meant, write_record
from mlwright.versioning.references import Reference
from mlwright.versioning.versions import Version, Versions

_AT_ONCE = 6


class Needed(Struct, frozen=True):
    """An object that a version needs."""

    digest: Digest
    kind: str | None
    size_bytes: int


class Transfer(Struct, frozen=True):
    """What is to be sent, or fetched.

    Args:
        record: of the version.
        missing: objects that the other side lacks.
        known: the version is recorded there already.
        verb: `send` or `fetch`.
        where: the remote.
    """

    record: Record
    missing: tuple[Needed, ...]
    known: bool
    verb: str
    where: str

    @property
    def plan(self) -> Plan:
        """For the user."""
        size = sum(each.size_bytes for each in self.missing)
        what = f"{counted(len(self.missing), 'object')}, {counted(size, 'byte')}"
        changes = [Change(self.verb, self.record.reference, what)] if self.missing else []
        if self.known:
            changes.append(Change("keep", self.record.reference, "is recorded there already"))
        else:
            changes.append(Change("add", self.record.reference, f"b3:{self.record.digest[:12]}"))
        way = "to" if self.verb == "send" else "from"
        return Plan(f"{self.record.reference} {way} {self.where}", tuple(changes))


class Exchange:
    """A workspace's datasets and one remote."""

    def __init__(self, database: Database, objects: InlineObjects, remote: Remote) -> None:
        self._database = database
        self._packs: PackedObjects = objects.packs
        self._remote = remote
        self._versions = Versions(database, "dataset")

    def plan_push(self, reference: str) -> Transfer:
        """What a push would send.

        Raises:
            NotFound: there is no such version, or a part of it is not here.
            Conflict: the remote has other bytes under this number, or is a workspace's own store.
        """
        version = self._versions.resolve(reference)
        check_remote(self._remote)
        there = find_record(self._remote, version.name, version.number)
        if there is not None and there.digest != version.digest:
            raise _conflict(version, there, self._remote.where)
        record, needed = self._described(version)
        missing = tuple(self._lacking(needed, lambda each: each.digest in self._remote.objects))
        return Transfer(record, missing, there is not None, "send", self._remote.where)

    def push(self, reference: str, *, progress: Progress = SILENT) -> Transfer:
        """Send what the remote lacks, then the record; what an interruption left is continued.

        Raises:
            NotFound, Conflict: as `plan_push`.
            Corrupt: stored bytes are damaged here; they are not sent.
            Unavailable: the remote cannot be reached.
        """
        found = self.plan_push(reference)
        check_remote(self._remote, mark=True)

        def send(each: Needed) -> None:
            path = self._packs.store.path(each.digest, kind=each.kind)
            stored = self._remote.objects.put(path, kind=each.kind, digest=each.digest)
            if stored.digest != each.digest:
                raise Corrupt(f"object {each.digest[:12]} is damaged here", where=str(path))

        _all(send, found.missing, f"pushing {found.record.reference}", progress)
        if not found.known:
            write_record(self._remote, found.record)
            there = find_record(self._remote, found.record.name, found.record.number)
            if there is None or there.digest != found.record.digest:
                raise _conflict(found.record, there, self._remote.where)
        if found.missing or not found.known:
            with self._database.transaction() as tx:
                sent = self._versions.resolve(found.record.reference)
                events.record(
                    tx, "dataset.pushed", sent.end, reference=sent.reference, remote=self._remote.where
                )
        return found

    def plan_pull(self, reference: str) -> Transfer:
        """What a pull would fetch.

        Raises:
            NotFound: the remote has no such version.
            Conflict: other bytes have this number here.
            Corrupt: what the remote says cannot be.
        """
        record = record_meant(self._remote, reference)
        here = self._versions.find(Reference(record.name, number=record.number))
        if here is not None and here.digest != record.digest:
            raise _conflict(here, record, "this workspace")
        entries = load_tree(self._remote.objects, record.digest).entries
        missing = tuple(self._lacking(_objects_for(record, self._absent(entries)), self._is_here))
        return Transfer(record, missing, here is not None, "fetch", self._remote.where)

    def pull(self, reference: str, *, progress: Progress = SILENT) -> Transfer:
        """Fetch what is not here, read all of it, then record the version under its number.

        Raises:
            NotFound, Conflict, Corrupt: as `plan_pull`; also bytes that are not what they are called.
            Unavailable: the remote cannot be reached, or the disk is full.
        """
        found = self.plan_pull(reference)
        record = found.record

        def fetch(each: Needed) -> None:
            path = self._remote.objects.path(each.digest, kind=each.kind, verify=True)
            self._packs.store.put(path, kind=each.kind, take=self._remote.movable, digest=each.digest)

        _all(fetch, found.missing, f"pulling {record.reference}", progress)
        self._packs.put(self._remote.objects.get(record.digest, kind=TREE_KIND), kind=TREE_KIND)
        tree = load_tree(self._packs, record.digest)
        self._place(record, self._absent(tree.entries))
        if not found.known:
            self._adopt(record, tree.size_bytes)
        return found

    def _described(self, version: Version) -> tuple[Record, list[Needed]]:
        """The record of a version, and every object it needs."""
        tree = load_tree(self._packs, version.digest)
        needed = {version.digest: Needed(version.digest, TREE_KIND, len(tree.encode()))}
        packs: dict[Digest, dict[Digest, Part]] = {}
        recipes: dict[Digest, Digest] = {}
        for entry in tree.entries:
            if self._packs.find(entry.digest) is None and self._packs.is_object(entry.digest):
                needed[entry.digest] = Needed(entry.digest, None, entry.size_bytes)
                continue
            for place in self._packs.places(entry.digest):
                packs.setdefault(place.pack, {})[place.digest] = Part(
                    place.digest, place.start, place.size_bytes
                )
            for digest, kind in self._packs.beneath(entry.digest):
                if digest not in needed:
                    size = self._packs.store.path(digest, kind=kind).stat().st_size
                    needed[digest] = Needed(digest, kind, size)
                if kind == RECIPE:
                    recipes[entry.digest] = digest
        record = Record(
            FORMAT,
            version.name,
            version.number,
            version.digest,
            version.size_bytes,
            version.message,
            version.about,
            version.created_us,
            {pack: tuple(parts.values()) for pack, parts in packs.items()},
            recipes,
            self._made_from(version),
        )
        return record, list(needed.values())

    def _made_from(self, version: Version) -> tuple[tuple[str, str, str], ...]:
        ends = (version.end, End("artifact", version.artifact_id))
        found = [edge for end in ends for edge in edges.made_from(self._database, end)]
        return tuple((edge.role, edge.earlier.kind, edge.earlier.id) for edge in found)

    def _absent(self, entries: Iterable[Entry]) -> list[Entry]:
        """Files whose bytes are not here whole."""
        return [entry for entry in entries if not self._packs.renew(entry.digest)]

    def _place(self, record: Record, absent: Sequence[Entry]) -> None:
        """Record where fetched bytes lie; what the remote says of that is looked at, not believed."""
        wanted = {entry.digest: entry.size_bytes for entry in absent}
        pieces = {
            digest: self._packs.pieces_in(record.recipes[digest])
            for digest in wanted
            if digest in record.recipes
        }
        wanted |= {piece: size for each in pieces.values() for piece, size in each}
        for pack, parts in record.packs.items():
            new = [part for part in parts if wanted.get(part.digest) == part.size_bytes]
            if not new or not self._packs.store.renew(pack):
                continue
            path = self._packs.pack_path(pack)
            for part in new:
                if digest_of_blocks(Range(path, part.start, part.size_bytes).blocks()) != part.digest:
                    raise _lies(record, self._remote.where)
            self._packs.add(Packed(part.digest, pack, part.start, part.size_bytes) for part in new)
        for digest, each in pieces.items():
            self._packs.add_chunked(digest, sum(size for _, size in each), each)
        try:
            verify_entries(self._packs, absent)
        except (Corrupt, NotFound) as error:
            for digest in pieces:
                self._packs.remove(digest)
            raise _lies(record, self._remote.where) from error

    def _adopt(self, record: Record, size_bytes: int) -> None:
        with self._database.transaction() as tx:
            here = self._versions.find(Reference(record.name, number=record.number))
            if here is not None:  # another process was faster
                if here.digest != record.digest:
                    raise _conflict(here, record, "this workspace")
                return
            about = {**record.about, "pulled": self._remote.where}
            made = add_dataset(tx, record.digest, size_bytes, about)
            self._versions.add(
                tx, record.name, made.id, message=record.message, about=about, number=record.number
            )

    def _is_here(self, each: Needed) -> bool:
        return self._packs.store.renew(each.digest, kind=each.kind)

    @staticmethod
    def _lacking(needed: Iterable[Needed], there: Callable[[Needed], bool]) -> Iterable[Needed]:
        from concurrent.futures import ThreadPoolExecutor  # 16 ms, for those who push or pull

        needed = list(needed)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = list(pool.map(there, needed))
        return [each for each, is_there in zip(needed, found, strict=True) if not is_there]


def remote_named(name: str | None, remotes: Mapping[str, str]) -> str:
    """The address that a remote's name means.

    Args:
        name: of the settings, or an address itself; None for the only one, or `origin`.

    Raises:
        NotFound: there is no such remote.
    """
    if name is not None and ("://" in name or name.startswith(("/", "./", "../"))):
        return name
    if name is None:
        name = "origin" if "origin" in remotes or len(remotes) != 1 else next(iter(remotes))
    if name not in remotes:
        known = nearest(name, list(remotes))
        add = 'add it to [tool.mlwright]: remotes = { origin = "s3://BUCKET/PREFIX" }'
        raise NotFound(f"there is no remote `{name}`", hint=known or add)
    return remotes[name]


def _objects_for(record: Record, absent: Iterable[Entry]) -> list[Needed]:
    """The objects of a remote that hold the bytes of files."""
    lies_in = {part.digest: pack for pack, parts in record.packs.items() for part in parts}
    ends = {pack: max(part.start + part.size_bytes for part in parts) for pack, parts in record.packs.items()}
    needed: dict[Digest, Needed] = {}
    for entry in absent:
        if (recipe := record.recipes.get(entry.digest)) is not None:
            needed[recipe] = Needed(recipe, RECIPE, 0)
            # Which pieces it has the recipe tells, which is not here yet: all packs may be needed.
            needed |= {pack: Needed(pack, None, end) for pack, end in ends.items()}
        elif (pack := lies_in.get(entry.digest)) is not None:
            needed[pack] = Needed(pack, None, ends[pack])
        else:
            needed[entry.digest] = Needed(entry.digest, None, entry.size_bytes)
    return list(needed.values())


def _all(work: Callable[[Needed], None], needed: tuple[Needed, ...], what: str, progress: Progress) -> None:
    """Do something with each object, several at a time; the first failure ends it."""
    from concurrent.futures import ThreadPoolExecutor

    def one(each: Needed) -> None:
        work(each)
        progress.advance(each.size_bytes)

    with progress.work(what, sum(each.size_bytes for each in needed)):
        pool = ThreadPoolExecutor(_AT_ONCE)
        try:
            for job in [pool.submit(one, each) for each in needed]:
                job.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _conflict(ours: Version | Record, theirs: Version | Record | None, where: str) -> Conflict:
    other = f"b3:{theirs.digest[:12]}" if theirs is not None else "other bytes"
    return Conflict(
        f"{ours.reference} is b3:{ours.digest[:12]}, and has other bytes on the other side: {other}",
        where=where,
        hint="a version never changes: add yours under another name, or after theirs",
    )


def _lies(record: Record, where: str) -> Corrupt:
    return Corrupt(
        f"what {where} says of {record.reference} is not so: other bytes lie there",
        hint="push it there again under another name",
    )
