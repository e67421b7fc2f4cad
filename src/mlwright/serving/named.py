"""What a request gives by name, held against a signature: values as the predictor takes them, by input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from mlwright.kernel.errors import nearest
from mlwright.sdk.kinds import Media
from mlwright.sdk.values import ABSENT, Misfit, depth_of, value_of
from mlwright.serving.problems import MAX_FAULTS, Fault, Problem
from mlwright.serving.walk import Columns
from mlwright.versioning.signatures import Input

INPUTS = "inputs"
_SHOWN = 40
_RECORDED = 256
"""Numbers of an array that may be recorded."""


class Named:
    """Takes `{"inputs": {"image": ..., "top": 3}}`.

    Args:
        inputs: what the model takes, in its order.
        max_rows: how many things one request may ask about.
        ignore_unknown: whether what no input is called is left out, and not refused.
        folder: where a file is made if a predictor asks for one.
    """

    def __init__(
        self, inputs: Sequence[Input], max_rows: int, *, ignore_unknown: bool, folder: Path | None
    ) -> None:
        self.inputs = {each.name: each for each in inputs}
        self.folder = folder
        self._max_rows = max_rows
        self._ignore_unknown = ignore_unknown

    def read(self, body: bytes) -> Columns:
        """The values of a request in JSON.

        Raises:
            Problem: 400 for what is not JSON, 415 for a media type that is not taken, 422 for all else.
        """
        try:
            told = msgspec.json.decode(body)
        except RecursionError:
            raise Problem(400, "the body is JSON that is nested too deeply") from None
        except ValueError as error:
            raise Problem(400, f"the body is not JSON: {error}") from None
        if not isinstance(told, dict) or not isinstance(told.get(INPUTS), dict):
            raise Problem(422, faults=[Fault(f"must be an object with `{INPUTS}`: values by name")])
        unknown = next((name for name in told if name != INPUTS), None)
        if unknown is not None and not self._ignore_unknown:
            raise Problem(422, faults=[Fault(f"is not known here: write `{INPUTS}`", field=_short(unknown))])
        return self.columns(told[INPUTS])

    def columns(self, told: Mapping[str, Any], ready: Mapping[str, Sequence[Any]] | None = None) -> Columns:
        """Values by input, one for each thing that is asked about.

        Args:
            told: as JSON has them.
            ready: those that need not be read any more.

        Raises:
            Problem: 415 or 422, as `read`.
        """
        found: dict[str, Sequence[Any]] = dict(ready or {})
        faults = list(islice(self._faults(told, found), MAX_FAULTS))
        if faults:
            raise Problem(422, faults=faults)
        return [found[name] for name in self.inputs]

    def unknown(self, names: Iterator[str]) -> Iterator[Fault]:
        """What no input is called."""
        for name in names:
            if name not in self.inputs and not self._ignore_unknown:
                hint = nearest(name, list(self.inputs)) if len(name) <= _SHOWN else ""
                hint = f": {hint}" if hint.startswith("did") else ""
                yield Fault(f"is not what this model takes{hint}", field=_short(name))

    def _faults(self, told: Mapping[str, Any], found: dict[str, Sequence[Any]]) -> Iterator[Fault]:
        yield from self.unknown(iter(told))
        rows: int | None = None
        for name, asked in self.inputs.items():
            if name not in found:
                if told.get(name) is None and (name not in told or not asked.required):
                    if asked.required:
                        yield Fault("is missing", field=name)
                    found[name] = [ABSENT]
                    continue
                try:
                    found[name] = self._values(asked, told[name])
                except Misfit as misfit:
                    if misfit.media:
                        raise Problem(415, f"`{name}` {misfit}") from None
                    yield Fault(str(misfit), field=name)
                    continue
            count = len(found[name])
            if not 1 <= count <= self._max_rows:
                yield Fault(
                    f"holds {count} values, and one request may hold 1 to {self._max_rows}", field=name
                )
            elif rows is not None and count != rows:
                yield Fault(f"has {count} values, and the inputs before it {rows}", field=name)
            rows = count if rows is None else rows

    def _values(self, asked: Input, told: Any) -> Sequence[Any]:
        """All values of an input; of one that takes many a list may be given, or one.

        Raises:
            Misfit: one is not what the input takes.
        """
        if not asked.many:
            return [value_of(asked, told, folder=self.folder)]
        if asked.kind == "tensor":
            if depth_of(told) <= len(asked.shape):
                return [value_of(asked, told)]
            if len(told) > self._max_rows:
                raise Misfit(f"holds {len(told)} values, and one request may hold {self._max_rows}")
            several: Sequence[Any] = value_of(replace(asked, shape=(-1, *asked.shape)), told)
            return several
        if not isinstance(told, list):
            return [value_of(asked, told, folder=self.folder)]
        if len(told) > self._max_rows:
            raise Misfit(f"holds {len(told)} values, and one request may hold {self._max_rows}")
        values = []
        for index, each in enumerate(told):
            try:
                values.append(value_of(asked, each, folder=self.folder))
            except Misfit as misfit:
                raise Misfit(f"at {index} {misfit}", media=misfit.media) from None
        return values


def told_of(inputs: Sequence[Input], columns: Columns) -> dict[str, Any]:
    """The first thing that columns ask about, by name, without what is absent."""
    return {
        each.name: values[0] for each, values in zip(inputs, columns, strict=True) if values[0] is not ABSENT
    }


def recordable(columns: Columns) -> Columns:
    """What may be recorded of values: of bytes and of large arrays only what they are."""
    return [[_recordable(each) for each in values] for values in columns]


def _recordable(value: Any) -> Any:
    if value is ABSENT:
        return None
    if isinstance(value, Media):
        return {"media_type": value.media_type, "size_bytes": value.size_bytes}
    if hasattr(value, "tolist"):
        small = value.size <= _RECORDED
        return value.tolist() if small else {"dtype": str(value.dtype), "shape": list(value.shape)}
    return value


def _short(name: str) -> str:
    short = name if len(name) <= _SHOWN else name[: _SHOWN - 3] + "..."
    return short.encode(errors="replace").decode()
