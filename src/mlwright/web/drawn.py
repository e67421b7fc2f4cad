"""Pictures that are drawn on the server: graphs, bars, histograms. No style stands in them, only classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import quote

from markupsafe import Markup

from mlwright.workflow.drawing import Box, Picture, inline_svg
from mlwright.workflow.gantt import gantt
from mlwright.workflow.profile import Profile

_BAR, _GAP, _HIGH = 10, 1, 44
_CELLS = 240


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
