"""Who will leave: several boosted models side by side, of which the best is registered."""

from typing import NamedTuple

import pandas as pd
from lightgbm import LGBMClassifier
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import train_test_split

from mlwright import Dataset, pipeline, step
from mlwright.steps import gate, register

TARGET = "left"


class Split(NamedTuple):
    train: pd.DataFrame
    test: pd.DataFrame


@step
def split(data: Dataset) -> Split:
    """A quarter of the customers is kept aside, with as many who left."""
    table = data.table().to_pandas()
    train, test = train_test_split(table, test_size=0.25, stratify=table[TARGET])
    return Split(train.reset_index(drop=True), test.reset_index(drop=True))


@step
def fit(leaves: int, train: pd.DataFrame, trees: int = 60) -> LGBMClassifier:
    """Boosted trees with so many leaves; `deterministic` for the same sums whatever the threads."""
    model = LGBMClassifier(
        n_estimators=trees, num_leaves=leaves, deterministic=True, force_row_wise=True, verbose=-1
    )
    return model.fit(train.drop(columns=TARGET), train[TARGET])


@step(seed=None)
def best(models: list[LGBMClassifier], test: pd.DataFrame) -> LGBMClassifier:
    """The one with the smallest loss."""
    features = test.drop(columns=TARGET)
    return min(models, key=lambda model: log_loss(test[TARGET], model.predict_proba(features)))


@step(seed=None)
def evaluate(model: LGBMClassifier, test: pd.DataFrame) -> dict[str, float]:
    """How well it tells those who left from those who stayed."""
    probabilities = model.predict_proba(test.drop(columns=TARGET))
    return {
        "auc": float(roc_auc_score(test[TARGET], probabilities[:, 1])),
        "loss": float(log_loss(test[TARGET], probabilities)),
    }


@pipeline
def churn(data: Dataset = Dataset("customers@latest"), leaves: list[int] = [3, 7, 15], trees: int = 60):
    """Split, fit each, choose, evaluate, gate, register."""
    parts = split(data)
    model = best(fit.map(leaves, train=parts.train, trees=trees), parts.test)
    scores = evaluate(model, parts.test)
    passed = gate(scores, "auc >= 0.75")
    register("churn", model, scores, example=parts.test, when=passed)
