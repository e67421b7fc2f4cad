"""Orders: what a supervisor is told over its socket, and what it answers meanwhile.

    begin ADDRESS PORT SLOTS REVISION     update REVISION     scale SLOTS     stop [GRACE_S]
    status                                watch               what happens that nobody has ordered

An order goes on when who gave it goes away. While it is carried out, it is told what happens: `progress`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Coroutine
from typing import Any

import msgspec

from mlwright.kernel.errors import Invalid, MlwrightError
from mlwright.serving.channel import Body, Channel, accepted, close_all, told
from mlwright.serving.supervisor.folder import Revision
from mlwright.serving.supervisor.supervisor import Supervisor


class Orders:
    """Takes them.

    Args:
        supervisor: carries them out.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._channels: dict[Channel, contextlib.ExitStack] = {}
        """With what ends with each."""
        self._stopping: list[tuple[Channel, Body]] = []

    def accept_at(self, listener: socket.socket) -> None:
        """Take orders from whoever connects there."""
        listener.setblocking(False)
        self._loop.add_reader(listener.fileno(), self._accept, listener)

    def take_from(self, stream: socket.socket) -> None:
        """Take orders from a stream."""

        def heard(body: Body, files: list[int]) -> None:
            close_all(files)
            self._run(self._answer(channel, body))

        channel = Channel(stream, heard, lambda: self._channels.pop(channel).close())
        self._channels[channel] = contextlib.ExitStack()

    async def end(self) -> None:
        """The supervisor has stopped: who has ordered that is told, and all channels are closed."""
        for channel, body in self._stopping:
            channel.tell({"re": body.get("ask", 0)})
        if self._tasks:  # those that are told that their order fails
            await asyncio.wait(self._tasks, timeout=1.0)
        for channel in list(self._channels):
            channel.close()

    def _accept(self, listener: socket.socket) -> None:
        stream = accepted(listener)
        if stream is not None:
            self.take_from(stream)

    def _run(self, doing: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, channel: Channel, body: Body) -> None:
        try:
            answer = await self._do(channel, body)
        except MlwrightError as error:
            answer = {"failed": told(error)}
        if answer is not None:
            channel.tell(answer | {"re": body.get("ask", 0)})

    async def _do(self, channel: Channel, body: Body) -> Body | None:
        supervisor = self._supervisor

        def tell(what: str, news: bool) -> None:
            channel.tell({"progress": what, "news": news})

        match body:
            case {"do": "status"}:
                return await supervisor.status()
            case {"do": "watch"}:
                hearing = supervisor.hearing(lambda what, news: tell(what, news) if news else None)
                self._channels[channel].enter_context(hearing)
                return None
            case {"do": "stop", "grace_s": int() | float() | None as grace_s}:
                self._stopping.append((channel, body))
                supervisor.stop(grace_s, forgets=True)
                return None
        with supervisor.hearing(tell):
            match body:
                case {"do": "begin", "address": str(address), "port": int(port), "slots": int(slots)}:
                    return {"url": await supervisor.begin(address, port, slots, _revision(body))}
                case {"do": "update"}:
                    await supervisor.update(_revision(body))
                case {"do": "scale", "slots": int(slots)}:
                    await supervisor.scale(slots)
                case _:
                    raise Invalid(f"a supervisor does not understand: {str(body)[:200]}")
        return {}


def _revision(body: Body) -> Revision:
    with contextlib.suppress(msgspec.MsgspecError):
        given = dict(body["revision"])
        spec = msgspec.Raw(msgspec.json.encode(given.pop("spec")))
        return msgspec.convert(given | {"spec": spec}, Revision)
    raise Invalid("the order has no revision that can be read")
