"""The signature of a model that is asked by name, and not with a table's columns.

That is a predictor of the project; an estimator that was fitted on an array; one that was fitted on texts.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.kinds import MEDIA, Media
from mlwright.sdk.predictors import Interface, Predictor, find_predictor
from mlwright.sdk.rows import one_each, plain
from mlwright.sdk.types import with_article
from mlwright.sdk.values import Input, given_value, json_of, value_of

EXAMPLE_BYTES = 256 * 1024
"""How large a picture, sound, film or file may be as an example: it is part of the signature."""
PIECES = 10
"""Of a streamed answer so many pieces are recorded, and compared."""
ARRAY = "array"
"""The name of what an estimator is asked with that was fitted on an array,"""
TEXT = "text"
"""and of what one is asked with that was fitted on texts."""


def is_array(example: Any) -> bool:
    """Whether it is an array of numbers with a row for each thing that is asked about."""
    return (
        hasattr(example, "dtype")
        and not hasattr(example, "columns")
        and getattr(example, "ndim", 0) >= 2
        and getattr(example.dtype, "kind", "") in "biuf"
    )


def are_texts(example: Any) -> bool:
    """Whether it is a list, a Series or an array of texts."""
    if isinstance(example, str | bytes | Mapping) or hasattr(example, "columns") or not _has_some(example):
        return False
    return all(isinstance(each, str) for each in example)


def _has_some(example: Any) -> bool:
    listed = isinstance(example, list | tuple) or getattr(example, "ndim", 0) == 1
    return listed and len(example) > 0


def of_estimator(model: Any, example: Any) -> dict[str, Any]:
    """The signature of an estimator that was fitted on an array or on texts.

    Args:
        model: has `predict`.
        example: such an array, or such texts; the first of them is recorded, with the answer.

    Raises:
        Invalid: it answers with more than one value.
    """
    first: Any
    if is_array(example):
        dtype, shape = str(example.dtype), tuple(example.shape[1:])
        asked = Input(ARRAY, "tensor", many=True, dtype=dtype, shape=shape)
        first, said = example[:1].tolist()[0], model.predict(example[:1])
    else:
        asked = Input(TEXT, "text", many=True)
        first = str(next(iter(example)))
        said = model.predict([first])
    answer = _one_value(plain(one_each(said))[0], model)
    classes = plain(model.classes_) if hasattr(model, "classes_") else []
    output = {"type": type_of(answer), "classes": classes or None}
    return _told((asked,), output, {asked.name: first}, answer, probabilities=hasattr(model, "predict_proba"))


def of_predictor(address: str, model: Any, example: Any) -> dict[str, Any]:
    """The signature of a predictor that takes no table, which is loaded, and answers the example.

    Args:
        address: `module:Class`.
        example: a value for each parameter that is needed, by name; or that of the only one.

    Raises:
        Invalid: it is no predictor, the example does not fit, or the answer cannot be told as JSON.
    """
    predictor = Predictor(find_predictor(address), model)
    interface = predictor.interface
    values = _values(interface, example)
    inputs = tuple(_seen(each, values) for each in interface.inputs)
    recorded = {name: _recorded(name, value) for name, value in values.items()}
    asked = read_example(inputs, recorded)
    answer = answer_to(predictor, asked)
    kind = "string" if interface.output == "text" else interface.output
    if kind == "json" and not interface.streams:
        kind = type_of(answer)
    output = {"type": kind, "stream": interface.streams}
    return _told(inputs, output, recorded, answer) | {"predictor": address}


def answer_to(predictor: Predictor, request: Mapping[str, Any]) -> Any:
    """What a predictor answers a request with, as JSON; of a stream the first `PIECES`."""
    if not predictor.interface.streams:
        return json_of(predictor.answers([request])[0])
    pieces = predictor.stream(request)
    try:
        return [json_of(each) for each in itertools.islice(pieces, PIECES)]
    finally:
        pieces.close()  # type: ignore[attr-defined]


def answer_of(model: Any, signature: Mapping[str, Any]) -> Any:
    """What a model answers the example of its signature with, as JSON.

    Args:
        model: as it was stored.
        signature: as it is recorded, of a model that is asked by name.
    """
    inputs = tuple(input_from(each) for each in signature["named"])
    asked = read_example(inputs, signature["example"]["input"])
    if address := signature.get("predictor", ""):
        return answer_to(Predictor(find_predictor(address), model), asked)
    return plain(one_each(model.predict(batch(inputs[0], [asked[inputs[0].name]]))))[0]


def input_from(told: Mapping[str, Any]) -> Input:
    """An input as a recorded signature has it."""
    shape, taken = tuple(told.get("shape", ())), tuple(told.get("media_types", ()))
    return Input(**{**told, "shape": shape, "media_types": taken})


def read_example(inputs: Iterable[Input], recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The example as a predictor is given it, in the order of the parameters."""
    return {each.name: value_of(each, recorded[each.name]) for each in inputs if each.name in recorded}


