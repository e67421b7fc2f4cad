"""How two values differ: which kind of difference it is leads to its cause.

Runs in a worker, on values that were decoded there. Libraries are used where the values are theirs.
"""

from __future__ import annotations

import datetime
import math
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlwright.sdk.deviations import (
    ABSOLUTE,
    CELLS,
    COLUMNS,
    MODEL,
    ORDER,
    RELATIVE,
    SIZE,
    TIMES,
    TYPES,
    VALUES,
    Found,
    Now,
    short,
)
from mlwright.sdk.unlike_arrays import compare_arrays, compare_tables

_TEXT_BYTES = 32 << 20
_BLOCK_BYTES = 64 << 10
_DEPTH = 100

_TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?)?"
    r"|\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b"
)
_NUMBER = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?")


def difference(then: Any, now: Any, made: Now, examples: Sequence[Any] = ()) -> dict[str, Any]:
    """What kind of difference there is between two values whose bytes differ.

    Args:
        then: a value.
        now: the one that was to be the same.
        made: when `now` was.
        examples: what models may be asked: rows by column, or lists of such.

    Returns:
        `kind` and `text`; of floats also `max_absolute` and `max_relative`.
    """
    found = Found(made)
    _walk(found, then, now, "")
    told = found.told()
    if hasattr(then, "predict") and hasattr(now, "predict"):
        told["text"] = f"{_answers(then, now, made, examples)}; {told['text']}"
        told["kind"] = MODEL
    return told


def _answers(then: Any, now: Any, made: Now, examples: Sequence[Any]) -> str:
    """Whether two models give the same answers."""
    for example in examples:
        try:
            asked = [_asked(model, example) for model in (then, now)]
        except Exception:  # noqa: S112 - the example of another model
            continue
        found = Found(made)
        _walk(found, asked[0], asked[1], "")
        same = "the same answers on the recorded example"
        return (
            f"other answers on the recorded example: {found.told()['text']}"
            if found.first or found.cut
            else same
        )
    return "no recorded example to ask both"


def _asked(model: Any, example: Any) -> dict[str, Any]:
    import pandas

    rows = pandas.DataFrame(example if isinstance(example, list) else [example])
    ways = [way for way in ("predict", "predict_proba") if hasattr(model, way)]
    return {way: getattr(model, way)(rows) for way in ways}


def _walk(found: Found, then: Any, now: Any, where: str, depth: int = 0) -> None:  # noqa: PLR0912 - by kind
    found.looked_at += 1
    if then is now:
        return
    if found.looked_at > CELLS or depth > _DEPTH:
        found.cut = found.cut or not _equal(then, now)
        return
    if _is_number(then) and _is_number(now) and (type(then) is type(now) or float in (type(then), type(now))):
        _numbers(found, then, now, where)
        return
    if type(then) is not type(now):
        found.add(TYPES, where, f"{type(then).__name__} -> {type(now).__name__}")
        return
    match then:
        case str():
            _texts(found, then, now, where)
        case bytes() | bytearray():
            _bytes(found, bytes(then), bytes(now), where)
        case None | bool():
            if then != now:
                found.add(VALUES, where, f"{then} -> {now}")
        case datetime.datetime() | datetime.date() | datetime.time() | datetime.timedelta():
            if then != now:
                found.add(TIMES, where, f"{then} -> {now}")
        case Mapping():
            _mappings(found, then, now, where, depth)
        case list() | tuple():
            _lists(found, then, now, where, depth)
        case set() | frozenset():
            if then != now:
                found.add(VALUES, where, f"{short(then - now)} -> {short(now - then)}")
        case Path():
            _bytes(found, then.read_bytes(), now.read_bytes(), where)
        case _:
            _objects(found, then, now, where, depth)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(found: Found, then: float, now: float, where: str) -> None:
    if then == now or (then != then and now != now):  # noqa: PLR0124 - NaN is not itself
        return
    text = f"{then!r} -> {now!r}"
    if found.now.told_by((then, then), (now, now)):
        found.add(TIMES, where, text)
    elif (isinstance(then, int) and isinstance(now, int)) or not (math.isfinite(then) and math.isfinite(now)):
        found.add(VALUES, where, text)
    else:
        absolute = abs(then - now)
        relative = absolute / max(abs(then), abs(now))
        near = absolute <= ABSOLUTE or relative <= RELATIVE
        found.add_floats(where, text, absolute, relative, near=near, count=1)


def _texts(found: Found, then: str, now: str, where: str) -> None:
    if then == now:
        return
    before, after = then.splitlines(), now.splitlines()
    told = f"{short(then)} -> {short(now)}"
    if len(before) == len(after):
        pairs = [
            (at, one, other)
            for at, (one, other) in enumerate(zip(before, after, strict=True))
            if one != other
        ]
        if pairs and len(before) > 1:
            told = f"line {pairs[0][0] + 1}, {short(pairs[0][1])} -> {short(pairs[0][2])}"
    if len(then) > _TEXT_BYTES:
        found.add(VALUES, where, told)
    elif len(before) > 1 and Counter(before) == Counter(after):
        found.add(ORDER, where, "the same lines in another order")
    elif _TIME.sub("\0", then) == _TIME.sub("\0", now):
        found.add(TIMES, where, told)
    elif _NUMBER.sub("\0", then) == _NUMBER.sub("\0", now):
        for one, other in zip(_NUMBER.findall(then), _NUMBER.findall(now), strict=True):
            both = [int(each) if each.lstrip("+-").isdecimal() else float(each) for each in (one, other)]
            _numbers(found, both[0], both[1], where)
    else:
        found.add(VALUES, where, told)


