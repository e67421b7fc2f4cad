"""A graph as SVG: one file that needs nothing else, on light and on dark ground."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

from msgspec import Struct
from rich.cells import cell_len, set_cell_size

from mlwright.workflow.drawing.layers import layered
from mlwright.workflow.drawing.picture import Box, Kind, Line, Picture

_MARGIN = 24.0
_BETWEEN = 64.0
_NAME, _SMALL, _LABEL = 7.9, 6.7, 6.1  # a cell of each size of text is so wide, in the widest of the fonts
_LONGEST = 44  # cells of a line in a box; the whole is in its title
_MOST_LABELS = 380.0
_STACK = 8.0  # a mapped step has two more behind it, each moved by half of this
_ROUND = {"register", "model"}
_STYLE = """
text{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;text-anchor:middle}
.name{font-size:13px;font-weight:600;fill:#1f2328}
.about{font-size:11px;fill:#57606a}
.label{font-size:10px;fill:#57606a;stroke:#fff;stroke-width:4px;stroke-linejoin:round;paint-order:stroke}
.ground{fill:#fff}
.step{fill:#f6f8fa;stroke:#57606a}
.gate{fill:#fff5d6;stroke:#b08800}
.register,.model{fill:#e3f6e8;stroke:#2d8a46}
.dataset{fill:#e2effd;stroke:#2f72c4}
.line{fill:none;stroke:#8c959f;stroke-width:1.4}
.tip{fill:#8c959f}
.when{stroke:#b08800;stroke-dasharray:2 4;stroke-linecap:round}
.tip.when{fill:#b08800;stroke:none}
@media (prefers-color-scheme:dark){
.name{fill:#e6edf3}
.about{fill:#9aa4af}
.label{fill:#9aa4af;stroke:#0d1117}
.ground{fill:#0d1117}
.step{fill:#1b2129;stroke:#7d8590}
.gate{fill:#33280a;stroke:#d0a215}
.register,.model{fill:#10301a;stroke:#4bb368}
.dataset{fill:#0f2742;stroke:#5a9df0}
.line{stroke:#6e7681}
.tip{fill:#6e7681}
.when{stroke:#d0a215}
.tip.when{fill:#d0a215}
}
"""


class _Frame(Struct, frozen=True):
    """How large a box is, and what stands in it.

    Args:
        ports: of the lines that come in, how wide each port is; their labels fit.
        labelled: whether the labels are drawn.
    """

    width: float
    height: float
    words: tuple[tuple[str, str], ...]
    ports: tuple[float, ...]
    labelled: bool


class _Placed(Struct, frozen=True):
    """A box where it stands: its upper left corner, and the lower edge of its layer."""

    x: float
    y: float
    frame: _Frame
    floor: float

    @property
    def middle(self) -> float:
        return self.x + self.frame.width / 2


def svg(picture: Picture) -> str:
    """An image as large as the graph needs, in ASCII."""
    width, height, shapes = _laid_out(picture, {}, {})
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
        f"<title>{escape(picture.pipeline)}</title>",
        f"<style>{_STYLE}</style>",
        '<rect class="ground" width="100%" height="100%"/>',
        *shapes,
        "</svg>",
        "",
    ]
    return "\n".join(parts).encode("ascii", "xmlcharrefreplace").decode()


def inline_svg(picture: Picture, states: Mapping[str, str] = {}, links: Mapping[str, str] = {}) -> str:
    """The same for a page, whose own style colours it.

    Args:
        picture: what is drawn.
        states: of the boxes, by name: a class each, that the page's style knows.
        links: where a box leads to, by name.
    """
    width, height, shapes = _laid_out(picture, states, links)
    parts = [
        f'<svg class="graph" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}" role="group" aria-label="{escape(picture.pipeline)}">',
        *shapes,
        "</svg>",
    ]
    return "\n".join(parts)


def _laid_out(
    picture: Picture, states: Mapping[str, str], links: Mapping[str, str]
) -> tuple[float, float, list[str]]:
    """How large the drawing is, and its shapes."""
    incoming: list[list[int]] = [[] for _ in picture.boxes]
    for number, line in enumerate(picture.lines):
        incoming[line.target].append(number)
    frames = [
        _frame(box, [picture.lines[number] for number in numbers])
        for box, numbers in zip(picture.boxes, incoming, strict=True)
    ]
    layout = layered(
        [frame.width for frame in frames],
        [(line.source, line.target, "when" if line.conditional else "") for line in picture.lines],
    )
    tops, floors = _heights(layout.layer, frames)
    placed = [
        _Placed(_MARGIN + x - frame.width / 2, tops[layer], frame, floors[layer])
        for x, layer, frame in zip(layout.x, layout.layer, frames, strict=True)
    ]
    strokes: list[str] = []
    labels: list[str] = []
    for target, numbers in enumerate(incoming):
        lanes = {
            number: _lanes(layout.ways[number], layout.layer[picture.lines[number].source] + 1, tops, floors)
            for number in numbers
        }
        arrivals = {
            number: lane[-1][0] if lane else placed[picture.lines[number].source].middle
            for number, lane in lanes.items()
        }
        for number, at in _ports(placed[target], arrivals):
            line, top = picture.lines[number], placed[target].y
            strokes += _stroke(picture, line, placed[line.source], lanes[number], (at, top))
            if frames[target].labelled:
                labels.append(_text("label", at, top - 12, ", ".join(line.labels)))
    width = max((each.x + each.frame.width for each in placed), default=0.0) + _MARGIN
    height = max((each.floor for each in placed), default=0.0) + _MARGIN
    boxes = (
        part
        for box, each in zip(picture.boxes, placed, strict=True)
        for part in _drawn(box, each, states.get(box.name, ""), links.get(box.name, ""))
    )
    return width, height, [*strokes, *boxes, *labels]


def _lanes(
    way: Sequence[float], first: int, tops: Sequence[float], floors: Sequence[float]
) -> list[tuple[float, float, float]]:
    """Where a line is straight: x, and from where to where."""
    return [(_MARGIN + x, tops[layer], floors[layer]) for layer, x in enumerate(way, start=first)]


def _ports(box: _Placed, arrivals: Mapping[int, float]) -> Iterator[tuple[int, float]]:
    """Where each line comes into its box: in the order in which they arrive, so that they do not cross there.

    Args:
        box: where they end.
        arrivals: of each line, in the order of the box's ports, where it comes from.
    """
    widths = dict(zip(arrivals, box.frame.ports, strict=True))
    spare = (box.frame.width - sum(widths.values())) / max(len(widths), 1)
    edge = box.x
    for number in sorted(arrivals, key=arrivals.__getitem__):
        yield number, edge + (widths[number] + spare) / 2
        edge += widths[number] + spare


def _frame(box: Box, lines: Sequence[Line]) -> _Frame:
    words = [("name", box.title)]
    if box.condition:
        words.append(("about", f"when {box.condition}"))
    words += [("about", text) for text in box.about]
    words += [("about", text) for text in _filled(box.options)]
    cut = tuple((style, _cut(text)) for style, text in words)
    inside = max(cell_len(text) * (_NAME if style == "name" else _SMALL) for style, text in cut)
    ports = [max(cell_len(", ".join(line.labels)) * _LABEL + 12, 16.0) for line in lines]
    labelled = sum(ports) <= _MOST_LABELS
    if not labelled:
        ports = [0.0] * len(ports)
    return _Frame(
        width=max(inside + (52 if box.kind == "gate" else 36), sum(ports), 90.0)
        + (_STACK if box.count else 0),
        height=18.0 + 15 * len(cut) + (10 if box.kind in _ROUND else 0) + (_STACK if box.count else 0),
        words=cut,
        ports=tuple(ports),
        labelled=labelled,
    )


def _filled(options: Iterable[str]) -> Iterator[str]:
    line = ""
    for option in options:
        if line and cell_len(line) + 2 + cell_len(option) > _LONGEST - 8:
            yield line
            line = ""
        line += f", {option}" if line else option
    if line:
        yield line


def _cut(text: str) -> str:
    return text if cell_len(text) <= _LONGEST else set_cell_size(text, _LONGEST - 1).rstrip() + "…"


def _heights(layers: Sequence[int], frames: Sequence[_Frame]) -> tuple[list[float], list[float]]:
    """Where each layer begins and ends."""
    tallest = [0.0] * (1 + max(layers, default=-1))
    for layer, frame in zip(layers, frames, strict=True):
        tallest[layer] = max(tallest[layer], frame.height)
    tops, edge = [], _MARGIN
    for height in tallest:
        tops.append(edge)
        edge += height + _BETWEEN
    return tops, [top + height for top, height in zip(tops, tallest, strict=True)]


def _stroke(
    picture: Picture,
    line: Line,
    source: _Placed,
    lanes: Sequence[tuple[float, float, float]],
    port: tuple[float, float],
) -> Iterator[str]:
    """A line from a box to a port, through lanes, and its tip."""
    style = " when" if line.conditional else ""
    at, end = port
    x, y = source.middle, source.floor
    path = [f"M{x:.1f} {source.y + source.frame.height:.1f}V{y:.1f}"]
    for lane, top, floor in lanes:
        path.append(_bend(x, y, lane, top) + f"V{floor:.1f}")
        x, y = lane, floor
    path.append(_bend(x, y, at, end - 24) + f"V{end - 6:.1f}")
    told = f"{picture.boxes[line.source].name}: {', '.join(line.labels)}"
    yield f'<path class="line{style}" d="{"".join(path)}"><title>{escape(told)}</title></path>'
    yield f'<path class="tip{style}" d="M{at - 4:.1f} {end - 8:.1f}h8l-4 8z"/>'


def _bend(x: float, y: float, to_x: float, to_y: float) -> str:
    if abs(x - to_x) < 0.05:
        return f"V{to_y:.1f}"
    half = (y + to_y) / 2
    return f"C{x:.1f} {half:.1f} {to_x:.1f} {half:.1f} {to_x:.1f} {to_y:.1f}"


def _drawn(box: Box, placed: _Placed, state: str, link: str) -> Iterator[str]:
    stack = _STACK if box.count else 0.0
    width, height = placed.frame.width - stack, placed.frame.height - stack
    if link:
        yield f'<a href="{escape(link)}">'
    stands = f' class="state-{escape(state)}"' if state else ""
    yield f'<g{stands} transform="translate({placed.x:.1f} {placed.y:.1f})">'
    yield f"<title>{escape(', '.join([box.title, *box.about, *box.options]))}</title>"
    for behind in (stack, stack / 2, 0.0) if stack else (0.0,):
        yield _shape(box.kind, behind, width, height)
    lowest = height - (15 if box.kind in _ROUND else 13)
    for number, (style, text) in enumerate(reversed(placed.frame.words)):
        yield _text(style, width / 2, lowest - 15 * number, text)
    yield "</g></a>" if link else "</g>"


def _shape(kind: Kind, behind: float, width: float, height: float) -> str:
    if kind == "gate":
        tip = min(height / 2, 16)
        path = (
            f"M{tip:.1f} 0H{width - tip:.1f}L{width:.1f} {height / 2:.1f}"
            f"L{width - tip:.1f} {height:.1f}H{tip:.1f}L0 {height / 2:.1f}z"
        )
    elif kind in _ROUND:
        arc = f"A{width / 2:.1f} 6 0 0"
        path = (
            f"M0 6{arc} 1 {width:.1f} 6V{height - 6:.1f}{arc} 1 0 {height - 6:.1f}zM0 6{arc} 0 {width:.1f} 6"
        )
    else:
        radius = height / 2 if kind == "dataset" else 6.0
        return (
            f'<rect class="{kind}" x="{behind:.1f}" y="{behind:.1f}" width="{width:.1f}"'
            f' height="{height:.1f}" rx="{radius:.1f}"/>'
        )
    return f'<path class="{kind}" d="{path}"/>'


def _text(style: str, x: float, y: float, text: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
