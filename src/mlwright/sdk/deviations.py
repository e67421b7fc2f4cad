"""What was found while two values were compared: which kinds of difference, where first, how large."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

ENCODING = "encoding"
NEAR = "floats within tolerance"
FLOATS = "floats"
ORDER = "row order"
TIMES = "times"
COLUMNS = "columns"
TYPES = "types"
SIZE = "size"
VALUES = "values"
MODEL = "model"

ABSOLUTE, RELATIVE = 1e-8, 1e-5
"""Within either, two numbers are taken for the same that was rounded otherwise; so does numpy.allclose."""
CELLS = 2_000_000
"""So many values are compared one by one, and sorted."""
_SECONDS = (1.0, 1e3, 1e6, 1e9)
_AROUND_S = 60.0
_LONG_AGO_S = 20 * 365 * 86400.0
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Now:
    """When the second value was made, in seconds since 1970: numbers like that are times."""

    begin_s: float
    end_s: float

    def told_by(self, then: tuple[float, float], now: tuple[float, float]) -> bool:
        """Whether numbers (the least and the largest of each side) tell when each side was made."""
        for unit in _SECONDS:
            first, last = self.begin_s - _AROUND_S, self.end_s + _AROUND_S
            if first <= now[0] / unit and now[1] / unit <= last:
                return last - _LONG_AGO_S <= then[0] / unit and then[1] / unit <= last
        return False


@dataclass(slots=True)
class Found:
    """What was found so far: of each kind the first, and how many.

    Args:
        cut: there is more that differs, beyond the cells or the depth that are looked at.
    """

    now: Now
    first: dict[str, str] = field(default_factory=dict)
    count: Counter[str] = field(default_factory=Counter)
    absolute: float = 0.0
    relative: float = 0.0
    looked_at: int = 0
    seen: set[tuple[int, int]] = field(default_factory=set)
    cut: bool = False

    def add(self, kind: str, where: str, text: str, count: int = 1) -> None:
        """One of a kind, or so many with the first of them."""
        self.first.setdefault(kind, f"{where or 'the value'}: {text}")
        self.count[kind] += count

    def add_floats(
        self, where: str, text: str, absolute: float, relative: float, *, near: bool, count: int
    ) -> None:
        """Numbers that differ by so much at most."""
        self.absolute = max(self.absolute, absolute)
        self.relative = max(self.relative, relative)
        self.add(NEAR if near else FLOATS, where, text, count)

    def told(self) -> dict[str, Any]:
        """All that was found, as `kind`, `text` and the largest differences of floats."""
        if FLOATS in self.first:
            self.first.pop(NEAR, None)
        kinds = [VALUES] if VALUES in self.first else list(self.first)
        if not kinds and self.cut:
            return {"kind": VALUES, "text": "they differ beyond what was looked at"}
        if not kinds:
            return {"kind": ENCODING, "text": "the values are equal, their bytes are not"}
        lines = []
        for kind in kinds:
            text = self.first[kind]
            if kind in {NEAR, FLOATS}:
                numbers = self.count[NEAR] + self.count[FLOATS]
                text += (
                    f"; {numbers} in all, by {self.absolute:.2g} or {self.relative:.2g} of the value at most"
                )
            elif self.count[kind] > 1:
                text += f"; {self.count[kind]} in all"
            lines.append(text)
        told: dict[str, Any] = {"kind": ", ".join(kinds), "text": "; ".join(lines)}
        if {NEAR, FLOATS} & set(kinds):
            told |= {"max_absolute": self.absolute, "max_relative": self.relative}
        return told


def short(value: Any) -> str:
    """A value in a few letters."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
