"""The pylock file: what is written is read again."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mlwright.environments.pylocks import kept_wheels, pins_of_indexes, write_pylock

_TEXT = st.text(st.characters(exclude_categories=("Cs",)))
_PLAIN = _TEXT | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.floats(allow_nan=False)
_TIMES = st.datetimes(timezones=st.just(UTC), min_value=datetime(1, 1, 2), max_value=datetime(9999, 1, 1))
_NAMES = st.from_regex(r"[A-Za-z0-9_-]+", fullmatch=True)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    _PLAIN | _TIMES, lambda inner: st.lists(inner) | st.dictionaries(_TEXT, inner), max_leaves=10
)


@given(head=st.dictionaries(_NAMES, _VALUES), packages=st.lists(st.dictionaries(_NAMES, _VALUES), min_size=1))
def test_what_is_written_is_read_again(head: dict[str, Any], packages: list[dict[str, Any]]) -> None:
    """Every value that TOML has comes back as it was."""
    document = {name: value for name, value in head.items() if name != "packages"} | {"packages": packages}

    assert tomllib.loads(write_pylock(document).decode()) == document


def test_only_wheels_of_ours_are_objects() -> None:
    """A path is one of ours by its form, whatever else it looks like."""
    digest = "a" * 64
    ours, other = f"wheels/b3-{digest}/x-1-py3-none-any.whl", f"wheels/b3-{digest}/../x.whl"

    def lock(path: str) -> bytes:
        package = {"name": "x", "archive": {"path": path, "hashes": {"sha256": "b"}}}
        return write_pylock({"lock-version": "1.0", "packages": [package]})

    assert kept_wheels(lock(ours)) == {ours: digest}
    assert kept_wheels(lock(other)) == {}


def test_only_what_an_index_can_give_is_asked_of_one() -> None:
    """Archives, commits and wheels that were kept from folders are no `name==version`."""
    wheel = {"url": "https://index.test/a-1-py3-none-any.whl", "hashes": {"sha256": "b"}}
    kept = {"path": f"wheels/b3-{'a' * 64}/x-1-py3-none-any.whl", "hashes": {"sha256": "b"}}
    packages = [
        {"name": "a", "version": "1", "wheels": [wheel]},
        {"name": "b", "version": "2", "marker": "os_name == 'nt'", "sdist": wheel},
        {"name": "c", "version": "3", "archive": wheel},
        {"name": "d", "version": "4", "wheels": [kept]},
        {"name": "e", "version": "5", "vcs": {"type": "git", "url": "https://git.test/e"}},
    ]

    pins = pins_of_indexes(write_pylock({"lock-version": "1.0", "packages": packages}))

    assert pins == {"a": "a==1", "b": "b==2 ; os_name == 'nt'"}
