"""The graph of a run as far as it has come: what each step took of which, and where each stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from mlwright.kernel import edges
from mlwright.kernel.database import Queries
from mlwright.tracking import Run
from mlwright.workflow.attempts import Attempt, AttemptState
from mlwright.workflow.drawing import Box, Line, Picture
from mlwright.workflow.drawing.picture import Kind
from mlwright.workflow.group import Group, element_of, groups_of
from mlwright.workflow.rooms import Rooms

_SQL = Queries.beside(__file__)
_STATES = (
    *(AttemptState.RUNNING, AttemptState.FAILED, AttemptState.LOST, AttemptState.CANCELLED),
    *(AttemptState.SUCCEEDED, AttemptState.CHECKED, AttemptState.REUSED, AttemptState.SKIPPED),
)
"""Of elements that stand differently, the first of these is said of all."""


class Taken(Struct, frozen=True):
    """What a step took.

    Args:
        step: that took it.
        argument: that it became.
        maker: the step that made it; of a dataset or a model its reference.
        output: of that step; empty for what no step made.
    """

    step: str
    argument: str
    maker: str
    output: str


class RunGraph(Struct, frozen=True):
    """The graph of a run.

    Args:
        picture: its steps, each behind all that it took something from.
        states: of the steps, by name.
    """

    picture: Picture
    states: dict[str, AttemptState]


def run_graph(rooms: Rooms, reference: str) -> RunGraph:
    """The graph of a run, from what is recorded of it.

    Raises:
        NotFound: there is no such run.
    """
    run = rooms.runs.get(reference)
    attempts = rooms.attempts.of_run(run.id)
    pinned = _pinned(rooms, run)
    taken = [
        Taken(
            element_of(row["node"])[0],
            row["role"].partition(":")[2],
            element_of(row["maker"])[0] if row["maker"] else pinned.get(row["source"], ""),
            row["output"].partition(":")[2] if row["maker"] else "",
        )
        for row in rooms.database.read(_SQL["taken_in_run"], run_id=run.id)
    ]
    return graph_of(run, attempts, [each for each in taken if each.maker])


def graph_of(run: Run, attempts: Iterable[Attempt], taken: Iterable[Taken]) -> RunGraph:
    """The same, of what was read."""
    groups = {group.name: group for group in groups_of(attempts)}
    # A line goes from what stands before; a reference that has the name of a step is no step of the run.
    into: dict[str, dict[str, list[Taken]]] = {}
    several: dict[str, set[str]] = {}
    for each in taken:
        into.setdefault(each.step, {}).setdefault(each.maker, []).append(each)
        several.setdefault(each.maker, set()).add(each.output)
    boxes: list[Box] = []
    places: dict[str, int] = {}
    lines: list[Line] = []
    for name, group in groups.items():
        made: list[Line] = []
        for maker, parts in into.get(name, {}).items():
            if maker not in places:
                if maker in groups:
                    continue  # it began later: no line of a graph leads there
                places[maker] = len(boxes)
                boxes.append(Box(maker, "dataset"))
            labels = sorted({_label(part, several[maker]) for part in parts})
            made.append(Line(places[maker], -1, tuple(labels)))
        places[name] = len(boxes)
        boxes.append(_box(group))
        lines += [Line(line.source, places[name], line.labels) for line in made]
    states = {name: _state(group) for name, group in groups.items()}
    return RunGraph(Picture(run.title, tuple(boxes), tuple(lines)), states)


def _pinned(rooms: Rooms, run: Run) -> Mapping[str, str]:
    """How the run called each version that it was given, by id."""
    named = {}
    for edge in edges.made_from(rooms.database, run.end):
        _, colon, reference = edge.role.partition(":")
        if colon:
            named[edge.earlier.id] = run.pins.get(reference) or reference
    return named


def _label(part: Taken, outputs: set[str]) -> str:
    if len(outputs) > 1 and part.output != part.argument:
        return f"{part.output} → {part.argument}"
    return part.argument


def _box(group: Group) -> Box:
    last = group.latest[-1]
    kind: Kind = "gate" if "findings" in last.detail else "register" if "reference" in last.detail else "step"
    about = [", ".join(f"{count} {state}" for state, count in group.counts.items())] if group.mapped else []
    if kind == "register":
        about.append(str(last.detail["reference"]))
    return Box(group.name, kind, str(group.elements) if group.mapped else "", about=tuple(about))


def _state(group: Group) -> AttemptState:
    counts = group.counts
    if group.waiting and AttemptState.RUNNING not in counts and not counts.keys() - {AttemptState.SUCCEEDED}:
        return AttemptState.RUNNING
    return next(state for state in _STATES if state in counts)
