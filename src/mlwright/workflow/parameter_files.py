"""Parameters from a file: TOML, YAML or JSON, by its suffix; names to values, as a pipeline takes them."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterable
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from mlwright.kernel.errors import Invalid, NotFound
from mlwright.sdk.types import with_article

_WORDS: dict[type, str] = {
    list: "a list",
    str: "text",
    bytes: "bytes",
    set: "a set",
    date: "a date",
    datetime: "a date with a time",
    time: "a time of day",
}


class _Refused(Exception):
    """What is wrong with a file, and in which line, as far as that is known."""

    def __init__(self, why: str, line: int | None = None, hint: str | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.line = line
        self.hint = hint


def read_parameters(path: Path) -> dict[str, Any]:
    """The parameters in a file. Whether they are those of a pipeline, and of the right types, `bind` says.

    Args:
        path: ends in `.toml`, `.yaml`, `.yml` or `.json`; holds names with JSON values.

    Raises:
        NotFound: there is no such file.
        Invalid: another suffix, a file that is not what its suffix says, no names, a name that is given
            twice, or a value that JSON does not have (a date).
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise Invalid(
            f"{path.name!r} is no file of parameters",
            where=str(path),
            hint="they are in .toml, .yaml, .yml or .json: let the name end so",
        )
    try:
        found = _parsed(path, read)
        if not isinstance(found, dict):
            raise _Refused(f"it holds {_WORDS.get(type(found), 'one value')}, and no names")
        _check(found, "", ())
    except _Refused as refused:
        raise Invalid(
            f"the parameters in {path.name!r} cannot be read: {refused.why}",
            where=f"{path}:{refused.line}" if refused.line else str(path),
            hint=refused.hint or f"write each as {_EXAMPLES[read]}",
        ) from refused
    return found


def _parsed(path: Path, read: Any) -> Any:
    try:
        return read(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}", hint="a path from where you are, or whole") from error
    except OSError as error:
        raise _Refused(f"the system says: {error.strerror}", hint="give a file that can be read") from error
    except UnicodeDecodeError as error:
        raise _Refused(f"it is not UTF-8 text: {error.reason}", hint="save it as UTF-8") from error
    except RecursionError as error:
        raise _Refused("it is nested too deeply") from error
    except ValueError as error:
        raise _Refused(str(error)) from error


def _toml(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # The place is only told in words: `(at line 3, column 7)`, or `(at end of document)`.
        why, _, place = str(error).rpartition(" (at ")
        line = re.match(r"line (\d+)", place)
        raise _Refused(why, int(line[1]) if line else text.rstrip().count("\n") + 1) from error


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise _Refused(error.msg, error.lineno) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if twice := _twice(name for name, _ in pairs):
        raise _Refused(f"`{twice}` is given twice")
    return dict(pairs)


def _yaml(text: str) -> Any:
    import yaml  # 65 ms, for who writes YAML

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # it has no types
        """Plain values; a name that is given twice is refused, where YAML lets the last one win."""

        def compose_mapping_node(self, anchor: Any) -> Any:
            node = super().compose_mapping_node(anchor)
            names = [key for key, _ in node.value if key.tag == "tag:yaml.org,2002:str"]
            if twice := _twice(key.value for key in names):
                last = [key for key in names if key.value == twice][-1]
                raise _Refused(f"`{twice}` is given twice", last.start_mark.line + 1)
            return node

    try:
        found = yaml.load(text, Loader)  # noqa: S506  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _Refused(str(error.problem or error.context), mark.line + 1 if mark else None) from error
    except yaml.reader.ReaderError as error:
        raise _Refused(error.reason, text[: error.position].count("\n") + 1) from error
    except (AttributeError, LookupError, TypeError) as error:
        # A value that its own tag cannot read (`!!bool maybe`) raises whatever comes.
        raise _Refused(f"a value does not fit its tag: {error}") from error
    # A file without a word says as much as one of TOML does.
    return {} if found is None else found


def _twice(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _check(value: Any, name: str, above: tuple[int, ...]) -> None:
    """Refuse what JSON does not have: parameters are recorded as JSON.

    Args:
        name: of the value, as `splits[2].share`.
        above: what the value lies in, by identity: in YAML a list can hold itself.
    """
    if id(value) in above:
        raise _Refused(f"`{name}` holds itself")
    within = (*above, id(value))
    match value:
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise _Refused(f"the name {key!r} is not text", hint="put it in quotes")
                _check(item, f"{name}.{key}" if name else key, within)
        case list():
            for at, item in enumerate(value):
                _check(item, f"{name}[{at}]", within)
        case float() if not math.isfinite(value):
            raise _Refused(f"`{name}` is {value}, which cannot be recorded", hint="give a finite number")
        case None | bool() | int() | float() | str():
            pass
        case _:
            what = _WORDS.get(type(value), with_article(type(value).__name__))
            raise _Refused(f"`{name}` is {what}, which no parameter can be", hint="put it in quotes: as text")


_READERS = {".toml": _toml, ".yaml": _yaml, ".yml": _yaml, ".json": _json}
_EXAMPLES = {_toml: "NAME = VALUE, text in quotes", _yaml: "NAME: VALUE", _json: '{"NAME": VALUE, ...}'}
