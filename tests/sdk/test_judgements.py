"""`gate` and `register`, in a pipeline and outside one."""

from __future__ import annotations

from typing import Any

import pytest

from mlwright import Dataset
from mlwright.kernel.errors import Invalid
from mlwright.sdk.promise import Promise
from mlwright.sdk.signature import SIGNATURE_STEP
from mlwright.sdk.trace import tracing
from mlwright.steps import gate, register
from tests.sdk import made


def test_outside_a_pipeline_a_gate_judges_at_once() -> None:
    """All conditions must hold."""
    assert gate({"auc": 0.97, "rows": 10}, "auc >= 0.95", "rows > 1") is True
    assert gate({"auc": 0.97, "rows": 1}, "auc >= 0.95", "rows > 1") is False


def test_in_a_pipeline_a_gate_is_a_node_and_a_promise() -> None:
    """Its conditions are settings; its answer can be passed on, not looked into."""
    with tracing() as tracer:
        scores = made.take(1)
        passed = gate(scores, "auc >= 0.95", not_worse_than="diagnosis@champion", tolerance=0.01)

        assert isinstance(passed, Promise)
        with pytest.raises(Invalid):
            bool(passed)

    assert tracer.nodes[1] == {
        "name": "gate",
        "kind": "gate",
        "inputs": {"scores": {"kind": "output", "node": "take", "output": "result"}},
        "outputs": {"result": "bool"},
        "settings": {
            "conditions": ["auc >= 0.95"],
            "not_worse_than": "diagnosis@champion",
            "tolerance": 0.01,
        },
    }


def test_registering_asks_for_the_signature_first() -> None:
    """A step computes the signature; the judgement takes it with the model, the scores and the gate."""
    with tracing() as tracer:
        model = made.take(1)
        scores = made.take(model)
        register("diagnosis", model, scores, example=scores, when=gate(scores, "auc > 0"), message="first")

    signature, registered = tracer.nodes[-2:]
    assert (signature["name"], signature["step"], signature["seeded"]) == ("signature", SIGNATURE_STEP, False)
    assert {name: each["node"] for name, each in registered["inputs"].items()} == {
        "model": "take",
        "signature": "signature",
        "scores": "take-2",
        "when": "gate",
    }
    assert registered["settings"] == {"name": "diagnosis", "message": "first"}


def test_the_signature_is_given_the_tables_of_the_training() -> None:
    """Of what the model's step takes, the tables reach the signature; what may be skipped does not."""
    with tracing() as tracer:
        table = made.table(1)
        register("diagnosis", made.fit(table, trees=3), example=made.table(2))

    (signature,) = [node for node in tracer.nodes if node.get("step") == SIGNATURE_STEP]
    assert signature["inputs"]["training"] == {
        "kind": "dict",
        "fields": {"train": {"kind": "output", "node": "table", "output": "result"}},
    }


def test_the_signature_is_read_where_the_model_can_be_loaded() -> None:
    """The step that asks a model runs where the step runs that gives it, whatever gives the example."""
    with tracing() as tracer:
        table = made.load(Dataset("a"))
        register("plain", table, example=made.take(table))
        register("torch", made.take(table), example=table)

    signatures = [node for node in tracer.nodes if node.get("step") == SIGNATURE_STEP]
    assert [node["environment"] for node in signatures] == ["", "torch"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (gate, "a gate needs a condition"),
        (lambda promise: gate(promise, "auc"), "cannot read the condition 'auc'"),
        (lambda promise: gate(promise, 0.9), "cannot read the condition 0.9"),
        (lambda promise: gate(promise, "auc > 0", not_worse_than=promise), "a model's reference, as text"),
        (lambda promise: gate(promise, "auc > 0", tolerance=-0.1), "tolerance must be a number from 0 on"),
        (lambda promise: gate(promise, "auc > 0", tolerance=float("nan")), "tolerance must be a number"),
        (lambda promise: gate(promise, "auc > 0", tolerance="1%"), "tolerance must be a number from 0 on"),
        (lambda promise: gate(promise, "auc > 0", tolerance=promise), "tolerance must be a number"),
        (lambda promise: gate(object(), "auc > 0"), "the scores of a gate is an object"),
        (lambda promise: register(promise, promise, example=promise), "name and message are text"),
        (lambda promise: register("m", promise, example=promise, message=3), "name and message are text"),
        (lambda promise: register("m", object(), example=promise), "the model to register is an object"),
    ],
)
def test_a_wrong_call_is_said_while_the_pipeline_is_planned(call: Any, said: str) -> None:
    """Nothing runs before it is found out."""
    with tracing():
        promise = made.load(Dataset("a"))

        with pytest.raises(Invalid, match=said):
            call(promise)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda many: gate(many, "auc > 0"), "`take` is mapped, .* `gate` takes one thing as `scores`"),
        (lambda many: register("m", many, example=1), "`take` is mapped, .* `register` takes one .* `model`"),
        (lambda many: register("m", 1, many, example=1), "`take` is mapped, .* `register` .* `scores`"),
        (lambda many: register("m", 1, example=many), "`take` is mapped, .* `register` .* `example`"),
        (lambda many: register("m", 1, example=1, when=many), "`take` is mapped, .* `register` .* `when`"),
    ],
)
def test_a_judgement_is_about_one_thing(call: Any, said: str) -> None:
    """What a mapped step gives is a list: the hint says how to come to one."""
    with tracing() as tracer:
        many = made.take.map([1, 2])

        with pytest.raises(Invalid, match=said) as raised:
            call(many)

    assert (raised.value.where or "").startswith(__file__)
    assert "take the whole list" in (raised.value.hint or "")
    assert [node["name"] for node in tracer.nodes] == ["take"]


@pytest.mark.parametrize(
    "call", [lambda each: gate(each, "a > 0"), lambda each: register("m", 1, each, example=1)]
)
def test_scores_are_numbers_by_name(call: Any) -> None:
    """An output that is clearly something else is refused before a run, with both ends."""
    with tracing():
        promise = made.load(Dataset("a"))

        with pytest.raises(
            Invalid, match=r"`load` gives a list.*takes `scores` as a dict\[str, float\]"
        ) as raised:
            call(promise)

    assert "map" not in (raised.value.hint or "")


def test_outside_a_pipeline_nothing_is_registered() -> None:
    """The message says where it works, and where it was called."""
    with pytest.raises(Invalid, match="register works inside a pipeline") as raised:
        register("diagnosis", 1, example=2)

    assert (raised.value.where or "").startswith(__file__)
