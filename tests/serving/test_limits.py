"""Limits as users change them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from msgspec.structs import replace
from sklearn.ensemble import RandomForestClassifier

from mlwright.kernel.errors import Invalid
from mlwright.serving import Limits, ReplicaSpec, checked_limits, limits_of, plan_serve


def test_the_command_line_counts_before_the_settings() -> None:
    """What neither names is as it is by default; of one that is typed twice the last counts."""
    settings = {"rows": 100, "timeout_ms": 500}

    limits = limits_of(settings, ["rows=5", "batch_wait_ms=0", "rows = 7"])

    assert limits == Limits(rows=7, timeout_ms=500, batch_wait_ms=0)
    assert limits_of({}) == Limits()


@pytest.mark.parametrize(
    ("settings", "words", "said", "hint"),
    [
        ({}, ["rowz=3"], "there is no limit `rowz`", "did you mean `rows`?; limits: body_bytes, rows, "),
        ({"timeout": 3}, [], "there is no limit `timeout`", "timeout_ms"),
        ({}, ["rows"], "--limit rows gives no number", "--limit rows=100"),
        ({}, ["=3"], "there is no limit ``", "limits: body_bytes"),
        ({}, ["rows=many"], "`rows` must be a whole number from 1 on, not 'many'", "for 10,000"),
        ({}, ["rows=1.5"], "`rows` must be a whole number from 1 on, not 1.5", "for 10,000"),
        ({}, ["rows=0"], "`rows` must be a whole number from 1 on, not 0", "for 10,000"),
        ({}, [f"rows={2**60}"], "`rows` must be", "for 10,000"),
        ({"rows": -1}, [], "`rows` must be a whole number from 1 on, not -1", "for 10,000"),
        ({}, ["batch_wait_ms=nan"], "`batch_wait_ms` must be a number from 0 on, not nan", "for 5.0"),
        (
            {},
            ["file_bytes=2000000000"],
            "`file_bytes` is 2,000,000,000, more than the",
            "raise `spool_bytes`",
        ),
    ],
)
def test_what_is_no_limit_is_said(settings: dict[str, Any], words: list[str], said: str, hint: str) -> None:
    """Its name, what it was and what there is instead."""
    with pytest.raises(Invalid) as refused:
        limits_of(settings, words)

    assert said in refused.value.message
    assert hint in str(refused.value.hint)


def test_where_a_wrong_limit_stands_is_said() -> None:
    """The settings or the word that was typed."""
    with pytest.raises(Invalid) as of_settings:
        limits_of({"rows": 0})
    with pytest.raises(Invalid) as of_words:
        limits_of({}, ["rows=0"])

    assert of_settings.value.where == "[tool.mlwright.serve] of pyproject.toml"
    assert of_words.value.where == "--limit rows=0"


def test_limits_from_python_are_held_too() -> None:
    """What no type checker saw is refused before anything is started."""
    with pytest.raises(Invalid, match="`queue_ms` must be a whole number"):
        checked_limits(Limits(queue_ms=True))


def test_the_plan_names_limits_that_are_not_as_by_default(
    make_spec: Callable[..., ReplicaSpec], forest: RandomForestClassifier, frame: pd.DataFrame
) -> None:
    """And only these."""
    spec = make_spec(forest, frame)

    plain = plan_serve(spec, host="127.0.0.1", port=0)
    changed = plan_serve(replace(spec, limits=Limits(rows=2000, queue_ms=5)), host="127.0.0.1", port=0)

    assert changed.changes[:-1] == plain.changes
    assert changed.changes[-1].why == "rows 2,000, queue_ms 5"
