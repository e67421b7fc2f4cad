"""The two models that every server is asked about: fitted once, and the same bytes for all of them.

`logistic`: logistic regression; `forest`: 100 trees. 30 features of tumours, two classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import sklearn
from _projects import Workbench, workbench
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from mlwright.app import Project

MODELS = ("logistic", "forest")

_PIPELINE = """
import joblib
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.datasets import load_breast_cancer

from mlwright import pipeline, step
from mlwright.steps import register


@step
def table() -> pd.DataFrame:
    return load_breast_cancer(as_frame=True).data


@step
def fitted(table: pd.DataFrame, path: str) -> ClassifierMixin:
    return joblib.load(path)


@pipeline
def models(folder: str):
    rows = table()
    register("logistic", fitted(rows, f"{folder}/logistic.joblib"), example=rows)
    register("forest", fitted(rows, f"{folder}/forest.joblib"), example=rows)
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A model, and what it is asked.

    Args:
        model: its name.
        path: its file, written by joblib.
        project: where it is registered, and converted to ONNX.
        names: of the features.
        rows: one of each class, with the label that the model alone gives.
    """

    model: str
    path: Path
    project: Path
    names: Sequence[str]
    rows: Sequence[tuple[Sequence[float], int]]

    def native(self) -> Any:
        """As it was fitted."""
        return joblib.load(self.path)

    def onnx(self) -> Any:
        """What a replica computes with, in this process: it is called with columns."""
        from mlwright.serving.runtime.onnx import OnnxRuntime

        with Project.open(self.project) as project:
            spec = project.replica_spec(f"{self.model}@champion", runtime="onnx")
        return OnnxRuntime.load(spec.models[0], self.project)


@contextmanager
def asked() -> Iterator[dict[str, Asked]]:
    """By name. They are registered by a pipeline, as a user's would be, and converted."""
    requirement = f"scikit-learn=={sklearn.__version__}"
    with workbench(_PIPELINE, [requirement, "pandas", "pyarrow", "skops"]) as bench:
        tumours = load_breast_cancer()
        fitted = {
            "logistic": LogisticRegression(max_iter=10_000),
            "forest": RandomForestClassifier(n_estimators=100, random_state=0),
        }
        folder = bench.folder.parent / "models"
        folder.mkdir()
        for name, model in fitted.items():
            joblib.dump(model.fit(tumours.data, tumours.target), folder / f"{name}.joblib")
        _register(bench, folder)
        yield {
            name: Asked(
                name,
                folder / f"{name}.joblib",
                bench.folder,
                [str(each) for each in tumours.feature_names],
                _one_of_each(model, tumours.data),
            )
            for name, model in fitted.items()
        }


def _register(bench: Workbench, folder: Path) -> None:
    bench.command("run", "models", "-p", f"folder={folder}")
    for name in MODELS:
        said = bench.command("models", "convert", f"{name}@champion").output
        if not said.startswith("used:"):
            raise RuntimeError(f"{name} is not served as ONNX: {said}")


def _one_of_each(model: Any, rows: Any) -> list[tuple[list[float], int]]:
    labels = model.predict(rows)
    first = [int((labels == each).argmax()) for each in model.classes_]
    return [(rows[each].tolist(), int(model.predict(rows[each : each + 1])[0])) for each in first]
