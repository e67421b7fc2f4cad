"""MLflow's scoring server serves what this saves: `mlflow_serving.py MODEL.joblib`, into `./model`.

Pickled: what it would write by itself, skops, it refuses to read back where there are trees.
"""

from __future__ import annotations

import sys

import joblib
import mlflow.sklearn

if __name__ == "__main__":
    mlflow.sklearn.save_model(joblib.load(sys.argv[1]), "model", serialization_format="cloudpickle")
