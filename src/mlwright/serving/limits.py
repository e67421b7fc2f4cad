"""The limits of requests as a user changes them: by name, in the settings, on the command line, in Python."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import asdict

from mlwright.kernel.errors import Invalid, nearest
from mlwright.serving.spec import Limits

SETTINGS = "[tool.mlwright.serve]"
_MAY_BE_NOTHING = frozenset({"batch_wait_ms"})
_FRACTIONS = frozenset({"batch_wait_ms"})
_MOST = 2**53


def limits_of(settings: Mapping[str, Any], words: Sequence[str] = ()) -> Limits:
    """The limits that a project's settings ask for, and the command line over them.

    Args:
        settings: of `[tool.mlwright.serve]`, by name.
        words: each `NAME=NUMBER`.

    Raises:
        Invalid: there is no such limit, or it cannot be that.
    """
    asked = {name: _known(name, value, f"{SETTINGS} of pyproject.toml") for name, value in settings.items()}
    for word in words:
        name, equals, text = (each.strip() for each in word.partition("="))
        if not equals:
            raise Invalid(f"--limit {word} gives no number", hint=f"write it as --limit {name or 'rows'}=100")
        asked[name] = _known(name, _number(text), f"--limit {word}")
    return checked_limits(Limits(**asked))


def checked_limits(limits: Limits) -> Limits:
    """Itself.

    Raises:
        Invalid: a limit cannot be that.
    """
    for name, value in asdict(limits).items():
        _check(name, value, "")
    if limits.file_bytes > limits.spool_bytes:
        raise Invalid(
            f"`file_bytes` is {limits.file_bytes:,}, more than the {limits.spool_bytes:,} of `spool_bytes`:"
            " such a file would be refused always",
            hint="raise `spool_bytes` as well",
        )
    return limits


def changed_limits(limits: Limits) -> dict[str, Any]:
    """Those that are not as they are by default, by name."""
    default = asdict(Limits())
    return {name: value for name, value in asdict(limits).items() if value != default[name]}


def _known(name: str, value: Any, where: str) -> Any:
    if name not in Limits.__struct_fields__:
        there = ", ".join(Limits.__struct_fields__)
        close = nearest(name, list(Limits.__struct_fields__)) if name else ""
        hint = f"{close}; " if close.startswith("did") else ""
        raise Invalid(f"there is no limit `{name}`", where=where, hint=f"{hint}limits: {there}")
    return _check(name, value, where)


def _check(name: str, value: Any, where: str) -> Any:
    """The value itself.

    Raises:
        Invalid: the limit of that name cannot be that.
    """
    kinds = (int, float) if name in _FRACTIONS else (int,)
    least = 0 if name in _MAY_BE_NOTHING else 1
    number = isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not least <= value <= _MOST:
        what = "a number" if name in _FRACTIONS else "a whole number"
        default = getattr(Limits(), name)
        raise Invalid(
            f"the limit `{name}` must be {what} from {least} on, not {value!r}",
            where=where or None,
            hint=f"leave it out for {default:,}",
        )
    return value


def _number(text: str) -> Any:
    """A number as it was typed; what is none stays text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
