"""Code snapshots: the state of a project's files, whatever Git knows of them."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from mlwright.kernel import edges
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Database, Queries, Transaction
from mlwright.kernel.digest import Digest, composite
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Corrupt, Invalid, NotFound
from mlwright.storage import InlineObjects, Places, Source, Tree, load_tree, store_tree, transfer_tree
from mlwright.storage.scan import checked_name, state_of

_SQL = Queries.beside(__file__)

_RENAME = "rename the file, or name it in .gitignore"
_EMPTY = "MLWRIGHT_EMPTY"
"""A variable that git reads an empty setting from: a name with `=` in it cannot be set by `-c`."""

_ELSEWHERE = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY"}
"""Set while Git runs a hook: they would make us read the hook's repository instead of the project's."""

MAX_FILE_BYTES = 10 << 20
_NEVER_FOLDERS = frozenset(
    {
        *(".mlwright", ".mlwright.restoring", ".git", ".venv", "__pycache__"),
        *(".aws", ".azure", ".gcloud", ".gnupg", ".kube", ".ssh"),
    }
)
_NEVER_NAMES = re.compile(
    r".*\.(pyc|pem|key|p12|pfx|p8|jks|keystore|kdbx|tfstate|env)|\.env(\..*)?|\.envrc|[._]netrc"
    r"|\.(pypirc|npmrc|yarnrc|pgpass|my\.cnf|htpasswd|s3cfg|boto|databrickscfg|vault-token|git-credentials)"
    r"|(kaggle|credentials|client_secret.*|service[-_]account.*)\.json|secrets\.(toml|ya?ml|json)"
    r"|id_(rsa|dsa|ecdsa|ed25519).*",
    re.DOTALL | re.IGNORECASE,
)
"""Secrets, and what machines write beside code; no setting takes these in."""


class Snapshot(Struct, frozen=True):
    """The code of a run.

    Args:
        tree: its files.
        git_commit: empty without Git, or before the first commit.
        git_remote: without credentials; may be empty.
        dirty: the files differ from the commit.
        left_out: what is not in it: untracked files too large to be code, and submodules that are not
            checked out (these end in a slash).
    """

    digest: Digest
    tree: Digest
    git_commit: str
    git_remote: str
    dirty: bool
    files: int
    size_bytes: int
    left_out: tuple[str, ...] = ()

    @property
    def end(self) -> End:
        """The snapshot as an end of edges."""
        return End("snapshot", self.digest)


class _Listed(Struct, frozen=True):
    """What Git says of a folder.

    Args:
        names: files, those of submodules among them.
        tracked: those of them that Git knows.
        absent: submodules that are not checked out.
        git: whether it says anything.
    """

    names: tuple[str, ...]
    tracked: frozenset[str] = frozenset()
    absent: tuple[str, ...] = ()
    commit: str = ""
    remote: str = ""
    dirty: bool = False
    git: bool = True


class Snapshots:
    """Takes and restores the code of one project.

    Args:
        root: the project's folder.
        ignore: patterns of files that are not code, in Git's grammar.
        places: what this machine remembers of the project's files.
    """

    def __init__(
        self, database: Database, objects: InlineObjects, root: Path, ignore: tuple[str, ...], places: Places
    ) -> None:
        self._database = database
        self._objects = objects
        self._root = root
        self._ignore = ignore
        self._places = places

    def take(self, *, verify: bool = False) -> Snapshot:
        """Store the project's files; durable on return, recorded by `record`.

        Args:
            verify: read every file, also one that looks as it did when it was read last.

        Raises:
            Invalid: a file name that is not UTF-8.
        """
        listed = _git_state(self._root)
        ignored = _ignored_by(self._ignore)
        names = _names(self._root, listed)
        wanted = [name for name in names if not ignored(name) and not _never(name)]
        sources, left_out = [], [checked_name(name, _RENAME) for name in listed.absent if not ignored(name)]
        for name in sorted(wanted):
            file = self._root / name
            try:
                status = file.stat()
            except OSError:
                continue  # deleted but still known to Git, or a dangling link
            if not file.is_file() or (file.is_symlink() and _never(file.resolve().as_posix())):
                continue
            if status.st_size > MAX_FILE_BYTES and name not in listed.tracked:
                left_out.append(checked_name(name, _RENAME))
                continue
            executable = bool(status.st_mode & stat.S_IXUSR)
            sources.append(Source(checked_name(name, _RENAME), str(file), state_of(status), executable))
        digest, tree = self._store(sources, verify=verify)
        return _snapshot(digest, tree, listed, tuple(sorted(left_out)))

    def _store(self, sources: Sequence[Source], *, verify: bool) -> tuple[Digest, Tree]:
        """Store the files; what looks as it did, and is still here, is not read."""
        packs = self._objects.packs
        place = None if verify else self._places.of(self._root)
        known = place.digests(sources) if place else {}
        known = {name: digest for name, digest in known.items() if packs.renew(digest)}
        learned = [(source, known[source.path]) for source in sources if source.path in known]
        digest, tree = store_tree(
            packs, sources, known, learn=lambda source, digest: learned.append((source, digest))
        )
        if place is None or len(known) < len(sources) or len(place.lines) != len(sources):
            self._places.remember(self._root, learned)
        return digest, tree

    def commit(self) -> tuple[str, bool] | None:
        """The commit that the project is at (empty before the first), and whether its files differ from it.

        Returns:
            None without Git, or where the project lies in no repository.
        """
        listed = _git_state(self._root)
        return (listed.commit, listed.dirty) if listed.git else None

    def record(self, tx: Transaction, snapshot: Snapshot) -> None:
        """Write the snapshot's row and its edge, in the transaction of whoever refers to it."""
        tx.execute(
            _SQL["add_snapshot"],
            digest=snapshot.digest,
            tree=snapshot.tree,
            git_commit=snapshot.git_commit,
            git_remote=snapshot.git_remote,
            dirty=int(snapshot.dirty),
            files=snapshot.files,
            size_bytes=snapshot.size_bytes,
            created_us=now_us(),
        )
        edges.add(tx, [Edge(snapshot.end, "files", End("tree", snapshot.tree))])

    def adopt(self, snapshot: Snapshot, source: InlineObjects) -> None:
        """Take a snapshot over from another workspace, with its bytes."""
        transfer_tree(source.packs, self._objects.packs, snapshot.tree)
        with self._database.transaction() as tx:
            self.record(tx, snapshot)

    def get(self, digest: str) -> Snapshot:
        """A recorded snapshot by its digest or a beginning of it.

        Raises:
            NotFound: there is none.
            Invalid: the beginning fits several.
        """
        rows = self._database.read(_SQL["snapshot_by_digest"], prefix=digest)
        if not rows or not digest:
            raise NotFound(f"there is no code snapshot {digest[:12]!r}")
        if len(rows) > 1:
            raise Invalid(f"b3:{digest} fits several code snapshots", hint="type more of the digest")
        return Snapshot(**{**rows[0], "dirty": bool(rows[0]["dirty"])})

    def tree(self, snapshot: Snapshot) -> Tree:
        """The files of a snapshot."""
        return load_tree(self._objects, snapshot.tree)


