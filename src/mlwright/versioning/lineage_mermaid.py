"""A walk as Mermaid: text that documentation sites, code hosts and notebooks draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlwright.kernel.edges import Edge, End
from mlwright.kernel.words import in_mermaid, printable

_SHAPES = {
    "version": ("([", "])"),
    "run": ("[[", "]]"),
    "attempt": ("[", "]"),
    "snapshot": ("[/", "/]"),
    "lock": ("[/", "/]"),
}
_OTHERS = ("(", ")")


def mermaid(start: End, walked: Sequence[Edge], label: Callable[[End], str]) -> str:
    """A flowchart in which arrows lead from earlier things to what was made of them.

    Args:
        start: where the walk began; it is drawn even when nothing leads from it.
        walked: the edges to draw.
        label: how a thing is named.
    """
    ends = dict.fromkeys([start, *(end for edge in walked for end in (edge.later, edge.earlier))])
    names = {end: f"n{place}" for place, end in enumerate(ends)}
    lines = ["flowchart TD"]
    for end, name in names.items():
        opens, closes = _SHAPES.get(end.kind, _OTHERS)
        lines.append(f'    {name}{opens}"{in_mermaid(printable(label(end)))}"{closes}')
    for edge in walked:
        role = in_mermaid(printable(edge.role))
        lines.append(f'    {names[edge.earlier]} -->|"{role}"| {names[edge.later]}')
    return "\n".join([*lines, f"    style {names[start]} stroke-width:3px", ""])
