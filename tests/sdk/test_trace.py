"""Tracing: a pipeline's function becomes a graph, and what cannot be in one is said where it stands."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from mlwright import Dataset
from mlwright.kernel.errors import Invalid
from mlwright.sdk import trace
from mlwright.sdk.pipeline import Pipeline
from mlwright.sdk.step import StepOptions
from mlwright.sdk.trace import tracing
from mlwright.steps import gate, register
from tests.sdk import made, steps
from tests.sdk.steps import drifted, fit, late, output, silent, table, traced, unwritten


def test_a_node_says_all_that_a_plan_needs() -> None:
    """Address, line, arguments with their defaults, outputs, accepted types and options: all of it JSON."""
    (node,) = traced(lambda: made.take(1))
    (split,) = traced(lambda: made.split([1]))

    assert node == {
        "name": "take", "kind": "step", "step": "tests.sdk.made:take",
        "line": made.take.function.__code__.co_firstlineno,
        "inputs": {"value": {"kind": "value", "value": 1}, "more": {"kind": "value", "value": None}},
        "outputs": {"result": ""}, "several": False, "accepts": {},
        "mapped": [], "when": None, "fallbacks": {},
        "retries": 2, "timeout_s": 600.0, "cpus": 2, "memory_bytes": 2**30, "gpus": 1,
        "cache": True, "salt": "v2", "seeded": False,
        "environment": "torch", "env_vars": ["LANG", "REGION"], "tags": {"owner": "ml"},
    }  # fmt: skip
    assert split["inputs"]["share"] == {"kind": "value", "value": 0.25}
    assert split["accepts"] == {"table": "list[int]", "share": "float"}
    assert (split["outputs"], split["several"]) == ({"train": "list[int]", "test": "dict[str, int]"}, True)
    assert json.loads(json.dumps([node, split])) == [node, split]
    assert {key: split[key] for key in split if key in asdict(StepOptions())} == {
        **asdict(StepOptions()),
        "env_vars": [],
    }


@pytest.mark.parametrize(
    ("step", "outputs"),
    [
        (made.split, {"train": "list[int]", "test": "dict[str, int]"}),
        (made.awkward, {"index": "list[int]", "count": "int"}),
        (made.pair, {"0": "int", "1": "str"}),
        (made.score, {"value": "float", "rows": "int"}),
        (made.bare, {"one": "", "two": ""}),
    ],
)
def test_several_outputs_are_promised_by_name_and_by_position(step: Any, outputs: dict[str, str]) -> None:
    """A NamedTuple, a tuple or a dataclass gives one promise for each field, whatever a field is called."""
    with tracing() as tracer:
        promised = step([1, 2])
        unpacked = list(promised)
        if "0" not in outputs:
            made.take([getattr(promised, name) for name in outputs])
        made.take(unpacked)

    assert tracer.nodes[0]["outputs"] == outputs
    assert tracer.nodes[0]["several"]
    wanted = {"kind": "list", "items": [output(step.name, name) for name in outputs]}
    assert all(node["inputs"]["value"] == wanted for node in tracer.nodes[1:])
    assert len(promised) == len(outputs)
    assert promised[1] is unpacked[1]


def test_an_output_that_is_not_there_is_said_with_those_that_are() -> None:
    """A wrong field name is an AttributeError that lists the right ones."""
    with tracing():
        promised = made.split([1])

        with pytest.raises(AttributeError, match="`split` has no output `trian`, but train, test"):
            _ = promised.trian


def test_a_step_called_twice_is_two_nodes() -> None:
    """Each call has a name of its own, and promises of its own."""

    def calls() -> None:
        first, second = made.load(Dataset("a")), made.load(Dataset("b"))
        made.take([second, first])
        made.load(Dataset("c"))

    nodes = traced(calls)

    assert [node["name"] for node in nodes] == ["load", "load-2", "take", "load-3"]
    assert nodes[2]["inputs"]["value"]["items"] == [output("load-2"), output("load")]


@pytest.mark.parametrize(
    ("value", "recorded"),
    [
        (None, {"kind": "value", "value": None}),
        ({"a": [1, "b", None, True, 0.5]}, {"kind": "value", "value": {"a": [1, "b", None, True, 0.5]}}),
        ((1, (2, 3)), {"kind": "value", "value": [1, [2, 3]]}),
        (Dataset("patients@3"), {"kind": "dataset", "value": "patients@3"}),
        ([Dataset("a")], {"kind": "list", "items": [{"kind": "dataset", "value": "a"}]}),
        ({"d": Dataset("a")}, {"kind": "dict", "fields": {"d": {"kind": "dataset", "value": "a"}}}),
    ],
)  # fmt: skip
def test_what_can_be_recorded(value: Any, recorded: dict[str, Any]) -> None:
    """JSON values (a tuple as a list), datasets, and lists and dictionaries of these and of promises."""
    (node,) = traced(lambda: made.take(value))

    assert node["inputs"]["value"] == recorded


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object(), "an object"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        ({1: "a"}, "a dict"),
        ({"a": {None: 1}}, "a dict"),
        ({1, 2}, "a set"),
        (b"bytes", "a bytes"),
        ([1, [object()]], "an object"),
        (len, "a builtin_function_or_method"),
    ],
)
def test_what_cannot_be_recorded_is_said_where_it_stands(value: Any, said: str) -> None:
    """What JSON would lose or change is refused, with the argument's name and the line of the call."""
    line = inspect.currentframe().f_lineno + 2  # type: ignore[union-attr]
    with pytest.raises(Invalid, match=f"argument `value` of step `take` is {said}") as raised:
        traced(lambda: made.take(value))

    assert raised.value.where == f"{__file__}:{line}"
    assert raised.value.hint


