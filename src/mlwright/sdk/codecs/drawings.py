"""Figures: of matplotlib as a picture (PNG), of plotly as their own JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.figures import save_drawn
from mlwright.sdk.picture import SIGNATURE, Picture


class FigureCodec:
    """A `Figure` of matplotlib, as the PNG that `log_figure` makes too; a `Picture` comes back."""

    name = "figure"
    libraries = ("matplotlib",)
    distributions: tuple[str, ...] = ("matplotlib",)
    dumps = loads = None

    def matches(self, value: Any) -> bool:
        """Whether it is such a figure, or a picture of one."""
        module = sys.modules.get("matplotlib.figure")
        return isinstance(value, Picture) or (module is not None and isinstance(value, module.FigureBase))

    def encode(self, value: Any, path: Path) -> None:
        """The image, without the time and the version: equal figures have equal bytes."""
        if isinstance(value, Picture):
            value.save(path)
        else:
            save_drawn(value.figure, path, "png")  # of a part of a figure the whole

    def decode(self, path: Path, wanted: str, scratch: Path) -> Picture:
        """The picture.

        Raises:
            Invalid: no PNG.
        """
        png = path.read_bytes()
        if not png.startswith(SIGNATURE) or b"IEND" not in png[-12:]:
            raise Invalid(f"the picture {path.name[:12]} is no PNG, or not all of one")
        return Picture(png)

    def describe(self, value: Any) -> dict[str, Any]:
        """How many axes the figure has; of a picture nothing."""
        return {} if isinstance(value, Picture) else {"axes": len(value.axes)}


class PlotlyCodec:
    """A `Figure` of plotly, as its JSON; a `Figure` comes back."""

    name = "plotly"
    libraries = ("plotly",)
    distributions: tuple[str, ...] = ("plotly",)
    dumps = loads = None

    def matches(self, value: Any) -> bool:
        """Whether it is such a figure, or the widget of one."""
        module = sys.modules.get("plotly.basedatatypes")
        return module is not None and isinstance(value, module.BaseFigure)

    def encode(self, value: Any, path: Path) -> None:
        """Its JSON, with keys in the order of their names."""
        # Not by orjson, which plotly takes where it is installed, and which writes numbers in its own way.
        text = value.to_json(engine="json", validate=False)
        path.write_text(json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")), encoding="utf-8")

    def decode(self, path: Path, wanted: str, scratch: Path) -> Any:
        """The figure; plotly checks every property.

        Raises:
            Invalid: no JSON of a figure.
        """
        from plotly import graph_objects

        told = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(told, dict) or not {"data", "layout"} <= told.keys() <= {
            "data",
            "layout",
            "frames",
        }:
            raise Invalid(f"the figure {path.name[:12]} is not one of plotly")
        return graph_objects.Figure(told)

    def describe(self, value: Any) -> dict[str, Any]:
        """How many traces it has, and of which kinds."""
        return {"traces": len(value.data), "kinds": sorted({trace.type for trace in value.data})}
