"""The model in a process of its own, on its own lock, where its packages and the server's exclude each other.

The process dies with the thread that started it, which is the replica's that predicts, and when nobody is at
the other end of its socket. If it dies by itself, the replica ends too, and is replaced: nobody is answered
by a model that has not answered its example.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from mlwright.compute.process import cause_of_death, start_python
from mlwright.kernel.errors import Invalid, WorkFailed
from mlwright.sdk.frames import Frame, FrameReader, receive
from mlwright.sdk.passing import Columns as Sent
from mlwright.sdk.passing import answer_taken, named_sent, table_sent
from mlwright.sdk.values import ABSENT
from mlwright.serving.problems import Problem
from mlwright.serving.runtime import Outputs
from mlwright.serving.runtime.custom import kept
from mlwright.serving.spec import ModelSpec
from mlwright.serving.walk import Columns

_WORKER = "mlwright.sdk.model_worker"
_WORDS = 2
"""What the process says goes where the replica's own words go."""

_LAST_S = 1.0
"""A process that has closed its socket has so long to end."""

Ended = Callable[[str], object]


class ChildRuntime:
    """A model in a process of its own. Made by `load`.

    Args:
        spec: of the model; `python` is the interpreter of its environment.
        ended: is told why the process has ended, once, if it does so by itself after the model was loaded;
            called in another thread.
    """

    def __init__(self, spec: ModelSpec, ended: Ended = lambda why: None) -> None:
        self.classes: list[Any] = []
        self._model = spec.model
        self._names = [each.name for each in spec.signature.named]
        self._sent: Callable[[dict[str, Any], Sent], Frame] = named_sent if self._names else table_sent
        self._streams = 0
        self._ended: Ended = lambda why: None
        self._stream, other = socket.socketpair()
        self._reader = FrameReader()
        with other, open(_WORDS, "wb", closefd=False) as words:
            self._process = start_python(
                Path(spec.python),
                _WORKER,
                [str(other.fileno())],
                cpus=int(os.environ.get("OMP_NUM_THREADS", "1")),
                words=words,
                pass_fds=[other.fileno()],
            )
        self._watch = threading.Thread(target=self._await_end, name=f"process of {spec.model}", daemon=True)
        self._watch.start()

    @classmethod
    def load(cls, spec: ModelSpec, scratch: Path, ended: Ended = lambda why: None) -> ChildRuntime:
        """Start the process, and have it read the model; returns when it has.

        Args:
            scratch: a folder where copies may be made.
            ended: as for the class.

        Raises:
            Unavailable: the interpreter is missing.
            ImportError: a library that the model needs is not there.
            Invalid: the codec or the predictor refuses it.
            WorkFailed: reading it raises; or the process ends.
        """
        made = cls(spec)
        try:
            made._load(spec, scratch.absolute())
        except BaseException:
            made.close()
            raise
        made._ended = ended
        return made

    def __call__(self, columns: Columns, *, proba: bool) -> Outputs:
        """Ask the model.

        Raises:
            Problem: 422, a predictor refuses to answer; 500, the model raises, or its process ends; 503, it
                has ended.
        """
        return Outputs(*answer_taken(self._ask(self._sent({"op": "ask", "proba": proba}, columns))))

    def stream(self, request: Mapping[str, Any]) -> Generator[Any]:
        """The pieces of one answer, JSON values.

        Raises:
            Problem: as `__call__`.
        """
        self._streams += 1
        which = {"id": self._streams}
        columns = [[request.get(name, ABSENT)] for name in self._names]
        self._ask(self._sent({"op": "begin", **which}, columns))
        try:
            while "piece" in (told := self._ask(Frame({"op": "next", **which})).head):
                yield told["piece"]
        finally:
            with contextlib.suppress(Problem):  # what its end raises is told by nobody; in a replica neither
                self._ask(Frame({"op": "close", **which}))

    def close(self) -> None:
        """End the process; returns when it has ended."""
        self._ended = lambda why: None
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._watch.join()
        self._stream.close()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def _load(self, spec: ModelSpec, scratch: Path) -> None:
        code = str(kept(Path(spec.code), scratch)) if spec.code else ""
        signature = msgspec.to_builtins(spec.signature)
        told = {"codec": spec.codec, "path": spec.path, "signature": signature, "code": code}
        done = self._exchange(Frame({"op": "load", "scratch": str(scratch), **told}))
        if done is None:
            raise WorkFailed(f"{spec.model} cannot be loaded: {self._cause()}")
        if done.head["state"] != "done":
            raise _not_loaded(spec.model, done.head)
        self.classes = done.head["classes"]

    def _ask(self, frame: Frame) -> Frame:
        done = self._exchange(frame)
        if done is None:
            raise Problem(500, f"the model failed: {self._cause()}")
        if done.head["state"] == "refused":
            raise Problem(422, done.head["message"])
        if done.head["state"] == "failed":
            raise Problem(500, f"the model failed: {done.head['type']}: {done.head['message']}")
        return done

    def _exchange(self, frame: Frame) -> Frame | None:
        """What the process answers; None if it ends instead.

        Raises:
            Problem: 503, it had ended before.
        """
        try:
            self._stream.sendall(frame.encode())
        except OSError:
            gone = f"the process of {self._model} has ended"
            raise Problem(503, gone, headers={"retry-after": "1"}) from None
        found = receive(self._stream, self._reader)
        return None if found is None else found[0]

    def _cause(self) -> str:
        """Why the process has ended; one that has only closed its socket is ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LAST_S)
        self._process.kill()
        return cause_of_death(self._process.wait())

    def _await_end(self) -> None:
        status = self._process.wait()
        self._ended(cause_of_death(status))


def _not_loaded(model: str, told: Mapping[str, Any]) -> Exception:
    """What kept a model from being loaded, as reading it here would have raised it."""
    if told.get("ours"):
        return Invalid(told["message"], hint=told["hint"])
    if told["missing"]:
        return ImportError(told["message"])
    return WorkFailed(f"{model} cannot be loaded: {told['type']}: {told['message']}")