def test_what_is_recorded_does_not_change_afterwards() -> None:
    """A dictionary that the pipeline changes between two calls is passed as it was at each."""
    nodes = []

    def calls() -> None:
        options = {"depth": [1]}
        made.take(options)
        options["depth"].append(2)
        made.take(options)

    nodes = traced(calls)

    assert [node["inputs"]["value"]["value"] for node in nodes] == [{"depth": [1]}, {"depth": [1, 2]}]


@pytest.mark.parametrize(
    "misuse",
    [
        bool,
        list,
        len,
        lambda promise: promise["column"],
        lambda promise: promise.columns,
        lambda promise: promise.fit(1),
        lambda promise: promise(1),
        lambda promise: promise == 3,
        lambda promise: promise != 3,
        lambda promise: promise >= 3,
        lambda promise: promise > 3,
        lambda promise: promise + 1,
        lambda promise: 1 - promise,
        lambda promise: promise * 2,
        lambda promise: promise / 2,
        lambda promise: 1 in promise,
        lambda promise: promise & True,
        lambda promise: ~promise,
        lambda promise: -promise,
        float,
        int,
        lambda promise: [0][promise],
        lambda promise: f"model-{promise}",
    ],
)
def test_a_promise_cannot_be_looked_into(misuse: Callable[[Any], Any]) -> None:
    """Whatever would silently give a wrong graph is refused, with the place and what to do instead."""
    with tracing():
        promise = made.load(Dataset("a"))

        with pytest.raises(Invalid, match="`load` has not run yet") as raised:
            misuse(promise)

    assert (raised.value.where or "").startswith(__file__)
    assert all(words in (raised.value.hint or "") for words in ("inside a step", "when=", ".map("))


def test_a_promise_is_shown_hashed_and_asked_what_it_is() -> None:
    """Printing one, keeping it in a set and looking for a protocol's method are no misuse."""
    with tracing():
        promise = made.load(Dataset("a"))

        assert str(promise) == repr(promise) == "<output result of load>"
        assert {promise: "known"}[promise] == "known"
        assert not hasattr(promise, "__array__")
        assert not hasattr(promise, "_repr_html_")


def test_all_outputs_at_once_are_refused() -> None:
    """Several outputs are passed on one by one; the message names them."""
    with pytest.raises(Invalid, match="argument `value` of step `take` is all outputs of `split`") as raised:
        traced(lambda: made.take(made.split([1])))

    assert raised.value.hint == "pass one of them: .train, .test"


