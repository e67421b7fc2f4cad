"""Benign or malignant: from a table of measurements to a registered model."""

from typing import NamedTuple

import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import train_test_split

from mlwright import Dataset, log_metric, pipeline, step
from mlwright.steps import gate, register

TARGET = "diagnosis"


class Split(NamedTuple):
    train: pd.DataFrame
    test: pd.DataFrame


@step(seed=None)
def load(data: Dataset) -> pd.DataFrame:
    """Read the table and drop patients that were measured twice."""
    return data.table().to_pandas().drop_duplicates(ignore_index=True)


@step
def split(table: pd.DataFrame, test_share: float = 0.25) -> Split:
    """Keep a share of the patients aside, with both diagnoses in proportion."""
    train, test = train_test_split(table, test_size=test_share, stratify=table[TARGET])
    return Split(train.reset_index(drop=True), test.reset_index(drop=True))


@step(retries=1, timeout="10m", resources={"cpus": 1, "memory": "1GiB"})
def train(train: pd.DataFrame, trees: int = 100) -> RandomForestClassifier:
    """Fit a forest."""
    model = RandomForestClassifier(n_estimators=trees)
    return model.fit(train.drop(columns=TARGET), train[TARGET])


@step(seed=None)
def evaluate(model: RandomForestClassifier, test: pd.DataFrame) -> dict[str, float]:
    """How well the model tells the two apart on patients it has not seen."""
    features, truth = test.drop(columns=TARGET), test[TARGET]
    malignant = list(model.classes_).index("malignant")
    scores = {
        "auc": float(roc_auc_score(truth == "malignant", model.predict_proba(features)[:, malignant])),
        "accuracy": float(accuracy_score(truth, model.predict(features))),
    }
    log_metric("test_rows", len(test))
    return scores


@pipeline
def diagnosis(data: Dataset = Dataset("patients@latest"), trees: int = 100, test_share: float = 0.25):
    """Load, split, train, evaluate, gate, register."""
    parts = split(load(data), test_share=test_share)
    model = train(parts.train, trees=trees)
    scores = evaluate(model, parts.test)
    passed = gate(scores, "auc >= 0.95", not_worse_than="diagnosis@champion", tolerance=0.005)
    register("diagnosis", model, scores, example=parts.test, when=passed)
