"""What differs between two environments, whoever names them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from mlwright.app import Project
from mlwright.environments import packages_of
from mlwright.environments.differences import difference, differing
from mlwright.environments.pylocks import write_pylock
from mlwright.kernel.errors import NotFound
from mlwright.workflow import Request
from mlwright.workflow.compare import compare_runs
from tests.conftest import mlwright, write
from tests.environments.conftest import Index, Small

Make = Callable[..., Small]

PIPELINE = """
from mlwright import pipeline, step

@step
def own() -> int:
    return 1

@step(environment="old")
def old(before: int) -> int:
    return before

@step(environment="old")
def each(before: int) -> int:
    return before

@pipeline
def both():
    old(own())
    each.map([1, 2])
"""

GROUPS = '[dependency-groups]\nold = ["three"]\n'


@pytest.fixture
def project(make: Make) -> Iterator[Project]:
    """A project with a group, whose pipeline ran once."""
    small = make("Big_Name", lock=False)
    with (small.root / "pyproject.toml").open("a") as file:
        file.write(GROUPS)
    small.environments.lock()
    write(small.root, {"pipelines/p.py": PIPELINE})
    with Project.open(small.root) as opened:
        _, error = opened.pipelines.run(Request("both", {}))
        assert error is None, error.render()
        yield opened


def pylock(*packages: str) -> bytes:
    """A pylock of `NAME VERSION HASH` each."""
    entries = []
    for each in packages:
        name, version, digest = each.split(" ")
        entries.append(
            f'[[packages]]\nname = "{name}"\nversion = "{version}"\n'
            f'wheels = [{{ url = "http://host/{name}.whl", hashes = {{ sha256 = "{digest}" }} }}]\n'
        )
    return "\n".join(entries).encode()


def test_packages_differ_by_version_files_or_being_there() -> None:
    """Each difference has its own word; the same version with other files is one."""
    then = packages_of(pylock("gone 1.0 aa", "moved 1.0 bb", "rebuilt 1.0 cc", "same 1.0 dd"))
    now = packages_of(pylock("moved 2.0 bb", "new 1.0 ee", "rebuilt 1.0 ff", "same 1.0 dd"))

    found = differing(then, now)

    assert [(each.name, each.verdict, each.shown) for each in found] == [
        ("gone", "removed", "removed 1.0"),
        ("moved", "version", "1.0 -> 2.0"),
        ("new", "added", "added 1.0"),
        ("rebuilt", "files", "1.0, other files"),
    ]


@pytest.mark.parametrize("condition", ["marker = \"python_version < '3.12'\"", 'requires-python = ">=3.12"'])
def test_a_package_for_other_pythons_differs(condition: str) -> None:
    """The same files under another condition are another environment; where files differ, that is said."""
    plain = pylock("two 1.0 aa")
    now = packages_of(plain + condition.encode())

    (same_files,) = differing(packages_of(plain), now)
    (other_files,) = differing(packages_of(pylock("two 1.0 bb")), now)

    assert (same_files.verdict, same_files.shown) == ("conditions", "1.0, other conditions")
    assert (other_files.verdict, other_files.shown) == ("files", "1.0, other files")


@pytest.mark.parametrize(
    ("address", "folder", "digest", "verdicts"),
    [
        ("https://other/x.zip", "one", "aa", []),
        ("https://host/x.zip", "two", "aa", ["files"]),
        ("https://host/x.zip", "one", "bb", ["files"]),
    ],
)
def test_an_archive_is_what_it_holds(address: str, folder: str, digest: str, verdicts: list[str]) -> None:
    """Its bytes, and the folder in it that is built, make the package; where it was had does not."""

    def lock(address: str, folder: str, digest: str) -> bytes:
        archive = {"url": address, "subdirectory": folder, "hashes": {"sha256": digest}}
        return write_pylock({"packages": [{"name": "x", "version": "1", "archive": archive}]})

    then, now = lock("https://host/x.zip", "one", "aa"), lock(address, folder, digest)

    assert [each.verdict for each in differing(packages_of(then), packages_of(now))] == verdicts


def test_a_name_is_compared_as_it_is_normalised() -> None:
    """Whoever writes a lock may write a package's name in his own way."""
    assert packages_of(pylock("Big_Name 1.0 aa")) == packages_of(pylock("big-name 1.0 aa"))


def test_a_package_that_is_locked_twice_has_both_versions() -> None:
    """Different platforms may have different versions of one package."""
    then, now = packages_of(pylock("two 1.0 aa", "two 2.0 bb")), packages_of(pylock("two 2.0 bb"))

    (found,) = differing(then, now)

    assert found.shown == "1.0, 2.0 -> 2.0"


def test_what_is_the_same_is_counted(make: Make) -> None:
    """An environment does not differ from itself; interpreter and platform are beside the packages."""
    lock = make("one").environments.current()
    text = pylock("one 1.0 aa", "two 1.0 bb")

    same, other = (
        difference(lock, lock, (text, text)),
        difference(lock, replace(lock, python="3.99"), (text, pylock("one 1.0 aa"))),
    )

    assert (same.packages, same.same) == ((), 2)
    assert [each.verdict for each in other.packages] == ["removed"]
    assert (other.same, other.then.python != other.now.python) == (1, True)


