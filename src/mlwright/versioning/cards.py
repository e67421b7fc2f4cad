"""Model cards: what a version is, for people. Made from the records until somebody writes it by hand.

Every text that was written is an object, tied to the version by an edge with its number, and an event with
who, when and why; the version itself never changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from msgspec import Struct

from mlwright.kernel import edges, events
from mlwright.kernel.database import Database, Queries
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Invalid
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.words import counted
from mlwright.storage import InlineObjects
from mlwright.versioning.models import ModelDetail
from mlwright.versioning.signatures import Column
from mlwright.versioning.versions import Version

_SQL = Queries.beside(__file__)
_ROLE = "card:"
MOST_BYTES = 1 << 20
"""A longer text is no card."""
_MOST_INPUTS = 200
"""Of the columns of a signature, more than these are counted."""


class CardChange(Struct, frozen=True):
    """Somebody wrote a card: which text it became (counted from 1), who, when and why."""

    number: int
    actor: str
    at_us: int
    reason: str


class CardFacts(Struct, frozen=True):
    """What a card says beside the version's own record; each in one line, empty for what is not known.

    Args:
        made_by: the step and the run.
        code: the snapshot, with its commit and where that can be fetched.
        environment: the lock, interpreter and platform.
        packages: the model's libraries with their versions.
        reproduce: what to type, line by line.
        load: Python, line by line, that loads an export.
    """

    made_by: str = ""
    code: str = ""
    environment: str = ""
    packages: tuple[str, ...] = ()
    reproduce: tuple[str, ...] = ()
    load: tuple[str, ...] = ()


class Cards:
    """The cards of the models of a workspace."""

    def __init__(self, database: Database, objects: InlineObjects) -> None:
        self._database = database
        self._objects = objects

    def written(self, version: Version) -> str | None:
        """The newest text that somebody has written; None where the records speak.

        Raises:
            NotFound, Corrupt: its bytes are lost or damaged.
        """
        found = self._texts(version)
        return self._objects.get(found[max(found)]).decode() if found else None  # type: ignore[arg-type]

    def digests(self, version: Version) -> list[str]:
        """The objects that hold its texts, oldest first."""
        return [digest for _, digest in sorted(self._texts(version).items())]

    def history(self, version: Version) -> list[CardChange]:
        """Who wrote it, when and why; oldest first."""
        rows = self._database.read(_SQL["card_events"], id=version.id)
        told = [(row, json.loads(row["detail"])) for row in rows]
        return [CardChange(each["number"], row["actor"], row["at_us"], each["reason"]) for row, each in told]

    def plan_write(self, version: Version, text: str) -> Plan:
        """What `write` would do.

        Raises:
            Invalid: as `write`.
        """
        _check(text)
        same = self.written(version) == text
        why = "it says that already" if same else f"{counted(len(text.splitlines()), 'line')}"
        change = Change("keep" if same else "write", f"card of {version.reference}", why)
        return Plan(f"model card of {version.reference}", (change,))

    def write(self, version: Version, text: str, *, reason: str = "") -> Plan:
        """Write a card by hand; the texts before it stay.

        Args:
            text: Markdown.
            reason: why; kept with who and when.

        Raises:
            Invalid: it is empty, longer than 1 MiB, or no text.
        """
        plan = self.plan_write(version, text)
        if plan.empty:
            return plan
        stored = self._objects.put(text.encode())
        with self._database.transaction() as tx:
            texts = _numbered(edges.made_from(tx, version.end))
            number = 1 + len(texts)
            edges.add(tx, [Edge(version.end, f"card:{number}", End("object", stored.digest))])
            events.record(
                tx,
                "card.changed",
                version.end,
                reference=version.reference,
                number=number,
                before=texts.get(len(texts)),
                after=stored.digest,
                reason=reason,
            )
        return plan

    def _texts(self, version: Version) -> dict[int, str]:
        return _numbered(edges.made_from(self._database, version.end))


def _numbered(found: Iterable[Edge]) -> dict[int, str]:
    """The digests of the texts among the edges of a version, by their numbers."""
    return {
        int(edge.role.removeprefix(_ROLE)): edge.earlier.id for edge in found if edge.role.startswith(_ROLE)
    }


def generated(detail: ModelDetail, facts: CardFacts) -> str:
    """The card as the records have it. The same version has the same card: aliases are not in it."""
    version = detail.version
    parts = [
        f"# {version.reference}",
        version.message,
        _table(
            ("", ""),
            [
                ("model", detail.artifact.type),
                ("format", detail.artifact.codec),
                ("digest", f"`b3:{version.digest}`"),
                ("size", f"{version.size_bytes:,} bytes"),
                ("licence", detail.licence or "not stated"),
                *([("brought in from", detail.source.get("name", ""))] if detail.source else []),
            ],
        ),
    ]
    if detail.artifact.unsafe:
        parts.append("**Stored as pickle: loading it runs what its bytes say.**")
    if detail.metrics:
        parts += ["## Metrics", _table(("metric", "value"), _numbers(detail.metrics.items()))]
    parts += ["## What it takes and gives", *_signature(detail)]
    if detail.data:
        rows = [(reference, f"as `{asked}`") for asked, reference in detail.data.items()]
        parts += ["## Data", _table(("version", "read"), rows)]
    if detail.parameters:
        rows = [(name, f"`{json.dumps(value)}`") for name, value in detail.parameters.items()]
        parts += ["## Parameters", _table(("parameter", "value"), rows)]
    made = [
        ("made by", facts.made_by),
        ("code", facts.code),
        ("environment", facts.environment),
        ("libraries", ", ".join(facts.packages)),
        ("registered by", detail.registered_by),
    ]
    parts += ["## Made from", _table(("", ""), [row for row in made if row[1]])]
    if facts.reproduce:
        parts += ["## Make it again", "\n".join(["```sh", *facts.reproduce, "```"])]
    if facts.load and not detail.artifact.unsafe:
        parts += ["## Load it without mlwright", "\n".join(["```python", *facts.load, "```"])]
    return "\n\n".join(part for part in parts if part) + "\n"


def _signature(detail: ModelDetail) -> list[str]:
    signature = detail.signature
    if signature is None:
        return ["Nobody has told: no example was given when it was registered."]
    output = signature.output
    if signature.named:
        by = f"The class `{signature.predictor}` answers" if signature.predictor else "It answers"
        shares = ", and gives probabilities" if signature.probabilities else ""
        return [
            _table(("input", "what it may be"), [(each.name, each.told) for each in signature.named]),
            f"{by} with: {signature.answer}{shares}.",
        ]
    classes = f": one of {', '.join(map(str, output.classes))}" if output.classes else ""
    shown = signature.inputs[:_MOST_INPUTS]
    rows = [(each.name, each.type + (" or null" if each.nullable else ""), _saw(each)) for each in shown]
    left = len(signature.inputs) - len(shown)
    return [
        _table(("column", "type", "in training"), rows),
        f"and {counted(left, 'column')} more" if left else "",
        f"It answers each row with a value of type {output.type}{classes}"
        + (", and gives probabilities." if signature.probabilities else "."),
    ]


def _saw(column: Column) -> str:
    if column.categories:
        shown = ", ".join(map(str, column.categories[:20]))
        return shown + (f" and {len(column.categories) - 20:,} more" if len(column.categories) > 20 else "")
    if column.minimum is None or column.maximum is None:
        return ""
    return f"{column.minimum:g} to {column.maximum:g}"


def _numbers(values: Iterable[tuple[str, float]]) -> list[tuple[str, str]]:
    return [(name, f"{value:.6g}") for name, value in values]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_in_a_cell(cell) for cell in line) + " |" for line in lines)


def _in_a_cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _check(text: str) -> None:
    if not text.strip():
        raise Invalid("the card is empty", hint="write Markdown: mlwright models card NAME@V > card.md")
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        raise Invalid(f"the card is longer than {MOST_BYTES:,} bytes")
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise Invalid("the card is no text in UTF-8")
