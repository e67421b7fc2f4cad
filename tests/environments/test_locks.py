"""Locks: when there is one, when it does not fit any more, and what it is named by."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from mlwright.environments import Environments, current_platform
from mlwright.environments.locks import current_python, make_lock
from mlwright.kernel.edges import End, made_from
from mlwright.kernel.errors import Incompatible, Invalid, NotFound, Unavailable
from tests.conftest import write
from tests.environments.conftest import Index, Small

Make = Callable[..., Small]


def test_without_a_lock_the_hint_says_how_to_make_one(make: Make) -> None:
    """A project without uv.lock has no environment yet, and is told the command."""
    small = make("one", lock=False)

    with pytest.raises(NotFound, match=r"there is no uv\.lock") as refusal:
        small.environments.current()

    assert refusal.value.where == str(small.root)
    assert refusal.value.hint == "mlwright environments lock"


def test_a_lock_is_made_once(make: Make) -> None:
    """Locking writes uv.lock and says so; locking again changes nothing and says that."""
    small = make("one", lock=False)

    first = small.environments.lock()
    text = (small.root / "uv.lock").read_bytes()
    second = small.environments.lock()

    assert (first, second) == (True, False)
    assert (small.root / "uv.lock").read_bytes() == text


def test_looking_whether_to_lock_writes_nothing(make: Make, index: Index) -> None:
    """`lock(check=True)` says whether uv.lock would change, and leaves it, or its absence, alone."""
    small = make("one", lock=False)
    before = small.environments.lock(check=True), (small.root / "uv.lock").exists()
    small.environments.lock()

    after = small.environments.lock(check=True)
    small.depend(index, "one", "three")
    changed = small.environments.lock(check=True)

    assert before == (True, False)
    assert (after, changed) == (False, True)
    assert "three" not in (small.root / "uv.lock").read_text()


def test_looking_whether_to_lock_tells_what_failed(make: Make, index: Index) -> None:
    """An index that does not answer, or a package it does not have, is no change of the lock."""
    small = make("one")
    pyproject = small.root / "pyproject.toml"
    text = pyproject.read_text()

    pyproject.write_text(text.replace(f"{index.url}/simple", f"{index.url}/answers-500/simple"))
    with pytest.raises(Unavailable, match="500"):
        small.environments.lock(check=True)
    small.depend(index, "one", "does-not-exist")
    with pytest.raises(NotFound, match="does-not-exist"):
        small.environments.lock(check=True)


def test_dependencies_that_changed_since_are_refused(make: Make, index: Index) -> None:
    """When pyproject.toml asks for more than uv.lock has, the old environment is not used silently."""
    small = make("one")
    small.environments.current()
    small.depend(index, "one", "three")

    with pytest.raises(Unavailable, match=r"uv\.lock does not fit pyproject\.toml any more") as refusal:
        small.environments.current()

    assert refusal.value.hint == "mlwright environments lock"


def test_what_is_no_dependency_changes_no_lock(make: Make) -> None:
    """A comment in pyproject.toml leaves the lock as it is: same environment, nothing to build."""
    small = make("one")
    before = small.environments.current()
    with (small.root / "pyproject.toml").open("a") as file:
        file.write("# a remark\n")

    after = small.environments.current()

    assert after == before


def test_a_lock_is_named_by_what_is_in_it(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same lock in another folder, with another HOME and cache, is the same environment."""
    here = make("one", "Big_Name", folder="here")
    there = make(lock=False, folder="some where/else")
    for name in ("pyproject.toml", "uv.lock"):
        shutil.copy(here.root / name, there.root / name)
    first = here.environments.current()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    second = there.environments.current()

    assert second == first
    assert (first.python, first.platform) == (current_python(), current_platform())
    assert first.packages == 4  # one of them for another platform


def test_other_packages_are_another_lock(make: Make, index: Index) -> None:
    """Another version of one package gives another name."""
    small = make("two")
    newer = small.environments.current()
    small.depend(index, "two<2")
    small.environments.lock()

    older = small.environments.current()

    assert older.digest != newer.digest


def test_no_package_at_all_is_a_lock(make: Make) -> None:
    """A project without dependencies has an environment too, and it is empty."""
    small = make()

    environment = small.environments.build(small.environments.current())

    assert environment.lock.packages == 0
    assert environment.inventory.pins == {}


@pytest.mark.parametrize(
    "line",
    [
        "--index-url http://127.0.0.1:9",
        "-e .",
        "-r other.txt",
        "one; rm -rf /",
        "one && touch pwned",
        "$(touch pwned)",
        "`touch pwned`",
        "one\ntouch pwned",
        "../wheels/one.whl",
        "one ==",
        "",
    ],
)
def test_a_line_that_is_no_requirement_is_refused(line: str, make: Make, index: Index) -> None:
    """A dependency that is an option, a path or a piece of shell is repeated in one message of ours."""
    small = make(lock=False)
    (small.root / "setup.py").write_text("from pathlib import Path\nPath('pwned').touch()\n")
    small.depend(index, "one", line)
    asked = len(index.asked)

    with pytest.raises(Invalid, match="is not a requirement") as refusal:
        small.environments.lock()
    with pytest.raises(Invalid, match="is not a requirement"):
        small.environments.lock(check=True)

    assert repr(line) in refusal.value.message
    assert "\n" not in refusal.value.message
    assert refusal.value.where == str(small.root / "pyproject.toml")
    assert len(index.asked) == asked
    assert not (small.root / "pwned").exists()
    assert not (small.root / "uv.lock").exists()


