"""One replica, as its supervisor has it: a process, a folder, a channel."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from mlwright.compute.process import cause_of_death, start_python
from mlwright.compute.tree import end_tree
from mlwright.kernel.errors import MlwrightError, Unavailable, WorkFailed
from mlwright.kernel.leases import process_start
from mlwright.serving.channel import STACKS, Body, Channel, Gone, connect_to, listen_at
from mlwright.serving.supervisor.folder import CONTROL, Folder, Record, Revision
from mlwright.serving.supervisor.phases import Phase, moved
from mlwright.serving.supervisor.plan import Seen
from mlwright.serving.supervisor.silence import BEATS, Silence

_LAST_S = 5.0
"""What is left of one after its grace is killed."""
_LOST_S = 2.0
"""A process that has closed its channel has so long to end."""
_FOUND_S = 30.0
"""One that is found has so long to answer: it may be loading."""
_STACKS_S, _STACKS_BYTES = 0.3, 4000
"""One that hangs has so long to say where, and so much of it is kept."""
_WATCHED = frozenset({Phase.READY, Phase.SERVING})
_T = TypeVar("_T")


class Child:
    """A replica's process. Made by `started` or `found`.

    Args:
        number: its own; a later one has a higher one.
        record: with its process.
        changed: called after each change of what `seen` tells.
    """

    def __init__(
        self,
        folder: Folder,
        number: int,
        record: Record,
        revision: Revision,
        pidfd: int,
        channel: socket.socket,
        changed: Callable[[Child], None],
        process: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self.number = number
        self.slot = record.slot
        self.revision = revision
        self.phase = Phase.STARTING
        self.failure: MlwrightError | None = None
        """Why it has failed, once it has."""
        self.began_s = time.monotonic()
        self.ready_s: float | None = None
        """Since when it is ready, by the monotonic clock."""
        self.leaves = False
        """Whether it asks to be replaced."""
        self._silence = Silence()
        self._folder = folder
        self._record = record
        self._changed = changed
        self._process = process
        self._given: set[int] = set()
        self._listens: set[int] = set()
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._channel = Channel(channel, self._heard, self._unheard)
        self._pidfd = pidfd
        self._loop.add_reader(self._pidfd, self._die)

    @classmethod
    def started(
        cls,
        folder: Folder,
        number: int,
        slot: int,
        revision: Revision,
        changed: Callable[[Child], None],
        tie: int | None,
    ) -> Child:
        """Start one. It listens to nothing before it is told.

        Raises:
            Unavailable: no process can be started; nothing is left of it.
        """
        own = folder.replica(number)
        own.mkdir(mode=0o700)
        record = Record(slot, revision.number, secrets.token_hex(8))
        folder.note(number, record)
        try:
            with listen_at(own / CONTROL) as control, folder.log(number).open("ab") as log:
                passed = [control.fileno()] + ([] if tie is None else [tie])
                process = start_python(
                    Path(revision.python),
                    "mlwright.serving.replica",
                    [str(folder.spec(revision.number)), str(own), *map(str, passed)],
                    cpus=revision.threads,
                    words=log,
                    pass_fds=passed,
                    token=record.token,
                    outlives=True,
                )
            record = replace(record, pid=process.pid, began=process_start(process.pid))
            folder.note(number, record)
            stream = connect_to(own / CONTROL)  # its backlog holds us until the process gets to it
        except MlwrightError:
            shutil.rmtree(own, ignore_errors=True)
            raise
        pidfd = os.pidfd_open(process.pid)
        child = cls(folder, number, record, revision, pidfd, stream, changed, process)
        child._run(child._await_ready())
        return child

    @classmethod
    async def found(
        cls, folder: Folder, number: int, changed: Callable[[Child], None]
    ) -> tuple[Child, dict[int, socket.socket]] | None:
        """One that another supervisor has started, and the sockets it listens to; else it is ended.

        Returns:
            None if it does not live, or does not answer.
        """
        record = folder.record(number)
        if record is not None:
            try:
                return await cls._taken_over(folder, number, record, changed)
            except (OSError, MlwrightError, TimeoutError):
                await asyncio.to_thread(end_tree, record.pid, record.token)
        shutil.rmtree(folder.replica(number), ignore_errors=True)
        return None

    @classmethod
    async def _taken_over(
        cls, folder: Folder, number: int, record: Record, changed: Callable[[Child], None]
    ) -> tuple[Child, dict[int, socket.socket]]:
        revision = folder.revision(record.revision)
        stream = connect_to(folder.replica(number) / CONTROL)
        asking = Channel(stream.dup(), lambda body, files: None)
        try:
            status, _ = await asyncio.wait_for(asking.ask({"do": "status"}), _FOUND_S)
            given, files = await asyncio.wait_for(asking.ask({"do": "give"}), _FOUND_S)
        finally:
            asking.close()
        pid = int(status["pid"])
        pidfd = os.pidfd_open(pid)
        began = process_start(pid)  # after that: from now on the number is nobody else's
        if record.pid and (pid, began) != (record.pid, record.began):
            os.close(pidfd)
            raise Gone(f"replica {number} is another process now")
        record = replace(record, pid=pid, began=began)
        folder.note(number, record)
        child = cls(folder, number, record, revision, pidfd, stream, changed)
        child._given = set(given["slots"])
        child._listens = set(given["slots"])
        if status["draining"]:
            child.phase = Phase.DRAINING
            child._run(child._await_end(revision.grace_s))
        elif status["ready"]:
            child.phase = Phase.SERVING if child._listens else Phase.READY
            child.ready_s = time.monotonic()
            child._run(child._watch())
        else:
            child._run(child._await_ready())
        return child, dict(zip(given["slots"], (socket.socket(fileno=each) for each in files), strict=True))

    @property
    def name(self) -> str:
        """As messages have it."""
        return f"replica {self.number} of {self.revision.model}"

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._record.pid

    def seen(self) -> Seen:
        """As the plan needs it."""
        return Seen(
            self.number,
            self.slot,
            self.revision.number,
            self.phase,
            frozenset(self._given),
            frozenset(self._listens),
            self.leaves,
            self._silence.helped,
        )

    def listen(self, slot: int, listener: socket.socket) -> None:
        """Let it take connections from the socket of a slot, which stays ours too."""
        self._given.add(slot)
        self._run(self._listen(slot, listener))

    def unlisten(self, slot: int) -> None:
        """Let it take no more connections from it."""
        self._given.discard(slot)
        self._listens.discard(slot)
        self._run(self._tell({"do": "unlisten", "slot": slot}))

    def drain(self, grace_s: float, *, lingers: bool) -> None:
        """Let it answer what it has, and end. Said again, it ends sooner."""
        if self.phase is not Phase.DRAINING:
            idle = not self._given
            self.phase = moved(self.phase, Phase.DRAINING)
            if idle:  # nobody has ever reached it
                self._kill()
                return
        self._given.clear()
        self._listens.clear()
        self._run(self._tell({"do": "drain", "grace_s": grace_s, "lingers": lingers}))
        self._run(self._await_end(grace_s))

    async def status(self, within_s: float) -> Body:
        """How it says that it is, and how it looks from here."""
        told: Body = {}
        with contextlib.suppress(MlwrightError, TimeoutError):
            told, _ = await asyncio.wait_for(self._channel.ask({"do": "status"}), within_s)
        return {
            "replica": self.number,
            "slot": self.slot,
            "revision": self.revision.number,
            "model": self.revision.model,
            "phase": self.phase,
            "pid": self.pid,
            "listens": sorted(self._listens),
            "silent": self._silence.helped,
            "requests": told.get("requests"),
            "in_flight": told.get("in_flight"),
            "connections": told.get("connections"),
        }

    def _run(self, doing: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = self._loop.create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _await_ready(self) -> None:
        within_s = self.revision.ready_within_s
        try:
            await asyncio.wait_for(self._channel.ask({"do": "ready"}), within_s)
        except TimeoutError:
            self._kill(
                Unavailable(
                    f"{self.revision.model} was not ready within {within_s:g} s{self._words()}",
                    hint="a large model may need longer to load",
                )
            )
        except Gone:
            pass  # its end tells why
        except MlwrightError as error:
            self._kill(error)
        else:
            if self.phase is Phase.STARTING:
                self.phase, self.ready_s = moved(self.phase, Phase.READY), time.monotonic()
                self._run(self._watch())
                self._changed(self)

    async def _watch(self) -> None:
        """Ask again and again whether it is there; one that is not, or cannot answer any more, is killed."""
        every_s, why = self.revision.silent_s / BEATS, ""
        while self.phase in _WATCHED and not why:
            beat = self._run(self._beat())
            while not beat.done() and not self._silence.over:
                began = time.monotonic()
                await asyncio.wait({beat}, timeout=every_s)
                self._note((time.monotonic() - began) / every_s, answered=beat.done())
            if beat.done():
                why = beat.result()
                await asyncio.sleep(every_s)
            else:
                why = f"it has not answered for {self.revision.silent_s:g} s\n{await self._where()}".rstrip()
        if self.phase in _WATCHED:
            self._kill(WorkFailed(f"{self.name} hangs: {why}"))

    async def _beat(self) -> str:
        """What keeps it from answering; nothing if it is as it should be."""
        with contextlib.suppress(MlwrightError):  # if it is gone, its end tells why
            said, _ = await self._channel.ask({"do": "beat"})
            return str(said["stuck"])
        return ""

    def _note(self, beat: float, *, answered: bool) -> None:
        before, self._silence = self._silence, self._silence.after(beat, answered=answered)
        if self._silence.helped != before.helped:
            self._changed(self)

    async def _where(self) -> str:
        """Where its threads are, as far as it can still say that."""
        with contextlib.suppress(OSError), self._folder.log(self.number).open("rb") as words:
            words.seek(0, os.SEEK_END)
            signal.pidfd_send_signal(self._pidfd, STACKS)
            await asyncio.sleep(_STACKS_S)
            return words.read(_STACKS_BYTES).decode(errors="replace").rstrip()
        return ""

    async def _listen(self, slot: int, listener: socket.socket) -> None:
        asking = self._channel.ask({"do": "listen", "slot": slot}, [listener.fileno()])
        try:
            await asyncio.wait_for(asking, self.revision.ready_within_s)
        except Gone:
            return
        except (MlwrightError, TimeoutError) as error:
            self._kill(WorkFailed(f"{self.name} does not listen: {error}"))
            return
        if slot in self._given:
            self._listens.add(slot)
            if self.phase is Phase.READY:
                self.phase = moved(self.phase, Phase.SERVING)
            self._changed(self)

    async def _tell(self, body: Body) -> None:
        with contextlib.suppress(MlwrightError):
            await self._channel.ask(body)

    async def _await_end(self, grace_s: float) -> None:
        await asyncio.sleep(grace_s + _LAST_S)
        self._kill()

    def _heard(self, body: Body, files: list[int]) -> None:
        if body.get("leaves"):
            self.leaves = True
            self._changed(self)

    def _unheard(self) -> None:
        self._loop.call_later(_LOST_S, self._kill)

    def _kill(self, failure: MlwrightError | None = None) -> None:
        self.failure = self.failure or failure
        if self.phase not in {Phase.ENDED, Phase.FAILED}:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _die(self) -> None:
        """Its process is gone."""
        self._loop.remove_reader(self._pidfd)
        self._run(self._bury())

    async def _bury(self) -> None:
        await asyncio.to_thread(end_tree, self.pid, self._record.token)
        if self.phase is Phase.DRAINING:
            self.phase = moved(self.phase, Phase.ENDED)
        else:
            if self.failure is None:
                self.failure = WorkFailed(self._cause())
            self.phase = moved(self.phase, Phase.FAILED)
        if self._process is not None:
            self._process.wait()
        os.close(self._pidfd)
        self._channel.close()
        shutil.rmtree(self._folder.replica(self.number), ignore_errors=True)
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        self._changed(self)

    def _cause(self) -> str:
        status = None if self._process is None else self._process.wait()
        cause = "its process has ended" if status is None else cause_of_death(status)
        what = "did not become ready" if self.ready_s is None else "died"
        who = self.revision.model if self.ready_s is None else self.name
        return f"{who} {what}: {cause}{self._words()}"

    def _words(self) -> str:
        said = self._folder.said(self.number)
        return f"\n{said}" if said else ""
