"""Steps and pipelines as a user writes them, for the tests of tracing."""

from __future__ import annotations

import collections
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import pandas as pd

from mlwright import Dataset, pipeline, step


class Split(NamedTuple):
    """Two outputs by name."""

    train: list[int]
    test: dict[str, int]


class Awkward(NamedTuple):
    """Fields that are names of a tuple's methods."""

    index: list[int]
    count: int


@dataclass(frozen=True)
class Scored:
    """Outputs of a dataclass; what is no field is no output."""

    unit: ClassVar[str] = "auc"
    value: float
    rows: int = 0


Bare = collections.namedtuple("Bare", ["one", "two"])


@step
def load(data: Dataset, rows: int = 10) -> list[int]:
    """One output."""
    return list(range(rows))


@step
def split(table: list[int], share: float = 0.25) -> Split:
    """Two, by a NamedTuple."""
    cut = int(len(table) * share)
    return Split(table[cut:], {"rows": cut})


@step
def awkward(table: list[int]) -> Awkward:
    """Two, with difficult names."""
    return Awkward(table, len(table))


@step
def pair(table: list[int]) -> tuple[int, str]:
    """Two, by position."""
    return len(table), "rows"


@step
def score(train: list[int], test: Any = None) -> Scored:
    """Two, by a dataclass."""
    return Scored(0.5, len(train))


@step
def bare(table: list[int]) -> Bare:
    """Two without annotated types."""
    return Bare(1, 2)


@step(
    retries=2,
    timeout="10m",
    resources={"cpus": 2, "memory": "1GiB", "gpus": 1},
    cache="v2",
    seed=None,
    environment="torch",
    env_vars=["REGION", "LANG"],
    tags={"owner": "ml"},
)
def take(value: Any, *, more: Any = None):  # type: ignore[no-untyped-def]
    """Takes anything, says nothing of what it gives."""
    return value


@pipeline
def inner(table: list[int], data: Dataset = Dataset("patients@latest")) -> Split:  # noqa: B008
    """A pipeline that is part of another."""
    take(data)
    return split(table)


@pipeline
def outer(data: Dataset = Dataset("patients@latest"), rows: int = 3) -> None:  # noqa: B008
    """Calls another pipeline."""
    parts = inner(load(data, rows))
    take(parts.train)


@pipeline
def every_type(
    whole: int,
    part: float = 0.5,
    text: str = "a",
    yes: bool = True,
    many: list[int] = [1, 2],  # noqa: B006
    shape: tuple[int, ...] = (3, 4),
    named: dict[str, float] | None = None,
    guessed=(1, 2),  # type: ignore[no-untyped-def]
    data: Dataset = Dataset("patients@3"),  # noqa: B008
) -> None:
    """One parameter of each kind."""
    take([whole, part, text, yes, many, shape, named, guessed, data])


@step
def table(rows: int) -> pd.DataFrame:
    """A table."""
    return pd.DataFrame({"a": range(rows)})


@step
def fit(train: pd.DataFrame, trees: int = 1) -> dict[str, int]:
    """A model, of a table."""
    return {"trees": trees}
