"""Ray Serve: `ray_serving.py MODEL.joblib WORKERS PORT [ROWS]`; with ROWS it batches (`serve.batch`).

A replica for each worker, one proxy. Without its dashboard, which `serve run` would start as well.
"""

from __future__ import annotations

import signal
import sys
from typing import Any

import joblib
import ray
from ray import serve
from starlette.requests import Request

ROWS = int(sys.argv[4]) if len(sys.argv) > 4 else 0


class Tumours:
    def __init__(self, path: str) -> None:
        self.model = joblib.load(path)

    async def __call__(self, request: Request) -> dict[str, int]:
        row = (await request.json())["features"]
        return {"prediction": int(self.model.predict([row])[0])}


class TumoursTogether(Tumours):
    async def __call__(self, request: Request) -> dict[str, int]:
        return {"prediction": await self.predict((await request.json())["features"])}

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.005)
    async def predict(self, rows: list[Any]) -> list[int]:
        return [int(each) for each in self.model.predict(rows)]


def main(path: str, workers: int, port: int) -> None:
    ray.init(num_cpus=workers + 1, include_dashboard=False, object_store_memory=100 * 2**20)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    deployed = (
        serve.deployment(TumoursTogether, num_replicas=workers, max_ongoing_requests=128)
        if ROWS
        else serve.deployment(Tumours, num_replicas=workers)
    )
    serve.run(deployed.bind(path), route_prefix="/predict")
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
