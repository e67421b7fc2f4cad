"""What may differ between two servers that answer alike: names that each makes up, times, places."""

from __future__ import annotations

import json
import re
import time
from typing import Any

_RUN, _EXPERIMENT, _MODEL = "run", "experiment", "model"
_IDENTITIES = {
    "run_id": _RUN,
    "run_uuid": _RUN,
    "source_run_id": _RUN,
    "destination_id": _RUN,
    "source_id": _RUN,
    "mlflow.parentRunId": _RUN,
    "experiment_id": _EXPERIMENT,
    "model_id": _MODEL,
    "source_model_id": _MODEL,
    "model_uuid": "signed",
    "upload_id": "upload",
}
"""Fields that hold an identity, and of what."""
_DAY_S = 86_400
_MADE_UP = re.compile(r"[a-z]+-[a-z]+-\d{1,4}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)?")
_MILLISECONDS = re.compile(r"(?<![\d.])1[6-9]\d{11}(?![\d.])")
_IDENTITY = re.compile(r"(?<![0-9A-Za-z])((m-)?[0-9a-f]{32}|01[0-9A-HJKMNP-TV-Z]{24})(?![0-9A-Za-z])")
_PLACE = re.compile(r"(?<=mlflow-artifacts:/)\d+(?=/|$)")
_COMMIT = "mlflow.source.git.commit"
"""Of the repository that the tests run in, which others may change meanwhile."""


def normal(answers: dict[str, Any], *places: tuple[str, str]) -> dict[str, Any]:
    """The answers with every name that was made up replaced by what it names, in the order they came.

    Args:
        answers: by step.
        places: texts that stand for something, and what they are replaced by.
    """
    known: dict[str, str] = {}
    for value in answers.values():
        _collect(value, known)
    table = {value: name for value, name in known.items() if len(value) > 12} | dict(places)
    pattern = re.compile("|".join(map(re.escape, sorted(table, key=len, reverse=True))) or "(?!)")
    return {
        step: _normal("", value, known, lambda text: pattern.sub(lambda found: table[found[0]], text))
        for step, value in answers.items()
    }


def _collect(value: Any, known: dict[str, str], key: str = "") -> None:
    if isinstance(value, dict):
        for name in sorted(value):
            _collect(value[name], known, name)
        if value.get("key") == "mlflow.parentRunId":
            _collect(value.get("value"), known, "run_id")
    elif isinstance(value, list):
        for each in value:
            _collect(each, known, key)
    elif isinstance(value, str) and value and value not in known and (kind := _IDENTITIES.get(key)):
        count = sum(name.startswith(f"<{kind} ") for name in known.values())
        known[value] = f"<{kind} {count + 1}>"


def _normal(key: str, value: Any, known: dict[str, str], replaced: Any) -> Any:
    if isinstance(value, dict):
        return {replaced(name): _normal(name, each, known, replaced) for name, each in value.items()}
    if isinstance(value, list):
        those = [_normal(key, each, known, replaced) for each in value]
        return sorted(those, key=lambda each: str(each["key"])) if _is_map(those) else those
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        now_s = time.time()
        return "<now>" if abs(value / 1000 - now_s) < _DAY_S or abs(value / 1e6 - now_s) < _DAY_S else value
    assert isinstance(value, str), value
    return _text(key, value, known, replaced)


def _is_map(value: list[Any]) -> bool:
    """Whether these are keys with their values, as Protocol Buffers writes a map: in no order."""
    return all(isinstance(each, dict) and each.keys() == {"key", "value"} for each in value)


def _text(key: str, value: str, known: dict[str, str], replaced: Any) -> str:
    if key in _IDENTITIES:
        return known.get(value, value)
    if _MADE_UP.fullmatch(value):
        return "<name made up>"
    if value[:1] in "{[" and isinstance(inner := _json(value), dict | list):
        _collect(inner, known)
        return "json " + json.dumps(_normal(key, inner, known, replaced), sort_keys=True, default=str)
    value = "<commit>" if key == _COMMIT else replaced(value)
    value = _IDENTITY.sub("<identity>", _PLACE.sub("<experiment>", value))
    return _MILLISECONDS.sub("<now>", _MOMENT.sub("<moment>", value))


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_float=lambda number: f"float {float(number)!r}")
    except ValueError:
        return None


def unlike(ours: Any, theirs: Any, at: str = "") -> list[str]:
    """Where two answers differ, one line each."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        lines = []
        for name in sorted(ours.keys() | theirs.keys()):
            if name not in ours or name not in theirs:
                lines.append(f"{at}.{name}: {_shown(ours, name)} here, {_shown(theirs, name)} there")
            else:
                lines += unlike(ours[name], theirs[name], f"{at}.{name}")
        return lines
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [
            line
            for index, pair in enumerate(zip(ours, theirs, strict=True))
            for line in unlike(*pair, f"{at}[{index}]")
        ]
    return [] if type(ours) is type(theirs) and ours == theirs else [f"{at}: {ours!r} here, {theirs!r} there"]


def _shown(value: dict[str, Any], name: str) -> str:
    return repr(value[name]) if name in value else "nothing"