def test_environments_are_named_by_name_run_step_and_digest(project: Project) -> None:
    """The project's own, a group, a run, one of its steps, an element of it, and digests: each is found."""
    own, old = project.environments.current(), project.environments.current("old")
    run = project.runs.get("latest").id

    found = {
        name: project.environment(name)
        for name in ("", "default", "old", "OLD", "latest", run, "latest/own", f"{run}/old", "latest/each[1]")
    }

    assert found == {name: old if "old" in name.lower() or "each" in name else own for name in found}
    assert project.environment(old.digest[:8]) == project.environment(f"b3:{old.digest[:8]}") == old


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("odl", "there is no environment 'odl'"),
        ("latest~7", "there is no run 'latest~7'"),
        ("latest/odl", "has no step `odl`"),
        ("b3:", "there is no environment"),
    ],
)
def test_what_names_no_environment_is_not_found(name: str, told: str, project: Project) -> None:
    """An unknown name, run, step or digest is told as what it looks like."""
    with pytest.raises(NotFound, match=told):
        project.environment(name)


def test_an_unknown_name_is_answered_with_the_nearest(project: Project) -> None:
    """The hint has the names there are."""
    with pytest.raises(NotFound) as refusal:
        project.environment("odl")

    assert refusal.value.hint == "did you mean `old`? (digests: mlwright environments list)"


def test_runs_diff_and_environments_diff_say_the_same(project: Project, index: Index) -> None:
    """Both compare packages by version and files, and answer the same of two runs."""
    project.environments.changes.apply(project.environments.changes.plan_add(["one"]))
    project.pipelines.run(Request("both", {}))

    runs = compare_runs(project.rooms, "latest~1", "latest")
    environments = project.environments.difference(
        project.environment("latest~1"), project.environment("latest")
    )
    steps = project.environments.difference(
        project.environment("latest~1/old"), project.environment("latest/old")
    )

    own = [each for each in runs.packages if "/" not in each.name]
    assert [(each.name, each.then or "", each.now or "") for each in own] == [
        (each.name, each.then, each.now) for each in environments.packages
    ]
    assert [each.name for each in environments.packages] == ["one", "two"]
    assert [(each.name, each.verdict) for each in steps.packages] == [("one", "added")]


def test_the_list_has_what_is_named_recorded_and_built(project: Project) -> None:
    """Each environment is listed with what it is, whether it is built, its size, and who used it last."""
    project.environments.changes.apply(project.environments.changes.plan_add(["one"], "fresh"))
    old, run = project.environments.current("old"), project.runs.get("latest").id
    project.environments.changes.apply(project.environments.changes.plan_add(["nowhere"], "old"))

    found = {(each.name, each.current): each for each in project.environments.list()}

    assert set(found) == {("default", True), ("old", True), ("fresh", True), ("old", False)}
    own, before = found["default", True], found["old", False]
    assert (own.built, own.last_run) == (True, run)
    assert own.size_bytes is not None and own.size_bytes > 10_000
    assert (before.lock, before.built, before.last_run) == (old, True, run)
    assert (found["fresh", True].built, found["fresh", True].size_bytes) == (False, None)


def test_an_environment_that_nobody_recorded_is_listed_and_found(make: Make) -> None:
    """What is only built, as a server's, has no name and is found by its digest."""
    small = make("two<2")
    built = small.environments.build(
        small.environments.resolve_with(small.environments.current(), ["one"])
    ).lock

    (listed,) = [each for each in small.environments.list() if each.lock == built]
    found = small.environments.find(built.digest[:10])

    assert (listed.name, listed.current, listed.built, listed.lock) == ("", False, True, built)
    assert found == built
    own = small.environments.current()
    assert [each.shown for each in small.environments.difference(own, found).packages] == ["added 1.0"]


def test_what_cannot_be_told_is_listed_with_why(make: Make) -> None:
    """Without a lock the list still answers."""
    small = make("one", lock=False)

    (own,) = small.environments.list()

    assert own.lock is None and not own.built
    assert "there is no uv.lock" in own.problem


def test_the_doors_list_show_sync_and_compare(make: Make) -> None:
    """`show` and `sync` take a name; `diff` says what differs in words and in JSON; `list` has all."""
    small = make("Big_Name", lock=False)
    with (small.root / "pyproject.toml").open("a") as file:
        file.write(GROUPS)
    small.environments.lock()

    def told(*arguments: str) -> str:
        done = mlwright("environments", *arguments, cwd=small.root)
        assert done.returncode == 0, done.stderr
        return done.stdout

    waiting, synced = told("show", "old"), told("sync", "old")
    shown, listed = told("show", "old"), told("list")
    compared, as_json = told("diff", "default", "old"), json.loads(told("diff", "default", "old", "--json"))
    same = told("diff", "default", "default")

    assert "not built yet: mlwright environments sync old" in waiting
    assert "write" in synced
    assert "three" in shown
    assert [line.split()[0] for line in listed.splitlines()] == ["NAME", "default", "old"]
    assert "not built" in listed.splitlines()[1] and "built" in listed.splitlines()[2]
    assert "  three  added 1.0\n  two    added 1.0\n2 packages are the same\n" in compared
    assert [each["name"] for each in as_json["packages"]] == ["three", "two"]
    assert same.endswith("they are the same\n")
