"""The forms a graph can be drawn in, by name."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mlwright.workflow.drawing.mermaid import mermaid
from mlwright.workflow.drawing.picture import picture_of
from mlwright.workflow.drawing.rails import rails
from mlwright.workflow.drawing.svg import svg
from mlwright.workflow.graph import Graph

_SUFFIXES = {".mmd": "mermaid", ".mermaid": "mermaid", ".svg": "svg", ".json": "json"}


def form_of(path: Path | None) -> str:
    """The form that a file's name asks for."""
    return "terminal" if path is None else _SUFFIXES.get(path.suffix.lower(), "terminal")


def draw(graph: Graph, form: str) -> str:
    """A graph as the text of a file: `terminal`, `mermaid`, `svg` or `json`."""
    if form == "mermaid":
        return mermaid(picture_of(graph))
    if form == "svg":
        return svg(picture_of(graph))
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(graph), indent=2).decode() + "\n"
    return "".join(f"{row.text}\n" for row in rails(picture_of(graph)))