def test_a_call_has_a_condition() -> None:
    """A promise, or what is known already; what is always called has none."""

    def calls() -> None:
        train = table()
        fit(train, when=drifted(train))
        fit(train, when=gate({"auc": 1.0}, "auc > 0"))
        fit(train, when=silent(train))
        for known in (True, False, np.False_):
            fit(train, when=known)
        fit(train)

    fits = [node for node in traced(calls) if node["name"].startswith("fit")]

    no = {"kind": "value", "value": False}
    given = [output("drifted"), output("gate"), output("silent"), None, no, no, None]
    assert [node["when"] for node in fits] == given
    assert all("when" not in node["inputs"] for node in fits)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (lambda train: None, "the condition `when` of step `fit` is None, neither true nor false"),
        (lambda train: 1, "the condition `when` of step `fit` is an int, neither"),
        (lambda train: "yes", "the condition `when` of step `fit` is a str, neither"),
        (lambda train: train, "`table` gives a pandas.DataFrame, `fit` takes `when` as a bool"),
        (steps.count, "`count` gives an int, `fit` takes `when` as a bool"),
        (steps.share, "`share` gives a float, `fit` takes `when` as a bool"),
        (lambda train: drifted.map([train]), r"`drifted` is mapped, and gives a list\[bool\], `fit` takes"),
        (lambda train: silent.map([train]), "`silent` is mapped, and gives a list, `fit` takes `when`"),
        (lambda train: made.split([1]), "condition `when` of step `fit` is all outputs of `split`"),
    ],
)  # fmt: skip
def test_what_is_no_condition_is_said(condition: Callable[[Any], Any], said: str) -> None:
    """While the pipeline is planned, at the line of the call; nothing of that call is left."""
    with tracing() as tracer:
        train = table()
        when = condition(train)

        with pytest.raises(Invalid, match=said) as raised:
            fit(train, when=when)

    assert (raised.value.where or "").startswith(__file__)
    assert "fit" not in [node["name"] for node in tracer.nodes]


def test_what_may_be_a_condition_is_taken() -> None:
    """Whatever its annotation leaves open; a parameter that is a bool still takes a number."""

    def calls() -> None:
        for may_be in (steps.truth, steps.perhaps, steps.anything):
            fit(table(), when=may_be())
        steps.choose(steps.count(table()))

    assert [node["when"]["node"] for node in traced(calls) if node["name"].startswith("fit")] == [
        "truth",
        "perhaps",
        "anything",
    ]


def test_a_registration_on_no_condition_is_refused() -> None:
    """As the condition of a step is."""
    with pytest.raises(Invalid, match="`count` gives an int, `register` takes `when` as a bool"):
        traced(lambda: register("m", table(), when=steps.count(table()), example=table()))


def test_defaults_stand_in_for_outputs_that_are_missing() -> None:
    """Those of parameters that get an output; what cannot be written down, or is gone through, has none."""

    def calls() -> None:
        train = silent(1)
        late(train, train, train)
        late(1, [1, {"a": train}])
        late(train)
        late(1, when=train)
        late.map([train], [train], data=train)
        unwritten(1, train)

    nothing, dataset = {"kind": "value", "value": None}, {"kind": "dataset", "value": "d@1"}
    assert [node["fallbacks"] for node in traced(calls)[1:]] == [
        {"table": nothing, "data": dataset},
        {"table": nothing},
        {},
        {},
        {"data": dataset},
        {},
    ]