def _snapshot(stored: Digest, tree: Tree, listed: _Listed, left_out: tuple[str, ...]) -> Snapshot:
    digest = _named(stored, listed.commit, listed.remote, listed.dirty)
    size = tree.size_bytes
    return Snapshot(
        digest, stored, listed.commit, listed.remote, listed.dirty, len(tree.entries), size, left_out
    )


def _named(tree: Digest, commit: str, remote: str, dirty: bool) -> Digest:
    return composite("snapshot", {"tree": tree, "commit": commit, "remote": remote, "dirty": dirty})


def check_snapshot(snapshot: Snapshot, tree: Tree) -> None:
    """Whether a snapshot from elsewhere is one that `take` could have made.

    Raises:
        Corrupt: it has another name, or holds files that no snapshot takes (`.git`, a workspace, keys).
    """
    named = _named(snapshot.tree, snapshot.git_commit, snapshot.git_remote, snapshot.dirty)
    if (snapshot.digest, snapshot.files, snapshot.size_bytes) != (named, len(tree.entries), tree.size_bytes):
        raise Corrupt(f"the code snapshot {snapshot.digest[:12]} is not what it is called")
    for entry in tree.entries:
        if _never(entry.path):
            raise Corrupt(f"the code snapshot {snapshot.digest[:12]} holds {entry.path!r}, which none takes")


