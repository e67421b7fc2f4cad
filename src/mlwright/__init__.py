"""mlwright: from a function on a laptop to a reproducible, monitored machine-learning service.

This is the public face; each name is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlwright.kernel.version import VERSION

if TYPE_CHECKING:
    from mlwright.app import Project
    from mlwright.sdk.dataset import Dataset
    from mlwright.sdk.kinds import Audio, File, Image, Refused, Table, Tensor, Text, Video
    from mlwright.sdk.pipeline import pipeline
    from mlwright.sdk.report import (
        log_artifact,
        log_figure,
        log_metric,
        log_metrics,
        log_param,
        log_params,
        progress,
    )
    from mlwright.sdk.step import step
    from mlwright.serving.client import Client

__all__ = [
    "Audio",
    "Client",
    "Dataset",
    "File",
    "Image",
    "Project",
    "Refused",
    "Table",
    "Tensor",
    "Text",
    "Video",
    "__version__",
    "log_artifact",
    "log_figure",
    "log_metric",
    "log_metrics",
    "log_param",
    "log_params",
    "pipeline",
    "progress",
    "step",
]

__version__ = VERSION

_HOMES = {
    "Audio": "mlwright.sdk.kinds",
    "Client": "mlwright.serving.client",
    "Dataset": "mlwright.sdk.dataset",
    "File": "mlwright.sdk.kinds",
    "Image": "mlwright.sdk.kinds",
    "Project": "mlwright.app",
    "Refused": "mlwright.sdk.kinds",
    "Table": "mlwright.sdk.kinds",
    "Tensor": "mlwright.sdk.kinds",
    "Text": "mlwright.sdk.kinds",
    "Video": "mlwright.sdk.kinds",
    "log_artifact": "mlwright.sdk.report",
    "log_figure": "mlwright.sdk.report",
    "log_metric": "mlwright.sdk.report",
    "log_metrics": "mlwright.sdk.report",
    "log_param": "mlwright.sdk.report",
    "log_params": "mlwright.sdk.report",
    "pipeline": "mlwright.sdk.pipeline",
    "progress": "mlwright.sdk.report",
    "step": "mlwright.sdk.step",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mlwright' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
