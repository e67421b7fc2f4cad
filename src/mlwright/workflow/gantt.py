"""A run as bars on a common axis of time, for the terminal: a row for each step. Pure.

    load         ██████                                     1.2 s
    fit[8]             ··▒▒▒▒▒▒▒▒▒▒▒▒████                   8 times 0.4 s
    evaluate                             ██                 0.1 s

What is on the critical path is solid, what is not is lighter; dots stand for waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Literal

from msgspec import Struct
from rich.cells import cell_len, set_cell_size

from mlwright.kernel.clock import show_seconds
from mlwright.kernel.ids import AttemptId
from mlwright.workflow.attempts import AttemptState
from mlwright.workflow.costs import StepCost
from mlwright.workflow.group import element_of
from mlwright.workflow.profile import Profile
from mlwright.workflow.timeline import Span

Ink = Literal["idle", "waiting", "ran", "critical", "failed"]
"""What a cell of a bar says; of two things in one cell the later in this order."""

_INKS: tuple[Ink, ...] = ("idle", "waiting", "ran", "critical", "failed")
_FANCY: dict[Ink, str] = {"idle": " ", "waiting": "·", "ran": "▒", "critical": "█", "failed": "▞"}
_PLAIN: dict[Ink, str] = {"idle": " ", "waiting": ".", "ran": "=", "critical": "#", "failed": "x"}
_WORDS: dict[Ink, str] = {
    "critical": "critical path",
    "ran": "other",
    "waiting": "waiting",
    "failed": "failed",
}
_LONGEST_LABEL = 28
_LEAST_BAR = 10


class Row(Struct, frozen=True):
    """A line on the screen; `bar` is in pieces of one ink, as wide in every row."""

    label: str
    bar: tuple[tuple[Ink, str], ...]
    tail: str

    @property
    def text(self) -> str:
        """The line without colour."""
        return f"{self.label}  {''.join(text for _, text in self.bar)}  {self.tail}".rstrip()


def gantt(profile: Profile, *, width: int = 80, encoding: str = "utf-8") -> list[Row]:
    """The rows to print.

    Args:
        profile: of the run.
        width: of the screen, in cells.
        encoding: of the screen; one without blocks gets ASCII.
    """
    glyphs, cut = (_FANCY, "…") if _can_show(encoding) else (_PLAIN, "~")
    by_step: dict[str, list[Span]] = {}
    for span in profile.spans:
        by_step.setdefault(element_of(span.node)[0], []).append(span)
    critical = {span.attempt for span in profile.critical_path}
    steps = sorted(profile.steps, key=lambda step: step.began_s or 0.0)
    tails = [_tail(step) for step in steps]
    names = [step.label.encode(encoding, "backslashreplace").decode(encoding) for step in steps]
    labels = _labels(names, min(_LONGEST_LABEL, width // 3), cut)
    room = width - max(map(cell_len, labels), default=0) - max(map(len, tails), default=0) - 4
    cells = max(room, _LEAST_BAR)
    total_s = max([profile.wall_s, *(span.ended_s for span in profile.spans)]) or 1.0
    rows = []
    for step, label, tail in zip(steps, labels, tails, strict=True):
        inks = _inks(by_step.get(step.name, ()), critical, total_s, cells)
        bar = tuple((ink, glyphs[ink] * len(list(run))) for ink, run in groupby(inks))
        rows.append(Row(label, bar, tail))
    return rows


def legend(encoding: str = "utf-8") -> list[tuple[Ink, str, str]]:
    """What the marks mean, as (ink, mark, word).

    Args:
        encoding: of the screen.
    """
    glyphs = _FANCY if _can_show(encoding) else _PLAIN
    return [(ink, glyphs[ink], word) for ink, word in _WORDS.items()]


def _inks(spans: Iterable[Span], critical: set[AttemptId], total_s: float, cells: int) -> list[Ink]:
    """What each cell of a bar says."""
    strongest = [0] * cells
    for span in spans:
        _paint(strongest, "waiting", span.ready_s / total_s, span.began_s / total_s)
        ink: Ink = "critical" if span.attempt in critical else "ran"
        if span.state in {AttemptState.FAILED, AttemptState.CANCELLED}:
            ink = "failed"
        _paint(strongest, ink, span.began_s / total_s, span.ended_s / total_s, least=1)
    return [_INKS[each] for each in strongest]


def _paint(strongest: list[int], ink: Ink, since: float, until: float, least: int = 0) -> None:
    """Paint a part of a bar, from a share of it to another; at least so many cells."""
    cells, rank = len(strongest), _INKS.index(ink)
    first = max(0, min(int(since * cells), cells - least))
    beyond = max(first + least, min(round(until * cells), cells))
    for place in range(first, beyond):
        strongest[place] = max(strongest[place], rank)


def _tail(step: StepCost) -> str:
    parts = []
    if step.ran:
        parts.append((f"{step.ran} times " if step.ran > 1 else "") + show_seconds(step.wall_s / step.ran))
    if step.reused:
        count = f"{step.reused} " if step.elements > 1 else ""
        parts.append(f"{count}reused, saved {show_seconds(step.saved_s)}")
    return ", ".join(parts)


def _labels(names: Sequence[str], most: int, cut: str) -> list[str]:
    """Names as wide as each other, the longest ones cut."""
    shown = [
        name if cell_len(name) <= most else set_cell_size(name, most - 1).rstrip() + cut for name in names
    ]
    widest = max(map(cell_len, shown), default=0)
    return [set_cell_size(name, widest) for name in shown]


def _can_show(encoding: str) -> bool:
    try:
        "".join([*_FANCY.values(), "…"]).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
