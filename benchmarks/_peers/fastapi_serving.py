"""FastAPI as its tutorial has it: a plain function, which is called in a thread; on uvicorn[standard]."""

from __future__ import annotations

import os

import joblib
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
model = joblib.load(os.environ["MODEL"])


class Tumour(BaseModel):
    features: list[float]


@app.post("/predict")
def predict(tumour: Tumour) -> dict[str, int]:
    return {"prediction": int(model.predict([tumour.features])[0])}
