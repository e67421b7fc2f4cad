"""Pictures that are drawn on the server: graphs, bars, histograms. No style stands in them, only classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from itertools import pairwise
from urllib.parse import quote

from markupsafe import Markup

from mlwright.kernel.edges import End
from mlwright.versioning.lineage import Walk
from mlwright.versioning.summaries import ColumnSummary
from mlwright.workflow.drawing import Box, Line, Picture, inline_svg
from mlwright.workflow.drawing.picture import Kind, visible
from mlwright.workflow.gantt import gantt
from mlwright.workflow.profile import Profile

_BAR, _GAP, _HIGH = 10, 1, 44
_CELLS = 240
_BINS = 24
_MOST_THINGS = 150


def graph(picture: Picture, states: Mapping[str, str] = {}, links: Mapping[str, str] = {}) -> Markup:
    """A graph.

    Args:
        picture: what is drawn.
        states: of the boxes, by name: a class each.
        links: where a box leads, by name.
    """
    return Markup(inline_svg(picture, states, links))  # noqa: S704  # it escapes every text


def histogram(counts: Sequence[float], label: str) -> Markup:
    """Bars beside each other, as high as their share of the highest.

    Args:
        counts: one for each bar.
        label: what is said of it to whom cannot see it.
    """
    most = max(counts, default=0) or 1
    wide = max(len(counts) * (_BAR + _GAP) - _GAP, 1)
    bars = Markup("").join(
        Markup('<rect x="{}" y="{:.1f}" width="{}" height="{:.1f}"/>').format(
            place * (_BAR + _GAP), _HIGH - high, _BAR, high
        )
        for place, count in enumerate(counts)
        if (high := max(_HIGH * count / most, 1.0 if count else 0.0))
    )
    return Markup(
        '<svg class="histogram" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img"'
        ' aria-label="{}">{}</svg>'
    ).format(wide, _HIGH, label, bars)


def step_links(boxes: Iterable[Box], run: str) -> dict[str, str]:
    """Where the boxes of a run's graph lead: steps to their page, datasets to theirs."""
    return {
        box.name: f"/datasets/{quote(box.name, safe='')}"
        if box.kind == "dataset"
        else f"/runs/{quote(run, safe='')}/steps/{quote(box.name, safe='')}"
        for box in boxes
    }


def bars(profile: Profile) -> Iterator[tuple[str, float, Markup]]:
    """The steps of a run on a common axis of time: name, how long it ran, and its bar."""
    steps = sorted(profile.steps, key=lambda step: step.began_s or 0.0)
    for step, row in zip(steps, gantt(profile, width=_CELLS), strict=True):
        if not step.ran:
            continue
        at, pieces = 0, []
        for ink, text in row.bar:
            piece = Markup('<rect class="{}" x="{}" width="{}" height="16"/>')
            pieces.append(piece.format(ink, at, len(text)))
            at += len(text)
        svg = Markup('<svg class="gantt" viewBox="0 0 {} 16" preserveAspectRatio="none" aria-hidden="true">')
        yield step.label, step.wall_s, svg.format(at) + Markup("").join(pieces) + Markup("</svg>")


def spread(column: ColumnSummary) -> Markup:
    """What the values of a column are: of numbers how dense they lie, of others the most frequent."""
    if column.deciles and isinstance(column.minimum, int | float) and isinstance(column.maximum, int | float):
        return histogram(_density(column.minimum, column.deciles, column.maximum), column.name)
    return (
        histogram([count for _, count in column.frequent[:_BINS]], column.name)
        if column.frequent
        else Markup("")
    )


def _density(lowest: float, deciles: Sequence[float], highest: float) -> list[float]:
    """How much lies in each of some bins of equal width: between two deciles it lies evenly."""
    if not highest > lowest:
        return [1.0]
    share = [0.0] * _BINS
    width = (highest - lowest) / _BINS
    edges = [lowest, *deciles, highest]
    for below, above in pairwise(edges):
        first = min(int((below - lowest) / width), _BINS - 1)
        last = min(int((above - lowest) / width), _BINS - 1)
        for place in range(first, last + 1):
            begin, end = lowest + place * width, lowest + (place + 1) * width
            inside = min(above, end) - max(below, begin)
            share[place] += inside / (above - below) if above > below else 1.0
    return share


def lineage(walk: Walk) -> tuple[Picture, dict[str, str], dict[str, str]] | None:
    """A walk as a graph, from what was made first to what came of it; None for one too large to be looked at.

    Returns:
        The picture, what stands out in it, and where its boxes lead.
    """
    things = {each.end: each.label for each in walk.things}
    if len(things) > _MOST_THINGS:
        return None
    names = _named(things)
    into: dict[End, dict[End, set[str]]] = {}
    for edge in walk.edges:
        if edge.earlier in things and edge.later in things:
            role = edge.role.partition(":")
            into.setdefault(edge.later, {}).setdefault(edge.earlier, set()).add(role[2] or role[0])
    for later, taken in into.items():
        # That a step is of a run shows where it took nothing else; elsewhere it is one more line.
        if later.kind == "attempt" and len(taken) > 1:
            into[later] = {earlier: roles for earlier, roles in taken.items() if roles != {"of"}}
    order = list(TopologicalSorter({each: into.get(each, {}).keys() for each in things}).static_order())
    places = {end: place for place, end in enumerate(order)}
    boxes = tuple(_thing(end, names[end], things[end]) for end in order)
    lines = tuple(
        Line(places[earlier], places[later], tuple(sorted(roles)))
        for later in order
        for earlier, roles in into.get(later, {}).items()
    )
    links = {names[end]: link for end in order if (link := leads_to(end, things[end]))}
    return Picture("lineage", boxes, lines), {names.get(walk.start, ""): "here"}, links


def _named(things: Mapping[End, str]) -> dict[End, str]:
    """A name for each thing, short and its own."""
    found: dict[End, str] = {}
    taken: set[str] = set()
    for end, label in things.items():
        word, _, rest = label.partition(" ")
        name = visible(rest.partition(" (")[0] if rest else word)
        if end.kind == "attempt":
            name = name.partition(" of run ")[0]
        if name in taken:
            name = f"{name} {end.id[-4:]}"
        taken.add(name)
        found[end] = name
    return found


def _thing(end: End, name: str, label: str) -> Box:
    kind: Kind = "step"
    if end.kind in {"version", "snapshot", "lock"}:
        kind = "model" if label.startswith("model ") else "dataset"
    return Box(name, kind, about=(label.partition(" ")[0],))


def leads_to(end: End, label: str) -> str:
    """The page of a thing; empty for what has none.

    Args:
        end: the thing.
        label: how it is named to people.
    """
    word, _, reference = label.partition(" ")
    if end.kind == "run":
        return f"/runs/{quote(end.id, safe='')}"
    if end.kind == "version" and word in {"dataset", "model"}:
        return f"/{word}s/{quote(reference.partition(' ')[0], safe='')}"
    if end.kind == "artifact":
        return f"/artifacts/{quote(end.id, safe='')}"
    return ""
