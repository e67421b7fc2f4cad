"""Messages of a supervisor, its replicas, and who drives it: lines of JSON, with descriptors.

A message is one line of JSON on a stream of a unix socket. One that comes with open files says how many in
its field `files`; they travel beside its first byte (SCM_RIGHTS).

A question has a number, `ask`; its answer has the same as `re`, and either `failed` or what was asked for.

Source: unix(7), cmsg(3).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from mlwright.kernel import errors
from mlwright.kernel.errors import MlwrightError, Unavailable, WorkFailed

Body = dict[str, Any]
STACKS = signal.SIGRTMIN + 8
"""What cannot hear any message still hears this: a replica then says where each of its threads is."""
_PIECE_BYTES = 1 << 16
_MOST_FILES = 253
"""That one message may carry. Source: Linux, SCM_MAX_FD."""
_MOST_BYTES = 64 << 20
"""A line that is longer is none of ours."""
_BACKLOG = 64


class Gone(Unavailable):
    """The other end of a channel is not there any more."""

    title = "Gone"


class Channel:
    """One end, in an event loop.

    Args:
        stream: a connected unix socket; the channel owns it.
        heard: called with each message that is no answer, and its descriptors, which are the caller's then.
        ended: called once, when the other end is gone or says what nobody understands.
    """

    def __init__(
        self,
        stream: socket.socket,
        heard: Callable[[Body, list[int]], None],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._stream = stream
        self._heard = heard
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._lines = Lines()
        self._asked: dict[int, asyncio.Future[tuple[Body, list[int]]]] = {}
        self._outbox: deque[tuple[bytes, list[int]]] = deque()
        self.open = True
        stream.setblocking(False)
        self._loop.add_reader(stream.fileno(), self._read)

    def tell(self, body: Body, files: Sequence[int] = ()) -> None:
        """Send a message. The descriptors stay the caller's, and may be closed at once."""
        if self.open:
            self._outbox.append((line_of(body, files), [os.dup(each) for each in files]))
            if len(self._outbox) == 1:
                self._write()

    async def ask(self, body: Body, files: Sequence[int] = ()) -> tuple[Body, list[int]]:
        """The answer to a question, with its descriptors.

        Raises:
            Gone: the other end is, or was before it answered.
            MlwrightError: it answers that it failed; of the kind that it says.
        """
        if not self.open:
            raise Gone("the other end of the channel is gone")
        number = max(self._asked, default=0) + 1
        waiting = self._asked[number] = self._loop.create_future()
        self.tell(body | {"ask": number}, files)
        try:
            answer: tuple[Body, list[int]] = await waiting
        finally:
            self._asked.pop(number, None)
        return answer

    def close(self) -> None:
        """End it; what was asked and is not answered fails."""
        if self.open:
            self.open = False
            self._loop.remove_reader(self._stream.fileno())
            self._loop.remove_writer(self._stream.fileno())
            self._stream.close()
            for _, files in self._outbox:
                close_all(files)
            close_all(self._lines.files)
            for waiting in self._asked.values():
                if not waiting.done():
                    waiting.set_exception(Gone("the other end of the channel is gone"))
            self._ended()

    def _read(self) -> None:
        try:
            found = self._lines.read(self._stream)
        except BlockingIOError:
            return
        except (OSError, ValueError):
            self.close()
            return
        for body, files in found:
            self._take(body, files)

    def _take(self, body: Body, files: list[int]) -> None:
        if "re" not in body:
            self._heard(body, files)
            return
        waiting = self._asked.get(body["re"])
        if waiting is None or waiting.done():  # who asked has given up
            close_all(files)
        elif "failed" in body:
            close_all(files)
            waiting.set_exception(raised(body["failed"]))
        else:
            waiting.set_result((body, files))

    def _write(self) -> None:
        try:
            while self._outbox:
                data, files = self._outbox[0]
                sent = socket.send_fds(self._stream, [data], files)
                close_all(files)
                if sent < len(data):
                    self._outbox[0] = (data[sent:], [])
                else:
                    self._outbox.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._stream.fileno(), self._write)
            return
        except OSError:
            self._loop.call_soon(self.close)
            return
        self._loop.remove_writer(self._stream.fileno())


class Lines:
    """Takes a stream apart into messages; `files` are descriptors whose message is not whole yet."""

    def __init__(self) -> None:
        self.files: list[int] = []
        self._rest = b""

    def read(self, stream: socket.socket) -> list[tuple[Body, list[int]]]:
        """The messages that are whole now.

        Raises:
            ConnectionError: the other end is gone.
            BlockingIOError: nothing has come.
            ValueError: what came is no message.
        """
        data, files, _, _ = socket.recv_fds(stream, _PIECE_BYTES, _MOST_FILES)
        self.files += files
        if not data:
            raise ConnectionError("the other end is gone")
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MOST_BYTES:
            raise ValueError("a line without end")
        found = []
        for line in lines:
            body = msgspec.json.decode(line, type=Body)
            count = int(body.get("files", 0))
            if count > len(self.files):
                raise ValueError("a message came without its descriptors")
            found.append((body, self.files[:count]))
            del self.files[:count]
        return found


def line_of(body: Body, files: Sequence[int] = ()) -> bytes:
    """A message as it is sent."""
    if files:
        body = body | {"files": len(files)}
    return msgspec.json.encode(body) + b"\n"


def close_all(files: list[int]) -> None:
    """Close descriptors, and forget them."""
    while files:
        os.close(files.pop())


def told(error: MlwrightError) -> Body:
    """An error as a message has it."""
    named = {"message": error.message, "where": error.where, "hint": error.hint}
    return {name: text for name, text in named.items() if text} | {"kind": type(error).__name__}


def raised(body: Body) -> MlwrightError:
    """The error that a message tells of."""
    kind = getattr(errors, str(body.get("kind")), WorkFailed)
    if kind not in {errors.Conflict, errors.Invalid, errors.NotFound, errors.Unavailable}:
        kind = WorkFailed
    error: MlwrightError = kind(
        str(body.get("message", "it failed")), where=body.get("where"), hint=body.get("hint")
    )
    return error


def listen_at(path: Path) -> socket.socket:
    """A unix socket that listens there, for this user alone; its folder must be this user's alone, too."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(path) as short:
            listener.bind(short)
        path.chmod(0o600)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise Unavailable(f"no socket can be made: {error.strerror}", where=str(path)) from error
    return listener


def connect_to(path: Path) -> socket.socket:
    """A stream to who listens there.

    Raises:
        Gone: nobody does.
    """
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(path) as short:
            stream.connect(short)
    except OSError as error:
        stream.close()
        raise Gone(f"nobody listens: {error.strerror}", where=str(path)) from error
    return stream


def accepted(listener: socket.socket) -> socket.socket | None:
    """The next stream of a listening unix socket; None if there is none, or another user's: that is closed.

    Source: unix(7), SO_PEERCRED.
    """
    try:
        stream, _ = listener.accept()
    except OSError:
        return None
    given = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", given)
    if uid != os.geteuid():
        stream.close()
        return None
    return stream


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name of the path that an address can hold: that of a unix socket has 107 bytes at most."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        with contextlib.suppress(OSError):
            os.close(folder)
