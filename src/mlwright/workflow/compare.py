"""Two runs beside each other: what they were made with, what they made, and how long that took."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct

from mlwright.environments import packages_of
from mlwright.kernel import edges
from mlwright.kernel.digest import Digest
from mlwright.kernel.edges import End
from mlwright.storage import Tree
from mlwright.tracking import Run
from mlwright.workflow.group import Group, groups_of
from mlwright.workflow.outputs import Comparison, compare, outputs_of
from mlwright.workflow.rooms import Rooms

_SHOWN_BYTES = 1 << 20
"""A larger file is said to differ, and not how."""


class Changed(Struct, frozen=True):
    """A thing that differs; None where it is not there."""

    name: str
    then: Any
    now: Any


class FileChange(Struct, frozen=True):
    """A file of the code that differs; `diff` is empty when it was not asked for or cannot be shown."""

    path: str
    verdict: Literal["added", "removed", "changed"]
    diff: str = ""


class UnitChange(Struct, frozen=True):
    """A statement of the code, by `module:name`, that differs and that these steps reach."""

    unit: str
    verdict: Literal["added", "removed", "changed"]
    steps: tuple[str, ...]


class MetricChange(Struct, frozen=True):
    """A metric that both have, or one; `difference` is `now` less `then`."""

    name: str
    then: float | None
    now: float | None
    difference: float | None


class Duration(Struct, frozen=True):
    """How long all that ran of a step took together; None when nothing did. The states are counted."""

    step: str
    then_s: float | None
    now_s: float | None
    then_states: dict[str, int]
    now_states: dict[str, int]


class RunComparison(Struct, frozen=True):
    """Two runs beside each other. What is the same is left out, but for metrics, outputs and durations.

    Args:
        then: the first.
        now: the second.
        code: whether their snapshots have the same files.
        data: dataset versions, and those models that gates compared with, by what asked for them.
        packages: by `NAME`, or `ENVIRONMENT/NAME` beside the project's own.
        settings: of the runs: pipeline, kind, seed.
    """

    then: Run
    now: Run
    code: bool
    files: tuple[FileChange, ...]
    units: tuple[UnitChange, ...]
    data: tuple[Changed, ...]
    parameters: tuple[Changed, ...]
    settings: tuple[Changed, ...]
    packages: tuple[Changed, ...]
    machine: tuple[Changed, ...]
    metrics: tuple[MetricChange, ...]
    outputs: tuple[Comparison, ...]
    durations: tuple[Duration, ...]


class Side(Struct, frozen=True):
    """One of the two runs, as it is recorded.

    Args:
        parameters: that it was given, and that its steps logged.
        files: of its code, by path.
        units: by step, what it reaches: units with their digests.
        data: references by what asked for them.
        packages: as `RunComparison`, each as it is shown.
        outputs: digests by (node, output); what was logged is an output too.
    """

    run: Run
    parameters: dict[str, Any]
    metrics: dict[str, float]
    files: dict[str, Digest]
    units: dict[str, dict[str, str]]
    data: dict[str, str]
    packages: dict[str, str]
    outputs: dict[tuple[str, str], str]
    groups: tuple[Group, ...]


def compare_runs(rooms: Rooms, first: str, second: str, *, with_diff: bool = False) -> RunComparison:
    """What differs between two runs.

    Args:
        rooms: where both are recorded.
        first: a run.
        second: another.
        with_diff: also say how files differ, line by line.

    Raises:
        NotFound: there is no such run.
    """
    then, now = (side_of(rooms, rooms.runs.get(reference)) for reference in (first, second))

    def show(path: str) -> str:
        return _diff(rooms, path, then.files.get(path), now.files.get(path)) if with_diff else ""

    return compared(then, now, show)


def compared(then: Side, now: Side, show: Callable[[str], str] = lambda path: "") -> RunComparison:
    """What differs between two sides; `show` says how a file does."""
    settings = [{"pipeline": run.pipeline, "kind": run.kind, "seed": run.seed} for run in (then.run, now.run)]
    return RunComparison(
        then=then.run,
        now=now.run,
        code=then.files == now.files,
        files=tuple(
            FileChange(each.name, _verdict(each), show(each.name))
            for each in changes_between(then.files, now.files)
        ),
        units=tuple(_unitchanges_between(then.units, now.units)),
        data=tuple(changes_between(then.data, now.data)),
        parameters=tuple(changes_between(then.parameters, now.parameters)),
        settings=tuple(changes_between(*settings)),
        packages=tuple(changes_between(then.packages, now.packages)),
        machine=tuple(changes_between(then.run.machine, now.run.machine)),
        metrics=tuple(
            metric_change(name, then.metrics.get(name), now.metrics.get(name))
            for name in sorted({*then.metrics, *now.metrics})
        ),
        outputs=compare(then.outputs, now.outputs),
        durations=tuple(_durations(then.groups, now.groups)),
    )


def changes_between(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Changed]:
    """What differs, by name. 1, 1.0 and true are three values."""
    missing = object()
    return [
        Changed(name, then.get(name), now.get(name))
        for name in sorted({*then, *now})
        if repr(then.get(name, missing)) != repr(now.get(name, missing))
    ]


def _verdict(change: Changed) -> Literal["added", "removed", "changed"]:
    if change.then is None:
        return "added"
    return "removed" if change.now is None else "changed"


def _unitchanges_between(
    then: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]
) -> list[UnitChange]:
    """The units that differ, each with the steps that reach it; a step that only one has is no difference."""
    found: dict[str, list[str]] = {}
    verdicts = {}
    for step in then:
        for change in changes_between(then[step], now[step]) if step in now else ():
            found.setdefault(change.name, []).append(step)
            verdicts[change.name] = _verdict(change)
    return [UnitChange(unit, verdicts[unit], tuple(found[unit])) for unit in sorted(found)]


def metric_change(name: str, then: float | None, now: float | None) -> MetricChange:
    """A metric of two sides, and how far they are apart."""
    known = then is not None and now is not None and math.isfinite(then) and math.isfinite(now)
    return MetricChange(name, then, now, now - then if known else None)  # type: ignore[operator]


def _durations(then: Iterable[Group], now: Iterable[Group]) -> list[Duration]:
    before, after = ({group.name: group for group in groups} for groups in (then, now))
    return [
        Duration(
            name,
            _took_s(before.get(name)),
            _took_s(after.get(name)),
            _states(before.get(name)),
            _states(after.get(name)),
        )
        for name in [*before, *(name for name in after if name not in before)]
    ]


def _took_s(group: Group | None) -> float | None:
    told = [] if group is None else [each.wall_s for each in group.attempts if each.wall_s is not None]
    return sum(told) if told else None


def _states(group: Group | None) -> dict[str, int]:
    return {} if group is None else {str(state): count for state, count in group.counts.items()}


def side_of(rooms: Rooms, run: Run) -> Side:
    """A run as it is recorded; the two that are compared may be recorded in different workspaces."""
    made_with = {edge.role: edge.earlier for edge in edges.made_from(rooms.database, run.end)}
    attempts = rooms.attempts.of_run(run.id)
    groups = tuple(groups_of(attempts))
    return Side(
        run=run,
        parameters=rooms.runs.parameters(run.id) | rooms.runs.logged_parameters(run.id),
        metrics={metric.name: metric.value for metric in rooms.runs.metrics(run.id)},
        files={entry.path: entry.digest for entry in _tree(rooms, made_with).entries},
        units={group.name: units for group in groups if (units := _units(rooms, group))},
        data={
            role: rooms.datasets.versions.by_id(end.id).reference
            for role, end in made_with.items()
            if role.startswith(("data:", "reference:"))
        },
        packages=packages_behind(rooms, made_with),
        outputs=outputs_of(rooms, run, attempts),
        groups=groups,
    )


def _tree(rooms: Rooms, made_with: Mapping[str, End]) -> Tree:
    code = made_with.get("code")
    return Tree(()) if code is None else rooms.snapshots.tree(rooms.snapshots.get(code.id))


def _units(rooms: Rooms, group: Group) -> dict[str, str]:
    """What a step reaches; all its elements reach the same."""
    cached = next((attempt for attempt in group.attempts if attempt.fingerprint), None)
    fingerprint = rooms.attempts.fingerprint(cached.id) if cached else None
    return {} if fingerprint is None else fingerprint.basis.parts["code"]


def packages_behind(rooms: Rooms, made_with: Mapping[str, End]) -> dict[str, str]:
    """Each package of each environment, with its version; and the interpreter of the project's own."""
    found: dict[str, str] = {}
    for role, end in made_with.items():
        if not role.startswith("environment"):
            continue
        prefix = f"{role.partition(':')[2]}/" if ":" in role else ""
        lock = rooms.environments.get(end.id)
        held = {
            "python": lock.python,
            "platform": lock.platform,
            **packages_of(rooms.environments.text(lock)),
        }
        found |= {f"{prefix}{name}": shown for name, shown in held.items()}
    return found


def _diff(rooms: Rooms, path: str, then: Digest | None, now: Digest | None) -> str:
    sides = [_lines(rooms, digest) for digest in (then, now)]
    if None in sides:
        return "(not shown: it is large, or no text)"
    names = [f"then/{path}" if then else "/dev/null", f"now/{path}" if now else "/dev/null"]
    return "\n".join(difflib.unified_diff(sides[0] or [], sides[1] or [], names[0], names[1], lineterm=""))


def _lines(rooms: Rooms, digest: Digest | None) -> list[str] | None:
    data = b"" if digest is None else rooms.objects.get(digest)
    if len(data) > _SHOWN_BYTES or b"\0" in data:
        return None
    try:
        return data.decode().splitlines()
    except UnicodeDecodeError:
        return None
