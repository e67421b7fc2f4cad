"""Changing dependencies: worked out aside, shown, and applied as one step or not at all."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from uv import find_uv_bin

from mlwright.environments import PackageChange, Proposal
from mlwright.environments.uv_lock import read_uv_lock
from mlwright.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from tests.conftest import mlwright, write
from tests.environments.conftest import Index, Small

Make = Callable[..., Small]
Files = dict[str, bytes | None]

APPLY = """
import os, signal, sys
from pathlib import Path
from mlwright.environments import pending
from mlwright.app import Project

project = Project.open(sys.argv[1])
changes = project.environments.changes
proposal = changes.plan_add(["three"])
done = {"rename": Path.rename, "replace": pending.replace_own}

def rename(self, target):
    if sys.argv[2] == "before it is decided" and Path(target).name == "change":
        os.kill(os.getpid(), signal.SIGKILL)
    return done["rename"](self, target)

def replace(path, data):
    done["replace"](path, data)
    if sys.argv[2] == f"after {path.name}":
        os.kill(os.getpid(), signal.SIGKILL)

Path.rename, pending.replace_own = rename, replace
changes.apply(proposal)
"""


@pytest.fixture(scope="module", autouse=True)
def offered(index: Index) -> None:
    """A package that is yanked."""
    index.add("taken", "1.0")
    index.yanked["taken-1.0-py3-none-any.whl"] = "broken"


def files(small: Small) -> Files:
    """The two files as they are."""
    found = (small.root / name for name in ("pyproject.toml", "uv.lock"))
    return {path.name: path.read_bytes() if path.exists() else None for path in found}


def of(proposal: Proposal) -> Files:
    return {"pyproject.toml": proposal.pyproject, "uv.lock": proposal.uv_lock}


def versions(small: Small) -> dict[str, list[str]]:
    """What is locked."""
    lock = read_uv_lock((small.root / "uv.lock").read_bytes())
    return {name: [each.version for each in found] for name, found in lock.packages.items()}


def test_a_plan_says_what_changes_in_the_lock_and_why(make: Make) -> None:
    """Adding what needs an older version shows both, with who asks and who needs; nothing is written."""
    small = make("one")
    before = files(small)

    proposal = small.environments.changes.plan_add(["three"])

    assert proposal.packages == (
        PackageChange("three", (), ("1.0",), "asked for"),
        PackageChange("two", ("2.0",), ("1.0",), "needed by one, three"),
    )
    assert proposal.requirements == ("dependencies: three>=1.0",)
    assert [(each.action, each.subject) for each in proposal.plan.changes] == [
        ("add", "three 1.0"),
        ("update", "two 2.0 -> 1.0"),
        ("write", "pyproject.toml"),
        ("write", "uv.lock"),
    ]
    assert files(small) == before


def test_applying_puts_both_files_in_place(make: Make) -> None:
    """After `apply` both files are as proposed, fit each other, and keep their permissions."""
    small = make("one")
    (small.root / "pyproject.toml").chmod(0o640)
    proposal = small.environments.changes.plan_add(["three"])

    small.environments.changes.apply(proposal)

    assert files(small) == of(proposal)
    assert not small.environments.lock(check=True)
    assert (small.root / "pyproject.toml").stat().st_mode & 0o777 == 0o640
    assert versions(small) == {"one": ["1.0"], "three": ["1.0"], "two": ["1.0"]}


def test_a_linked_file_stays_a_link(make: Make) -> None:
    """A `pyproject.toml` that is a link is changed where it leads to."""
    small = make("one")
    real = small.root / "elsewhere.toml"
    (small.root / "pyproject.toml").rename(real)
    (small.root / "pyproject.toml").symlink_to(real)

    small.environments.changes.apply(small.environments.changes.plan_add(["three"]))

    assert (small.root / "pyproject.toml").is_symlink()
    assert "three" in real.read_text()


def test_what_is_asked_for_already_changes_nothing(make: Make) -> None:
    """Adding what is there is an empty plan, and writes nothing."""
    small = make("one")
    before = files(small)

    proposal = small.environments.changes.plan_add(["one"])
    small.environments.changes.apply(proposal)

    assert proposal.empty and proposal.plan.empty
    assert files(small) == before


def test_an_environment_is_added_to_by_its_name(make: Make) -> None:
    """A new name is a dependency group; an extra stays an extra."""
    small = make("one", lock=False)
    with (small.root / "pyproject.toml").open("a") as file:
        file.write("[project.optional-dependencies]\nmore = []\n")
    changes = small.environments.changes

    changes.apply(changes.plan_add(["three"], "torch"))
    proposal = changes.plan_add(["big-more"], "more")
    changes.apply(proposal)

    assert [each.why for each in proposal.packages] == ["asked for by more"]
    text = (small.root / "pyproject.toml").read_text()
    assert 'torch = [\n    "three>=1.0",\n]' in text.partition("[dependency-groups]")[2]
    assert 'more = [\n    "big-more>=1.0",\n]' in text.partition("[project.optional-dependencies]")[2]


def test_removing_takes_what_only_it_needed(make: Make) -> None:
    """What nobody needs any more goes with the package, and what others need stays."""
    small = make("one", "three", "Big_Name")
    proposal = small.environments.changes.plan_remove(["big.name"])
    small.environments.changes.apply(proposal)

    last = small.environments.changes.plan_remove(["one", "three"])

    assert [(each.name, each.verdict, each.why) for each in proposal.packages] == [
        ("big-name", "remove", "asked for no more"),
        ("nowhere", "remove", "nothing needs it any more"),
    ]
    assert [each.name for each in last.packages] == ["one", "three", "two"]


@pytest.mark.parametrize(
    ("name", "environment", "hint"),
    [
        ("two", "", "it is there because one, three need it"),
        ("big-name", "", "asked for by `torch`: mlwright environments remove big-name --environment torch"),
        ("one", "torch", "asked for by the project's own dependencies: mlwright environments remove one"),
        ("onne", "", "did you mean `one`?"),
    ],
)
def test_what_is_not_asked_for_cannot_be_removed(name: str, environment: str, hint: str, make: Make) -> None:
    """Removing what the project does not ask for says why it is there, or where it is asked for."""
    small = make("one", "three", lock=False)
    with (small.root / "pyproject.toml").open("a") as file:
        file.write('[dependency-groups]\ntorch = ["Big_Name"]\n')
    small.environments.lock()

    with pytest.raises(NotFound, match=f"does not ask for `{name}`") as refusal:
        small.environments.changes.plan_remove([name], environment)

    assert refusal.value.hint == hint


def test_updating_takes_what_is_newer_and_fits(make: Make, index: Index) -> None:
    """A newer release is taken by `update` only, of all or of one package, or the version that is named."""
    index.add("moving", "1.0")
    index.add("resting", "1.0")
    small = make("moving", "resting", "two")
    index.add("moving", "1.1")
    index.add("resting", "1.1")
    changes = small.environments.changes

    kept, everything = changes.plan_lock(), changes.plan_update()
    one, other = changes.plan_update(["moving"]), changes.plan_update(["two==1.0"])

    assert kept.empty
    assert [each.shown for each in everything.packages] == ["moving 1.0 -> 1.1", "resting 1.0 -> 1.1"]
    assert [each.shown for each in one.packages] == ["moving 1.0 -> 1.1"]
    assert [each.shown for each in other.packages] == ["two 2.0 -> 1.0"]
    assert one.requirements == ()


def test_what_is_not_locked_cannot_be_updated(make: Make) -> None:
    """A package that is not in the lock is named, with the nearest that is."""
    small = make("three")

    with pytest.raises(NotFound, match="`thre` is not locked") as refusal:
        small.environments.changes.plan_update(["thre"])

    assert refusal.value.hint == "did you mean `three`?"


@pytest.mark.parametrize(
    "line",
    ["--index-url=http://127.0.0.1:9", "-e .", "one; rm -rf /", "$(touch pwned)", "one\ntwo", "./one", ""],
)
def test_what_is_no_requirement_never_reaches_uv(line: str, make: Make, index: Index) -> None:
    """Options, paths and pieces of shell are refused by every change, before uv is started."""
    small = make("one")
    changes, before, asked = small.environments.changes, files(small), len(index.asked)

    for plan in (changes.plan_add, changes.plan_update):
        with pytest.raises(Invalid, match="is not a requirement"):
            plan([line])
    with pytest.raises((Invalid, NotFound)):
        changes.plan_remove([line])
    with pytest.raises(Invalid, match="cannot be the name of an environment"):
        changes.plan_add(["one"], line or "-e")

    assert (files(small), len(index.asked)) == (before, asked)
    assert not (small.root / "pwned").exists()


def test_a_change_of_files_that_were_edited_since_is_refused(make: Make) -> None:
    """Who edits between plan and apply loses nothing."""
    small = make("one")
    proposal = small.environments.changes.plan_add(["three"])
    with (small.root / "pyproject.toml").open("a") as file:
        file.write("# mine\n")
    edited = files(small)

    with pytest.raises(Conflict, match="was changed since"):
        small.environments.changes.apply(proposal)

    assert files(small) == edited


@pytest.mark.parametrize("when", ["after pyproject.toml", "after uv.lock"])
def test_a_change_that_was_killed_is_finished_by_the_next_command(when: str, make: Make) -> None:
    """After `kill -9` between the two files the next command says so, and both are as they were to be."""
    small = make("one")
    proposal = small.environments.changes.plan_add(["three"])
    killed = subprocess.run([sys.executable, "-c", APPLY, str(small.root), when], check=False)

    told = mlwright("environments", "show", cwd=small.root)

    assert killed.returncode == -signal.SIGKILL
    assert "`add three` had been interrupted, and is done now" in told.stderr
    assert files(small) == of(proposal)
    assert small.environments.changes.mend() is None


def test_a_run_finds_a_finished_change(make: Make) -> None:
    """Who only asks for the environment never sees half of a change."""
    small = make("one")
    subprocess.run([sys.executable, "-c", APPLY, str(small.root), "after pyproject.toml"], check=False)

    lock = small.environments.current()

    assert lock.packages == 3


def test_a_change_that_was_killed_before_it_was_decided_never_was(make: Make) -> None:
    """Killed before the change is written down, both files are as before, and the next one works."""
    small = make("one")
    before = files(small)
    killed = subprocess.run(
        [sys.executable, "-c", APPLY, str(small.root), "before it is decided"], check=False
    )

    told = small.environments.changes.mend()
    after = files(small)
    small.environments.changes.apply(small.environments.changes.plan_add(["three"]))

    assert killed.returncode == -signal.SIGKILL
    assert told is None
    assert after == before
    assert not list(small.workspace.local.glob("change-*"))


def test_a_file_edited_after_an_interruption_stays_as_it_is(make: Make) -> None:
    """What the user wrote since is not overwritten: the change is given up, and that is told."""
    small = make("one")
    subprocess.run([sys.executable, "-c", APPLY, str(small.root), "after pyproject.toml"], check=False)
    (small.root / "pyproject.toml").write_text("# mine\n")

    told = small.environments.changes.mend()

    assert told is not None and "pyproject.toml edited since: it was given up" in told
    assert (small.root / "pyproject.toml").read_text() == "# mine\n"
    assert small.environments.changes.mend() is None


def test_relative_paths_are_kept_as_they_are_written(make: Make, tmp_path: Path) -> None:
    """A project that depends on folders beside and inside it is changed like any other."""
    for folder in (tmp_path / "beside", tmp_path / "deep" / "small" / "inside"):
        folder.mkdir(parents=True)
        name = folder.name
        (folder / "pyproject.toml").write_text(
            f'[project]\nname = "{name}"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["two"]\n'
        )
    root = tmp_path / "deep" / "small"
    (root / "inside").rename(tmp_path / "kept")
    root.rmdir()
    small = make("beside", "inside", folder="deep/small", lock=False)
    (tmp_path / "kept").rename(root / "inside")
    with (root / "pyproject.toml").open("a") as file:
        file.write('[tool.uv.sources]\nbeside = { path = "../../beside" }\ninside = { path = "inside" }\n')

    small.environments.changes.apply(small.environments.changes.plan_add(["one"]))

    text = (root / "uv.lock").read_text()
    assert 'source = { directory = "../../beside" }' in text
    assert 'source = { directory = "inside" }' in text
    assert str(tmp_path) not in text
    assert not small.environments.lock(check=True)


def test_a_proposal_is_built_aside(make: Make) -> None:
    """What a change would give can be built and used before anything is changed."""
    small = make("one")
    before, lock = files(small), small.environments.current()

    proposed = small.environments.proposed(small.environments.changes.plan_add(["three"]))
    environment = small.environments.build(proposed)

    assert proposed.digest != lock.digest
    assert set(environment.inventory.pins) == {"one", "three", "two"}
    assert files(small) == before
    small.environments.changes.apply(small.environments.changes.plan_add(["three"]))
    assert small.environments.current() == proposed


@pytest.mark.parametrize("stale", [False, True])
def test_a_member_of_a_uv_workspace_is_refused(stale: bool, make: Make, tmp_path: Path) -> None:
    """Its lock lies with the workspace: nothing is written, wherever."""
    small = make("one", folder="all/member", lock=False)
    (tmp_path / "all" / "pyproject.toml").write_text(
        '[project]\nname = "all"\nversion = "0"\n[tool.uv.workspace]\nmembers = ["member"]\n'
    )
    if stale:
        (small.root / "uv.lock").write_text("version = 1\n")
    before = files(small)

    with pytest.raises(Unavailable, match="part of a uv workspace"):
        small.environments.lock()

    assert files(small) == before
    assert not (tmp_path / "all" / "uv.lock").exists()


def test_a_project_without_its_table_is_told_where_dependencies_stand(make: Make) -> None:
    """`[project]` is where packages are added to."""
    small = make(lock=False)
    (small.root / "pyproject.toml").write_text("[tool.mlwright]\n")

    with pytest.raises(Invalid, match=r"has no \[project\] table"):
        small.environments.changes.plan_add(["one"])


def test_what_a_file_says_is_changed_by_hand(make: Make, index: Index) -> None:
    """Nothing is added beside a file that says what an environment needs, be it the own one."""
    small = make("one")
    pyproject = small.root / "pyproject.toml"
    pyproject.write_text(pyproject.read_text() + 'environments = { gpu = "gpu.txt" }\n')
    write(small.root, {"gpu.txt": "two"})
    changes, before = small.environments.changes, files(small)

    for plan in (changes.plan_add, changes.plan_remove):
        with pytest.raises(Invalid, match=r"what `gpu` needs stands in gpu\.txt") as refusal:
            plan(["two"], "gpu")
    unchanged = files(small) == before
    small.bring(index, {"requirements.txt": "one"})
    plans = [lambda: changes.plan_add(["two"]), lambda: changes.plan_remove(["one"], "default")]

    assert unchanged
    assert refusal.value.hint == "change it by hand, then: mlwright environments lock gpu"
    for own in [*plans, changes.plan_update]:
        with pytest.raises(Invalid, match=r"what `default` needs stands in requirements\.txt"):
            own()


def test_default_is_the_projects_own(make: Make) -> None:
    """It makes no group of that name, and is locked by that name too."""
    small = make("one", lock=False)
    locked = small.environments.lock_file("default").file.name
    changes = small.environments.changes

    added, removed = changes.plan_add(["three"], "default"), changes.plan_remove(["one"], "default")

    assert locked == "uv.lock"
    assert added.requirements == ("dependencies: three>=1.0",)
    assert removed.requirements == ("dependencies: no more one",)


def test_the_doors_change_what_they_showed(make: Make) -> None:
    """`add`, `update` and `remove` show the same plan with --dry-run, which changes nothing, and without."""
    small = make("one")
    before = files(small)

    def told(*arguments: str) -> str:
        done = mlwright("environments", *arguments, cwd=small.root)
        assert done.returncode == 0, done.stderr
        return done.stdout

    planned, kept = told("add", "three", "--dry-run"), files(small)
    added, updated = told("add", "three"), json.loads(told("update", "two", "--json"))
    removed = told("remove", "three")

    assert kept == before
    assert planned == f"plan: {added}"
    assert "update  two 2.0 -> 1.0  needed by one, three" in " ".join(added.split("\n")).replace("   ", "  ")
    assert updated["changes"] == [{"action": "keep", "subject": "uv.lock", "why": "it fits pyproject.toml"}]
    assert "remove" in removed and "three" not in (small.root / "pyproject.toml").read_text()


def test_a_yanked_version_is_refused_where_nobody_can_be_asked(make: Make) -> None:
    """Without a terminal a yanked version needs --allow-yanked."""
    small = make("one")
    before = files(small)

    refused = mlwright("environments", "add", "taken==1.0", cwd=small.root)
    after = files(small)
    taken = mlwright("environments", "add", "taken==1.0", "--allow-yanked", cwd=small.root)

    assert (refused.returncode, after) == (2, before)
    assert "`taken==1.0` (broken)" in refused.stderr
    assert taken.returncode == 0
    assert versions(small)["taken"] == ["1.0"]


@pytest.mark.parametrize(("answer", "locked"), [("y", True), ("n", False)])
def test_a_yanked_version_is_asked_about_on_a_terminal(answer: str, locked: bool, make: Make) -> None:
    """On a terminal the plan is shown, and the answer counts."""
    small = make("one")
    engine, terminal = pty.openpty()
    command = [str(Path(sys.executable).with_name("mlwright")), "environments", "add", "taken==1.0"]
    os.write(engine, f"{answer}\n".encode())
    done = subprocess.run(
        command, cwd=small.root, stdin=terminal, capture_output=True, text=True, timeout=60, check=False
    )
    os.close(terminal)
    os.close(engine)

    assert "yanked" in done.stdout and "broken" in done.stdout
    assert "Take what was yanked?" in done.stderr
    assert (done.returncode, "taken" in versions(small)) == ((0, True) if locked else (2, False))


@pytest.mark.parametrize("workspace", [True, False])
def test_a_lock_above_the_project_is_not_touched(workspace: bool, make: Make, index: Index) -> None:
    """A path that leads up lets uv see what lies there, but not the `uv.lock`: it would write into it."""
    small = make("one", lock=False, folder="above/member")
    above = small.root.parent
    pyproject = small.root / "pyproject.toml"
    library = '[project]\nname = "{}"\nversion = "0"\nrequires-python = ">=3.11"\n'
    write(above / "shared", {"pyproject.toml": library.format("shared")})
    more = '[tool.uv.workspace]\nmembers = ["member"]\n' if workspace else ""
    write(above, {"pyproject.toml": library.format("above") + more})
    text = pyproject.read_text().replace('["one"]', '["one", "shared"]')
    pyproject.write_text(text + '[tool.uv.sources]\nshared = { path = "../shared" }\n')
    subprocess.run([find_uv_bin(), "lock", "-q", "--index", f"{index.url}/simple"], cwd=above, check=True)
    before = tree(above)

    if workspace:
        with pytest.raises(Unavailable, match="part of a uv workspace"):
            small.environments.changes.plan_add(["three"])
    else:
        assert small.environments.changes.plan_add(["three"]).requirements == ("dependencies: three>=1.0",)

    assert tree(above) == before


def tree(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, but for what is ours."""
    return {
        str(path): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".mlwright" not in path.parts
    }
