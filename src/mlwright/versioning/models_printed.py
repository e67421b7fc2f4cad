"""Models on a terminal: lists, one version with all that is behind it, two beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlwright.kernel.clock import show as show_time
from mlwright.kernel.words import counted, printable
from mlwright.terminal import say, say_table, show_size
from mlwright.versioning.printed import say_version

if TYPE_CHECKING:
    from mlwright.versioning.cards import CardChange
    from mlwright.versioning.conversions import Conversion
    from mlwright.versioning.models import ModelDetail
    from mlwright.versioning.models_api import ListedModel
    from mlwright.versioning.signatures import Column, Signature
    from mlwright.workflow.compare import Changed, MetricChange
    from mlwright.workflow.model_compare import ModelComparison
    from mlwright.workflow.model_verify import VerifiedModel

_SHOWN = 10
"""Of files, packages and moves at most so many, unless all are asked for."""
_LISTED = 8
"""Of a column's categories."""


def say_newest(found: Sequence[ListedModel]) -> None:
    """The newest version under each name, with where its aliases point."""
    rows = [
        (
            each.version.reference,
            f"b3:{each.version.digest[:12]}",
            show_size(each.version.size_bytes),
            ", ".join(f"{alias}=@{number}" for alias, number in each.moving.items()) or "-",
            show_time(each.version.created_us),
            each.version.message,
        )
        for each in found
    ]
    say_table(rows, ["newest", "digest", "size", "aliases", "made", "message"])


def say_models(found: Sequence[ListedModel]) -> None:
    """Versions, one in a line, with their aliases and the first of their metrics."""
    rows = []
    for version, aliases in ((each.version, each.aliases) for each in found):
        metrics = [f"{name}={value:.4g}" for name, value in version.about.get("metrics", {}).items()]
        rows.append(
            (
                version.reference,
                f"b3:{version.digest[:12]}",
                show_size(version.size_bytes),
                ", ".join(aliases) or "-",
                ", ".join(metrics[:2]) or "-",
                show_time(version.created_us),
                printable(version.message),
            )
        )
    say_table(rows, ["version", "digest", "size", "aliases", "metrics", "made", "message"])


def say_model(detail: ModelDetail, cards: Sequence[CardChange]) -> None:
    """One version: metrics, signature, the four versions behind it, aliases and card with their history."""
    say_version(detail.version, detail.aliases)
    say(f"type       {detail.artifact.type}, by the codec {detail.artifact.codec}")
    if detail.artifact.unsafe:
        loaded = "only steps and servers here load it" if detail.artifact.ours else "it is never loaded"
        say(f"unsafe     stored as pickle; {loaded}")
    if detail.conversion is not None:
        say(f"onnx       {conversion_told(detail.conversion)}")
    if detail.apart is not None:
        say(f"served     in a process of its own: {printable(detail.apart.why)}")
    say(f"licence    {detail.licence or 'not stated'}")
    say("metrics")
    say_table([(name, f"{value:.6g}") for name, value in detail.metrics.items()], indent="  ")
    _say_signature(detail.signature)
    say("made from")
    made_from = [
        *([("code", detail.labels["snapshot"])] if detail.code else []),
        *(("data", f"{reference} as `{name}`") for name, reference in detail.data.items()),
        *([("environment", detail.labels["lock"])] if detail.environment else []),
        *(
            [("parameters", ", ".join(f"{n}={v}" for n, v in detail.parameters.items()))]
            if detail.run
            else []
        ),
        *([("run", detail.labels["run"])] if detail.run else []),
        *_known(detail.version.about.get("known") or {}),
        *([("file", printable(detail.source.get("name", "")))] if detail.source else []),
        *([("by", detail.registered_by)] if detail.registered_by else []),
    ]
    say_table(made_from, indent="  ")
    if detail.moves:
        say("aliases, newest move first")
        say_table([_moved(move) for move in detail.moves[:_SHOWN]], indent="  ")
        _say_more(len(detail.moves) - _SHOWN, "move")
    if cards:
        say("card")
        say_table(
            [
                (f"text {each.number}", show_time(each.at_us), each.actor, printable(each.reason))
                for each in cards
            ],
            indent="  ",
        )


def conversion_told(found: Conversion) -> str:
    """What became of converting a version, in one line."""
    if not found.used:
        return f"not used: {printable(found.why)}"
    rows = f"{found.rows:,} of {found.of:,} rows" if found.rows < found.of else counted(found.rows, "row")
    apart = f", probabilities within {found.difference:.0e}" if found.difference else ""
    return f"used: answers the same on {rows} of its training{apart} ({show_size(found.size_bytes)})"


