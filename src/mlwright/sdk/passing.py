"""Columns and answers as frames, between a server and the process that a model has for itself.

Numbers travel as they lie in memory, all else as JSON; what is large and lies in a file, by its path. No
value is a pickle, and none is changed on its way: a list of floats may arrive as an array of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any

from mlwright.sdk.frames import Frame
from mlwright.sdk.kinds import MEDIA, Media
from mlwright.sdk.rows import plain
from mlwright.sdk.values import ABSENT

Columns = Sequence[Sequence[Any]]
Told = list[Any]
"""How values travel, as JSON: what is raw is told by the place of its part."""

_RAW = {float: "d", int: "q"}
"""Lists of these alone travel as raw numbers of 64 bits."""


def table_sent(head: dict[str, Any], columns: Columns) -> Frame:
    """The columns of a table, in a frame.

    Args:
        head: what else the frame says.
        columns: lists of JSON values, or arrays of NumPy.
    """
    told: Told = []
    parts: list[bytes] = []
    for form, run in groupby(columns, _form):
        if form == "json":
            told += [["json", list(values)] for values in run]
        elif form == "array":
            told += [_array_sent(values, parts) for values in run]
        else:
            several = list(run)
            try:
                data = array(form, chain.from_iterable(several)).tobytes()
            except OverflowError:  # an integer of more than 64 bits
                told += [["json", list(values)] for values in several]
                continue
            told.append([form, len(several), len(parts)])
            parts.append(data)
    return Frame({**head, "columns": told}, tuple(parts))


def table_taken(frame: Frame) -> Columns:
    """The columns that `table_sent` sent: lists, or arrays of NumPy."""
    told = frame.head["columns"]
    if len(told) == 1 and told[0][0] in _RAW.values():  # numbers alone: one block is all columns
        block: Columns = _block_taken(told[0], frame.parts)
        return block
    columns: list[Any] = []
    for each in told:
        if each[0] == "json":
            columns.append(each[1])
        elif each[0] == "array":
            columns.append(_array_taken(each, frame.parts))
        else:
            columns.extend(_block_taken(each, frame.parts))  # `+=` would be an addition of NumPy
    return columns


def named_sent(head: dict[str, Any], columns: Columns) -> Frame:
    """What requests give by name, in a frame.

    Args:
        head: what else the frame says.
        columns: of each input a value for each request: JSON, arrays, media, or `ABSENT`.
    """
    told: Told = []
    parts: list[bytes] = []
    for values in columns:
        if hasattr(values, "dtype"):
            told.append(_array_sent(values, parts))
        else:
            told.append(["each", [_value_sent(value, parts) for value in values]])
    return Frame({**head, "columns": told}, tuple(parts))


def named_taken(frame: Frame, kinds: Iterable[str], folder: Path | None = None) -> Columns:
    """What `named_sent` sent.

    Args:
        kinds: of each input, in the order of the columns.
        folder: where a file is made of bytes if somebody asks for one.
    """
    return [
        _array_taken(told, frame.parts)
        if told[0] == "array"
        else [_value_taken(each, kind, frame.parts, folder) for each in told[1]]
        for told, kind in zip(frame.head["columns"], kinds, strict=True)
    ]


def answer_sent(head: dict[str, Any], labels: Any, shares: Any | None) -> Frame:
    """What a model answered, in a frame.

    Args:
        head: what else the frame says.
        labels: shape (rows,): an array, or a list of JSON values.
        shares: shape (rows, classes); None where they were not asked for.
    """
    parts: list[bytes] = []
    told: Told = [_array_sent(labels, parts) if _is_numbers(labels) else ["json", plain(labels)]]
    if shares is not None:
        told.append(_array_sent(shares, parts) if _is_numbers(shares) else ["json", plain(shares)])
    return Frame({**head, "answer": told}, tuple(parts))


def answer_taken(frame: Frame) -> tuple[Any, Any | None]:
    """The labels and the shares that `answer_sent` sent."""
    labels, shares = [
        _array_taken(told, frame.parts) if told[0] == "array" else told[1] for told in frame.head["answer"]
    ] + [None] * (2 - len(frame.head["answer"]))
    return labels, shares


def _form(values: Any) -> str:
    """How a column travels."""
    if hasattr(values, "dtype"):
        return "array"
    kinds = set(map(type, values))
    return _RAW.get(kinds.pop(), "json") if len(kinds) == 1 else "json"


def _block_taken(told: Told, parts: Sequence[bytes]) -> Any:
    """Shape (columns, rows)."""
    import numpy

    form, columns, part = told
    return numpy.frombuffer(bytearray(parts[part]), form).reshape(columns, -1)


def _is_numbers(values: Any) -> bool:
    return hasattr(values, "tobytes") and getattr(getattr(values, "dtype", None), "kind", "") in {*"biuf"}


def _array_sent(values: Any, parts: list[bytes]) -> Told:
    parts.append(values.tobytes())  # in C order, however it lies
    return ["array", values.dtype.str, list(values.shape), len(parts) - 1]


def _array_taken(told: Told, parts: Sequence[bytes]) -> Any:
    """As it was, and its own: whoever has it may write into it."""
    import numpy

    _, dtype, shape, part = told
    return numpy.frombuffer(bytearray(parts[part]), dtype).reshape(shape)


def _value_sent(value: Any, parts: list[bytes]) -> Told:
    if value is ABSENT:
        return []
    if hasattr(value, "dtype"):
        return _array_sent(value, parts)
    if not isinstance(value, Media):
        return ["json", value]
    content = value.content
    if isinstance(content, Path):
        return ["file", str(content), value.media_type]
    parts.append(content)
    return ["bytes", len(parts) - 1, value.media_type]


def _value_taken(told: Told, kind: str, parts: Sequence[bytes], folder: Path | None) -> Any:
    if not told:
        return ABSENT
    taking: dict[str, Callable[[], Any]] = {
        "json": lambda: told[1],
        "array": lambda: _array_taken(told, parts),
        "file": lambda: MEDIA[kind](Path(told[1]), told[2], folder=folder),
        "bytes": lambda: MEDIA[kind](parts[told[1]], told[2], folder=folder),
    }
    return taking[told[0]]()
