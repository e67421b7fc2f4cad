"""The graph of a pipeline, drawn: as rails in a terminal, as Mermaid, as SVG.

Law: the same graph gives the same text.
"""

from mlwright.workflow.drawing.forms import draw, form_of
from mlwright.workflow.drawing.mermaid import mermaid
from mlwright.workflow.drawing.picture import Box, Line, Picture, picture_of
from mlwright.workflow.drawing.rails import Row, rails
from mlwright.workflow.drawing.svg import inline_svg, svg

__all__ = [
    "Box",
    "Line",
    "Picture",
    "Row",
    "draw",
    "form_of",
    "inline_svg",
    "mermaid",
    "picture_of",
    "rails",
    "svg",
]
