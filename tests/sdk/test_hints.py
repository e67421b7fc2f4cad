"""Type hints of what this environment may not have."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlwright.kernel.errors import Invalid
from mlwright.sdk import trace
from mlwright.sdk.hints import resolved
from mlwright.sdk.types import output_types, type_name

Load = Callable[[str], types.ModuleType]

HEAD = """
from __future__ import annotations
import typing
from typing import TYPE_CHECKING, NamedTuple
from mlwright import pipeline, step

if TYPE_CHECKING:
    import nowhere as nw
    import far.away
    from nowhere.deep import Thing as It
if typing.TYPE_CHECKING:
    import nowhere.typing as nt
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Imports a module of this text."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names: list[str] = []

    def make(text: str) -> types.ModuleType:
        names.append(f"checked_{len(names)}_{tmp_path.name.replace('-', '_')}")
        (tmp_path / f"{names[-1]}.py").write_text(HEAD + text)
        return __import__(names[-1])

    yield make
    for name in names:
        sys.modules.pop(name, None)


def nodes_of(pipeline: Any) -> list[dict[str, Any]]:
    with trace.tracing() as tracer:
        pipeline.function()
    return tracer.nodes


def told(annotated: Any) -> dict[str, str]:
    return {name: type_name(hint) for name, hint in resolved(annotated).items()}


def test_what_is_imported_for_type_checkers_has_the_name_that_people_write(load: Load) -> None:
    """A package, a part of one, a class: each is told as if it were there."""
    module = load(
        "def f(a: nw.Frame, b: It, c: far.away.Bird, d: nt.Array[nw.float64], e: int) -> nw.deep.Thing: ..."
    )

    assert told(module.f) == {
        "a": "nowhere.Frame",
        "b": "nowhere.Thing",
        "c": "far.Bird",
        "d": "nowhere.Array",
        "e": "int",
        "return": "nowhere.Thing",
    }


def test_a_stand_in_may_be_part_of_another_type(load: Load) -> None:
    """Lists, dictionaries and unions of what is not here."""
    module = load("def f(a: list[nw.Frame], b: dict[str, It] | None, c: nw.Frame | nw.Series): ...")

    hints = resolved(module.f)

    assert type_name(hints["a"].__args__[0]) == "nowhere.Frame"
    assert [type_name(each) for each in hints["c"].__args__] == ["nowhere.Frame", "nowhere.Series"]


def test_the_outputs_of_a_step_may_be_named_so(load: Load) -> None:
    """The fields of a NamedTuple are looked up where it was written."""
    module = load("class Pair(NamedTuple):\n    table: nw.Frame\n    count: int\n")

    assert output_types(module.Pair) == {"table": "nowhere.Frame", "count": "int"}


def test_what_no_import_brings_is_still_an_error(load: Load) -> None:
    """A misspelt name is not taken for a type of elsewhere."""
    module = load("def f(a: nx.Frame, b: nw.Frame): ...")

    with pytest.raises(NameError, match="nx"):
        resolved(module.f)


PIPELINE = """
@step
def make() -> nw.Frame: ...

@step
def use(table: {wanted}) -> None: ...

@pipeline
def both():
    use(make())
"""


@pytest.mark.parametrize("wanted", ["nw.Frame", "nw.Other", "int", "list[int]", "It | None"])
def test_what_is_not_here_fits_everything(load: Load, wanted: str) -> None:
    """Nobody knows here what such a class can stand for."""
    module = load(PIPELINE.format(wanted=wanted))

    nodes = nodes_of(module.both)

    assert nodes[0]["outputs"] == {"result": "nowhere.Frame"}


def test_a_table_that_is_not_here_is_no_number(load: Load) -> None:
    """A stand-in for a class that is known by name is judged as that class."""
    text = PIPELINE.replace("nw.Frame", "pd.DataFrame").format(wanted="int")
    module = load("if TYPE_CHECKING:\n    import pandas as pd\n" + text)

    with pytest.raises(Invalid, match=r"`make` gives a pandas\.DataFrame, `use` takes `table` as an int"):
        nodes_of(module.both)
