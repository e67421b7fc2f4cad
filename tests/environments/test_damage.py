"""Damaged environments: what is found, what is told, and that they are made anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlwright.environments import Environment
from mlwright.environments.damage import Damage
from mlwright.environments.places import is_whole, site_packages_of
from mlwright.kernel.errors import NotFound
from tests.conftest import mlwright
from tests.environments.conftest import Index, Small
from tests.environments.test_build import Make


def place_of(environment: Environment) -> Path:
    """The folder of an environment."""
    return environment.python.parent.parent


@pytest.fixture
def lasting(index: Index) -> Iterator[Index]:
    """An index whose files never change, so that uv keeps them."""
    index.lasting = True
    yield index
    index.lasting = False


def test_an_environment_as_it_was_built_is_whole(make: Make) -> None:
    """Nothing is damaged after a build, nor after its modules were imported and compiled."""
    small = make("one", "Big_Name")
    environment = small.environments.build(small.environments.current())
    site = site_packages_of(place_of(environment))
    (site / "__pycache__").mkdir()
    (site / "__pycache__" / "one.cpython-311.pyc").write_bytes(b"compiled")

    found = small.environments.builds.verify(environment.lock)

    assert found == ()
    assert small.environments.built(environment.lock)


def test_each_kind_of_damage_is_told(make: Make) -> None:
    """A changed file, one that is gone, one of nobody's, and packages that came and went."""
    small = make("one", "Big_Name")
    environment = small.environments.build(small.environments.current())
    site = site_packages_of(place_of(environment))
    relative = site.relative_to(place_of(environment))
    replaced(site / "one.py", "VERSION = '6.6'\n")
    (site / "big" / "part.py").unlink()
    (site / "stranger.py").write_text("")
    (site / "two-2.0.dist-info").rename(site / "two-2.1.dist-info")
    metadata = site / "two-2.1.dist-info" / "METADATA"
    replaced(metadata, metadata.read_text().replace("2.0", "2.1"))

    found = small.environments.builds.verify(environment.lock)

    told = {(each.what, each.path, each.package) for each in found}
    assert told >= {
        ("changed", f"{relative}/one.py", "one"),
        ("missing", f"{relative}/big/part.py", "big-name"),
        ("extra", f"{relative}/stranger.py", ""),
        ("packages", "two: 2.0 -> 2.1", "two"),
        ("packages", "two is not in the lock", "two"),
    }
    assert not small.environments.built(environment.lock)


@pytest.mark.parametrize("gone", ["bin/python", "lib", "inventory.json", "pylock.toml"])
def test_what_every_environment_has_is_missed(gone: str, make: Make) -> None:
    """The interpreter, the packages, and what we keep beside them."""
    small = make("two")
    environment = small.environments.build(small.environments.current())
    (place_of(environment) / gone).rename(small.root / "gone")

    found = small.environments.builds.verify(environment.lock)

    assert found == (Damage("missing", gone),)
    assert small.versions() == {"two": "2.0"}


def replaced(path: Path, text: str) -> None:
    """Write a file anew: what is linked to the old one stays as it is."""
    path.unlink()
    path.write_text(text)


def test_a_damaged_one_is_made_anew_by_who_needs_it_next(make: Make) -> None:
    """Once it is known to be damaged nobody takes it: the next build replaces it."""
    small = make("one")
    first = small.environments.build(small.environments.current())
    replaced(site_packages_of(place_of(first)) / "one.py", "VERSION = '6.6'\n")

    unseen = small.environments.built(first.lock)
    small.environments.builds.verify(first.lock)
    again = small.environments.build(first.lock)

    assert unseen
    assert again == first
    assert small.environments.builds.verify(first.lock) == ()
    assert (site_packages_of(place_of(again)) / "one.py").read_text() == "VERSION = '1.0'\n"


def test_what_is_damaged_in_uvs_cache_is_fetched_again(make: Make, lasting: Index) -> None:
    """A file that was edited in place is edited in the cache too: a new build does not link to it again."""
    lasting.add("linked", "1.0")
    small = make("linked")
    first = small.environments.build(small.environments.current())
    file = site_packages_of(place_of(first)) / "linked.py"
    before = file.stat().st_nlink
    with file.open("w") as opened:
        opened.write("VERSION = '6.6'\n")
    asked = lasting.asked.count("linked-1.0-py3-none-any.whl")

    again = small.environments.builds.rebuild(first.lock)

    assert before > 1
    assert (site_packages_of(place_of(again)) / "linked.py").read_text() == "VERSION = '1.0'\n"
    assert lasting.asked.count("linked-1.0-py3-none-any.whl") == asked + 1


def test_one_that_is_whole_is_made_anew_when_asked(make: Make) -> None:
    """`sync --again` does not ask whether there is a reason."""
    small = make("one")
    first = small.environments.build(small.environments.current())
    inode = place_of(first).stat().st_ino

    again = small.environments.builds.rebuild(first.lock)

    assert again == first
    assert place_of(again).stat().st_ino != inode
    assert is_whole(place_of(again))


def test_what_is_not_built_cannot_be_verified(make: Make) -> None:
    """It is not damaged: it is not there."""
    small = make("one")

    with pytest.raises(NotFound, match="is not built"):
        small.environments.builds.verify(small.environments.current())


def test_the_door_tells_what_is_damaged_and_how_to_mend_it(make: Make) -> None:
    """`environments verify` ends with 5 and a hint, `sync` mends, and then it ends with 0."""
    small = make("one")
    environment = small.environments.build(small.environments.current())
    replaced(site_packages_of(place_of(environment)) / "one.py", "VERSION = '6.6'\n")

    def door(*arguments: str) -> tuple[int, str, str]:
        done = mlwright("environments", *arguments, cwd=small.root)
        return done.returncode, done.stdout, done.stderr

    found, told = door("verify"), door("verify", "--all", "--json")
    synced, after = door("sync"), door("verify", "--all")

    assert found[0] == told[0] == 5
    assert "changed  lib/python3" in found[1]
    assert "hint: make it anew: mlwright environments sync" in found[2]
    (damages,) = json.loads(told[1])["damaged"].values()
    assert [each["package"] for each in damages] == ["one"]
    assert synced[1].splitlines()[1].split()[0] == "write"
    assert after == (0, "1 environment verified: every file is as it was installed\n", "")


def test_a_run_mends_it_too(make: Make, small_pipeline: str) -> None:
    """What is known to be damaged is not run with."""
    small = make("one")
    (small.root / "pipelines").mkdir()
    (small.root / "pipelines" / "p.py").write_text(small_pipeline)
    environment = small.environments.build(small.environments.current())
    replaced(site_packages_of(place_of(environment)) / "one.py", "VERSION = '6.6'\n")
    mlwright("environments", "verify", cwd=small.root)

    done = mlwright("run", "ask", cwd=small.root)

    assert done.returncode == 0
    assert "installing the environment" in done.stderr + done.stdout
    assert json.loads(told_by(small))["value"] == "1.0"


def told_by(small: Small) -> str:
    """What the step of the newest run returned."""
    return mlwright("artifacts", "show", "latest/told", "--json", cwd=small.root).stdout


@pytest.fixture
def small_pipeline() -> str:
    """A pipeline whose step says which version it has."""
    return """
from mlwright import pipeline, step

@step
def told() -> str:
    import one
    return one.VERSION

@pipeline
def ask():
    told()
"""
