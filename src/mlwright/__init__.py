"""mlwright: from a function on a laptop to a reproducible, monitored machine-learning service.

This is the public face; each name is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlwright.kernel.version import VERSION

if TYPE_CHECKING:
    from mlwright.app import Project
    from mlwright.sdk.dataset import Dataset
    from mlwright.sdk.pipeline import pipeline
    from mlwright.sdk.report import log_metric, log_metrics
    from mlwright.sdk.step import step
    from mlwright.serving.client import Client

__all__ = [
    "Client",
    "Dataset",
    "Project",
    "__version__",
    "log_metric",
    "log_metrics",
    "pipeline",
    "step",
]

__version__ = VERSION

_HOMES = {
    "Client": "mlwright.serving.client",
    "Dataset": "mlwright.sdk.dataset",
    "Project": "mlwright.app",
    "log_metric": "mlwright.sdk.report",
    "log_metrics": "mlwright.sdk.report",
    "pipeline": "mlwright.sdk.pipeline",
    "step": "mlwright.sdk.step",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mlwright' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
