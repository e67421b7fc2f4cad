"""Why a step ran: what differs from the closest earlier success, in words."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from msgspec import Struct

from mlwright.kernel import edges
from mlwright.kernel.clock import now_us
from mlwright.kernel.digest import Digest
from mlwright.kernel.errors import NotFound, nearest
from mlwright.kernel.ids import short
from mlwright.versioning import Version
from mlwright.workflow.attempts import Attempt, AttemptState
from mlwright.workflow.code import CodeIndex, Unit
from mlwright.workflow.fingerprint import Fingerprint
from mlwright.workflow.rooms import Rooms


class Difference(Struct, frozen=True):
    """One thing that differs.

    Args:
        kind: `code`, `package`, `interpreter`, `argument` or `seed`.
        text: in words.
        diff: of source, as a unified diff; empty for what has none.
    """

    kind: str
    text: str
    diff: str = ""


class Explanation(Struct, frozen=True):
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
        threads = (
            f"; it was made with {_processors(made.cpus)}, and this step asks for {attempt.cpus}"
            if made and made.cpus != attempt.cpus
            else ""
        )
        summary = f"reused: code, packages, arguments and seed are those{where}{threads}"
        return Explanation(attempt, summary, made)
    now = rooms.attempts.fingerprint(attempt.id)
    if now is None:
        return Explanation(attempt, _without_fingerprint(attempt))
    found = _closest(rooms, now, attempt.created_us, attempt.run_id)
    if found is None:
        return Explanation(attempt, "ran: this step has not succeeded before")
    closest, then = found
    sides = _recorded(rooms, closest), _recorded(rooms, attempt)
    told = tuple(_tell(*sides, change) for change in _changes(then, now))
    if not told:
        return Explanation(
            attempt, f"ran: the cache was off; nothing differs from run {short(closest.run_id)}", closest
        )
    return Explanation(attempt, f"ran: this differs from run {short(closest.run_id)}", closest, told)


def why_not(rooms: Rooms, now: Fingerprint, code: CodeIndex, datasets: Mapping[Digest, Version]) -> str:
    """What differs from the closest earlier success of a step that has not begun; empty when there is none.

    Args:
        now: its fingerprint.
        code: it would run.
        datasets: by the digest that stands for them in a fingerprint.
    """
    found = _closest(rooms, now, now_us(), "")
    if found is None:
        return ""
    closest, then = found
    asked = now.inputs["arguments"]
    planned = _Side(lambda: code, lambda name: datasets.get(asked.get(name, {}).get("dataset")))
    told = [_tell(_recorded(rooms, closest), planned, change).text for change in _changes(then, now)]
    more = f", and {len(told) - 3} more" if len(told) > 3 else ""
    return "; ".join(told[:3]) + more or "its earlier success has lost its bytes"


def _closest(
    rooms: Rooms, now: Fingerprint, before_us: int, not_in: str
) -> tuple[Attempt, Fingerprint] | None:
    """The earlier success that differs least."""
    best: tuple[int, Attempt, Fingerprint] | None = None
    for earlier in rooms.attempts.successes(now.basis.step, but=None, before_us=before_us, not_in=not_in):
        then = rooms.attempts.fingerprint(earlier.id)
        if then is not None:
            distance = sum(1 for _ in _changes(then, now))
            if best is None or distance < best[0]:
                best = (distance, earlier, then)
    return None if best is None else best[1:]


class _Side(Struct, frozen=True):
    """One of the two that are compared: its code, and the dataset version behind an argument."""

    code: Callable[[], CodeIndex]
    dataset: Callable[[str], Version | None]


def _recorded(rooms: Rooms, attempt: Attempt) -> _Side:
    def code() -> CodeIndex:
        run = rooms.runs.recorded(attempt.run_id)
        snapshot = rooms.snapshots.get(edges.made_from(rooms.database, run.end, "code")[0].earlier.id)
        place = rooms.materialise(snapshot)
        return CodeIndex(place, place / "src")

    def dataset(name: str) -> Version | None:
        found = edges.made_from(rooms.database, attempt.end, f"input:{name}")
        return rooms.datasets.versions.by_id(found[0].earlier.id) if found else None

    return _Side(cache(code), dataset)


class _Change(Struct, frozen=True):
    kind: str
    name: str
    then: Any
    now: Any


def _changes(then: Fingerprint, now: Fingerprint) -> Iterator[_Change]:
    passed_then, passed_now = then.inputs, now.inputs
    yield from _compare("code", then.basis.parts["code"], now.basis.parts["code"])
    yield from _compare("package", then.basis.parts["packages"], now.basis.parts["packages"])
    for name in ("python", "platform"):
        yield from _compare("interpreter", {name: then.basis.parts[name]}, {name: now.basis.parts[name]})
    yield from _compare("argument", passed_then["arguments"], passed_now["arguments"])
    for name in ("seed", "salt"):
        yield from _compare(name, {name: passed_then.get(name)}, {name: passed_now.get(name)})
    yield from _compare("variable", passed_then.get("variables", {}), passed_now.get("variables", {}))


def _compare(kind: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[_Change]:
    for name in sorted({*then, *now}):
        if _differ(then.get(name), now.get(name)):
            yield _Change(kind, name, then.get(name), now.get(name))


def _differ(then: Any, now: Any) -> bool:
    """Whether two values differ as JSON: 1, 1.0 and True are three values there, and keys have an order."""
    return bool(then != now) or json.dumps(then) != json.dumps(now)


def _tell(then: _Side, now: _Side, change: _Change) -> Difference:
    match change.kind:
        case "code":
            return _tell_code(then, now, change.name)
        case "package":
            return Difference("package", f"{change.name} {_package(change)}")
        case "argument":
            return Difference("argument", _tell_argument(then, now, change))
        case "seed":
            return Difference("seed", _tell_seed(change.then, change.now))
        case "salt":
            before, after = change.then or "none", change.now or "none"
            return Difference("salt", f"the version of its cache entries {before} -> {after}")
        case "variable":
            return Difference("variable", f"the environment variable {change.name} has another value")
    return Difference(change.kind, f"{change.name} {change.then} -> {change.now}")


def _tell_seed(then: list[Any] | None, now: list[Any] | None) -> str:
    if then is None or now is None or then[0] != now[0]:
        before, after = ("none" if seed is None else seed[0] for seed in (then, now))
        return f"the run's seed {before} -> {after}"
    if then[1] != now[1]:
        return f"the step is called `{now[1]}` here, and was `{then[1]}`"
    before, after = (seed[2] if len(seed) > 2 else "none" for seed in (then, now))
    return f"the map index {before} -> {after}"


def _tell_code(before: _Side, after: _Side, key: str) -> Difference:
    if key.startswith("file:"):
        return Difference("code", f"the file {key.removeprefix('file:')}, which the step names, differs")
    module, _, label = key.partition(":")
    if label == "order":
        return Difference("code", f"the order of statements in {module} differs")
    if label.startswith("import "):
        return Difference("code", f"`{label.removeprefix('import ')}` in {module} is imported from elsewhere")
    then, now = before.code().unit(key), after.code().unit(key)
    name = label.replace("effect#", "effect ")
    place = now or then
    at = f" in {place.file} (line {place.line})" if place else ""
    verb = "changed" if then and now else ("is new" if now else "is gone")
    lines = difflib.unified_diff(_lines(then), _lines(now), "then", "now", lineterm="")
    return Difference("code", f"`{name}`{at} {verb}", "\n".join(lines))


def _lines(unit: Unit | None) -> list[str]:
    return unit.source.splitlines() if unit else []


def _package(change: _Change) -> str:
    then, now = ((pin or "not there").partition(" ")[0] for pin in (change.then, change.now))
    return f"{then}: other files under the same version" if then == now else f"{then} -> {now}"


def _tell_argument(before: _Side, after: _Side, change: _Change) -> str:
    then, now = change.then or {}, change.now or {}
    if "value" in then and "value" in now:
        if not _differ(then["value"], now["value"]):
            return f"the keys of argument `{change.name}` stand in another order"
        return f"argument `{change.name}` {then['value']!r} -> {now['value']!r}"
    if "dataset" in then and "dataset" in now:
        versions = [side.dataset(change.name) for side in (before, after)]
        shown = [version.reference if version else "?" for version in versions]
        return f"input `{change.name}` differs: dataset {shown[0]} -> {shown[1]}"
    if "artifact" in then and "artifact" in now:
        return f"input `{change.name}` differs: b3:{then['artifact'][:12]} -> b3:{now['artifact'][:12]}"
    if "elements" in then and "elements" in now:
        counts = [each["elements"] for each in (then, now)]
        told = f"{counts[0]} elements -> {counts[1]}" if counts[0] != counts[1] else "other elements"
        return f"input `{change.name}` differs: {told}"
    if not change.then or not change.now:
        return f"argument `{change.name}` is {'new' if change.now else 'gone'}"
    return f"argument `{change.name}` is put together of other values"


def _processors(cpus: int) -> str:
    return "1 processor" if cpus == 1 else f"{cpus} processors"


def _without_fingerprint(attempt: Attempt) -> str:
    if attempt.state is AttemptState.SKIPPED:
        return f"skipped: {attempt.detail.get('note', '')}"
    if attempt.state is AttemptState.CHECKED or "passed" in attempt.detail:
        return "a judgement: made every time"
    if attempt.worker == "inline":
        return "ran: what is made by the inline executor is not kept for reuse"
    return "ran: this step is never cached"
