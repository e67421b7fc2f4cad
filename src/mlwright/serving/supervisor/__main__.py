"""`python -m mlwright.serving.supervisor FOLDER [--starter FD] [--tie FD]`.

Goes on with what the folder says, or waits for the order to begin. SIGTERM lets the replicas answer what they
have and ends with status 0; the folder still says what was wanted.

Arguments:
    --starter: a stream over which the first orders come.
    --tie: a pipe; when its other end is closed, however that came, the replicas answer what they have, the
        supervisor ends, and the folder is removed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import signal
import socket
import sys
from pathlib import Path

from mlwright.kernel.errors import MlwrightError
from mlwright.serving.channel import Channel, close_all, listen_at, told
from mlwright.serving.supervisor.folder import Folder
from mlwright.serving.supervisor.orders import Orders
from mlwright.serving.supervisor.supervisor import Supervisor

_IDLE_S = 60.0
"""So long one that serves nothing waits for the order to begin."""


def main(arguments: list[str]) -> None:
    """Keep things as they should be, until told to stop."""
    parser = argparse.ArgumentParser(prog="mlwright.serving.supervisor")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--starter", type=int)
    parser.add_argument("--tie", type=int)
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the starter's to act on
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    starter = None if given.starter is None else socket.socket(fileno=given.starter)
    sys.exit(asyncio.run(_main(given.folder.resolve(), starter, given.tie)))


async def _main(path: Path, starter: socket.socket | None, tie: int | None) -> int:
    try:
        folder = Folder(path)
        with folder.held():
            await _supervise(folder, starter, tie)
    except MlwrightError as error:
        print(error.render(), flush=True)  # noqa: T201 - it is its log
        if starter is not None:
            await _refuse(starter, error)
        return error.exit_code
    if tie is not None:
        shutil.rmtree(path, ignore_errors=True)
    return 0


async def _supervise(folder: Folder, starter: socket.socket | None, tie: int | None) -> None:
    loop = asyncio.get_running_loop()
    supervisor = Supervisor(folder, tie)
    await supervisor.resume()
    orders = Orders(supervisor)
    loop.add_signal_handler(signal.SIGTERM, supervisor.stop)
    if tie is not None:

        def cut() -> None:
            loop.remove_reader(tie)
            supervisor.stop()

        loop.add_reader(tie, cut)
    with listen_at(folder.control) as listener:
        orders.accept_at(listener)
        if starter is not None:
            orders.take_from(starter)
        loop.call_later(_IDLE_S, supervisor.stop_if_idle)
        await supervisor.run()
        if supervisor.forgets:
            folder.clear()
        await orders.end()
        loop.remove_reader(listener.fileno())
    folder.control.unlink(missing_ok=True)


async def _refuse(starter: socket.socket, error: MlwrightError) -> None:
    """Answer the first order with what keeps the supervisor from working."""
    ended = asyncio.Event()

    def heard(body: dict[str, object], files: list[int]) -> None:
        close_all(files)
        channel.tell({"re": body.get("ask", 0), "failed": told(error)})
        ended.set()

    channel = Channel(starter, heard, ended.set)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ended.wait(), 5.0)
    await asyncio.sleep(0)
    channel.close()


if __name__ == "__main__":
    main(sys.argv[1:])