def _known(known: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a client's files and tags told of a version that it registered."""
    lines = []
    if "python_version" in known or "requirements" in known:
        required = counted(len(known.get("requirements", ())), "requirement")
        lines.append(("environment", f"Python {printable(known.get('python_version', '?'))}, {required}"))
    if commit := known.get("git_commit"):
        lines.append(("code", f"commit {printable(commit)}"))
    return lines


def say_comparison(found: ModelComparison, *, every: bool) -> None:
    """What differs between two versions, and how well each does."""
    first, second = found.first.version.reference, found.second.version.reference
    say(f"{first} and {second}{' have the same bytes' if found.same_bytes else ''}")
    if found.on is not None:
        say(f"evaluated on {found.on.data} by `{found.on.step}`, as in the run of {found.on.by}")
        if found.evaluated:
            _say_metrics(found.evaluated, first, second)
        else:
            same = len(set(found.on.outputs.values())) == 1
            say(f"  no numbers by name; what it gave is {'the same' if same else 'different'}")
    say("metrics on record")
    _say_metrics(found.metrics, first, second)
    _say_changes("model", [_sized(each) for each in found.model], len(found.model))
    alone = [each.version.reference for each in (found.first, found.second) if not each.run]
    for title, changes in (
        ("parameters", found.parameters),
        ("data", found.data),
        ("signature", found.signature),
        ("packages", found.packages),
    ):
        if alone and title == "data":
            say(f"data: not on record of {' and '.join(alone)}")
            continue
        shown = changes if every else changes[:_SHOWN]
        _say_changes(
            title, [(each.name, _shown(each.then), _shown(each.now)) for each in shown], len(changes)
        )
    if alone:
        say(f"code: not on record of {' and '.join(alone)}")
        return
    files = [(each.name, _verdict(each), "") for each in (found.code if every else found.code[:_SHOWN])]
    _say_changes("code", files, len(found.code))


def say_verified(found: Sequence[VerifiedModel]) -> None:
    """What was found of each version, and below why something failed or was left out."""
    say_table(
        [(each.reference, each.bytes.state, each.loads.state, each.answers.state) for each in found],
        ["version", "bytes", "loads", "answers"],
    )
    for each in found:
        told = dict.fromkeys(check.told for check in (each.bytes, each.loads, each.answers) if check.told)
        for why in told:
            say(f"{each.reference}: {printable(why)}")


def _say_signature(signature: Signature | None) -> None:
    if signature is None:
        say("signature  none: it is not known what it is asked with")
        return
    inputs = len(signature.inputs) + len(signature.named)
    by = f", by {signature.predictor}" if signature.predictor else ""
    say(f"signature  {counted(inputs, 'input')} -> {signature.answer}{by}")
    if signature.named:
        say_table([(each.name, each.told) for each in signature.named], indent="  ")
        return
    say_table([(each.name, _type(each), _saw(each)) for each in signature.inputs], indent="  ")


def _type(column: Column) -> str:
    return column.type + (" or null" if column.nullable else "")


def _saw(column: Column) -> str:
    if column.categories is not None:
        shown = ", ".join(map(str, column.categories[:_LISTED]))
        more = len(column.categories) - _LISTED
        only = "only " if column.closed else ""
        return printable(only + shown + (f" and {more:,} more" if more > 0 else ""))
    return "" if column.minimum is None else f"{column.minimum:g} to {column.maximum:g}"


def _moved(move: Any) -> tuple[str, str, str, str, str]:
    def number(at: int | None) -> str:
        return "nothing" if at is None else f"@{at}"

    way = f"{number(move.from_number)} -> {number(move.to_number)}"
    return move.alias, way, show_time(move.at_us), move.actor, printable(move.reason)


def _say_metrics(metrics: Iterable[MetricChange], first: str, second: str) -> None:
    rows = [
        (
            each.name,
            _number(each.then),
            _number(each.now),
            "" if each.difference is None else f"{each.difference:+.6g}",
        )
        for each in metrics
    ]
    if rows:
        say_table([("", first, second, "difference"), *rows], indent="  ")
    else:
        say("  none")


def _say_changes(title: str, rows: Sequence[Sequence[str]], count: int) -> None:
    if not rows:
        say(f"{title}: the same")
        return
    say(f"{title}: {counted(count, 'difference')}")
    say_table(rows, indent="  ")
    _say_more(count - len(rows), "difference", hint=" (--all)")


def _say_more(count: int, noun: str, hint: str = "") -> None:
    if count > 0:
        say(f"  and {counted(count, f'more {noun}')}{hint}")


def _sized(change: Changed) -> tuple[str, str, str]:
    if change.name == "size_bytes":
        return "size", show_size(change.then), show_size(change.now)
    return change.name, _shown(change.then), _shown(change.now)


def _shown(value: object) -> str:
    return "-" if value is None or value == "" else printable(str(value))


def _verdict(change: Changed) -> str:
    if change.then is None:
        return "added"
    return "removed" if change.now is None else "changed"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
