"""All connections of a server: who waits for whom, and for how long.

A connection is in one of four queues, each with the oldest first: `fresh` until it has asked, `idle` between
requests, `begun` when a part of a head has come, `busy` while a request is answered. One look a second at the
fronts of the first three and at all of the last is every timer there is.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from mlwright.wire.bounds import Bounds
from mlwright.wire.refusals import Refuse

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from mlwright.wire.connections import Connection
    from mlwright.wire.exchange import Exchange

_EVERY_S = 1.0
_ON_ITS_WAY_S, _DRAIN_EVERY_S = 0.1, 0.02
"""While connections drain: how old what a client has sent may be and not be here, and between two looks."""
_POUR_S = 0.005
"""Between two reads of what is thrown away."""
_TURN_S, _IN_TURN = 0.001, 2
"""Between so many requests that came behind others, before the answers to these."""


class Client(Protocol):
    """A connection, whatever is spoken on it."""

    queue: Queue | None
    """Where the traffic has it."""
    late: bool
    """Whether the client keeps us waiting just now."""
    patience_s: float
    """For how long it still may."""

    @property
    def asked(self) -> int:
        """How many requests wait for their answers."""

    def look(self, elapsed_s: float) -> None:
        """So much time has passed while it was busy: close if the client has made us wait."""

    def hurry(self) -> None:
        """The server ends: what can be said of that is said."""

    def expire(self) -> None:
        """No request, or no whole head, has come in time."""

    def cut(self) -> None:
        """The client has made us wait too long."""

    def abort(self) -> None:
        """Close at once."""


Queue = OrderedDict[Client, float]
"""Connections, and since when they are in it."""

Quick = Callable[["Exchange"], bool]
"""Answers what is asked by `Exchange.answer`, now or later and without a task, and raises nothing; or leaves
it to the application, and says False."""


class Turns:
    """Calls that can wait, one after the other with a pause between, so that others come first.

    Args:
        every_s: the pause, in whole milliseconds.
        at_once: so many calls have their turn together.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, every_s: float, at_once: int = 1) -> None:
        self._loop = loop
        self._every_s = every_s
        self._at_once = at_once
        self._waiting: deque[Callable[[], None]] = deque()
        self._turning = False

    def take(self, call: Callable[[], None]) -> None:
        """Call it when its turn has come."""
        if not self._turning:
            self._turning = True
            self._loop.call_later(self._every_s, self._turn)
        self._waiting.append(call)

    def _turn(self) -> None:
        for _ in range(min(self._at_once, len(self._waiting))):
            self._waiting.popleft()()
        self._turning = bool(self._waiting)
        if self._turning:
            self._loop.call_later(self._every_s, self._turn)


