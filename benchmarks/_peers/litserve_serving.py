"""LitServe with batching: `litserve_serving.py MODEL.joblib WORKERS PORT`.

As many processes that compute as there are workers, and as many that take requests, which is what it
does by itself; a batch waits for 64 requests, but not for longer than 5 ms.
"""

import sys
from typing import Any

import joblib
import litserve
import numpy as np


class Tumours(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.model = joblib.load(sys.argv[1])

    def decode_request(self, request):
        return request["features"]

    def batch(self, inputs: list[Any]) -> Any:
        return np.array(inputs)

    def predict(self, rows: Any) -> Any:
        return self.model.predict(rows)

    def encode_response(self, label: Any) -> dict[str, int]:
        return {"prediction": int(label)}


if __name__ == "__main__":
    server = litserve.LitServer(
        Tumours(max_batch_size=64, batch_timeout=0.005),
        accelerator="cpu",
        workers_per_device=int(sys.argv[2]),
    )
    server.run(port=int(sys.argv[3]), generate_client_file=False, log_level="warning", access_log=False)
