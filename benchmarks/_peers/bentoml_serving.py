"""BentoML: `/predict` asks about each request, `/predict_together` about several (adaptive batching)."""

from __future__ import annotations

import os

import bentoml
import joblib
import numpy as np


@bentoml.service(workers=int(os.environ["WORKERS"]), logging={"access": {"enabled": False}})
class Tumours:
    def __init__(self) -> None:
        self.model = joblib.load(os.environ["MODEL"])

    @bentoml.api
    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.model.predict(rows)

    @bentoml.api(batchable=True, max_batch_size=64)
    def predict_together(self, rows: np.ndarray) -> np.ndarray:
        return self.model.predict(rows)