def test_a_promise_of_another_tracing_is_refused() -> None:
    """An output that an earlier call of a pipeline left behind belongs to a run that is over."""
    with tracing():
        left, parts = silent(1), made.split([1])

    for call, said in (
        (
            lambda: silent(left),
            "argument `value` of step `silent` is the output of `silent`, which belongs to",
        ),
        (lambda: silent([left]), "argument `value` of step `silent` is the output of `silent`"),
        (lambda: silent.map(left), "argument `value` of step `silent` is the output of `silent`"),
        (lambda: silent.map([left]), "argument `value` of step `silent` is the output of `silent`"),
        (lambda: silent(parts.train), "argument `value` of step `silent` is the output of `split.train`"),
        (lambda: silent(1, when=left), "the condition `when` of step `silent` is the output of `silent`"),
        (lambda: gate(left, "auc > 0"), "the scores of a gate is the output of `silent`"),
    ):
        with pytest.raises(Invalid, match=said) as raised:
            traced(call)
        assert "steps of this pipeline" in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: made.split(share=0.5), "missing a required argument: 'table'"),
        (lambda: made.split([1], 0.5, 3), "too many positional arguments"),
        (lambda: made.split([1], shares=0.5), "unexpected keyword argument 'shares'"),
    ],
)
def test_a_wrong_call_is_said_as_python_would(call: Callable[[], Any], said: str) -> None:
    """Arguments that do not fit are refused while the pipeline is planned, with the line of the call."""
    with pytest.raises(Invalid, match=f"step `split` cannot be called so: .*{said}") as raised:
        traced(call)

    assert (raised.value.where or "").startswith(__file__)


def test_outside_a_pipeline_a_call_is_a_call() -> None:
    """A step and a pipeline are plain functions in a test or a notebook."""
    assert trace.current() is None
    assert made.split([1, 2, 3, 4]) == made.Split([2, 3, 4], {"rows": 1})
    assert made.inner([1, 2, 3, 4]).train == [2, 3, 4]
    assert made.split.__doc__ == "Two, by a NamedTuple."
    assert repr(made.split) == "<step tests.sdk.made:split>"


def test_a_pipeline_within_a_pipeline_is_part_of_it() -> None:
    """Its steps are nodes of the outer graph, and what it returns are promises."""
    nodes = made.outer.trace({"data": "patients@3", "rows": 5})

    assert [node["name"] for node in nodes] == ["load", "take", "split", "take-2"]
    assert nodes[0]["inputs"] == {
        "data": {"kind": "dataset", "value": "patients@3"},
        "rows": {"kind": "value", "value": 5},
    }
    assert nodes[2]["inputs"]["table"] == output("load")
    assert nodes[3]["inputs"]["value"] == output("split", "train")


def test_a_trace_that_raises_leaves_no_tracer() -> None:
    """After a failed trace calls are plain calls again."""
    with pytest.raises(ZeroDivisionError):
        traced(lambda: 1 / 0)

    assert trace.current() is None


def empty() -> None:
    """Calls no step."""


def test_a_pipeline_without_steps_is_refused() -> None:
    """There is nothing to run."""
    with pytest.raises(Invalid, match="pipeline `empty` calls no step"):
        Pipeline(empty).trace({})


def test_parameters_are_described() -> None:
    """Name, type, whether one must be given, and a default that is JSON."""
    described = made.every_type.parameters()

    assert json.loads(json.dumps(described)) == described
    assert [
        (each["name"], each["type"]["kind"], each["required"], each["default"]) for each in described
    ] == [
        ("whole", "integer", True, None),
        ("part", "number", False, 0.5),
        ("text", "string", False, "a"),
        ("yes", "boolean", False, True),
        ("many", "list", False, [1, 2]),
        ("shape", "list", False, [3, 4]),
        ("named", "union", False, None),
        ("guessed", "list", False, [1, 2]),
        ("data", "dataset", False, "patients@3"),
    ]


def unrecordable(x: Any = len) -> None:
    """Its default is no JSON."""


def unnamed(*tables: int) -> None:
    """Its arguments have no names."""


def test_a_default_that_cannot_be_recorded_is_refused() -> None:
    """The message names the parameter and the pipeline."""
    with pytest.raises(Invalid, match="the default of parameter `x` of pipeline `unrecordable` is a"):
        Pipeline(unrecordable).parameters()


def test_a_parameter_without_a_name_is_refused() -> None:
    """`*args` cannot be given on a command line."""
    with pytest.raises(Invalid, match=r"pipeline `unnamed` takes `\*tables: .int.`"):
        Pipeline(unnamed)
