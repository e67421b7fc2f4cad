"""Inventories: which distribution brings a module, and all that a distribution needs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mlwright.environments import Inventory
from tests.environments.conftest import Small

Make = Callable[..., Small]
COMMIT = b"""
[[packages]]
name = "two"
vcs = { type = "git", url = "https://host/two", commit-id = "%s" }
"""


def test_what_is_installed_is_told(make: Make) -> None:
    """Modules, packages shared by two distributions, requirements and pins are read from the environment."""
    small = make("Big_Name", "big-more", "two<2", "one")

    inventory = small.environments.build(small.environments.current()).inventory

    assert inventory.modules == {
        "big": ("big-more", "big-name"),
        "_single": ("big-name",),
        "one": ("one",),
        "two": ("two",),
    }
    assert set(inventory.pins) == {"big-name", "big-more", "one", "two"}
    assert set(inventory.requires["big-name"]) == {"one", "nowhere"}
    assert all(re.fullmatch(r"1\.0 b3:[0-9a-f]{16}", pin) for pin in inventory.pins.values())
    assert set(inventory.closure(["big-name"])) == {"big-name", "one", "two"}


def test_a_pin_changes_with_the_files(make: Make) -> None:
    """The same version with other files has another pin, and so has another commit without a version."""
    small = make("two<2")
    environments = small.environments
    text = small.workspace.objects.get(environments.current().pylock)
    inventory = environments.build(environments.current()).inventory

    from mlwright.environments.installed import take_inventory

    site_packages = next(small.workspace.local.rglob("site-packages"))
    other = take_inventory(site_packages, re.sub(rb"[0-9a-f]{64}", b"0" * 64, text))
    unlocked = take_inventory(site_packages, b"packages = []")
    commits = [take_inventory(site_packages, COMMIT % each).pins["two"] for each in (b"a", b"b")]

    assert other.pins["two"].partition(" ")[0] == inventory.pins["two"].partition(" ")[0]
    assert other.pins["two"] != inventory.pins["two"]
    assert unlocked.pins["two"] == "1.0 unlocked"
    assert len({*commits, "1.0 unlocked"}) == 3


def test_an_inventory_is_read_as_it_was_written(tmp_path: Path) -> None:
    """What is kept beside an environment is read back equal."""
    inventory = Inventory({"a": ("x", "y")}, {"x": ("y",), "y": ()}, {"x": "1 b3:0", "y": "2 b3:1"})

    inventory.write(tmp_path / "inventory.json")

    assert Inventory.read(tmp_path / "inventory.json") == inventory


names = st.sampled_from("abcdef")
graphs = st.dictionaries(names, st.lists(st.sampled_from("abcdefxy"), max_size=4).map(tuple))


@given(graphs, st.lists(st.sampled_from("abcdefxy"), max_size=3))
def test_a_closure_holds_what_it_needs_and_nothing_else(
    requires: dict[str, tuple[str, ...]], start: list[str]
) -> None:
    """A closure is what can be reached: it holds the start, whatever each needs, and is its own closure."""
    inventory = Inventory({}, requires, {name: f"1 {name}" for name in requires})

    closure = inventory.closure(start)

    assert closure == inventory.closure(closure)
    assert {name for name in start if name in requires} <= set(closure)
    needed = {need for name in closure for need in requires[name] if need in requires}
    assert set(closure) == needed | {name for name in start if name in requires}
    assert all(pin == f"1 {name}" for name, pin in closure.items())
