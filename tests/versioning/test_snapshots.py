"""Code snapshots: which files are taken, with Git and without, and that taking one runs and leaks nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mlwright.kernel.edges import End, made_from
from mlwright.kernel.errors import Invalid, NotFound
from mlwright.storage import check_out
from mlwright.versioning import Snapshot, Snapshots
from mlwright.workspace import Workspace
from tests.conftest import write
from tests.exams.objects import digests_in
from tests.versioning.conftest import snapshots_of


@pytest.fixture
def snapshots(workspace: Workspace, root: Path) -> Snapshots:
    """The snapshots of the project."""
    return snapshots_of(workspace, root)


def git(folder: Path, *arguments: str) -> str:
    """Run git as somebody whose own configuration says nothing."""
    variables = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        **{
            f"GIT_{who}_{what}": "t@example.org"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
    }
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=variables, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(root: Path) -> Path:
    """The project as a Git repository with one commit."""
    write(root, {"src/code.py": "x = 1\n", ".gitignore": ".mlwright/\nsecret/\n"})
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    return root


def add_submodules(repository: Path, tmp_path: Path) -> Path:
    """Give a repository the submodule `library`, which has one of its own; returns its folder."""
    inner = write(tmp_path / "inner", {"deep.py": "z = 1\n"})
    outer = write(tmp_path / "outer", {"code.py": "y = 1\n"})
    for folder in (inner, outer):
        git(folder, "init", "-q", "-b", "main")
        if folder is outer:
            git(
                folder, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), "inner"
            )
        git(folder, "add", ".")
        git(folder, "commit", "-q", "-m", "first")
    git(repository, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(outer), "library")
    git(
        repository,
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "update",
        "--init",
        "--recursive",
    )
    git(repository, "commit", "-q", "-m", "submodule")
    return repository / "library"


def paths(snapshots: Snapshots, snapshot: Snapshot | None = None) -> list[str]:
    """The paths of a snapshot; of a fresh one by default."""
    return [entry.path for entry in snapshots.tree(snapshot or snapshots.take()).entries]


class TestWithoutGit:
    def test_every_file_is_taken(self, snapshots: Snapshots, root: Path, tmp_path: Path) -> None:
        """Without Git the files of the folder are taken, and checking them out gives them back."""
        write(root, {"pipelines/p.py": "x = 1\n", "run.sh": "#!/bin/sh\n"})
        (root / "run.sh").chmod(0o755)

        snapshot = snapshots.take()

        check_out(snapshots._objects, snapshots.tree(snapshot), tmp_path / "out")
        assert paths(snapshots, snapshot) == ["pipelines/p.py", "pyproject.toml", "run.sh"]
        assert (snapshot.git_commit, snapshot.git_remote, snapshot.dirty) == ("", "", False)
        assert (tmp_path / "out" / "pipelines" / "p.py").read_text() == "x = 1\n"
        assert os.access(tmp_path / "out" / "run.sh", os.X_OK)

    def test_gitignore_is_honoured(self, snapshots: Snapshots, root: Path) -> None:
        """Without Git, what `.gitignore` names is left out all the same."""
        write(root, {".gitignore": "data/\n*.log\n!keep.log\n/top.txt\n", "a.log": "", "keep.log": ""})
        write(root, {"data/x.csv": "", "sub/data/y.csv": "", "top.txt": "", "sub/top.txt": ""})

        taken = paths(snapshots)

        assert taken == [".gitignore", "keep.log", "pyproject.toml", "sub/top.txt"]

    def test_a_gitignore_is_bytes(self, snapshots: Snapshots, root: Path) -> None:
        """A `.gitignore` that is not UTF-8 is honoured all the same, down to the names it spells."""
        (root / ".gitignore").write_bytes(b"caf\xe9/\ndata/\n")
        write(root, {os.fsdecode(b"caf\xe9/a.py"): "", "data/b.py": ""})

        taken = paths(snapshots)

        assert taken == [".gitignore", "pyproject.toml"]

    def test_the_project_may_leave_more_out(self, workspace: Workspace, root: Path) -> None:
        """What the setting `ignore` names is left out, in Git's grammar."""
        write(root, {"notes/a.md": "", "notes/keep.md": "", "b.ipynb": ""})

        taken = paths(snapshots_of(workspace, root, "notes/*", "!notes/keep.md", "*.ipynb"))

        assert taken == ["notes/keep.md", "pyproject.toml"]

    def test_a_repository_elsewhere_is_not_asked(
        self, snapshots: Snapshots, tmp_path: Path, root: Path
    ) -> None:
        """A project inside a repository that ignores it is taken as a folder, without that commit."""
        write(tmp_path, {".gitignore": "project/\n", "other.py": ""})
        git(tmp_path, "init", "-q")
        git(tmp_path, "add", "other.py")
        git(tmp_path, "commit", "-q", "-m", "somebody else's")
        write(root, {"mine.py": "x = 1\n"})

        snapshot = snapshots.take()

        assert snapshot.git_commit == ""
        assert paths(snapshots, snapshot) == ["mine.py", "pyproject.toml"]


