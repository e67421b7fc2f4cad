"""What is known of runs, as tables for the terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from mlwright.kernel.clock import show_seconds
from mlwright.kernel.ids import short
from mlwright.kernel.words import counted, cut, is_or_are, printable
from mlwright.tracking.run import REPORTED
from mlwright.workflow.attempts import Attempt, AttemptState
from mlwright.workflow.group import Group, element_of, groups_of

if TYPE_CHECKING:
    from mlwright.workflow.compare import Changed, Duration, RunComparison
    from mlwright.workflow.detail import AttemptDetail, RunDetail
    from mlwright.workflow.outputs import Comparison
    from mlwright.workflow.profile import Profile
    from mlwright.workflow.reproduce import Reproduction
    from mlwright.workflow.verdicts import Verdict

_MIB = 2**20
_SLOWEST = 10
_LISTED = 20
_TAG = 80
"""Letters of a tag that are shown."""


class Section(Struct, frozen=True):
    """A table under a title; `more` are lines below it."""

    title: str
    rows: tuple[tuple[str, ...], ...] = ()
    head: tuple[str, ...] = ()
    more: tuple[str, ...] = ()


def detail_sections(detail: RunDetail, *, every: bool = False) -> list[Section]:
    """A run in full.

    Args:
        detail: of the run.
        every: each element of a mapped step in a row of its own.
    """
    found = detail.run
    given: list[tuple[str, ...]] = [(name, str(value)) for name, value in detail.parameters.items()]
    if found.kind != REPORTED:
        given.append(("seed", str(found.seed)))
    set_by_steps = [(name, str(value), "logged") for name, value in detail.logged_parameters.items()]
    if set_by_steps:
        given = [(*each, "") for each in given]
    sections = [
        Section("parameters", (*given, *set_by_steps)),
        Section(
            "made with",
            tuple((role, detail.labels.get(role, end.id)) for role, end in detail.made_with.items()),
        ),
    ]
    if found.machine:
        sections.append(Section("machine", tuple(_machine_rows(found.machine))))
    if variables := found.about.get("variables"):
        sections.append(Section("environment variables", tuple(variables.items())))
    if left_out := found.about.get("left_out"):
        sections.append(
            Section("not in its code", more=(*left_out[:_LISTED], *_rest(len(left_out) - _LISTED)))
        )
    by_attempt = {each.attempt.id: each for each in detail.attempts}
    steps: list[tuple[str, ...]] = []
    for group in groups_of(each.attempt for each in detail.attempts):
        if group.mapped and not every:
            steps.append(_group_row(group))
        else:
            steps += [_attempt_row(by_attempt[attempt.id]) for attempt in group.attempts]
    sections.append(Section("steps", *_without_empty(steps, _STEP_HEAD)))
    if detail.metrics:
        metrics = tuple((each.name, f"{each.value:.6g}") for each in detail.metrics)
        sections.append(Section("metrics", metrics))
    if detail.tags:
        sections.append(Section("tags", tuple((name, cut(tag, _TAG)) for name, tag in detail.tags.items())))
    if detail.inputs:
        sections.append(
            Section("read", tuple((each.name, each.hash, each.source_type) for each in detail.inputs))
        )
    logged = [
        (name, made.type, f"b3:{made.digest[:12]}", counted(made.size_bytes, "byte"), _by(each))
        for each in detail.attempts
        for name, made in each.logged.items()
    ]
    if logged:
        listed = logged if every else logged[:_LISTED]
        sections.append(Section("artifacts", tuple(listed), more=_rest(len(logged) - len(listed))))
    return sections


def profile_sections(profile: Profile) -> list[Section]:
    """A profile, without its picture."""
    path = " > ".join(f"{name} {show_seconds(took)}" for name, took in profile.critical_steps.items())
    rows = [
        ("critical path", f"{_of(profile.critical_s, profile.wall_s)}: {path}" if path else "nothing ran")
    ]
    if profile.efficiency is not None:
        slots = "1 processor was" if profile.slots == 1 else f"{profile.slots} processors were"
        rows.append(("parallel", f"{slots} taken at most, at work {profile.efficiency:.0%} of the time"))
    rows.append(("waited", f"{show_seconds(profile.waited_s)} for room, all attempts together"))
    reused = sum(step.reused for step in profile.steps)
    if reused:
        rows.append(("saved", f"{show_seconds(profile.saved_s)} by what was reused ({reused})"))
    sections = [Section("time", tuple(rows))]
    slowest = [
        (
            step.label,
            show_seconds(step.wall_s),
            "" if step.earlier_mean_s is None else show_seconds(step.earlier_mean_s * step.ran),
            "" if step.ratio is None else f"{step.ratio:.2f}x",
            _waited(step.waited_s),
            "" if step.used_cpus is None else f"{step.used_cpus:.1f} of {step.cpus}",
            _size(step.peak_bytes),
        )
        for step in profile.slowest[:_SLOWEST]
    ]
    if slowest:
        head = ("step", "took", "before", "ratio", "waited", "cpus", "peak")
        sections.append(Section("slowest", *_without_empty(slowest, head)))
    if profile.suggestions:
        told = tuple((each.rule, each.text) for each in profile.suggestions)
        sections.append(Section("suggestions", told))
    return sections


def comparison_sections(compared: RunComparison, *, every: bool = False) -> list[Section]:
    """Two runs beside each other: what is the same is one word.

    Args:
        compared: the two.
        every: each element of a mapped step in a row of its own, and the outputs that are identical too.
    """
    sides = ("", short(compared.then.id), short(compared.now.id))
    sections = [_code_section(compared)]
    for title, changes in (
        ("data", compared.data),
        ("parameters", (*compared.settings, *compared.parameters)),
        ("environment", compared.packages),
        ("machine", compared.machine),
    ):
        rows = tuple((each.name, *_shown_change(each)) for each in changes)
        sections.append(Section(title, rows, sides) if rows else Section(title, more=("the same",)))
    metrics = tuple(
        (
            each.name,
            *("" if value is None else f"{value:.6g}" for value in (each.then, each.now)),
            "" if each.difference is None else f"{each.difference:+.6g}",
        )
        for each in compared.metrics
    )
    if metrics:
        sections.append(Section("metrics", metrics, (*sides, "difference")))
    sections.append(_output_section(compared.outputs, every))
    durations = tuple((each.step, *_shown_duration(each)) for each in compared.durations)
    total = ("in all", *(show_seconds(run.seconds) for run in (compared.then, compared.now)))
    sections.append(Section("took", (*durations, total), sides))
    return sections


def reproduction_lines(done: Reproduction) -> list[str]:
    """How many outputs of a run made again are identical, where the two part first, in which way, and why."""
    same = sum(each.verdict == "identical" for each in done.comparisons)
    lines = [f"{same} of {len(done.comparisons)} outputs {is_or_are(same)} identical"]
    if not done.comparisons and done.error is None:
        return ["the run gave nothing that could be compared"]
    logged = [f"what else differs: {cause}" for cause in done.causes if cause.startswith("the metric ")]
    first = done.first_different
    if first is None:
        return lines + logged
    lines.append(f"the first that differs is `{first.output}` of step `{first.node}`: {_in_which_way(first)}")
    others = [each for each in done.comparisons if each.verdict != "identical" and each is not first]
    lines += [f"`{each.output}` of step `{each.node}`: {_in_which_way(each)}" for each in others[:_LISTED]]
    lines += _rest(len(others) - _LISTED)
    return lines + [f"what else differs: {cause}" for cause in done.causes]


def _in_which_way(found: Verdict) -> str:
    if found.difference is not None:
        return f"{found.difference.kind} ({printable(found.difference.text)})"
    return f"{found.verdict}: {found.reason}" if found.verdict != "different" else found.reason


_STEP_HEAD = ("step", "state", "took", "waited", "peak", "worker", "made", "tags")


def _attempt_row(detail: AttemptDetail) -> tuple[str, ...]:
    attempt = detail.attempt
    from mlwright.workflow.outputs import absent_outputs

    digests = {name: each.digest for name, each in detail.outputs.items()}
    digests |= {name: each["digest"] for name, each in absent_outputs(attempt).items()}
    made = ", ".join(f"{name}=b3:{digest[:12]}" for name, digest in digests.items())
    return (
        attempt_label(attempt),
        attempt.state,
        "" if attempt.wall_s is None else show_seconds(attempt.wall_s),
        _waited(attempt.waited_s or 0.0),
        _size(attempt.peak_bytes),
        attempt.worker,
        made or note_of(attempt),
        tags_of(attempt),
    )


def _by(detail: AttemptDetail) -> str:
    return f"by {detail.attempt.node}"


def _group_row(group: Group) -> tuple[str, ...]:
    ran_s = [attempt.wall_s for attempt in group.attempts if attempt.wall_s is not None]
    waited_s = sum(attempt.waited_s or 0.0 for attempt in group.attempts)
    workers = {attempt.worker for attempt in group.attempts if attempt.worker}
    notes = [f"{group.retries} tried again"] if group.retries else []
    states = [f"{count} {state}" for state, count in group.counts.items()]
    if group.waiting:
        states.append(f"{group.waiting} not begun")
    failed = next((each for each in group.latest if each.state is AttemptState.FAILED), None)
    if failed is not None:
        notes.append(f"{failed.node}: {note_of(failed)}")
    return (
        group.label,
        ", ".join(states),
        f"{show_seconds(sum(ran_s) / len(ran_s))} each" if ran_s else "",
        _waited(waited_s),
        _size(max((attempt.peak_bytes or 0 for attempt in group.attempts), default=0)),
        f"{len(workers)} workers" if len(workers) > 1 else "".join(workers),
        "; ".join(notes),
        tags_of(group.attempts[0]),
    )


def attempt_label(attempt: Attempt) -> str:
    """`fit`, or `fit (try 2)`."""
    return attempt.node if attempt.number == 1 else f"{attempt.node} (try {attempt.number})"


def note_of(attempt: Attempt) -> str:
    """How an attempt without outputs ended: a note, what a gate found, or an error."""
    if "findings" in attempt.detail:
        return "; ".join(each["text"] for each in attempt.detail["findings"])
    return str(attempt.detail.get("note") or attempt.error)


def tags_of(attempt: Attempt) -> str:
    """What the user says of the step: `owner=ml, kind=slow`."""
    return ", ".join(f"{name}={value}" for name, value in attempt.detail.get("tags", {}).items())


def _machine_rows(machine: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in machine.items():
        if name == "memory_bytes":
            yield "memory", _size(value)
        elif value:
            yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _code_section(compared: RunComparison) -> Section:
    if compared.code:
        return Section("code", more=("the same",))
    rows = [(each.verdict, each.path, "") for each in compared.files]
    rows += [(each.verdict, each.unit, f"reached by {', '.join(each.steps)}") for each in compared.units]
    return Section(
        "code", tuple(rows), more=tuple(line for each in compared.files for line in each.diff.splitlines())
    )


def _shown_change(change: Changed) -> tuple[str, str]:
    sides = [change.then, change.now]
    if change.name == "memory_bytes":
        return _size(change.then), _size(change.now)
    words = ["" if side is None else str(side) for side in sides]
    # A version of a package carries a digest of its files: it is shown where the version is the same.
    heads = [word.partition(" b3:")[0] for word in words]
    return (heads[0], heads[1]) if heads[0] != heads[1] else (words[0], words[1])


def _output_section(outputs: Sequence[Comparison], every: bool) -> Section:
    identical = sum(each.verdict == "identical" for each in outputs)
    if every:
        return Section("outputs", tuple(_output_row(each) for each in outputs))
    counted: dict[tuple[str, str], dict[str, list[Comparison]]] = {}
    for each in outputs:
        step, index = element_of(each.node)
        # A list that is kept element by element is one output too.
        output, item = element_of(each.output)
        where = (f"{step}[]" if index is not None else step, f"{output}[]" if item is not None else output)
        counted.setdefault(where, {}).setdefault(each.verdict, []).append(each)
    rows: list[tuple[str, ...]] = []
    for (step, output), verdicts in counted.items():
        different = [each for verdict, found in verdicts.items() if verdict != "identical" for each in found]
        if len(different) == 1:
            rows.append(_output_row(different[0]))
        elif different:
            told = ", ".join(f"{len(found)} {verdict}" for verdict, found in verdicts.items())
            rows.append((step, output, "", "", told))
    return Section(
        "outputs", tuple(rows), more=(f"{identical} of {len(outputs)} {is_or_are(identical)} identical",)
    )


def _output_row(each: Comparison) -> tuple[str, ...]:
    return each.node, each.output, _b3(each.then), _b3(each.now), each.verdict


def _shown_duration(duration: Duration) -> tuple[str, str]:
    sides = ((duration.then_s, duration.then_states), (duration.now_s, duration.now_states))
    one, other = (
        show_seconds(seconds) if seconds is not None else ", ".join(states) for seconds, states in sides
    )
    return one, other


def _b3(digest: str) -> str:
    return f"b3:{digest[:12]}" if digest else "none"


def _of(part_s: float, whole_s: float) -> str:
    share = f" ({part_s / whole_s:.0%} of {show_seconds(whole_s)})" if whole_s else ""
    return f"{show_seconds(part_s)}{share}"


def _waited(seconds: float) -> str:
    return show_seconds(seconds) if seconds >= 0.01 else ""


def _size(size_bytes: int | None) -> str:
    if not size_bytes:
        return ""
    return f"{size_bytes / _MIB:.0f} MiB" if size_bytes < 1024 * _MIB else f"{size_bytes / 2**30:.1f} GiB"


def _rest(count: int) -> tuple[str, ...]:
    return (f"and {count} more",) if count > 0 else ()


def _without_empty(
    rows: Sequence[tuple[str, ...]], head: Sequence[str]
) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """A table without the columns in which nothing stands."""
    kept = [place for place, _ in enumerate(head) if any(row[place] for row in rows)]
    return tuple(tuple(row[place] for place in kept) for row in rows), tuple(head[place] for place in kept)
