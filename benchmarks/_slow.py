"""A replica whose model takes 10 ms for each row.

    python benchmarks/_slow.py sleeping|computing FOLDER

It prints the port at which it answers. `computing` holds Python's lock while it computes, as a predictor in
pure Python does; `sleeping` does not, as one that computes in a library, or elsewhere.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from mlwright.kernel.ids import VersionId
from mlwright.serving import application
from mlwright.serving.application import Application
from mlwright.serving.runtime import Outputs
from mlwright.serving.spec import ModelSpec, ReplicaSpec
from mlwright.versioning.signatures import Column, Example, Output, Signature
from mlwright.wire.loop import answer, signalled

ROW_S = 0.01


class SlowRuntime:
    """Answers each row with its only value.

    Args:
        computes: whether it does so, or sleeps.
    """

    classes: list[Any] = []  # noqa: RUF012

    def __init__(self, computes: bool) -> None:
        self._computes = computes

    def __call__(self, columns: Any, *, proba: bool) -> Outputs:
        for _ in columns[0]:
            until = time.monotonic() + ROW_S
            if self._computes:
                while time.monotonic() < until:
                    pass
            else:
                time.sleep(ROW_S)
        return Outputs(list(columns[0]))


async def main(computes: bool, folder: Path) -> None:
    signature = Signature((Column("a", "number"),), Output("number"), False, Example({"a": 1.0}, 1.0))
    spec = ReplicaSpec((ModelSpec("slow@1", VersionId("0" * 26), "none", "/nowhere", signature),))

    class Loader:
        @staticmethod
        def load(_: ModelSpec, __: Path) -> SlowRuntime:
            return SlowRuntime(computes)

    application.NativeRuntime = Loader  # type: ignore[misc, assignment]
    loop, told_to_end = asyncio.get_running_loop(), asyncio.Event()
    made = Application(spec, folder, told_to_end.set)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        with signalled(lambda: loop.call_soon_threadsafe(told_to_end.set)):
            await answer(made, listener, lambda: None, told_to_end)


if __name__ == "__main__":
    sys.setswitchinterval(0.001)  # as a replica does
    uvloop.run(main(sys.argv[1] == "computing", Path(sys.argv[2])))
