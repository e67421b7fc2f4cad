"""A worker that holds one model: it reads it, and answers about it, in the environment of the model's own.

It serves requests over an inherited socket until the other side is gone; one at a time, each of which is
answered with one frame. Requests (`op`):

    load     reads the model; the first one. `done` with the classes that it knows
    ask      about columns (`mlwright.sdk.passing`). `done` with the answer
    begin    a streamed answer: its pieces are asked for by its `id`
    next     the next piece: `done` with `piece`; without, if there are no more
    close    no more pieces are wanted

Answers: `done`; `refused` with what a predictor refuses; `failed` with what the model raised.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mlwright.kernel.errors import MlwrightError
from mlwright.sdk.answers import Answerer, Columns, Estimator
from mlwright.sdk.by_name import input_from
from mlwright.sdk.codecs import codec_named
from mlwright.sdk.frames import Frame, FrameReader, receive
from mlwright.sdk.kinds import Refused
from mlwright.sdk.passing import answer_sent, named_taken, table_taken
from mlwright.sdk.predictors import Predictor, find_predictor
from mlwright.sdk.signature import Asked
from mlwright.sdk.values import ABSENT


def main(arguments: list[str]) -> None:
    """Serve requests until the other side is gone.

    Args:
        arguments: the socket's descriptor.
    """
    stream = socket.socket(fileno=int(arguments[0]))
    stream.set_inheritable(False)
    # A child that outlives us would keep the connection open, and the server would wait for our answer.
    os.register_at_fork(after_in_child=stream.close)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the server's to act on
    for output in (sys.stdout, sys.stderr):
        output.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    reader, worker = FrameReader(), ModelWorker()
    while (frames := receive(stream, reader)) is not None:
        for frame in frames:
            stream.sendall(worker.answer(frame).encode())


class ModelWorker:
    """Does what requests ask; nothing is loaded yet."""

    def __init__(self) -> None:
        self._model: Estimator | Answerer | None = None
        self._take: Callable[[Frame], Columns] = table_taken
        self._names: list[str] = []
        self._streams: dict[int, Iterator[Any]] = {}
        self._operations: dict[str, Callable[[Frame], Frame]] = {
            "load": self._load,
            "ask": self._ask,
            "begin": self._begin,
            "next": self._next,
            "close": self._close,
        }

    def answer(self, frame: Frame) -> Frame:
        """Do what a request asks; whatever goes wrong in it is an answer too."""
        try:
            return self._operations[frame.head["op"]](frame)
        except Refused as refused:
            return Frame({"state": "refused", "message": refused.message})
        except BaseException as error:  # SystemExit too: a predictor that calls sys.exit() has failed
            return Frame({"state": "failed", **_told(error)})

    def _load(self, frame: Frame) -> Frame:
        head = frame.head
        self._model, scratch = loaded(head, Path(head["scratch"])), Path(head["scratch"])
        named = head["signature"].get("named", ())
        self._names = [each["name"] for each in named]
        if named:
            kinds = [each["kind"] for each in named]
            self._take = lambda frame: named_taken(frame, kinds, scratch)
        return Frame({"state": "done", "classes": self._model.classes})

    def _ask(self, frame: Frame) -> Frame:
        assert self._model is not None
        return answer_sent({"state": "done"}, *self._model(self._take(frame), proba=frame.head["proba"]))

    def _begin(self, frame: Frame) -> Frame:
        assert isinstance(self._model, Answerer)
        values = zip(self._names, (each[0] for each in self._take(frame)), strict=True)
        request = {name: value for name, value in values if value is not ABSENT}
        self._streams[frame.head["id"]] = self._model.stream(request)
        return Frame({"state": "done"})

    def _next(self, frame: Frame) -> Frame:
        try:
            return Frame({"state": "done", "piece": next(self._streams[frame.head["id"]])})
        except StopIteration:
            return Frame({"state": "done"})

    def _close(self, frame: Frame) -> Frame:
        self._streams.pop(frame.head["id"]).close()  # type: ignore[attr-defined]
        return Frame({"state": "done"})


def loaded(told: dict[str, Any], scratch: Path) -> Estimator | Answerer:
    """A model, read from its file.

    Args:
        told: `codec`, `path`, `signature` as it is recorded, and `code`: the folder of the project's code
            that the predictor is imported from; empty if it has none, or is imported from there already.
        scratch: a folder where copies may be made.

    Raises:
        Exception: what its codec raises, its library, or `load` of the predictor.
    """
    signature, code = told["signature"], told["code"]
    if code:
        sys.path[:0] = [str(each) for each in (Path(code), Path(code, "src")) if each.is_dir()]
    inputs = [Asked(**column) for column in signature["inputs"]]
    named = [input_from(each) for each in signature.get("named", ())]
    address = signature.get("predictor", "")
    found = find_predictor(address) if address else None
    model = codec_named(told["codec"]).decode(Path(told["path"]), "", scratch)
    if found is None:
        return Estimator(model, inputs, named)
    return Answerer(Predictor(found, model), inputs, named)


def _told(error: BaseException) -> dict[str, Any]:
    """What was raised, as an answer has it."""
    message = error.message if isinstance(error, MlwrightError) else str(error)
    told: dict[str, Any] = {"type": type(error).__name__, "message": message}
    if isinstance(error, MlwrightError):
        return told | {"ours": True, "hint": error.hint}
    return told | {"missing": isinstance(error, ImportError)}
