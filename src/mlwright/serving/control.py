"""What a replica does as its supervisor tells it, over a unix socket in its own folder.

    ready                     answered when the model has answered its example, or has failed to
    listen SLOT, a socket     take connections from it
    unlisten SLOT             take no more from it; those that were taken are kept
    give                      the sockets it listens to, for a supervisor that was restarted
    drain GRACE_S LINGERS     take no more connections, answer what there is, end
    status                    how it is
    beat                      answered by the event loop; `stuck` says what its model is at without end

Only processes of the same user are heard. A replica outlives its supervisor. It ends by itself when it has no
socket, so that nobody can reach it, and no supervisor for a minute; and when it is tied to who started its
supervisor, and both are gone.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from typing import Any

import uvloop

from mlwright.kernel.errors import Invalid, MlwrightError
from mlwright.serving.answering import Answering, Making
from mlwright.serving.channel import STACKS, Body, Channel, accepted, close_all, told
from mlwright.wire.bounds import Bounds

ALONE_S = 60.0
"""So long a replica that nobody can reach waits for a supervisor."""
UNTIED_S = 5.0
"""So long one whose supervisor's starter is gone."""
_SWITCH_S = 0.001
"""How long a model in Python computes before the event loop has its turn; by default 5 ms."""
LAST_GRACE_S = 10.0
"""What one that ends by itself allows for what it answers just then."""


def run(making: Making, bounds: Bounds, control: str, tie: str = "") -> None:
    """Answer with an application as the supervisor says; what it fails at is the exit code.

    Args:
        making: called inside the event loop.
        bounds: what clients are allowed.
        control: the descriptor of a unix socket on which supervisors connect.
        tie: that of a pipe which ends with who started the supervisor; empty to outlive that.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the starter's to act on
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.setswitchinterval(_SWITCH_S)
    faulthandler.enable()
    faulthandler.register(STACKS)
    listener = socket.socket(fileno=int(control))

    async def answer() -> MlwrightError | None:
        answering = Answering(making, bounds)
        told = Control(answering, listener, int(tie) if tie else None)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.leave)
        await answering.begin()
        await told.run()
        return answering.application.failure

    failure = uvloop.run(answer())
    if failure is not None:
        print(failure.render(), flush=True)  # noqa: T201 - the supervisor tells the end of what it says
        sys.exit(failure.exit_code)


class Control:
    """Hears what the supervisor says.

    Args:
        answering: what it says that to.
        listener: a unix socket on which supervisors connect.
        tie: a pipe that ends with who started the supervisor; None if all outlive that.
    """

    def __init__(self, answering: Answering, listener: socket.socket, tie: int | None) -> None:
        self._answering = answering
        self._listener = listener
        self._tie = tie
        self._untied = False
        self._loop = asyncio.get_running_loop()
        self._sockets: dict[int, socket.socket] = {}
        self._channels: set[Channel] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Do as it is told, until nothing is left to do."""
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener.fileno(), self._accept)
        if self._tie is not None:
            self._loop.add_reader(self._tie, self._cut)
        self._loop.call_later(ALONE_S, self._look_around)
        self._run(self._end_broken())
        await self._ended.wait()
        await self._answering.end()
        self._loop.remove_reader(self._listener.fileno())
        for channel in list(self._channels):
            channel.close()

    def leave(self) -> None:
        """The process was told to end: the supervisor, if there is one, first finds another in its place."""
        for channel in self._channels:
            channel.tell({"leaves": True})
        if not self._channels:
            self._run(self._drain(LAST_GRACE_S, lingers=False))

    def _accept(self) -> None:
        stream = accepted(self._listener)
        if stream is None:
            return

        def heard(body: Body, files: list[int]) -> None:
            self._run(self._answer(channel, body, files))

        def ended() -> None:
            self._channels.discard(channel)
            self._loop.call_later(UNTIED_S if self._untied else ALONE_S, self._look_around)

        channel = Channel(stream, heard, ended)
        self._channels.add(channel)

    def _cut(self) -> None:
        assert self._tie is not None
        self._loop.remove_reader(self._tie)
        self._untied = True
        self._loop.call_later(UNTIED_S, self._look_around)

    def _look_around(self) -> None:
        if not self._channels and (self._untied or not self._sockets):
            self._run(self._drain(LAST_GRACE_S, lingers=False))

    def _run(self, doing: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, channel: Channel, body: Body, files: list[int]) -> None:
        given: Body = {}
        returned: list[int] = []
        try:
            given, returned = await self._do(body, files)
        except MlwrightError as error:
            given = {"failed": told(error)}
        finally:
            close_all(files)
        channel.tell(given | {"re": body.get("ask", 0)}, returned)

    async def _do(self, body: Body, files: list[int]) -> tuple[Body, list[int]]:
        match body:
            case {"do": "ready"}:
                await self._answering.ready()
                gc.freeze()  # what is loaded stays: a collection passes it over
            case {"do": "listen", "slot": int(slot)} if len(files) == 1:
                await self._unlisten(slot)
                self._sockets[slot] = listener = socket.socket(fileno=files.pop())
                await self._answering.listen(listener)
            case {"do": "unlisten", "slot": int(slot)}:
                await self._unlisten(slot)
            case {"do": "give"}:
                slots = sorted(self._sockets)
                return {"slots": slots}, [self._sockets[slot].fileno() for slot in slots]
            case {"do": "drain", "grace_s": int() | float() as grace_s, "lingers": bool(lingers)}:
                self._run(self._drain(grace_s, lingers=lingers))
            case {"do": "beat"}:
                return {"stuck": self._answering.application.stuck}, []
            case {"do": "status"}:
                return self._answering.status() | {"pid": os.getpid(), "draining": self._draining}, []
            case _:
                raise Invalid(f"a replica does not understand: {str(body)[:200]}")
        return {}, []

    async def _end_broken(self) -> None:
        """What can answer no more leaves its sockets at once: who connects is answered by the next one."""
        await self._answering.broken()
        await self._drain(LAST_GRACE_S, lingers=False)

    async def _unlisten(self, slot: int) -> None:
        listener = self._sockets.pop(slot, None)
        if listener is not None:
            await self._answering.unlisten(listener)

    async def _drain(self, grace_s: float, *, lingers: bool) -> None:
        self._draining = True
        self._sockets.clear()  # they are the service's, which leaves them
        await self._answering.drain(grace_s, lingers=lingers)
        self._ended.set()
