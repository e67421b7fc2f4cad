"""Packages that exclude those of an environment: told apart from those that cannot be had just now."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mlwright.environments import Exclusive
from mlwright.kernel.errors import MlwrightError, NotFound, Unavailable
from tests.environments.conftest import Index, Small

Make = Callable[..., Small]


def refusal(small: Small, *requirements: str) -> MlwrightError:
    """Why these cannot be had beside what the project has."""
    environments = small.environments
    with pytest.raises(MlwrightError) as caught:
        environments.resolve_with(environments.current(), requirements)
    return caught.value


def test_what_excludes_is_said_with_both_versions(make: Make) -> None:
    """The model's version and the server's requirement stand in one line."""
    error = refusal(make("three"), "two>=2")

    assert isinstance(error, Exclusive)
    assert error.why == "the model has two 1.0, the server needs two>=2"


def test_what_excludes_further_down_is_told_by_the_chain_that_leads_there(make: Make, index: Index) -> None:
    """A requirement of a requirement does not fit: uv's derivation is retold, without its own words."""
    index.add("deeper", "1.0", "two>=2")

    error = refusal(make("three"), "deeper")

    assert isinstance(error, Exclusive)
    assert "two" in error.why
    assert "deeper" in error.why
    assert "\n" not in error.why
    assert "uv's own words" not in error.why


def test_what_this_python_cannot_have_excludes_too(make: Make, index: Index) -> None:
    """A server's package that has nothing for the model's Python leaves no environment for both."""
    index.add("newer", "1.0")
    index.pythons["newer-1.0-py3-none-any.whl"] = ">=3.99"

    error = refusal(make("three"), "newer")

    assert isinstance(error, Exclusive)
    assert "3.99" in error.why


def test_what_cannot_be_had_excludes_nothing(
    make: Make, index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """An index without the package, an index that fails, and no network at all are no verdict."""
    small = make("three")
    small.environments.build(small.environments.current())

    unknown = refusal(small, "unheard-of")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{index.url}/answers-500/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    down = refusal(small, "big-name")
    monkeypatch.setenv("UV_OFFLINE", "1")
    offline = refusal(small, "big-name")

    assert isinstance(unknown, NotFound)
    assert isinstance(down, Unavailable)
    assert not isinstance(offline, Exclusive), offline