def batch(asked: Any, values: Sequence[Any]) -> Any:
    """What an estimator is asked with that was fitted on an array or on texts.

    Args:
        asked: its only input.
        values: of each request.
    """
    if asked.kind == "text":
        return list(values)
    import numpy

    return numpy.asarray(values, dtype=asked.dtype)


def type_of(answer: Any) -> str:
    """The kind of an answer, a JSON value."""
    if isinstance(answer, bool):
        return "boolean"
    return {int: "integer", float: "number", str: "string"}.get(type(answer), "json")


def _values(interface: Interface, example: Any) -> dict[str, Any]:
    """What the example gives each parameter.

    Raises:
        Invalid: a parameter is unknown, or missing.
    """
    needed = [each.name for each in interface.inputs if each.required]
    known = {each.name: each for each in interface.inputs}
    by_name = isinstance(example, dict) and {*example} <= {*known} and {*needed} <= {*example}
    if len(needed) == 1 and not by_name:
        example = {needed[0]: example}
    if not isinstance(example, dict):
        raise Invalid(
            f"the predictor takes {', '.join(needed) or ', '.join(known)}: the example gives them by name",
            hint="example={" + ", ".join(f'"{name}": ...' for name in needed) + "}",
        )
    if unknown := [name for name in example if name not in known]:
        raise Invalid(f"the predictor takes no `{unknown[0]}`, but {', '.join(known)}")
    if missing := [name for name in needed if name not in example]:
        raise Invalid(f"the example gives no `{missing[0]}`, which the predictor needs")
    return {name: given_value(known[name], _first(known[name], value)) for name, value in example.items()}


def _first(asked: Input, value: Any) -> Any:
    """Of what is taken in lists, one is the example."""
    return value[0] if asked.many and asked.kind != "tensor" and isinstance(value, list) and value else value


def _seen(asked: Input, values: Mapping[str, Any]) -> Input:
    """An input with what its annotation leaves open and the example tells: the type and shape of a tensor.

    Raises:
        Invalid: the example is of another shape, or none tells it.
    """
    if asked.kind != "tensor":
        return asked
    array = values.get(asked.name)
    if array is None and not asked.dtype:
        raise Invalid(
            f"nothing tells the shape of `{asked.name}`",
            hint='annotate it: Annotated[numpy.ndarray, Tensor("float32", -1, 64)]',
        )
    if array is None or asked.dtype:
        return asked
    return Input(asked.name, "tensor", asked.many, asked.required, str(array.dtype), tuple([-1] * array.ndim))


def _recorded(name: str, value: Any) -> Any:
    """A value of the example as it is kept.

    Raises:
        Invalid: it is too large for that.
    """
    if isinstance(value, Media) and value.size_bytes > EXAMPLE_BYTES:
        raise Invalid(
            f"the example's `{name}` has {value.size_bytes / 1024:,.0f} KiB, and at most"
            f" {EXAMPLE_BYTES / 1024:,.0f} are kept",
            hint="give a smaller one: it only has to show that the model answers",
        )
    return json_of(value)


def _one_value(answer: Any, model: Any) -> Any:
    if isinstance(answer, list):
        raise Invalid(
            f"{with_article(type(model).__name__)} answers one row with {len(answer)} values: one is what a"
            " version answers with",
            hint="register it with a predictor, which may answer with anything: register(..., predictor=...)",
        )
    return answer


def _told(
    inputs: Iterable[Input],
    output: dict[str, Any],
    example: dict[str, Any],
    answer: Any,
    *,
    probabilities: bool = False,
) -> dict[str, Any]:
    """A signature as it is recorded."""
    return {
        "inputs": [],
        "named": [_plainly(each) for each in inputs],
        "output": output,
        "probabilities": probabilities,
        "example": {"input": example, "output": answer},
    }


def _plainly(asked: Input) -> dict[str, Any]:
    """An input without what it leaves open."""
    told: dict[str, Any] = {"name": asked.name, "kind": asked.kind}
    told |= {"many": True} if asked.many else {}
    told |= {} if asked.required else {"required": False}
    if asked.kind == "tensor":
        told |= {"dtype": asked.dtype, "shape": list(asked.shape)}
    if asked.kind in MEDIA:
        told |= {"media_types": list(asked.media_types)}
    return told
