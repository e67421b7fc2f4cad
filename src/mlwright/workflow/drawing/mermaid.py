"""A graph as Mermaid: text that documentation sites, code hosts and notebooks draw."""

from __future__ import annotations

from mlwright.kernel.words import in_mermaid
from mlwright.workflow.drawing.picture import Box, Kind, Picture

_SHAPES: dict[Kind, tuple[str, str]] = {
    "step": ("[", "]"),
    "gate": ("{", "}"),
    "register": ("[(", ")]"),
    "model": ("[(", ")]"),
    "dataset": ("([", "])"),
}
_MAPPED = ("[[", "]]")


def mermaid(picture: Picture) -> str:
    """A flowchart, top down: a line for each box, then one for each line between two."""
    return "\n".join(
        [
            "flowchart TD",
            *(f"    n{place}{_shape(box)}" for place, box in enumerate(picture.boxes)),
            *(
                f"    n{line.source} {'-.->' if line.conditional else '-->'}"
                f'|"{in_mermaid(", ".join(line.labels))}"| n{line.target}'
                for line in picture.lines
            ),
            "",
        ]
    )


def _shape(box: Box) -> str:
    opens, closes = _MAPPED if box.count else _SHAPES[box.kind]
    words = [box.title]
    if box.condition:
        words.append(f"when {box.condition}")
    if box.kind in {"gate", "register"}:
        words += box.about
    return f'{opens}"{"<br/>".join(map(in_mermaid, words))}"{closes}'
