"""A graph as Mermaid: text that documentation sites, code hosts and notebooks draw."""

from __future__ import annotations

from mlwright.workflow.drawing.picture import Box, Kind, Picture

_SHAPES: dict[Kind, tuple[str, str]] = {
    "step": ("[", "]"),
    "gate": ("{", "}"),
    "register": ("[(", ")]"),
    "model": ("[(", ")]"),
    "dataset": ("([", "])"),
}
_MAPPED = ("[[", "]]")
_ENTITIES = str.maketrans(
    {
        '"': "#quot;",
        "#": "#35;",
        "&": "#amp;",
        "<": "#lt;",
        "`": "#96;",
        "*": "#42;",
        "~": "#126;",
        "\\": "#92;",
    }
)


def mermaid(picture: Picture) -> str:
    """A flowchart, top down: a line for each box, then one for each line between two."""
    return "\n".join(
        [
            "flowchart TD",
            *(f"    n{place}{_shape(box)}" for place, box in enumerate(picture.boxes)),
            *(
                f"    n{line.source} {'-.->' if line.conditional else '-->'}"
                f'|"{_escaped(", ".join(line.labels))}"| n{line.target}'
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
    return f'{opens}"{"<br/>".join(map(_escaped, words))}"{closes}'


def _escaped(text: str) -> str:
    """Nothing in it ends the quotes, begins a tag or an entity, or is Markdown."""
    return text.translate(_ENTITIES)
