"""Predictors: classes of the project that answer requests with a model.

    class DigitReader:
        def load(self, model: RandomForestClassifier) -> None: ...
        def predict(self, image: Image) -> dict[str, float]: ...

`load` is called once, with the registered value; `predict` for each request. What a parameter of `predict`
may be is in its annotation; as `list[Image]` it takes those of several requests at once, and answers with a
list. A generator streams its answers. With a `decode`, requests have its parameters, and `predict` takes what
it returns; an `encode` has the last word about each answer.
"""

from __future__ import annotations

import collections.abc
import importlib
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.hints import resolved
from mlwright.sdk.kinds import MEDIA, Media, Table, Tensor
from mlwright.sdk.types import type_name
from mlwright.sdk.values import Input

_SCALARS = {str: "text", bool: "boolean", int: "integer", float: "number"}
_ARRAYS = {"numpy.ndarray", "mlwright.Tensor"}
_TABLES = {"pandas.DataFrame", "mlwright.Table"}
_JSON: frozenset[Any] = frozenset({dict, list, tuple, typing.Union, types.UnionType, typing.Literal})
_ASYNC = "a model answers in a thread of its own"
_STREAMS = (collections.abc.Iterator, collections.abc.Iterable, collections.abc.Generator)
_HOW = (
    "str, int, float, bool, dict, mlwright.Image, Audio, Video, File, Table, or Annotated[numpy.ndarray, ...]"
)


@dataclass(frozen=True)
class Interface:
    """What a predictor takes and gives, as its annotations say.

    Args:
        inputs: what is taken by name; none of a predictor that takes a table.
        output: the kind of an answer; `json` where nothing closer is said.
        batched: whether it takes those of several requests at once.
        streams: whether it gives its answer piece by piece.
    """

    inputs: tuple[Input, ...]
    output: str
    batched: bool = False
    streams: bool = False

    @property
    def table(self) -> bool:
        """Whether it takes a table."""
        return not self.inputs


def address_of(predictor: type) -> str:
    """Where a class is found again: `module:Class`.

    Raises:
        Invalid: it is no class, or not at the top of a module that can be imported.
    """
    if not isinstance(predictor, type):
        raise Invalid(
            f"a predictor is a class, and {predictor!r} is none",
            hint="predictor=DigitReader, not DigitReader()",
        )
    if not predictor.__qualname__.isidentifier() or predictor.__module__ == "__main__":
        raise Invalid(
            f"the predictor {predictor.__qualname__} cannot be found by name",
            hint="define it at the top of a module of the project, so that a server can import it",
        )
    return f"{predictor.__module__}:{predictor.__qualname__}"


def find_predictor(address: str) -> type:
    """The class with an address; its module is imported.

    Raises:
        Invalid: there is none.
    """
    module, _, name = address.partition(":")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, and what it imports is not
        raise Invalid(
            f"there is no module `{module}` in the project's code", hint="--predictor module:Class"
        ) from error
    if not isinstance(found, type):
        raise Invalid(f"there is no class `{name}` in {module}", hint="--predictor module:Class")
    return found


def interface_of(predictor: type) -> Interface:
    """What a predictor takes and gives.

    Raises:
        Invalid: it is no predictor, or not typed so that a request can be held against it.
    """
    name = predictor.__qualname__
    for method in ("load", "predict"):
        if not callable(getattr(predictor, method, None)):
            raise Invalid(
                f"{name} is no predictor: it has no method `{method}`",
                hint="a predictor has `load(self, model)` and `predict(self, ...)`",
            )
    taker = getattr(predictor, "decode", None) or predictor.predict  # type: ignore[attr-defined]
    given = _parameters(taker, f"{name}.{taker.__name__}")
    several = {each: _element(hint) for each, hint in _parameters(predictor.predict, name).items()}  # type: ignore[attr-defined]
    batched = all(element is not None for element in several.values())
    if taker is not predictor.predict:  # type: ignore[attr-defined]
        if len(several) != 1:
            raise Invalid(f"{name}.predict takes what `decode` returns, as its only parameter")
        taken = {each: _without_list(hint) for each, hint in given.items()}
        if taken != given:
            raise Invalid(f"{name}.decode reads one request: only `predict` takes a list of several")
    elif batched:
        given = {each: (element, True) for each, element in several.items()}
    elif any(element is not None for element in several.values()):
        listed = next(each for each, element in several.items() if element is not None)
        raise Invalid(
            f"{name}.predict takes `{listed}` of several requests at once, and other parameters of one",
            hint="make a list of every parameter, or of none",
        )
    inputs = tuple(_input(each, hint, required, batched, name) for each, (hint, required) in given.items())
    table = any(each.kind == "table" for each in inputs)
    output, streams = _output(predictor, name, several=batched or table)
    if batched and streams:
        raise Invalid(f"{name}.predict streams its answer, and takes several requests at once: it can do one")
    if table:
        if len(inputs) > 1 or batched or streams:
            raise Invalid(f"{name} takes a Table, and something beside it: a table is taken alone")
        return Interface((), output)
    return Interface(inputs, output, batched, streams)