class Traffic:
    """What the connections of a server share.

    Args:
        app: answers their requests.
        state: what the application reads as `scope["state"]`; `draining` in it is set when the server ends.
        bounds: what clients are allowed.
        refuse: writes what is told of a request that the application does not see.
        quick: is asked first about requests that are whole.

    `http2` takes a connection over whose client begins as one does that speaks HTTP/2: with the traffic, the
    transport, and what has come. It is None where nobody speaks that.
    """

    def __init__(
        self,
        app: ASGIApp,
        state: dict[str, Any],
        bounds: Bounds,
        refuse: Refuse,
        quick: Quick | None = None,
    ) -> None:
        self._app = app
        self._quick = quick
        self.http2: Callable[[Traffic, asyncio.Transport, bytes], object] | None = None
        self.state = state
        self.bounds = bounds
        self.refuse = refuse
        self.draining: asyncio.Event = state["draining"]
        self.loop = asyncio.get_running_loop()
        self.date = b""
        self.fresh: Queue = OrderedDict()
        self.idle: Queue = OrderedDict()
        self.begun: Queue = OrderedDict()
        self.busy: Queue = OrderedDict()
        self.tasks: set[asyncio.Task[None]] = set()
        self.requests = 0
        self._held_bytes = 0
        self.pouring = Turns(self.loop, _POUR_S)
        self.pipelined = Turns(self.loop, _TURN_S, _IN_TURN)
        self._tell_date()

    def __len__(self) -> int:
        return len(self.fresh) + len(self.idle) + len(self.begun) + len(self.busy)

    def take(self, connection: Client) -> bool:
        """A client has come; False if there is no place for it."""
        if len(self) >= self.bounds.connections:
            if self.idle or self.fresh:
                more = self.fresh if len(self.fresh) > len(self.idle) else self.idle
                next(iter(more)).expire()
            elif self.begun:
                next(iter(self.begun)).abort()
            else:
                return False
        self.move(connection, self.fresh)
        return True

    def move(self, connection: Client, to: Queue | None) -> None:
        """A connection is in this queue from now on, or in none."""
        if connection.queue is not None:
            del connection.queue[connection]
        connection.queue = to
        if to is not None:
            to[connection] = self.loop.time()

    def hold(self, more_bytes: int) -> None:
        """So much more, or less, of requests is held that are not answered yet."""
        self._held_bytes += more_bytes
        while more_bytes > 0 and self.overfull and self.begun:
            next(iter(self.begun)).abort()

    @property
    def overfull(self) -> bool:
        """Whether more is held than may be."""
        return self._held_bytes > self.bounds.begun_bytes

    def answer(self, connection: Connection, exchange: Exchange) -> None:
        """Answer a request; by a task if it takes one."""
        self.requests += 1
        self.move(connection, self.busy)
        quick = self._quick
        if quick is None or connection.clogged or not exchange.whole or not quick(exchange):
            self._run(exchange.run(self._app))

    def begin(self, connection: Client, answering: Coroutine[Any, Any, None]) -> None:
        """Answer a request by a task."""
        self.requests += 1
        self.move(connection, self.busy)
        self._run(answering)

    def _run(self, answering: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(answering)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def watch(self) -> None:
        """Look after all connections, until cancelled."""
        looked = self.loop.time()
        while True:
            await asyncio.sleep(_EVERY_S)
            now = self.loop.time()
            self._tell_date()
            # Nobody was read while the loop was held up: that is not the clients' time.
            self.look(now, min(now - looked, 2 * _EVERY_S))
            looked = now

    def look(self, now: float, elapsed_s: float) -> None:
        """Close what has been waited for too long."""
        bounds = self.bounds
        for queue, allowed_s in (
            (self.fresh, bounds.fresh_s),
            (self.idle, bounds.idle_s),
            (self.begun, bounds.head_s),
        ):
            while queue:
                connection, since = next(iter(queue.items()))
                if now - since < allowed_s:
                    break
                connection.expire()
        for connection in list(self.busy):
            connection.look(elapsed_s)
        crowd = len(self.busy) - self.bounds.connections * 3 // 4
        if crowd > 0:  # who is waited for longest makes place
            waited = sorted((each for each in self.busy if each.late), key=lambda each: each.patience_s)
            for connection in islice(waited, crowd):
                connection.cut()

    async def drain(self, grace_s: float, linger_s: float) -> None:
        """Answer what was taken, and return when nobody is there any more.

        Args:
            grace_s: after this, who is left is cut off.
            linger_s: how long those without a request may still ask.
        """
        self.draining.set()
        begun = self.loop.time()
        linger_s = min(max(linger_s, _ON_ITS_WAY_S), grace_s)
        for connection in [*self.fresh, *self.idle, *self.busy]:
            connection.hurry()
        now = begun
        while now < begun + _ON_ITS_WAY_S or ((self or self.tasks) and now < begun + grace_s):
            for queue in (self.fresh, self.idle):
                for connection, since in list(queue.items()):
                    if now - max(since, begun) >= linger_s:
                        connection.expire()
            await asyncio.sleep(_DRAIN_EVERY_S)
            now = self.loop.time()
        for connection in [*self.fresh, *self.idle]:
            connection.expire()
        for task in list(self.tasks):
            task.cancel()
        for connection in [*self.begun, *self.busy]:
            connection.abort()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=1.0)

    def _tell_date(self) -> None:
        self.date = b"date: " + formatdate(usegmt=True).encode() + b"\r\n"
