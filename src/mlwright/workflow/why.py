"""Why a step ran: what differs from the closest earlier success, in words."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlwright.kernel import edges
from mlwright.kernel.errors import NotFound, nearest
from mlwright.kernel.ids import short
from mlwright.versioning import Version
from mlwright.workflow.attempts import Attempt, AttemptState
from mlwright.workflow.code import CodeIndex, Unit
from mlwright.workflow.fingerprint import Fingerprint
from mlwright.workflow.rooms import Rooms


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs.

    Args:
        kind: `code`, `package`, `interpreter`, `argument` or `seed`.
        text: in words.
        diff: of source, as a unified diff; empty for what has none.
    """

    kind: str
    text: str
    diff: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an attempt ran or was reused, and the attempt it is compared with, if there is one."""

    attempt: Attempt
    summary: str
    closest: Attempt | None = None
    differences: tuple[Difference, ...] = ()


def why(rooms: Rooms, reference: str, step: str) -> Explanation:
    """Say why a step of a run ran, or was reused.

    Raises:
        NotFound: no such run, or the run has no such step.
    """
    run = rooms.runs.get(reference)
    tries = rooms.attempts.of_run(run.id)
    mine = [attempt for attempt in tries if attempt.node == step]
    if not mine:
        known = sorted({attempt.node for attempt in tries})
        raise NotFound(f"run {short(run.id)} has no step `{step}`", hint=nearest(step, known))
    attempt = mine[-1]
    if attempt.state is AttemptState.REUSED:
        source = edges.made_from(rooms.database, attempt.end, "reuses")[0].earlier.id
        made = rooms.attempts.find(source)
        where = f" of run {short(made.run_id)}" if made else ""
        return Explanation(attempt, f"reused: code, packages, arguments and seed are those{where}", made)
    now = rooms.attempts.fingerprint(attempt.fingerprint) if attempt.fingerprint else None
    if now is None:
        return Explanation(attempt, _without_fingerprint(attempt))
    return explain(rooms, attempt, now)


def explain(rooms: Rooms, attempt: Attempt, now: Fingerprint) -> Explanation:
    """Compare with the earlier success that differs least."""
    best: tuple[int, Attempt, Fingerprint] | None = None
    for earlier in rooms.attempts.earlier_successes(attempt, now.basis.step):
        then = rooms.attempts.fingerprint(earlier.fingerprint) if earlier.fingerprint else None
        if then is not None:
            distance = sum(1 for _ in _changes(then, now))
            if best is None or distance < best[0]:
                best = (distance, earlier, then)
    if best is None:
        return Explanation(attempt, "ran: this step has not succeeded before")
    _, closest, then = best
    told = tuple(_tell(rooms, attempt, closest, change) for change in _changes(then, now))
    if not told:
        return Explanation(
            attempt, f"ran: the cache was off; nothing differs from run {short(closest.run_id)}", closest
        )
    return Explanation(attempt, f"ran: this differs from run {short(closest.run_id)}", closest, told)


@dataclass(frozen=True, slots=True)
class _Change:
    kind: str
    name: str
    then: Any
    now: Any


def _changes(then: Fingerprint, now: Fingerprint) -> Iterator[_Change]:
    yield from _compare("code", then.basis.parts["code"], now.basis.parts["code"])
    yield from _compare("package", then.basis.parts["packages"], now.basis.parts["packages"])
    for name in ("python", "platform"):
        yield from _compare("interpreter", {name: then.basis.parts[name]}, {name: now.basis.parts[name]})
    yield from _compare("argument", then.inputs["arguments"], now.inputs["arguments"])
    yield from _compare("seed", {"seed": then.inputs["seed"]}, {"seed": now.inputs["seed"]})


def _compare(kind: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[_Change]:
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name):
            yield _Change(kind, name, then.get(name), now.get(name))


def _tell(rooms: Rooms, attempt: Attempt, closest: Attempt, change: _Change) -> Difference:
    match change.kind:
        case "code":
            return _tell_code(rooms, attempt, closest, change.name)
        case "package":
            return Difference("package", f"{change.name} {_package(change)}")
        case "argument":
            return Difference("argument", _tell_argument(rooms, attempt, closest, change))
        case "seed":
            then, now = ("none" if seed is None else seed[0] for seed in (change.then, change.now))
            return Difference("seed", f"the run's seed {then} -> {now}")
    return Difference(change.kind, f"{change.name} {change.then} -> {change.now}")


def _tell_code(rooms: Rooms, attempt: Attempt, closest: Attempt, key: str) -> Difference:
    if key.startswith("file:"):
        return Difference("code", f"the file {key.removeprefix('file:')}, which the step names, differs")
    module, _, label = key.partition(":")
    if label == "order":
        return Difference("code", f"the order of statements in {module} differs")
    if label.startswith("import "):
        return Difference("code", f"`{label.removeprefix('import ')}` in {module} is imported from elsewhere")
    then, now = _unit(rooms, closest, key), _unit(rooms, attempt, key)
    name = label.replace("effect#", "effect ")
    place = now or then
    at = f" in {place.file} (line {place.line})" if place else ""
    verb = "changed" if then and now else ("is new" if now else "is gone")
    lines = difflib.unified_diff(_lines(then), _lines(now), "then", "now", lineterm="")
    return Difference("code", f"`{name}`{at} {verb}", "\n".join(lines))


def _unit(rooms: Rooms, attempt: Attempt, key: str) -> Unit | None:
    run = rooms.runs.get(attempt.run_id)
    code = rooms.materialise(
        rooms.snapshots.get(edges.made_from(rooms.database, run.end, "code")[0].earlier.id)
    )
    return CodeIndex(code, code / "src").unit(key)


def _lines(unit: Unit | None) -> list[str]:
    return unit.source.splitlines() if unit else []


def _package(change: _Change) -> str:
    then, now = ((pin or "not there").partition(" ")[0] for pin in (change.then, change.now))
    return f"{then}: other files under the same version" if then == now else f"{then} -> {now}"


def _tell_argument(rooms: Rooms, attempt: Attempt, closest: Attempt, change: _Change) -> str:
    then, now = change.then or {}, change.now or {}
    if "value" in then and "value" in now:
        return f"argument `{change.name}` {then['value']!r} -> {now['value']!r}"
    if "dataset" in then and "dataset" in now:
        versions = [_version(rooms, each, change.name) for each in (closest, attempt)]
        shown = [version.reference if version else "?" for version in versions]
        return f"input `{change.name}` differs: dataset {shown[0]} -> {shown[1]}"
    if "artifact" in then and "artifact" in now:
        return f"input `{change.name}` differs: b3:{then['artifact'][:12]} -> b3:{now['artifact'][:12]}"
    if not change.then or not change.now:
        return f"argument `{change.name}` is {'new' if change.now else 'gone'}"
    return f"argument `{change.name}` is put together of other values"


def _version(rooms: Rooms, attempt: Attempt, name: str) -> Version | None:
    found = edges.made_from(rooms.database, attempt.end, f"input:{name}")
    return rooms.datasets.versions.by_id(found[0].earlier.id) if found else None


def _without_fingerprint(attempt: Attempt) -> str:
    if attempt.state is AttemptState.SKIPPED:
        return f"skipped: {attempt.detail.get('note', '')}"
    if attempt.state is AttemptState.CHECKED or "passed" in attempt.detail:
        return "a judgement: made every time"
    return "ran: this step is never cached"