def test_a_package_that_does_not_exist_leaves_the_lock_alone(make: Make, index: Index) -> None:
    """What the index does not have is named, and uv.lock stays as it was."""
    small = make("one")
    before = (small.root / "uv.lock").read_bytes()
    small.depend(index, "one", "no-such-thing")

    with pytest.raises(NotFound, match="no package index of the project has `no-such-thing`"):
        small.environments.lock()

    assert (small.root / "uv.lock").read_bytes() == before


def test_a_project_for_another_python_is_refused(make: Make) -> None:
    """What our interpreter cannot run is refused when it is locked, whatever else the machine has."""
    small = make("one", lock=False)
    pyproject = small.root / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace(">=3.11", f"<{current_python()}"))

    with pytest.raises(Incompatible, match=rf"the project is for Python <{current_python()}, and this is"):
        small.environments.lock()

    assert not (small.root / "uv.lock").exists()


def test_a_recorded_lock_is_found_with_its_bytes(make: Make) -> None:
    """A lock that was recorded, even twice, is found by a beginning of its digest and leads to its file."""
    small = make("one")
    lock = small.environments.current()
    for _ in range(2):
        with small.workspace.database.transaction() as tx:
            small.environments.record(tx, lock)

    found = small.environments.get(lock.digest), small.environments.get(f"b3:{lock.digest[:6]}")

    assert found == (lock, lock)
    (edge,) = made_from(small.workspace.database, lock.end)
    assert (edge.role, edge.earlier) == ("bytes", End("object", lock.pylock))
    assert make_lock(small.workspace.objects.get(lock.pylock), lock.pylock, lock.python) == lock


def test_an_unknown_environment_is_not_found(make: Make) -> None:
    """What no recorded lock begins with is not found, and neither is nothing at all."""
    small = make()
    with small.workspace.database.transaction() as tx:
        small.environments.record(tx, small.environments.current())

    for text in ["", "b3:", "b3:zz", "zz"]:
        with pytest.raises(NotFound, match="there is no environment"):
            small.environments.get(text)


def test_a_beginning_that_fits_two_environments_asks_for_more(make: Make) -> None:
    """A beginning that several locks share is not taken for an unknown one."""
    small = make()
    with small.workspace.database.transaction() as tx:
        for number in range(17):
            stored = small.workspace.objects.put(f"packages = []\n# {number}\n".encode())
            small.environments.record(tx, make_lock(f"# {number}".encode(), stored.digest, current_python()))
    digests = sorted(row["digest"] for row in small.workspace.database.read("SELECT digest FROM lock"))
    shared = next(one[0] for one, other in pairwise(digests) if one[0] == other[0])

    with pytest.raises(Invalid, match="fits several environments") as refusal:
        small.environments.get(shared)

    assert refusal.value.hint == "type more of the digest"


def test_a_beginning_that_fits_two_built_ones_asks_for_more(make: Make) -> None:
    """What is only built is found as what is recorded is, and as unclear."""
    small = make()
    found: dict[str, str] = {}
    for number in range(17):
        text = f"# {number}\npackages = []\n".encode()
        lock = make_lock(text, small.workspace.objects.put(text).digest, current_python())
        place = small.environments.builds.place(lock)
        write(place, {"inventory.json": "{}", f"lib/python{lock.python}/site-packages/keep": ""})
        (place / "pylock.toml").write_bytes(text)
        if other := found.setdefault(lock.digest[0], lock.digest) != lock.digest:
            break

    with pytest.raises(Invalid, match="fits several environments"):
        small.environments.find(lock.digest[0])

    assert other
    assert small.environments.find(lock.digest[:12]) == lock


@pytest.mark.parametrize("gone", ["pylock.toml", "lib"])
def test_a_built_environment_that_lacks_a_part_is_passed_over(gone: str, make: Make) -> None:
    """It is not listed as built, and all others are."""
    small = make("one")
    environment = small.environments.build(small.environments.current())
    place = small.environments.builds.place(environment.lock)
    (place / gone).rename(place / "gone")

    assert small.environments.builds.there() == []
    assert [each.name for each in small.environments.list()] == ["default"]


def test_a_lock_is_adopted_with_its_bytes(make: Make) -> None:
    """Another workspace takes a lock over and can build it when the first one is gone."""
    here, there = make("one", folder="here"), make(folder="there", lock=False)
    lock = here.environments.current()

    there.environments.adopt(lock, here.workspace.objects)

    shutil.rmtree(here.root / ".mlwright" / "objects")
    environment = there.environments.build(there.environments.get(lock.digest))
    assert set(environment.inventory.pins) == {"one", "two"}


def test_environments_are_opened_without_uv(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was looked at before is answered without starting uv again."""
    small = make("one")
    lock = small.environments.current()
    monkeypatch.setenv("UV_OFFLINE", "nonsense")  # uv refuses to start with it

    again = Environments(
        small.workspace.database, small.workspace.objects, small.root, small.workspace.local
    ).current()

    assert again == lock