def _git_state(root: Path) -> _Listed:
    """Files (tracked, and untracked but not ignored), commit, remote and whether there are changes."""
    if _git(root, "check-ignore", "-q", ".") is not None:
        return _Listed((), git=False)  # a scratch folder inside somebody else's repository
    which = ["--cached", "--others", "--exclude-standard", "--deduplicate"]
    listed = _git(root, "ls-files", "-z", "-t", *which)
    if listed is None:
        return _Listed((), git=False)
    tags = {line[2:]: line[0] for line in listed.split("\0") if line}
    commit = _git(root, "rev-parse", "--verify", "-q", "HEAD") or ""
    remote = _git(root, "config", "--get", "remote.origin.url") or ""
    status = ["status", "--porcelain", "-z", "--ignore-submodules=dirty", "--", "."]
    changes = _git(root, *_without_filters(root), *status)
    remote = re.sub(r"(?<=://)[^/]*@", "", remote.strip())
    dirty = changes != ""  # when Git cannot tell, nobody may rely on the commit
    own = _Listed(
        (), frozenset(name for name, tag in tags.items() if tag != "?"), (), commit.strip(), remote, dirty
    )
    return _with_submodules(root, own, tuple(tags))


def _names(root: Path, listed: _Listed) -> Sequence[str]:
    """The files of a folder, by Git or without it."""
    return listed.names if listed.git else _walk(root)


def _with_submodules(root: Path, own: _Listed, names: Sequence[str]) -> _Listed:
    """To Git a repository within a repository is one thing: its files are looked for in it."""
    found, tracked, absent, dirty = list[str](), set(own.tracked), list[str](), own.dirty
    for name in names:
        place = f"{root}/{name}"
        if not os.path.isdir(place) or os.path.islink(place.rstrip("/")):  # noqa: PTH112, PTH114 - of every file
            found.append(name)
            continue
        folder = Path(place)
        prefix = f"{name.rstrip('/')}/"
        if not (folder / ".git").exists():  # here git would answer of the repository around it
            absent.append(prefix)
            continue
        inside = _git_state(folder)
        found += [prefix + each for each in _names(folder, inside)]
        tracked |= {prefix + each for each in inside.tracked}
        absent += [prefix + each for each in inside.absent]
        dirty = dirty or inside.dirty
    return replace(own, names=tuple(found), tracked=frozenset(tracked), absent=tuple(absent), dirty=dirty)


def _without_filters(root: Path) -> list[str]:
    """Options that empty the filters of the repository's own configuration; the user's own are trusted."""
    listed = _git(root, "config", "--show-scope", "--name-only", "-z", "--get-regexp", r"^filter\.") or ""
    fields = listed.split("\0")
    names = [
        name for scope, name in zip(fields[::2], fields[1::2], strict=False) if scope in {"local", "worktree"}
    ]
    return [f"--config-env={name}={_EMPTY}" for name in names]


def _git(root: Path, *arguments: str) -> str | None:
    """What a git command prints, or None when it fails, or when there is no git."""
    # A repository's own configuration must not run programs: no hooks, no fsmonitor, no ext transport, no
    # fetching of what a partial clone lacks. And looking at a repository does not write its index.
    safe = ["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.ext.allow=never"]
    variables = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    variables |= {"GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0", _EMPTY: ""}
    try:
        done = subprocess.run(
            ["git", *safe, *arguments], cwd=root, env=variables, capture_output=True, check=False, timeout=60
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "surrogateescape") if done.returncode == 0 else None


def _walk(root: Path) -> list[str]:
    """The files of a folder without Git, less what its `.gitignore` names."""
    try:
        text = (root / ".gitignore").read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        text = ""
    ignored = _ignored_by(text.splitlines())
    found = []
    for folder, folders, names in os.walk(root):
        relative = Path(folder).relative_to(root)
        prefix = "" if relative == Path() else f"{relative.as_posix()}/"
        folders[:] = [
            name for name in folders if not ignored(f"{prefix}{name}/") and not _never(f"{prefix}{name}/")
        ]
        found += [prefix + name for name in names if not ignored(prefix + name)]
    return found


def _never(path: str) -> bool:
    """Whether a path is of what is never taken in; a folder's ends with a slash."""
    *folders, _ = parts = path.split("/")
    return not _NEVER_FOLDERS.isdisjoint(folders) or any(map(_NEVER_NAMES.fullmatch, parts))


def _ignored_by(patterns: Sequence[str]) -> Callable[[str], bool]:
    """What patterns in Git's grammar say of a path."""
    if not patterns:
        return lambda path: False
    from pathspec import GitIgnoreSpec  # 15 ms for those who need it

    return GitIgnoreSpec.from_lines(patterns).match_file
