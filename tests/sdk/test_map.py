"""`.map`: a step for each element of a list, as one node of a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mlwright import Dataset
from mlwright.kernel.errors import Invalid
from mlwright.sdk.promise import Promise, Promises
from mlwright.sdk.trace import tracing
from tests.sdk import made
from tests.sdk.steps import best, drifted, fit, output, silent, table, tables, traced


def test_a_mapped_step_is_one_node() -> None:
    """It says which inputs are gone through; the others are the same for all."""

    def calls() -> None:
        train = table()
        fit.map([10, 20], train=train)
        fit.map([train, train], [10, 20], when=drifted(train))
        fit.map([])

    tens, both, none = (node for node in traced(calls) if node["step"].endswith(":fit"))

    assert (tens["mapped"], tens["outputs"]) == (["trees"], {"result": "dict[str, float]"})
    assert tens["inputs"] == {
        "train": output("table"),
        "trees": {"kind": "value", "value": [10, 20]},
        "init": {"kind": "value", "value": None},
    }
    assert (both["mapped"], both["when"]) == (["train", "trees"], output("drifted"))
    assert both["inputs"]["train"] == {"kind": "list", "items": [output("table"), output("table")]}
    assert (none["mapped"], none["inputs"]["train"]) == (["train"], {"kind": "value", "value": []})


def test_what_an_earlier_step_gives_is_gone_through() -> None:
    """A list that is known only in a run, or what another mapped step gives for each element."""

    def calls() -> None:
        made.take.map(fit.map(tables(3)))
        made.take.map(silent(1), more=[1])

    _, fits, chained, _, open_ = traced(calls)

    assert (fits["mapped"], fits["inputs"]["train"]) == (["train"], output("tables"))
    assert (chained["mapped"], chained["inputs"]["value"]) == (["value"], output("fit"))
    assert (open_["mapped"], open_["inputs"]["value"]) == (["value"], output("silent"))


def test_a_plain_call_takes_the_list_of_all() -> None:
    """A mapped output goes where a list goes, by itself or in a dictionary."""

    def calls() -> None:
        models = fit.map([table()], [1])
        best(models)
        made.take({"all": models})
        made.split(made.split.map([[1], [2]]).train)

    reduced, kept, _, split = traced(calls)[2:]

    assert (reduced["mapped"], reduced["inputs"]["models"]) == ([], output("fit"))
    assert kept["inputs"]["value"] == {"kind": "dict", "fields": {"all": output("fit")}}
    assert split["inputs"]["table"] == output("split", "train")


def test_a_mapped_step_with_several_outputs_gives_each_of_them_for_every_element() -> None:
    """They are passed on by name, as those of a plain call."""
    with tracing() as tracer:
        parts = made.split.map([[1], [2]])
        assert isinstance(parts, Promises)
        train, _ = parts
        made.score.map(train, test=parts.test)

    assert tracer.nodes[1]["inputs"] == {"train": output("split", "train"), "test": output("split", "test")}
    assert tracer.nodes[1]["mapped"] == ["train"]
    assert isinstance(train, Promise)
    assert repr(train) == "<output train of each split>"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: fit.map([table()], made.take.map([1, 2])), "lengths: `train` has 1, `trees` has 2"),
        (
            lambda: fit.map(fit.map([table()] * 3), made.take.map(made.take.map([1, 2]))),
            "lengths: `train` has 3, `trees` has 2",
        ),
        (lambda: fit.map(made.split([1])), "argument `train` of step `fit` is all outputs of `split`"),
        (lambda: fit.map([made.split([1])]), "argument `train` of step `fit` is all outputs of `split`"),
        (lambda: fit.map(Dataset("a")), "argument `train` of step `fit` is a mlwright.Dataset, and no list"),
        (lambda: fit.map([1], tree=[1]), "step `fit` cannot be called so: .* argument 'tree'"),
        (lambda: fit.map([1], init=object()), "argument `init` of step `fit` is an object, which cannot"),
    ],
)
def test_what_cannot_be_mapped_in_a_pipeline_is_said(call: Callable[[], Any], said: str) -> None:
    """Lengths are compared as far as they are known, through any number of mapped steps."""
    with pytest.raises(Invalid, match=said) as raised:
        traced(call)

    assert (raised.value.where or "").startswith(__file__)


def test_lengths_that_nobody_knows_are_not_compared() -> None:
    """Two lists that steps give may be of one length."""
    (node,) = (node for node in traced(lambda: fit.map(tables(3), silent(1))) if node["name"] == "fit")

    assert node["mapped"] == ["train", "trees"]
