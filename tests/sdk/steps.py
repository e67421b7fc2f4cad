"""Steps that say what they take and give, and the graph that calling them leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from mlwright import Dataset, step
from mlwright.sdk.trace import tracing


def traced(function: Callable[[], Any]) -> list[dict[str, Any]]:
    """The nodes of what a function calls."""
    with tracing() as tracer:
        function()
    return tracer.nodes


def output(node: str, name: str = "result") -> dict[str, Any]:
    """An argument that is another step's output."""
    return {"kind": "output", "node": node, "output": name}


@step
def table(rows: int = 3) -> pd.DataFrame:
    """Gives a table."""
    return pd.DataFrame({"row": range(rows)})


@step
def fit(train: pd.DataFrame, trees: int = 100, init: Any = None) -> dict[str, float]:
    """Takes a table and a number."""
    return {"trees": trees}


@step
def best(models: list[dict[str, float]], names: dict[str, int] = {}) -> dict[str, float]:  # noqa: B006
    """Takes the list of all."""
    return models[0]


@step
def drifted(table: pd.DataFrame) -> bool:
    """Gives a condition."""
    return bool(len(table))


@step
def count(table: pd.DataFrame) -> int:
    """Gives a number, which is no condition."""
    return len(table)


@step
def share(table: pd.DataFrame) -> float:
    """Gives another."""
    return 0.5


@step
def truth() -> np.bool_:
    """Gives NumPy's truth."""
    return np.True_


@step
def perhaps() -> bool | None:
    """Gives a condition, or nothing."""
    return None


@step
def anything() -> Any:
    """May give a condition."""
    return True


@step
def choose(first: bool) -> int:
    """Takes a bool."""
    return int(first)


@step
def silent(value):  # type: ignore[no-untyped-def]
    """Says nothing of what it takes and gives."""
    return value


@step
def late(odd: Any, table: pd.DataFrame = None, data: Dataset = Dataset("d@1")) -> None:  # type: ignore[assignment]  # noqa: B008
    """Its defaults are nothing, and a dataset."""


@step
def unwritten(value: Any, key: Any = len) -> None:
    """Its default cannot be written down."""


@step
def tables(count: int) -> list[pd.DataFrame]:
    """Gives a list of which nobody knows the length."""
    return [pd.DataFrame()] * count
