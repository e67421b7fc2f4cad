"""Keeps sockets open and replicas in them: looks, plans, does, and waits for what happens next."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import time
from collections.abc import Callable, Iterator

from msgspec.structs import replace

from mlwright.kernel.errors import Conflict, Invalid, MlwrightError, Unavailable
from mlwright.kernel.sockets import url_of
from mlwright.serving.channel import Body
from mlwright.serving.supervisor.child import Child
from mlwright.serving.supervisor.folder import Folder, Kept, Revision
from mlwright.serving.supervisor.listeners import close_all, open_first, open_next, steer
from mlwright.serving.supervisor.phases import LIVE, Phase
from mlwright.serving.supervisor.plan import (
    Drain,
    Listen,
    Move,
    Observed,
    Settle,
    Start,
    Steer,
    Target,
    Unlisten,
    plan,
)
from mlwright.serving.supervisor.rest import Rest

MOST_SLOTS = 128
"""One message carries the sockets of all of them."""
_STATUS_S = 2.0
_NOTHING = Target(0, 0)

Hear = Callable[[str, bool], object]
"""Is told what happens, in a sentence; and whether it is news, which nobody has ordered."""


class Supervisor:
    """One address and port, the sockets of its slots, and the replicas behind them.

    Args:
        folder: its own, held.
        tie: a pipe that ends with who started it, for its replicas; None if they outlive that.
    """

    def __init__(self, folder: Folder, tie: int | None = None) -> None:
        self.folder = folder
        self._tie = tie
        self._target = _NOTHING
        self._sockets: dict[int, socket.socket] = {}
        self._steered = 0
        self._children: dict[int, Child] = {}
        self._numbers = itertools.count(max(folder.replicas(), default=0) + 1)
        self._rests: dict[int, Rest] = {}
        self._missed: set[int] = set()
        """Slots whose replica has died, and of which nobody was told yet that another one answers."""
        self._hearers: set[Hear] = set()
        self._wake = asyncio.Event()
        self._moving: asyncio.Future[None] | None = None
        self._beginning = False
        self._ending = False
        self.forgets = False
        """Whether what was wanted is of no use any more: it was told to stop, or could not begin."""
        self._last_failure = ""

    # What it is told.

    async def begin(self, address: str, port: int, slots: int, revision: Revision) -> str:
        """Serve a first revision; returns where, once every slot does.

        Args:
            port: 0 for a free one.

        Raises:
            Conflict: it serves something already.
            Unavailable: the port cannot be had; or a replica is not ready in time.
            WorkFailed: a replica does not become ready: nothing is served.
        """
        self._check_free()
        if self._target != _NOTHING:
            raise Conflict("this supervisor serves already", hint="update it")
        _check_slots(slots)
        first = open_first(address, port)
        self._sockets[0] = first
        self._open(slots)
        self._beginning = True
        try:
            await self._move_to(Target(slots, self._add(revision)))
        finally:
            self._beginning = False
        return self.url

    async def update(self, revision: Revision) -> None:
        """Serve another revision; returns once every slot does. Slot by slot, beside the one before it.

        Raises:
            Conflict: another order is being carried out, or nothing is served.
            Unavailable: a replica of it is not ready in time: the revision before it goes on serving.
            WorkFailed: a replica of it does not become ready, likewise.
        """
        self._check_serving()
        number = self._add(revision)
        await self._move_to(Target(self._target.slots, number, self._target.revision))

    async def scale(self, slots: int) -> None:
        """Have so many replicas; returns once all of them serve, and the others take nothing more.

        Raises:
            Conflict: another order is being carried out, or nothing is served.
            Invalid: so many cannot be.
            Unavailable, WorkFailed: a replica did not become ready; it is tried again later.
        """
        self._check_serving()
        _check_slots(slots)
        self._open(slots)
        await self._move_to(replace(self._target, slots=slots))

    def stop(self, grace_s: float | None = None, *, forgets: bool = False) -> None:
        """Let every replica answer what it has, and end; a second call may shorten the first one.

        Args:
            grace_s: for what is being answered; None for what the revision says.
            forgets: one that is started again in the folder has nothing to go on with.
        """
        self.forgets = self.forgets or forgets
        if not self._ending:
            self._ending = True
            self._fail_move(Conflict("the supervisor was told to stop"))
            self._target = replace(self._target, slots=0, previous=0)
            close_all(self._sockets)  # the replicas take who waits at them, then they are gone
        for child in list(self._children.values()):
            child.drain(child.revision.grace_s if grace_s is None else grace_s, lingers=False)
        self._wake.set()

    def stop_if_idle(self) -> None:
        """End, if it was never told what to serve."""
        if self._target == _NOTHING and self._moving is None:
            self.stop(forgets=True)

    async def status(self) -> Body:
        """How it is, for people and programs."""
        children = sorted(self._children.values(), key=lambda each: each.number)
        told = await asyncio.gather(*(each.status(_STATUS_S) for each in children))
        return {
            "url": self.url if self._sockets else "",
            "slots": self._target.slots,
            "revision": self._target.revision,
            "previous": self._target.previous or None,
            "resting": sorted(self._resting()),
            "last_failure": self._last_failure,
            "replicas": told,
        }

    @property
    def url(self) -> str:
        """Where it is answered."""
        return url_of(*next(iter(self._sockets.values())).getsockname()[:2])

    @contextlib.contextmanager
    def hearing(self, hear: Hear) -> Iterator[None]:
        """Be told what happens."""
        self._hearers.add(hear)
        try:
            yield
        finally:
            self._hearers.discard(hear)

    # What it does.

    async def resume(self) -> None:
        """Go on where the supervisor before it was killed: its replicas give the sockets back.

        Raises:
            Unavailable: none of them lives, and the port cannot be had again.
        """
        kept = self.folder.kept()
        found = await asyncio.gather(
            *(Child.found(self.folder, each, self._changed) for each in self.folder.replicas())
        )
        for child, sockets in filter(None, found):
            self._children[child.number] = child
            for slot, listener in sockets.items():
                if self._sockets.setdefault(slot, listener) is not listener:
                    listener.close()
        if kept is None:  # nothing is wanted: those that were found end
            close_all(self._sockets)
            return
        if not self._sockets:
            self._sockets[0] = open_first(kept.address, kept.port)
        self._open(kept.target.slots)
        self._target = kept.target

    async def run(self) -> None:
        """Keep things as they should be, until it was told to stop and all replicas have ended."""
        while not self._ending or self._children:
            self._wake.clear()
            self._step()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._until_rested_s())

    def _step(self) -> None:
        while moves := plan(self._target, self._observed()):
            for move in moves:
                self._do(move)
        if self._arrived() and self._moving is not None and not self._moving.done():
            self._moving.set_result(None)

    def _observed(self) -> Observed:
        replicas = tuple(each.seen() for each in self._children.values())
        return Observed(frozenset(self._sockets), replicas, self._steered, self._resting())

    def _resting(self) -> frozenset[int]:
        now = time.monotonic()
        return frozenset(slot for slot, rest in self._rests.items() if rest.until_s > now)

    def _until_rested_s(self) -> float | None:
        """How long until the next slot has rested; None if none does."""
        now = time.monotonic()
        return min((rest.until_s - now for rest in self._rests.values() if rest.until_s > now), default=None)

    def _do(self, move: Move) -> None:
        match move:
            case Steer(slots):
                steer(next(iter(self._sockets.values())), slots)
                self._steered = slots
            case Start(slot, revision):
                self._start(slot, self.folder.revision(revision))
            case Listen(number, slot):
                self._children[number].listen(slot, self._sockets[slot])
            case Unlisten(number, slot):
                self._children[number].unlisten(slot)
            case Drain(number):
                child = self._children[number]
                child.drain(child.revision.grace_s, lingers=True)
                self._say(f"{child.name} answers what it has, and ends")
            case Settle():
                self._keep(replace(self._target, previous=0))
                self._say(f"every slot answers with {self.folder.revision(self._target.revision).model}")

    def _start(self, slot: int, revision: Revision) -> None:
        number = next(self._numbers)
        try:
            child = Child.started(self.folder, number, slot, revision, self._changed, self._tie)
        except MlwrightError as error:
            self._failed(slot, revision, error, None)
            return
        self._children[number] = child
        self._say(f"{child.name} loads, for slot {slot + 1} of {self._target.slots}")

    def _changed(self, child: Child) -> None:
        """A replica is another than before."""
        match child.phase:
            case Phase.READY:
                self._say(f"{child.name} has answered its example, {_passed(child.began_s)} after its start")
            case Phase.ENDED:
                del self._children[child.number]
                self._say(f"{child.name} has ended")
            case Phase.FAILED:
                del self._children[child.number]
                served_s = None if child.ready_s is None else time.monotonic() - child.ready_s
                assert child.failure is not None
                self._failed(child.slot, child.revision, child.failure, served_s)
            case Phase.SERVING if child.slot in self._missed:
                self._missed.discard(child.slot)
                self._say(f"{child.name} answers, {_passed(child.began_s)} after its start", news=True)
        self._wake.set()

    def _failed(self, slot: int, revision: Revision, failure: MlwrightError, served_s: float | None) -> None:
        """A replica has died, or could not be started."""
        target = self._target
        self._last_failure = failure.message
        if self._ending:
            return
        if served_s is None and self._beginning:
            self._fail_move(failure)
            self.stop(0, forgets=True)
            return
        if served_s is None and target.previous and revision.number == target.revision:
            self._keep(Target(target.slots, target.previous))
            self._say(f"{revision.model} is given up: {failure.message}", news=self._moving is None)
            self._fail_move(failure)
            self._wake.set()
            return
        if slot < target.slots:
            now = time.monotonic()
            self._missed.add(slot)
            rest = self._rests[slot] = self._rests.get(slot, Rest()).after(now, served_s)
            pause_s = rest.until_s - now
            soon = f"in {pause_s:.2g} s" if pause_s > 0 else "now"
            self._say(f"{failure.message.rstrip()}; another one is started {soon}", news=True)
        if served_s is None:
            self._fail_move(failure)

    # What it remembers.

    async def _move_to(self, target: Target) -> None:
        """Want something else, and wait until it is so."""
        self._moving = asyncio.get_running_loop().create_future()
        self._keep(target)
        self._wake.set()
        try:
            await self._moving
        finally:
            self._moving = None

    def _fail_move(self, error: MlwrightError) -> None:
        if self._moving is not None and not self._moving.done():
            self._moving.set_exception(error)

    def _arrived(self) -> bool:
        """Whether all is as it is wanted."""
        target = self._target
        live = [each for each in (child.seen() for child in self._children.values()) if each.phase in LIVE]
        return (
            not target.previous
            and len(live) == target.slots
            and all(each.revision == target.revision and each.slot in each.listens for each in live)
        )

    def _keep(self, target: Target) -> None:
        address, port = next(iter(self._sockets.values())).getsockname()[:2]
        self._target = target
        self.folder.keep(Kept(address, port, target))
        in_use = {each.revision.number for each in self._children.values()}
        self.folder.forget(in_use | {target.revision, target.previous})

    def _add(self, revision: Revision) -> int:
        number = self.folder.next_revision()
        self.folder.add(replace(revision, number=number))
        return number

    def _open(self, slots: int) -> None:
        first = next(iter(self._sockets.values()))
        for slot in range(slots):
            if slot not in self._sockets:
                self._sockets[slot] = open_next(first)

    def _check_free(self) -> None:
        if self._ending:
            raise Unavailable("the supervisor ends")
        if self._moving is not None:
            raise Conflict("the supervisor is carrying out another order", hint="wait until that is done")

    def _check_serving(self) -> None:
        self._check_free()
        if self._target == _NOTHING:
            raise Conflict("this supervisor serves nothing yet", hint="begin")
        if self._target.previous:
            raise Conflict("the supervisor is on its way to another revision", hint="wait until that is done")

    def _say(self, what: str, *, news: bool = False) -> None:
        print(time.strftime("%Y-%m-%d %H:%M:%S"), what, flush=True)  # noqa: T201 - it is its log
        for hear in list(self._hearers):
            hear(what, news)


def _check_slots(slots: int) -> None:
    if not 1 <= slots <= MOST_SLOTS:
        raise Invalid(f"{slots} replicas cannot be", hint=f"choose from 1 to {MOST_SLOTS}")


def _passed(since_s: float) -> str:
    return f"{time.monotonic() - since_s:.1f} s"