class Predictor:
    """A predictor at work.

    Args:
        found: its class.
        model: the registered value.
    """

    def __init__(self, found: type, model: Any) -> None:
        self.interface = interface_of(found)
        self._own = found()
        self._own.load(model)
        self._decode: Callable[..., Any] | None = getattr(self._own, "decode", None)
        self._encode: Callable[[Any], Any] = getattr(self._own, "encode", None) or (lambda answer: answer)

    def answers(self, requests: Sequence[Mapping[str, Any]]) -> list[Any]:
        """An answer to each request.

        Args:
            requests: of each what it gives, by name.

        Raises:
            Invalid: `predict` gave another number of answers than it was asked for.
        """
        if not self.interface.batched:
            return [self._encode(self._one(request)) for request in requests]
        if self._decode is not None:
            given = self._own.predict([self._decode(**request) for request in requests])
        else:
            names = [each.name for each in self.interface.inputs]
            given = self._own.predict(**{name: [each[name] for each in requests] for name in names})
        answers = list(given)
        if len(answers) != len(requests):
            raise Invalid(f"`predict` gave {len(answers)} answers to {len(requests)} requests")
        return [self._encode(each) for each in answers]

    def stream(self, request: Mapping[str, Any]) -> Iterator[Any]:
        """The pieces of the answer to a request, as they come; closing it closes the predictor's own."""
        pieces = self._one(request)
        try:
            for piece in pieces:
                yield self._encode(piece)
        finally:
            if (close := getattr(pieces, "close", None)) is not None:
                close()

    def of_table(self, table: Any) -> list[Any]:
        """An answer to each row of a table.

        Raises:
            Invalid: `predict` gave another number of answers than there are rows.
        """
        given = self._own.predict(table if self._decode is None else self._decode(table))
        answers = list(given)
        if len(answers) != len(table):
            raise Invalid(f"`predict` gave {len(answers)} answers to {len(table)} rows")
        return [self._encode(each) for each in answers]

    def _one(self, request: Mapping[str, Any]) -> Any:
        if self._decode is None:
            return self._own.predict(**request)
        return self._own.predict(self._decode(**request))


def _parameters(function: Any, name: str) -> dict[str, tuple[Any, bool]]:
    """The type of each parameter, and whether it must be given.

    Raises:
        Invalid: one has no type or no name, or it is a coroutine.
    """
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise Invalid(f"{name} is `async`: {_ASYNC}", hint="write it with def")
    _, *parameters = inspect.signature(function).parameters.values()
    hints = resolved(function, extras=True)
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise Invalid(f"{name} takes `{parameter}`, which has no name in a request")
    if not parameters:
        raise Invalid(f"{name} takes nothing: a request has something in it")
    return {each.name: (hints.get(each.name, each.empty), each.default is each.empty) for each in parameters}


def _element(typed: tuple[Any, bool]) -> Any:
    """The type of an element of `list[...]`; None for what is no list."""
    hint, _ = typed
    arguments = typing.get_args(hint)
    return arguments[0] if typing.get_origin(hint) is list and arguments else None


def _without_list(typed: tuple[Any, bool]) -> tuple[Any, bool]:
    element = _element(typed)
    return typed if element is None else (element, True)


def _input(name: str, hint: Any, required: bool, batched: bool, whose: str) -> Input:
    """What a parameter takes.

    Raises:
        Invalid: its type says nothing that a request could be held against.
    """
    bare, extras = _bare(hint)
    if bare is not hint and type(None) in typing.get_args(hint):
        required = False
    if bare is inspect.Parameter.empty:
        raise Invalid(f"`{name}` of {whose} has no type: nothing says what a request holds", hint=_HOW)
    kind = _kind(bare)
    if not kind:
        raise Invalid(f"`{name}` of {whose} is of type {type_name(bare)}, which no request has", hint=_HOW)
    if kind == "tensor":
        told = next((each for each in extras if isinstance(each, Tensor)), None)
        dtype, shape = ("", ()) if told is None else (told.dtype, told.shape)
        return Input(name, kind, batched, required, dtype, shape)
    if kind in MEDIA:
        taken = tuple(each.lower() for each in extras if isinstance(each, str)) or MEDIA[kind].media_types
        return Input(name, kind, batched, required, media_types=taken)
    return Input(name, kind, batched, required)


def _bare(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without `Annotated` and without `| None`, and what `Annotated` says."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        others = [each for each in typing.get_args(hint) if each is not type(None)]
        if len(others) == 1:
            return _bare(others[0])
    if typing.get_origin(hint) is Annotated:
        bare, *extras = typing.get_args(hint)
        return bare, tuple(extras)
    return hint, ()


def _kind(bare: Any) -> str:
    """The word of a signature for a type; empty if there is none."""
    if bare in _SCALARS:
        return _SCALARS[bare]
    if bare is Any or bare in _JSON or typing.get_origin(bare) in _JSON:
        return "json"
    if bare is Tensor or (isinstance(bare, type) and type_name(bare) in _ARRAYS):
        return "tensor"
    if bare is Table or (isinstance(bare, type) and type_name(bare) in _TABLES):
        return "table"
    if isinstance(bare, type) and issubclass(bare, Media):
        return next((word for word, kind in MEDIA.items() if issubclass(bare, kind)), "")
    return ""


def _output(predictor: Any, name: str, *, several: bool) -> tuple[str, bool]:
    """The kind of an answer, and whether it comes piece by piece.

    Args:
        several: whether `predict` gives a list, with an answer to each.
    """
    predict = predictor.predict
    streams = inspect.isgeneratorfunction(predict)
    giver = getattr(predictor, "encode", None) or predict
    if inspect.iscoroutinefunction(giver):
        raise Invalid(f"{name}.encode is `async`: {_ASYNC}", hint="write it with def")
    returned = resolved(predict, extras=True).get("return", Any)
    streams = streams or typing.get_origin(returned) in _STREAMS
    told = resolved(giver, extras=True).get("return", Any)
    if giver is predict and (streams or several):
        told = (typing.get_args(told) or (Any,))[0]
    kind = _kind(_bare(told)[0])
    return ("json" if kind in ("", "table") else kind), streams