class TestWithGit:
    def test_the_commit_is_recorded(self, snapshots: Snapshots, repository: Path) -> None:
        """A clean tree is recorded with its commit, and is not dirty."""
        snapshot = snapshots.take()

        assert snapshot.git_commit == git(repository, "rev-parse", "HEAD")
        assert not snapshot.dirty
        assert paths(snapshots, snapshot) == [".gitignore", "pyproject.toml", "src/code.py"]

    def test_untracked_files_are_taken(self, snapshots: Snapshots, repository: Path) -> None:
        """A file that Git does not know yet is taken and makes the snapshot dirty; an ignored one is not."""
        write(repository, {"src/fresh.py": "y = 2\n", "secret/plan.txt": "no"})

        snapshot = snapshots.take()

        assert "src/fresh.py" in paths(snapshots, snapshot)
        assert "secret/plan.txt" not in paths(snapshots, snapshot)
        assert snapshot.dirty

    def test_files_are_taken_as_they_are(self, snapshots: Snapshots, repository: Path) -> None:
        """What was edited and not committed is taken as it is on disk, and the snapshot is dirty."""
        (repository / "src" / "code.py").write_text("x = 'edited'\n")

        snapshot = snapshots.take()

        (entry,) = [each for each in snapshots.tree(snapshot).entries if each.path == "src/code.py"]
        assert snapshots._objects.get(entry.digest) == b"x = 'edited'\n"
        assert snapshot.dirty

    def test_a_deleted_file_is_not_there(self, snapshots: Snapshots, repository: Path) -> None:
        """A tracked file that was deleted is left out, and the snapshot is dirty."""
        (repository / "src" / "code.py").unlink()

        snapshot = snapshots.take()

        assert paths(snapshots, snapshot) == [".gitignore", "pyproject.toml"]
        assert snapshot.dirty

    def test_before_the_first_commit(self, snapshots: Snapshots, root: Path) -> None:
        """A repository without a commit gives its files, no commit, and is dirty."""
        git(root, "init", "-q")

        snapshot = snapshots.take()

        assert (snapshot.git_commit, snapshot.dirty) == ("", True)
        assert paths(snapshots, snapshot) == ["pyproject.toml"]

    def test_a_project_in_a_subfolder(self, workspace: Workspace, repository: Path) -> None:
        """A project below the top of its repository takes its own files and knows its own changes only."""
        write(repository, {"sub/a.py": "a = 1\n"})
        git(repository, "add", ".")
        git(repository, "commit", "-q", "-m", "second")
        write(repository, {"beside.py": ""})

        snapshots = snapshots_of(workspace, repository / "sub")
        snapshot = snapshots.take()

        assert paths(snapshots, snapshot) == ["a.py"]
        assert snapshot.git_commit
        assert not snapshot.dirty

    def test_a_large_file_that_git_tracks_is_code(self, snapshots: Snapshots, repository: Path) -> None:
        """Only what Git does not know is left out for its size."""
        for name in ("tracked.bin", "untracked.bin"):
            with (repository / name).open("wb") as file:
                file.truncate((10 << 20) + 1)
        git(repository, "add", "tracked.bin")

        snapshot = snapshots.take()

        assert "tracked.bin" in paths(snapshots, snapshot)
        assert snapshot.left_out == ("untracked.bin",)

    def test_the_files_of_a_submodule_are_taken(
        self, snapshots: Snapshots, repository: Path, tmp_path: Path
    ) -> None:
        """With what is untracked in it, and of submodules within; not what is ignored; edits are dirty."""
        library = add_submodules(repository, tmp_path)
        clean = snapshots.take()
        write(library, {"fresh.py": "", ".gitignore": "*.log\n", "noise.log": ""})

        snapshot = snapshots.take()

        assert {"library/code.py", "library/inner/deep.py"} <= set(paths(snapshots, clean))
        assert "library/fresh.py" in paths(snapshots, snapshot)
        assert "library/noise.log" not in paths(snapshots, snapshot)
        assert (clean.dirty, snapshot.dirty, clean.left_out) == (False, True, ())

    def test_a_submodule_that_is_not_checked_out_is_named(
        self, snapshots: Snapshots, repository: Path, tmp_path: Path
    ) -> None:
        """Its files are not there to be taken: it stands in `left_out`."""
        add_submodules(repository, tmp_path)
        git(repository, "submodule", "--quiet", "deinit", "-f", "library")

        assert snapshots.take().left_out == ("library/",)

    def test_a_repository_within_that_is_no_submodule_is_taken(
        self, snapshots: Snapshots, repository: Path
    ) -> None:
        """Git passes over a clone that lies in the project; a run may import it."""
        write(repository, {"vendored/code.py": "x = 1\n", ".gitignore": ".mlwright/\nsecret/\n"})
        git(repository / "vendored", "init", "-q")

        assert "vendored/code.py" in paths(snapshots)

    @pytest.mark.parametrize(
        ("remote", "recorded"),
        [
            ("https://example.org/team/p.git", "https://example.org/team/p.git"),
            ("https://me:s3cret@example.org/p.git", "https://example.org/p.git"),
            ("https://s3cret@example.org/p.git", "https://example.org/p.git"),
            ("https://me:s3cret@more@example.org/p@v1.git", "https://example.org/p@v1.git"),
            ("ssh://git:s3cret@example.org:22/p.git", "ssh://example.org:22/p.git"),
            ("git@example.org:team/p.git", "git@example.org:team/p.git"),
        ],
    )
    def test_the_remote_is_recorded_without_credentials(
        self, remote: str, recorded: str, snapshots: Snapshots, repository: Path
    ) -> None:
        """The remote's address is recorded without user, password or token."""
        git(repository, "remote", "add", "origin", remote)

        snapshot = snapshots.take()

        assert snapshot.git_remote == recorded

    @pytest.mark.parametrize("name", ["new\nline.py", "größe 日本.py", 'quo"te.py', "-dash.py", "tab\t.py"])
    def test_any_file_name_is_taken(self, name: str, snapshots: Snapshots, repository: Path) -> None:
        """A file name may hold line breaks, quotes, leading dashes and any letter."""
        (repository / name).write_text("x = 1\n")

        taken = paths(snapshots)

        assert name in taken

    def test_taking_runs_nothing_of_the_repository(
        self, snapshots: Snapshots, repository: Path, tmp_path: Path
    ) -> None:
        """Programs named by the repository's own configuration and hooks are not run."""
        traces = tmp_path / "ran"
        traces.mkdir()

        def program(name: str) -> str:
            script = repository / ".git" / name
            script.parent.mkdir(exist_ok=True)
            script.write_text(f"#!/bin/sh\ntouch {traces}/{script.name}\nexec cat\n")
            script.chmod(0o755)
            return str(script)

        git(repository, "config", "core.fsmonitor", program("monitor"))
        git(repository, "config", "core.hooksPath", str(Path(program("evil/post-index-change")).parent))
        program("hooks/post-index-change")
        git(repository, "config", "core.pager", program("pager"))
        git(repository, "config", "core.sshCommand", program("ssh"))
        git(repository, "config", "diff.external", program("diff"))
        git(repository, "config", "filter.evil.clean", program("clean"))
        git(repository, "config", "filter.ev=il.two.process", program("process"))
        git(repository, "config", "filter.ev=il.two.required", "true")
        (repository / ".git" / "info" / "attributes").write_text("*.py filter=ev=il.two diff=evil\n")
        (repository / ".gitattributes").write_text("pyproject.toml filter=evil\n")
        for name in ("src/code.py", "pyproject.toml"):
            (repository / name).write_text((repository / name).read_text())
            os.utime(repository / name, (1, 1))

        snapshot = snapshots.take()

        assert list(traces.iterdir()) == []
        assert snapshot.git_commit

    def test_inside_a_hook_of_another_repository(
        self, snapshots: Snapshots, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Under a hook's variables the project's own repository is read, not the one whose hook it is."""
        git(tmp_path, "init", "-q", "elsewhere")
        expected = snapshots.take()
        monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere" / ".git"))
        monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "elsewhere" / ".git" / "index"))

        snapshot = snapshots.take()

        assert snapshot == expected

    def test_what_git_cannot_tell_is_dirty(self, snapshots: Snapshots, repository: Path) -> None:
        """Where Git fails to say whether there are changes, the commit is not vouched for."""
        git(repository, "config", "status.showUntrackedFiles", "nonsense")

        snapshot = snapshots.take()

        assert snapshot.git_commit
        assert snapshot.dirty

    def test_the_index_is_not_written(self, snapshots: Snapshots, repository: Path) -> None:
        """Looking at a repository leaves its index as it was, so that a commit elsewhere is not disturbed."""
        index = repository / ".git" / "index"
        os.utime(repository / "src" / "code.py", (1, 1))
        before = (index.stat().st_ino, index.stat().st_mtime_ns, index.read_bytes())

        snapshots.take()

        assert (index.stat().st_ino, index.stat().st_mtime_ns, index.read_bytes()) == before


SECRETS = [
    ".env",
    ".env.production",
    "deploy/.env",
    "server.pem",
    "certs/a/b.key",
    "store.p12",
    "id_rsa",
    "keys/id_ed25519",
    "keys/id_ecdsa",
    ".netrc",
    ".pypirc",
    ".git-credentials",
    ".aws/credentials",
    "home/.ssh/config",
    ".envrc",
    "prod.env",
    "Server.PEM",
    ".npmrc",
    "kube/x.kdbx",
    "terraform.tfstate",
    ".streamlit/secrets.toml",
    "service-account-7.json",
    ".gnupg/key",
]


@pytest.mark.parametrize("with_git", [False, True])
def test_secrets_are_never_taken(
    with_git: bool, snapshots: Snapshots, workspace: Workspace, root: Path
) -> None:
    """Files that hold secrets by their name are left out, also where Git tracks them or a setting asks."""
    write(root, dict.fromkeys(SECRETS, "hush"))
    if with_git:
        git(root, "init", "-q")
        git(root, "add", "-f", *SECRETS)
        git(root, "commit", "-q", "-m", "oh no")
    wanting = snapshots_of(workspace, root, *(f"!{name}" for name in SECRETS))

    taken = paths(snapshots), paths(wanting)

    assert taken == (["pyproject.toml"], ["pyproject.toml"])


def test_a_link_does_not_reach_a_secret(snapshots: Snapshots, root: Path, tmp_path: Path) -> None:
    """A link under a harmless name to a file that holds a secret by its name is left out."""
    write(tmp_path, {"home/.ssh/config": "hush", "shared.py": "x = 1\n"})
    write(root, {".env": "hush"})
    (root / "a.txt").symlink_to(".env")
    (root / "b.txt").symlink_to(tmp_path / "home" / ".ssh" / "config")
    (root / "shared.py").symlink_to(tmp_path / "shared.py")

    taken = paths(snapshots)

    assert taken == ["pyproject.toml", "shared.py"]


def test_a_large_file_is_named_and_left_out(snapshots: Snapshots, root: Path) -> None:
    """A file above 10 MiB is no code: it is named in `left_out`; one of exactly 10 MiB is taken."""
    for name, size in {"weights.bin": (10 << 20) + 1, "fits.bin": 10 << 20}.items():
        with (root / name).open("wb") as file:
            file.truncate(size)

    snapshot = snapshots.take()

    assert snapshot.left_out == ("weights.bin",)
    assert paths(snapshots, snapshot) == ["fits.bin", "pyproject.toml"]


def test_what_is_no_file_is_passed_over(snapshots: Snapshots, root: Path) -> None:
    """A pipe, a dangling link and a link to a folder are no code, and hold nothing up."""
    os.mkfifo(root / "pipe")
    (root / "dangling").symlink_to("gone")
    (root / "loop").symlink_to(".")

    taken = paths(snapshots)

    assert taken == ["pyproject.toml"]


def test_a_file_name_that_is_not_utf8_is_refused(snapshots: Snapshots, root: Path) -> None:
    """A file name that is not UTF-8 is named, instead of ending in a traceback."""
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.py")).write_text("x = 1\n")

    with pytest.raises(Invalid, match="is not UTF-8"):
        snapshots.take()


def test_an_unchanged_project_stores_nothing_new(
    snapshots: Snapshots, workspace: Workspace, repository: Path
) -> None:
    """Taking the same files again answers the same snapshot and stores no file, not even to find it there."""
    first = snapshots.take()
    files = [workspace.objects.path(entry.digest) for entry in snapshots.tree(first).entries]
    held, written = digests_in(workspace.objects), [file.stat().st_mtime_ns for file in files]

    again = snapshots.take()

    assert again == first
    assert digests_in(workspace.objects) == held
    assert [file.stat().st_mtime_ns for file in files] == written


def test_a_fresh_machine_takes_the_same_snapshot(
    snapshots: Snapshots, workspace: Workspace, repository: Path
) -> None:
    """Without the memory of this machine the same files give the same snapshot."""
    first = snapshots.take()
    (memory,) = (workspace.local / "code").iterdir()
    memory.write_bytes(memory.read_bytes()[:20])

    again = snapshots.take()

    assert again == first


def test_an_edit_that_keeps_the_size_is_seen(snapshots: Snapshots, root: Path) -> None:
    """An edit is seen at once, though the file keeps its size and its time of change is set back."""
    code = root / "code.py"
    edits = [f"x = {index}\n" for index in range(10, 30)]
    seen = []

    for edit in edits:
        code.write_text(edit)
        os.utime(code, (1, 1))
        (entry,) = [each for each in snapshots.tree(snapshots.take()).entries if each.path == "code.py"]
        seen.append(snapshots._objects.get(entry.digest).decode())

    assert seen == edits


def test_an_object_that_was_lost_is_stored_again(
    snapshots: Snapshots, workspace: Workspace, root: Path
) -> None:
    """A remembered file whose object is gone from the store is stored again."""
    first = snapshots.take()
    for entry in snapshots.tree(first).entries:
        workspace.objects.remove(entry.digest)

    again = snapshots.take()

    assert again == first
    assert all(entry.digest in workspace.objects for entry in snapshots.tree(again).entries)


@pytest.mark.parametrize(
    "change",
    [
        lambda root: write(root, {"more.py": ""}),
        lambda root: write(root, {"code.py": "x = 2\n"}),
        lambda root: (root / "code.py").chmod(0o755),
        lambda root: (root / "code.py").rename(root / "other.py"),
        lambda root: (root / "code.py").unlink(),
    ],
)
def test_every_change_is_another_snapshot(
    change: Callable[[Path], object], snapshots: Snapshots, root: Path
) -> None:
    """A file more, less, edited, renamed or made executable gives another digest."""
    write(root, {"code.py": "x = 1\n"})
    first = snapshots.take()
    change(root)

    second = snapshots.take()

    assert second.digest != first.digest


def test_a_snapshot_is_recorded_with_its_edge(snapshots: Snapshots, workspace: Workspace, root: Path) -> None:
    """A recorded snapshot is found by the beginning of its digest, and an edge leads to its files."""
    snapshot = snapshots.take()
    for _ in range(2):
        with workspace.database.transaction() as tx:
            snapshots.record(tx, snapshot)

    found = snapshots.get(snapshot.digest[:8])

    assert found == snapshot
    (edge,) = made_from(workspace.database, snapshot.end)
    assert (edge.role, edge.earlier) == ("files", End("tree", snapshot.tree))


def test_a_beginning_that_fits_two_snapshots_asks_for_more(
    snapshots: Snapshots, workspace: Workspace, root: Path
) -> None:
    """A beginning that fits several snapshots asks for more of it; an unknown or empty one is not found."""
    digits = set()
    index = 0
    while len(digits) == index:
        write(root, {"code.py": f"x = {index}\n"})
        snapshot = snapshots.take()
        with workspace.database.transaction() as tx:
            snapshots.record(tx, snapshot)
        digits.add(snapshot.digest[0])
        index += 1

    with pytest.raises(Invalid, match="fits several") as several:
        snapshots.get(snapshot.digest[0])
    with pytest.raises(NotFound, match="there is no code snapshot"):
        snapshots.get("zz")
    with pytest.raises(NotFound, match="there is no code snapshot"):
        snapshots.get("")

    assert several.value.hint == "type more of the digest"


def test_a_snapshot_is_adopted_with_its_bytes(
    snapshots: Snapshots, workspace: Workspace, other: Workspace, root: Path
) -> None:
    """Another workspace takes a snapshot over, and can check it out when the first one is gone."""
    write(root, {"code.py": "x = 1\n"})
    snapshot = snapshots.take()
    there = snapshots_of(other, root.parent / "elsewhere")

    there.adopt(snapshot, workspace.objects)

    for each in list(workspace.objects):
        workspace.objects.remove(each.digest)
    check_out(other.objects, there.tree(there.get(snapshot.digest)), root.parent / "out")
    assert (root.parent / "out" / "code.py").read_text() == "x = 1\n"
