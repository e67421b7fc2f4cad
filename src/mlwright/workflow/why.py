"""Why a step ran: what differs from the closest earlier success, in words."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from mlwright.kernel import edges
from mlwright.kernel.clock import now_us
from mlwright.kernel.digest import Digest
from mlwright.kernel.ids import RunId, short
from mlwright.kernel.words import counted
from mlwright.versioning import Version
from mlwright.workflow.attempts import Attempt, AttemptState
from mlwright.workflow.code import CodeIndex, Unit
from mlwright.workflow.fingerprint import Fingerprint
from mlwright.workflow.group import Group, attempts_at, element_of, groups_of
from mlwright.workflow.history import success_of
from mlwright.workflow.rooms import Rooms

_EXPLAINED = 50
"""Of a mapped step at most so many elements are looked at."""


class Difference(Struct, frozen=True):
    """One thing that differs.

    Args:
        kind: `code`, `package`, `interpreter`, `argument` or `seed`.
        text: in words.
        diff: of source, as a unified diff; empty for what has none.
        name: of what differs: a unit of the code, a package, an argument.
    """

    kind: str
    text: str
    diff: str = ""
    name: str = ""


class Others(Struct, frozen=True):
    """Elements of a mapped step that ran for another reason than the one that is explained.

    Args:
        nodes: all of them.
        text: the reason of the first.
    """

    nodes: tuple[str, ...]
    text: str

    @property
    def label(self) -> str:
        """`fit[3]`, or `fit[3] and 5 more`."""
        more = len(self.nodes) - 1
        return self.nodes[0] + (f" and {more} more" if more else "")


class Explanation(Struct, frozen=True):
    """Why an attempt ran or was reused, and the attempt it is compared with, if there is one.

    Args:
        elements: of a mapped step that was asked for as a whole: how many were `reused`, `skipped`, or `ran`,
            however that ended, or have `not begun`. The attempt is then of the first that ran, or of the
            first.
        others: likewise, those that ran for another reason.
        unread: likewise, how many more ran, and were not looked at.
    """

    attempt: Attempt
    summary: str
    closest: Attempt | None = None
    differences: tuple[Difference, ...] = ()
    elements: dict[str, int] = field(default_factory=dict)
    others: tuple[Others, ...] = ()
    unread: int = 0


def why(rooms: Rooms, reference: str, step: str) -> Explanation:
    """Say why a step of a run ran, or was reused.

    Args:
        rooms: where it is recorded.
        reference: the run.
        step: a node; or a mapped step as a whole, which is explained by the first element that ran.

    Raises:
        NotFound: no such run, or the run has no such step.
    """
    run = rooms.runs.get(reference)
    tries = rooms.attempts.of_run(run.id)
    past = _Past(rooms)
    mine = [attempt for attempt in tries if attempt.node == step]
    if mine:
        return _explain(past, mine[-1])
    (group,) = groups_of(attempts_at(tries, step, short(run.id)))
    return _explain_elements(past, group)


def _explain_elements(past: _Past, group: Group) -> Explanation:
    states = {AttemptState.REUSED: "reused", AttemptState.SKIPPED: "skipped"}
    told = [states.get(attempt.state, "ran") for attempt in group.latest]
    ran = [attempt for attempt, word in zip(group.latest, told, strict=True) if word == "ran"]
    first = _explain(past, ran[0] if ran else group.latest[0])
    reasons: dict[object, list[Explanation]] = {}
    for attempt in ran[1:_EXPLAINED]:
        found = _explain(past, attempt)
        if _reason(found) != _reason(first):
            reasons.setdefault(_reason(found), []).append(found)
    others = tuple(
        Others(
            tuple(each.attempt.node for each in same),
            "; ".join(each.text for each in same[0].differences) or same[0].summary,
        )
        for same in reasons.values()
    )
    unread = max(0, len(ran) - _EXPLAINED)
    counts = Counter(told) + Counter({"not begun": group.waiting})
    return replace(first, elements=dict(counts), others=others, unread=unread)


def _reason(found: Explanation) -> object:
    """What elements that ran for the same reason have in common: not the values, which are their own."""
    kinds = tuple((each.kind, each.name) for each in found.differences)
    return kinds or found.summary


def _explain(past: _Past, attempt: Attempt) -> Explanation:
    rooms = past.rooms
    if "imported" in past.run(attempt.run_id).about:
        summary = "this run was imported: what its steps were compared with is in its own workspace"
        return Explanation(attempt, summary)
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
    now = past.fingerprint(attempt.id)
    if now is None:
        return Explanation(attempt, _without_fingerprint(attempt))
    found = past.closest(now, attempt.created_us, attempt.run_id, attempt.node)
    if found is None:
        return Explanation(attempt, "ran: this step has not succeeded before")
    closest, then = found
    sides = past.side(closest), past.side(attempt)
    told = tuple(replace(_tell(*sides, change), name=change.name) for change in _changes(then, now))
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
    past = _Past(rooms)
    found = past.closest(now, now_us(), "", "")
    if found is None:
        return ""
    closest, then = found
    asked = now.inputs["arguments"]
    planned = _Side(lambda: code, lambda name: datasets.get(asked.get(name, {}).get("dataset")))
    told = [_tell(past.side(closest), planned, change).text for change in _changes(then, now)]
    more = f", and {len(told) - 3} more" if len(told) > 3 else ""
    return "; ".join(told[:3]) + more or "its earlier success has lost its bytes"


class _Side(Struct, frozen=True):
    """One of the two that are compared: its code, and the dataset version behind an argument."""

    code: Callable[[], CodeIndex]
    dataset: Callable[[str], Version | None]


class _Past:
    """What is recorded, each read once: the elements of a step have most of it in common."""

    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        self.fingerprint = cache(rooms.attempts.fingerprint)
        self.run = cache(rooms.runs.recorded)
        self._attempt = cache(rooms.attempts.find)
        self._code = cache(self._read_code)
        self._successes: dict[tuple[str, str], list[Attempt]] = {}

    def closest(
        self, now: Fingerprint, before_us: int, not_in: str, node: str
    ) -> tuple[Attempt, Fingerprint] | None:
        """The earlier success that differs least; for an element also among those with its index."""
        step = now.basis.step
        if (step, not_in) not in self._successes:
            self._successes[step, not_in] = self.rooms.attempts.successes(
                step, but=None, before_us=before_us, not_in=not_in
            )
        among = self._successes[step, not_in]
        if element_of(node)[1] is not None:
            runs = dict.fromkeys(earlier.run_id for earlier in among)
            same = (success_of(self.rooms.database, node, run) for run in runs)
            at = [self._attempt(each) for each in same if each is not None]
            among = [*among, *(each for each in at if each is not None and each.fingerprint)]
        best: tuple[int, Attempt, Fingerprint] | None = None
        for earlier in among:
            then = self.fingerprint(earlier.id)
            if then is not None and then.basis.step == step:
                distance = sum(1 for _ in _changes(then, now))
                if best is None or distance < best[0]:
                    best = (distance, earlier, then)
        return None if best is None else best[1:]

    def side(self, attempt: Attempt) -> _Side:
        """An attempt as one of the two that are compared."""

        def dataset(name: str) -> Version | None:
            found = edges.made_from(self.rooms.database, attempt.end, f"input:{name}")
            return self.rooms.datasets.versions.by_id(found[0].earlier.id) if found else None

        return _Side(lambda: self._code(attempt.run_id), dataset)

    def _read_code(self, identity: RunId) -> CodeIndex:
        run = self.run(identity)
        snapshot = self.rooms.snapshots.get(
            edges.made_from(self.rooms.database, run.end, "code")[0].earlier.id
        )
        place = self.rooms.materialise(snapshot)
        return CodeIndex(place, place / "src")


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
            return _tell_code(then, now, change)
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


def _tell_code(before: _Side, after: _Side, change: _Change) -> Difference:
    key = change.name
    if key.startswith("file:"):
        return Difference("code", f"the file {key.removeprefix('file:')}, which the step names, differs")
    module, _, label = key.partition(":")
    if label == "order":
        return Difference("code", f"the order of statements in {module} differs")
    if label.startswith("import "):
        became = "from elsewhere" if change.then and change.now else "now" if change.now else "no more"
        return Difference("code", f"`{label.removeprefix('import ')}` in {module} is imported {became}")
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
        if then["artifact"] == now["artifact"] and then.get("made_with") != now.get("made_with"):
            return f"input `{change.name}` is a pickle, and what made it has other code or packages"
        return f"input `{change.name}` differs: b3:{then['artifact'][:12]} -> b3:{now['artifact'][:12]}"
    if "elements" in then and "elements" in now:
        counts = [each["elements"] for each in (then, now)]
        both = " -> ".join(counted(count, "element") for count in counts)
        told = both if counts[0] != counts[1] else "other elements"
        return f"input `{change.name}` differs: {told}"
    if not change.then or not change.now:
        return f"argument `{change.name}` is {'new' if change.now else 'gone'}"
    return f"argument `{change.name}` is put together of other values"


def _processors(cpus: int) -> str:
    return counted(cpus, "processor")


def _without_fingerprint(attempt: Attempt) -> str:
    if attempt.state is AttemptState.SKIPPED:
        return f"skipped: {attempt.detail.get('note', '')}"
    if attempt.state is AttemptState.CHECKED or "passed" in attempt.detail:
        return "a judgement: made every time"
    if attempt.worker == "inline":
        return "ran: what is made by the inline executor is not kept for reuse"
    return "ran: this step is never cached"
