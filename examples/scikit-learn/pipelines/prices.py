"""What a house is worth: text and number columns through one scikit-learn pipeline."""

from typing import NamedTuple

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import mean_absolute_percentage_error, r2_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mlwright import Dataset, pipeline, step
from mlwright.steps import gate, register

TARGET = "price"


class Split(NamedTuple):
    train: pd.DataFrame
    test: pd.DataFrame


@step
def split(data: Dataset, test_share: float = 0.25) -> Split:
    """Keep a share of the houses aside."""
    train, test = train_test_split(data.table().to_pandas(), test_size=test_share)
    return Split(train.reset_index(drop=True), test.reset_index(drop=True))


@step
def fit(train: pd.DataFrame, trees: int = 50) -> Pipeline:
    """Districts by name, numbers to one scale, then a forest."""
    columns = ColumnTransformer(
        [
            ("district", OneHotEncoder(handle_unknown="ignore"), ["district"]),
            ("numbers", StandardScaler(), ["area_m2", "rooms", "built"]),
        ]
    )
    model = Pipeline([("columns", columns), ("forest", RandomForestRegressor(n_estimators=trees))])
    return model.fit(train.drop(columns=TARGET), train[TARGET])


@step(seed=None)
def evaluate(model: Pipeline, test: pd.DataFrame) -> dict[str, float]:
    """How far off it is on houses that it has not seen."""
    guess = model.predict(test.drop(columns=TARGET))
    return {
        "r2": float(r2_score(test[TARGET], guess)),
        "error": float(mean_absolute_percentage_error(test[TARGET], guess)),
    }


@pipeline
def prices(data: Dataset = Dataset("houses@latest"), trees: int = 50):
    """Split, fit, evaluate, gate, register."""
    parts = split(data)
    model = fit(parts.train, trees=trees)
    scores = evaluate(model, parts.test)
    passed = gate(scores, "r2 >= 0.8", "error <= 0.2")
    register("prices", model, scores, example=parts.test, when=passed)
