"""`gate` and `register`: the steps that judge. They run in the engine, every time, and compute nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk import trace
from mlwright.sdk.caller import caller
from mlwright.sdk.conditions import judge, parse_condition
from mlwright.sdk.joins import refuse_mapped, refuse_misfit, refuse_no_condition
from mlwright.sdk.predictors import address_of, interface_of
from mlwright.sdk.promise import RESULT, Output, Promise
from mlwright.sdk.signature import SIGNATURE_STEP

_TABLES = {"pandas.DataFrame", "polars.DataFrame", "pyarrow.Table"}


def gate(
    scores: Mapping[str, float], *conditions: str, not_worse_than: str | None = None, tolerance: float = 0.0
) -> bool:
    """Judge a run by its scores; what is behind a closed gate does not happen, and the run fails.

    Args:
        scores: the output of the evaluating step, names to numbers.
        conditions: each as `"auc >= 0.95"`; all must hold.
        not_worse_than: a model reference (`"diagnosis@champion"`). That version is evaluated again, by the
            same step on the same test data, and the metrics of `conditions` must not be worse.
        tolerance: by how much a metric may be worse than that version's and still pass, in its own unit.

    Returns:
        Inside a pipeline a promise, to be passed as `when=`. Outside one, whether the conditions hold.

    Raises:
        Invalid: no condition, or one that cannot be read; scores that are no numbers by name.
    """
    parsed = [parse_condition(text) for text in conditions]
    if not parsed:
        raise Invalid("a gate needs a condition", where=caller(), hint='as in gate(scores, "auc >= 0.95")')
    if not isinstance(not_worse_than, str | None):
        raise Invalid("not_worse_than is a model's reference, as text", where=caller())
    if not isinstance(tolerance, int | float) or not tolerance >= 0:
        raise Invalid(f"tolerance must be a number from 0 on, not {tolerance!r}", where=caller())
    tracer = trace.current()
    if tracer is None:
        return all(finding.holds for finding in judge(scores, parsed))
    name = tracer.add(
        name="gate",
        kind="gate",
        inputs={"scores": _scores(scores, "the scores of a gate", "gate")},
        outputs={RESULT: "bool"},
        settings={"conditions": list(conditions), "not_worse_than": not_worse_than, "tolerance": tolerance},
    )
    return Promise(Output(name, RESULT, bool, tracer))  # type: ignore[return-value]


def register(
    name: str,
    model: Any,
    scores: Mapping[str, float] | None = None,
    *,
    example: Any,
    when: bool = True,
    message: str = "",
    predictor: type | None = None,
) -> None:
    """Make a model a version in the registry. The first version that passes becomes `champion`.

    Args:
        name: the model's name, as in `diagnosis@3`.
        model: the output of the training step.
        scores: what is recorded as the version's metrics.
        example: a table such as the model is asked with: its first row, with the model's answer, is what a
            server must answer before it is ready. The ranges and categories of the signature are those of the
            table that the model's step was given, if it was given one with all columns, else of this one.
            Of a model that was fitted on an array or on texts, such an array or list of texts; of a predictor
            a value for each of its parameters, by name. A picture or another file is what a step gives, or
            the path of a file in the project.
        when: the promise of a gate.
        message: why this version exists.
        predictor: a class of the project that answers requests with the model: its `load(self, model)` is
            called once, its `predict(self, ...)` for each request, which holds what the types of the
            parameters say.

    Raises:
        Invalid: outside a pipeline, what is no predictor, a name that is not text, or a model that is the
            list of a mapped step's.
    """
    tracer = trace.current()
    if tracer is None:
        raise Invalid("register works inside a pipeline", where=caller())
    if not isinstance(name, str) or not isinstance(message, str):
        raise Invalid("a model's name and message are text, known before a run", where=caller())
    address = "" if predictor is None else address_of(predictor)
    if predictor is not None:
        interface_of(predictor)
    model_argument = trace.argument(model, "the model to register")
    refuse_mapped(model, "register", "model")
    refuse_mapped(example, "register", "example")
    refuse_mapped(when, "register", "when")
    refuse_no_condition(when, "register")
    measured = {} if scores is None else {"scores": _scores(scores, "the scores to register", "register")}
    # What is loaded where the model's step runs is there, and maybe nowhere else.
    giver = next((node for node in tracer.nodes if node["name"] == model_argument.get("node")), {})
    signature = tracer.add(
        name="signature",
        kind="step",
        step=SIGNATURE_STEP,
        inputs={
            "model": model_argument,
            "example": trace.argument(example, "the example"),
            **_training_of(giver),
            **({"predictor": {"kind": "value", "value": address}} if address else {}),
        },
        **({"reaches": [address]} if address else {}),
        outputs={RESULT: "dict"},
        environment=str(giver.get("environment", "")),
        seeded=False,
    )
    inputs = {
        "model": model_argument,
        "signature": {"kind": "output", "node": signature, "output": RESULT},
        **measured,
    }
    if when is not True:
        inputs["when"] = trace.argument(when, "when=")
    tracer.add(
        name="register",
        kind="register",
        inputs=inputs,
        outputs={},
        settings={"name": name, "message": message},
    )


def _training_of(giver: Mapping[str, Any]) -> dict[str, Any]:
    """The tables that a model's step is given, as an argument of the signature; nothing if there are none."""
    if giver.get("mapped"):
        return {}
    tables = {
        name: given
        for name, given in giver.get("inputs", {}).items()
        if given["kind"] == "output"
        and giver.get("accepts", {}).get(name) in _TABLES
        and name not in giver.get("fallbacks", {})
    }
    return {"training": {"kind": "dict", "fields": tables}} if tables else {}


def _scores(scores: Any, what: str, taker: str) -> dict[str, Any]:
    written = trace.argument(scores, what)
    refuse_mapped(scores, taker, "scores")
    refuse_misfit(scores, dict[str, float], taker, "scores", maps=False)
    return written
