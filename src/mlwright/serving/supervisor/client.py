"""Driving a supervisor from another process: one that runs, or one that is started here."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from mlwright.compute.process import start_python
from mlwright.compute.tree import end_marked
from mlwright.kernel.errors import Unavailable
from mlwright.serving.channel import Body, Gone, Lines, connect_to, line_of, raised
from mlwright.serving.supervisor.folder import CONTROL, LOG, Folder, Revision

Progress = Callable[[str], object]
"""Is told each thing that happens while an order is carried out, in a sentence."""


def _silent(what: str) -> None:
    pass


class SupervisorClient:
    """Speaks to the supervisor of a folder.

    Args:
        folder: absolute.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def status(self) -> Body:
        """How it is: the address, what is wanted, and each replica with its phase, process and counters.

        Raises:
            Unavailable: no supervisor works there.
        """
        return self._order({"do": "status"})

    def update(self, revision: Revision, *, progress: Progress = _silent) -> None:
        """Serve another revision; returns once every slot does.

        Raises:
            Conflict: another order is being carried out.
            Unavailable: no supervisor works there; or a replica is not ready in time: what was served before
                goes on being served.
            WorkFailed: a replica does not become ready, likewise; the message says why.
        """
        self._order({"do": "update", "revision": _told(revision)}, progress)

    def scale(self, slots: int, *, progress: Progress = _silent) -> None:
        """Have so many replicas; returns once all of them serve.

        Raises:
            Conflict: another order is being carried out.
            Invalid: so many cannot be.
            Unavailable: no supervisor works there.
            WorkFailed: a replica did not become ready; it is tried again.
        """
        self._order({"do": "scale", "slots": slots}, progress)

    def stop(self, grace_s: float | None = None) -> None:
        """Let every replica answer what it has, and end, the supervisor too; returns when they have.

        What is left of a supervisor that was killed is ended at once.

        Args:
            grace_s: for what is being answered; None for what the revision says.
        """
        try:
            self._order({"do": "stop", "grace_s": grace_s})
        except Gone:
            end_left(self.folder)

    def watch(self, news: Progress) -> None:
        """Be told what happens that nobody has ordered, as a replica that dies; returns when it has ended."""
        with contextlib.suppress(Gone), connect_to(self.folder / CONTROL) as stream:
            ask(stream, {"do": "watch"}, news)

    def _order(self, body: Body, progress: Progress = _silent) -> Body:
        with connect_to(self.folder / CONTROL) as stream:
            return ask(stream, body, progress)


class Tie:
    """What a supervisor and its replicas are tied to: a pipe that ends with this process."""

    def __init__(self) -> None:
        self.reading, self._writing = os.pipe()

    def close(self) -> None:
        """Cut it: what is tied to it answers what it has, and ends."""
        for each in (self.reading, self._writing):
            if each >= 0:
                os.close(each)
        self.reading = self._writing = -1


class Started:
    """A supervisor that was started here.

    Args:
        stream: the first one over which it takes orders.
    """

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], stream: socket.socket) -> None:
        self.folder = folder
        self.process = process
        self.stream = stream

    def begin(
        self, address: str, port: int, slots: int, revision: Revision, *, progress: Progress = _silent
    ) -> str:
        """Serve a first revision; returns where, once every slot does.

        Raises:
            Conflict: another supervisor works in the folder, or this one serves already.
            Unavailable: the port cannot be had; or a replica is not ready in time.
            WorkFailed: a replica does not become ready: nothing is served; the message says why.
        """
        order = {"do": "begin", "address": address, "port": port, "slots": slots}
        try:
            return str(ask(self.stream, order | {"revision": _told(revision)}, progress)["url"])
        except Gone as error:
            said = Folder(self.folder).said()
            raise Unavailable(f"the supervisor has ended before anything was served\n{said}") from error

    def close(self) -> None:
        """Let go of it: other orders go over its socket."""
        self.stream.close()

    def status(self) -> Body:
        """As of `SupervisorClient`, as soon as it can tell: one that goes on has found its replicas then."""
        return ask(self.stream, {"do": "status"})


def launch(folder: Path, tie: Tie | None = None) -> Started:
    """Start a supervisor, in a session of its own. What another one has left in the folder it goes on with.

    Args:
        folder: its own; made when it is missing.
        tie: it and its replicas end, and the folder goes, when this is cut; without it they outlive whoever
            has started them.

    Raises:
        Unavailable: no process can be started.
    """
    own = Folder(folder.resolve())
    ours, theirs = socket.socketpair()
    passed, arguments = [theirs.fileno()], ["--starter", str(theirs.fileno())]
    if tie is not None:
        passed.append(tie.reading)
        arguments += ["--tie", str(tie.reading)]
    try:
        with (own.path / LOG).open("ab") as log:
            process = start_python(
                Path(sys.executable),
                "mlwright.serving.supervisor.__main__",
                [str(own.path), *arguments],
                cpus=1,
                words=log,
                pass_fds=passed,
                outlives=True,
            )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return Started(own.path, process, ours)


def end_left(path: Path) -> None:
    """End what is left of a supervisor that was killed: replicas, and all that they have started."""
    if path.exists():
        folder = Folder(path)
        for number in folder.replicas():
            record = folder.record(number)
            if record is not None:
                end_marked(record.token)
        folder.clear()


def ask(stream: socket.socket, body: Body, progress: Progress = _silent) -> Body:
    """The answer to an order.

    Raises:
        Gone: the supervisor is.
        MlwrightError: of the kind that it says.
    """
    lines = Lines()
    try:
        stream.sendall(line_of(body | {"ask": 1}))
        while True:
            for found, _ in lines.read(stream):
                if "progress" in found:
                    progress(str(found["progress"]))
                elif "failed" in found:
                    raise raised(found["failed"])
                else:
                    return found
    except (OSError, ValueError) as error:
        raise Gone(
            "the supervisor has ended before it answered", hint=f"what became of it stands in its {LOG}"
        ) from error


def _told(revision: Revision) -> Any:
    return msgspec.Raw(msgspec.json.encode(revision))
