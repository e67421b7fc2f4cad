"""Runs every scenario in the process that has MLflow, and writes what was answered.

python client.py ANSWERS.json [NAME ...]
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any


def main(out: Path, names: list[str]) -> None:
    """Run the scenarios of these names, or all, against `MLFLOW_TRACKING_URI`."""
    import mlflow

    from tests.server.conformance import scenarios
    from tests.server.conformance.scenario import ALL, Scenario, Session

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    url = os.environ["MLFLOW_TRACKING_URI"]
    told: dict[str, Any] = {"protocol": _protocol(), "scenarios": {}}

    def run(each: Scenario) -> dict[str, Any]:
        missing = [module for module in each.needs if importlib.util.find_spec(module) is None]
        if missing:
            return {"skipped": f"{', '.join(missing)} is not installed"}
        folder = Path.cwd() / each.name
        folder.mkdir()
        session = Session(mlflow, url, folder)
        session.begin(each.name)
        begun, ended = time.perf_counter(), None
        try:
            each.run(session)
        except Exception:
            ended = traceback.format_exc()
        return {"answers": session.answers, "ended": ended, "took_s": time.perf_counter() - begun}

    assert scenarios.MODULES
    for each in ALL.values():
        if not names or each.name in names:
            told["scenarios"][each.name] = run(each)
    out.write_text(json.dumps(told))


def _protocol() -> list[str]:
    """Every endpoint that the package's services declare: `POST /mlflow/runs/create`."""
    from mlflow.protos import databricks_pb2
    from mlflow.protos.mlflow_artifacts_pb2 import MlflowArtifactsService
    from mlflow.protos.model_registry_pb2 import ModelRegistryService
    from mlflow.protos.service_pb2 import MlflowService
    from mlflow.protos.webhooks_pb2 import WebhookService

    return sorted(
        {
            f"{endpoint.method} {endpoint.path}"
            for service in (MlflowService, ModelRegistryService, MlflowArtifactsService, WebhookService)
            for method in service.DESCRIPTOR.methods
            for endpoint in method.GetOptions().Extensions[databricks_pb2.rpc].endpoints
        }
    )


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[3])
    main(Path(sys.argv[1]), sys.argv[2:])
