"""A replica without a model: all of it is real but what it answers with, which takes no time to load.

It is started by a script that stands where the interpreter of an environment would.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from mlwright.kernel.errors import Incompatible, MlwrightError
from mlwright.serving.control import run
from mlwright.wire.bounds import Bounds

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = f"""#!{sys.executable}
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "src")!r}]
from tests.serving.supervisor.toy import main
main()
"""


def main() -> None:
    """Be a replica; the arguments are those of an interpreter that starts one."""
    spec, _, control, *tie = sys.argv[sys.argv.index("mlwright.serving.replica") + 1 :]
    run(lambda failed: Toy(json.loads(Path(spec).read_bytes()), failed), Bounds(idle_s=65.0), control, *tie)


class Toy:
    """Answers with what its spec says; `?s=0.1` lets it take its time.

    `?hangs` holds the interpreter in native code, so that not even its event loop goes on; `?stuck` lets it
    say that its model is at something without end.

    Args:
        spec: `answer`; and `fault`: `crash`, `hang` or `wrong` keep it from being ready; `grpc` lets it
            answer calls of `/toy/Answer`, too.
    """

    def __init__(self, spec: dict[str, Any], failed: Callable[[], None]) -> None:
        self.ready = asyncio.Event()
        self.failure: MlwrightError | None = None
        self.over_http2 = _called(spec) if spec.get("grpc") else None
        self.stuck = ""
        self._spec = spec
        self._failed = failed

    def quick(self, exchange: Any) -> bool:
        return False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            self._load()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["query_string"] == b"hangs":
            ctypes.PyDLL(None).pause()
        if scope["query_string"] == b"stuck":
            self.stuck = "its model has been at one answer for a while"
        with contextlib.suppress(KeyError):
            await asyncio.sleep(float(parse_qs(scope["query_string"])[b"s"][0]))
        body = json.dumps({"answer": self._spec.get("answer"), "pid": os.getpid()}).encode()
        length = str(len(body)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": body})

    def _load(self) -> None:
        match self._spec.get("fault"):
            case "crash":
                print("no such layer", flush=True)
                os.abort()
            case "hang":
                return
            case "wrong":
                self.failure = Incompatible("toy answers its example with 1, the pipeline recorded 2")
                self._failed()
            case None:
                self.ready.set()


def _called(spec: dict[str, Any]) -> Any:
    from mlwright.serving.access import Access
    from mlwright.serving.figures import Figures
    from mlwright.serving.protocols.grpc import Call, Calls
    from mlwright.serving.request import Reply

    async def answer(call: Call) -> Reply:
        return Reply(str(spec.get("answer")).encode())

    return Calls(Access(), 1 << 20, Figures(), {"/toy/Answer": answer}, ())