def _bytes(found: Found, then: bytes, now: bytes, where: str) -> None:
    if then == now:
        return
    if then[:2] == now[:2] == b"\x1f\x8b" and then[:4] + then[8:] == now[:4] + now[8:]:
        found.add(TIMES, where, "the time in the head of a gzip file")
        return
    try:
        _texts(found, then.decode(), now.decode(), where)
    except UnicodeDecodeError:
        size = f"{len(then)} -> {len(now)} bytes" if len(then) != len(now) else f"{len(then)} bytes"
        found.add(VALUES, where, f"{size}, other from byte {_first_other(then, now)} on")


def _first_other(then: bytes, now: bytes) -> int:
    """Where two texts of bytes part; block by block, since most of a large one is the same."""
    shorter = min(len(then), len(now))
    for start in range(0, shorter, _BLOCK_BYTES):
        one, other = then[start : start + _BLOCK_BYTES], now[start : start + _BLOCK_BYTES]
        if one != other:
            pairs = enumerate(zip(one, other, strict=False))
            return start + next((at for at, pair in pairs if pair[0] != pair[1]), min(len(one), len(other)))
    return shorter


def _mappings(found: Found, then: Mapping[Any, Any], now: Mapping[Any, Any], where: str, depth: int) -> None:
    if not _once(found, then, now):
        return
    gone, new = ([key for key in one if key not in other] for one, other in ((then, now), (now, then)))
    if gone or new:
        found.add(COLUMNS, where, f"keys {short(gone)} -> {short(new)}")
    for key in then:
        if key in now:
            _walk(found, then[key], now[key], f"{where}.{key}" if where else str(key), depth + 1)


def _lists(found: Found, then: Sequence[Any], now: Sequence[Any], where: str, depth: int) -> None:
    if not _once(found, then, now):
        return
    if len(then) != len(now):
        found.add(SIZE, where, f"{len(then)} -> {len(now)} elements")
    elif len(then) > 1 and len(then) <= CELLS and _is_plain(then) and _reordered(then, now):
        found.add(ORDER, where, "the same elements in another order")
    else:
        for at, (one, other) in enumerate(zip(then, now, strict=True)):
            _walk(found, one, other, f"{where}[{at}]", depth + 1)


def _is_plain(values: Sequence[Any]) -> bool:
    return all(
        value is None or isinstance(value, str | int | float | list | tuple | dict) for value in values[:100]
    )


def _reordered(then: Sequence[Any], now: Sequence[Any]) -> bool:
    before, after = list(map(repr, then)), list(map(repr, now))
    return before != after and Counter(before) == Counter(after)


def _once(found: Found, then: Any, now: Any) -> bool:
    """False for two that are being compared already: what refers to itself has no end."""
    pair = (id(then), id(now))
    new = pair not in found.seen
    found.seen.add(pair)
    return new


def _objects(found: Found, then: Any, now: Any, where: str, depth: int) -> None:
    """What is of a library's class, or of the user's."""

    def lists(one: Sequence[Any], other: Sequence[Any], place: str) -> None:
        _lists(found, one, other, place, depth + 1)

    if _is_of("numpy", "ndarray", then):
        compare_arrays(found, then, now, where, lists)
    elif _is_of("numpy", "generic", then):
        _walk(found, then.item(), now.item(), where, depth + 1)
    elif _is_of("pyarrow", "Table", then):
        compare_tables(found, then, now, where, lists)
    elif _is_of("torch", "Tensor", then):
        numbers = [each.detach().cpu() for each in (then, now)]
        floats = [each.float() if each.dtype.is_floating_point else each for each in numbers]
        _walk(found, floats[0].numpy(), floats[1].numpy(), where, depth + 1)
    elif _is_of("pandas", "DataFrame", then) or _is_of("polars", "DataFrame", then):
        sides = [{str(name): each[name].to_numpy() for name in each.columns} for each in (then, now)]
        _walk(found, sides[0], sides[1], where, depth + 1)
    elif hasattr(then, "SerializeToString"):
        _walk(found, str(then), str(now), where, depth + 1)
    elif _once(found, then, now) and not _equal(then, now):
        states = [_state(each) for each in (then, now)]
        if states[0] is None or states[1] is None:
            found.add(VALUES, where, f"{short(then)} -> {short(now)}")
        else:
            _walk(found, states[0], states[1], where, depth + 1)


def _is_of(library: str, name: str, value: Any) -> bool:
    return library in sys.modules and isinstance(value, getattr(sys.modules[library], name, ()))


def _equal(then: Any, now: Any) -> bool:
    try:
        return bool(then == now)
    except Exception:  # whatever a class makes of it
        return False


def _state(value: Any) -> Any:
    """What an object consists of, as pickle would take it; None for what has nothing inside."""
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    try:
        state = value.__getstate__()
    except Exception:  # as above
        state = getattr(value, "__dict__", None)
    return state if state is not value else None
