"""A worker: the process that runs a user's functions, in the environment of their steps.

It serves requests over an inherited socket until the other side is gone. It reads paths it is given and
writes into the scratch folder it is given.

Requests (`op`): `parameters`, `trace`, `execute`, `script`, `notebook`, `compare`; and `summarise`, which
runs no code of the user's. Answers: `done`, or `failed` with what the user's code raised and where. Before
them, `enter` says where the user's code lies.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import itertools
import os
import re
import resource
import signal
import socket
import stat
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mlwright.kernel.errors import Invalid, MlwrightError
from mlwright.sdk import report
from mlwright.sdk.codec_names import TREE
from mlwright.sdk.codecs import LAST_RESORT, Codec, Unstorable, codec_named, codecs_for, reason
from mlwright.sdk.dataset import Dataset
from mlwright.sdk.forked import children_end_here
from mlwright.sdk.frames import CUT_OFF, Frame, FrameReader, receive
from mlwright.sdk.hints import resolved
from mlwright.sdk.leftovers import Leftovers
from mlwright.sdk.pipeline import Pipeline
from mlwright.sdk.ranges import Range
from mlwright.sdk.seeds import seed_all
from mlwright.sdk.step import Step
from mlwright.sdk.stored import STORED, Stored
from mlwright.sdk.types import a_type, output_types, type_name
from mlwright.sdk.workplace import Workplace

INLINE_BYTES = 4096

Outputs = dict[str, str] | None


def main(arguments: list[str]) -> None:
    """Serve requests until the other side is gone, or a step has left something behind in this process.

    Args:
        arguments: the socket's descriptor, this worker's name.
    """
    stream = socket.socket(fileno=int(arguments[0]))
    stream.set_inheritable(False)
    # A child that outlives us would keep the connection open, and the engine would wait for its answer.
    os.register_at_fork(after_in_child=stream.close)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the engine's to act on
    try:
        _serve(stream, Worker(arguments[1]))
    except OSError as error:
        if error.errno not in {errno.EBADF, errno.ENOTSOCK}:
            raise
        os._exit(CUT_OFF)  # there is nobody left whom this could be told otherwise


def _serve(stream: socket.socket, worker: Worker) -> None:
    reader = FrameReader()
    while (frames := receive(stream, reader)) is not None:
        for frame in frames:
            if frame.head["op"] == "enter":  # the first one; it is not answered
                worker.enter(frame.head["root"])
                continue
            done = worker.answer(frame)
            stream.sendall(done.encode())
            if "retire" in done.head:
                signal.pause()  # the engine ends this process; nothing else is to run in it


class Worker:
    """Does what requests ask.

    Args:
        name: of this worker, and of its folder in a run's scratch.
        alone: whether this process is a worker and nothing else. If not, what a step prints goes to where
            the process prints, and nobody looks for what it leaves behind.
    """

    def __init__(self, name: str, *, alone: bool = True) -> None:
        self._root = ""
        self._name = name
        self._alone = alone
        self._places: dict[str, Workplace] = {}
        self._steps: dict[str, tuple[Callable[..., Any], Outputs]] = {}
        self._leftovers = Leftovers()
        self._peak = _opened("/proc/self/clear_refs", os.O_WRONLY)
        self._status = _opened("/proc/self/status", os.O_RDONLY)
        if alone:
            for output in (sys.stdout, sys.stderr):  # who follows a log sees whole lines at once
                output.reconfigure(line_buffering=True)  # type: ignore[union-attr]

    def enter(self, root: str) -> None:
        """Take the folder of the user's code, before anything is asked."""
        self._root = root
        if self._alone:
            sys.argv = [root]
        if root not in sys.path:
            sys.path.insert(0, root)

    def answer(self, frame: Frame) -> Frame:
        """Do what a request asks; whatever goes wrong in it is an answer too."""
        operations: dict[str, Callable[[Frame], Frame]] = {
            "parameters": self._parameters,
            "trace": self._trace,
            "execute": self._execute,
            "script": self._execute,
            "notebook": self._execute,
            "summarise": self._summarise,
            "compare": self._compare,
        }
        head = frame.head
        try:
            done = operations[head["op"]](frame)
        except BaseException as error:  # SystemExit too: a step that calls sys.exit() has failed
            return Frame({"id": head["id"], "state": "failed", "error": told(error, self._root)})
        return Frame({"id": head["id"], "state": "done", **done.head}, done.parts)

    def _parameters(self, frame: Frame) -> Frame:
        return Frame({"parameters": _pipeline(frame.head).parameters()})

    def _trace(self, frame: Frame) -> Frame:
        return Frame({"nodes": _pipeline(frame.head).trace(frame.head["values"])})

    def _summarise(self, frame: Frame) -> Frame:
        from mlwright.sdk.summaries import distribute, first, summarise

        head = frame.head
        found, form = Range(Path(head["path"]), head["start"], head["size_bytes"]), head["format"]
        if "first" in head:
            return Frame(first(found, form, head["first"]))
        return Frame(distribute(found, form, head["bins"]) if "bins" in head else summarise(found, form))

    def _compare(self, frame: Frame) -> Frame:
        """How two artifacts differ; a pickle is among them only if the engine may have it loaded."""
        import tempfile

        from mlwright.sdk.deviations import Now
        from mlwright.sdk.unlike import difference

        head = frame.head
        with tempfile.TemporaryDirectory(dir=head["scratch"]) as folder:

            def files() -> Path:
                return Path(folder)

            then, now = (_decode(head[side], frame.parts, files) for side in ("then", "now"))
            return Frame(difference(then, now, Now(*head["made_s"]), head["examples"]))

    def _execute(self, frame: Frame) -> Frame:
        """One attempt. What it raised is in the answer, so that what it used and printed is too."""
        head = frame.head
        place = self._place(head["scratch"])
        place.begin()
        report.open_journal(head["journal"], place.kept, head["node"])
        self._forget_peak()
        began, cpu_began = time.perf_counter(), _cpu_s()
        try:
            try:
                answer = self._call(frame, place) if head["op"] == "execute" else self._script(frame, place)
            except BaseException as error:
                place.say(shown(error, self._root))
                answer = Frame({"state": "failed", "error": told(error, self._root)})
        finally:
            reported = report.close_journal()
        wall_s = time.perf_counter() - began
        usage = {"wall_s": wall_s, "cpu_s": _cpu_s() - cpu_began, "peak_bytes": self._peak_bytes()}
        more: dict[str, Any] = {"usage": usage}
        if self._alone and (left := self._leftovers.found()):
            place.say(f"mlwright: the step left {left} behind: its worker is ended\n")
            more["retire"] = left
        if head["op"] != "execute":
            more["retire"] = "a script"  # it had the process to itself, with a `__main__` of its own
        if (log := place.end(head["id"])) is not None:
            more["log"] = str(log)
        if reported:
            more["journal"] = True
        return Frame({**answer.head, **more}, answer.parts)

    def _call(self, frame: Frame, place: Workplace) -> Frame:
        head = frame.head
        function, wanted = self._step(head["step"])
        seed_all(head["seed"])
        arguments = {
            name: _decode(argument, frame.parts, place.files) for name, argument in head["arguments"].items()
        }
        with children_end_here(lambda error: place.say(shown(error, self._root))):
            returned = function(**arguments)
        encoder = _Encoder(head["node"], place, head["id"])
        for name, value in _named_outputs(returned, wanted, head["node"]).items():
            encoder.add(name, value)
        return Frame({"outputs": encoder.told}, tuple(encoder.parts))

    def _script(self, frame: Frame, place: Workplace) -> Frame:
        """A script or a notebook, in a copy of the project: what it wrote there are its outputs."""
        from mlwright.sdk.scripts import run_whole

        head = frame.head
        encoder = _Encoder(head["node"], place, head["id"])
        seed_all(head["seed"])
        error = run_whole(
            head["op"], head["step"], head["arguments"], Path(self._root), encoder.add, alone=self._alone
        )
        answer: dict[str, Any] = {"outputs": encoder.told}
        if error is not None:
            place.say(shown(error, self._root))
            answer |= {"state": "failed", "error": told(error, self._root)}
        return Frame(answer, tuple(encoder.parts))

    def _place(self, scratch: str) -> Workplace:
        if scratch not in self._places:
            self._places[scratch] = Workplace(Path(scratch) / self._name, capture=self._alone)
        return self._places[scratch]

    def _step(self, address: str) -> tuple[Callable[..., Any], Outputs]:
        if address not in self._steps:
            module, _, name = address.partition(":")
            # As Python does for a main module: what the user's own code should not use any more is told.
            warnings.filterwarnings("default", category=DeprecationWarning, module=f"{re.escape(module)}$")
            found = getattr(importlib.import_module(module), name)
            function = found.function if isinstance(found, Step) else found
            hints = resolved(function)
            self._steps[address] = function, output_types(hints.get("return"))
        return self._steps[address]

    def _forget_peak(self) -> None:
        """Measure the peak of memory from here on. Source: proc(5), clear_refs, value 5 (Linux 4.0)."""
        if self._peak >= 0:
            with contextlib.suppress(OSError):  # an earlier step has closed it
                os.write(self._peak, b"5")

    def _peak_bytes(self) -> int:
        """The most memory this process held since the peak was reset, or since it began.

        Where it can be read: `ru_maxrss` begins with what the engine held when it started this process.
        """
        if self._status >= 0:
            with contextlib.suppress(OSError):  # as above
                _, found, rest = os.pread(self._status, 4096, 0).partition(b"\nVmHWM:")
                if found:
                    return int(rest.split(None, 1)[0]) * 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _pipeline(head: dict[str, Any]) -> Pipeline[Any, Any]:
    found = getattr(importlib.import_module(head["module"]), head["pipeline"], None)
    if not isinstance(found, Pipeline):
        raise Invalid(f"{head['module']}.{head['pipeline']} is not a pipeline")
    return found


def _decode(argument: dict[str, Any], parts: tuple[bytes, ...], files: Callable[[], Path]) -> Any:
    match argument["kind"]:
        case "value":
            return argument["value"]
        case "dataset":
            told = argument["files"].items()
            found = {name: Range(Path(path), start, size) for name, (path, start, size) in told}
            return Dataset(argument["value"], files=found, scratch=files() / "datasets")
        case "list":
            return [_decode(item, parts, files) for item in argument["items"]]
        case "dict":
            return {name: _decode(item, parts, files) for name, item in argument["fields"].items()}
    codec, as_stored = codec_named(argument["codec"]), argument["wanted"] == STORED
    if "part" not in argument:
        path = Path(argument["path"])
    else:
        part = parts[argument["part"]]
        if codec.loads is not None and not as_stored:
            return codec.loads(part)
        path = files() / f"input-{argument['part']}"
        path.write_bytes(part)
    return Stored(codec.name, path) if as_stored else codec.decode(path, argument["wanted"], files())


class _Encoder:
    """Writes the outputs of one attempt to files that are kept; small ones travel in the frame."""

    def __init__(self, node: str, place: Workplace, attempt: str) -> None:
        self._node, self._place, self._attempt = node, place, attempt
        self.told: list[dict[str, Any]] = []
        self.parts: list[bytes] = []

    def add(self, name: str, value: Any) -> None:
        """Encode one output; a list of what no codec takes as a whole is kept element by element.

        Raises:
            Invalid: it cannot be stored, not even as pickle.
        """
        what = f"the output `{name}` of step `{self._node}`"
        codecs = codecs_for(value)
        first = next(codecs, None)
        if first is None and type(value) is list and all(next(codecs_for(item), None) for item in value):
            for index, item in enumerate(value):
                self._add(f"{name}[{index}]", item, f"{what}, at {index},", codecs_for(item))
        else:
            self._add(name, value, what, codecs if first is None else itertools.chain([first], codecs))

    def _add(self, name: str, value: Any, what: str, codecs: Iterator[Codec]) -> None:
        refused: Unstorable | None = None
        for codec in codecs:
            try:
                self._keep(name, value, codec)
            except Unstorable as error:
                refused = refused or error
            else:
                return
        try:
            self._keep(name, value, LAST_RESORT)
        except Invalid as error:
            raise Invalid(f"{what} cannot be stored: {error.message}", hint=error.hint) from error
        why = reason(value) if refused is None else refused.message
        self.told[-1]["about"]["why"] = why
        better = "" if refused is None or not refused.hint else f" (better: {refused.hint})"
        self._place.say(f"mlwright: {what} is stored as pickle, which is not safe to load: {why}{better}\n")

    def _keep(self, name: str, value: Any, codec: Codec) -> None:
        told: dict[str, Any] = {"name": name, "codec": codec.name, "type": type_name(type(value))}
        if codec.dumps is not None:
            data = codec.dumps(value)
            if len(data) <= INLINE_BYTES:
                self._tell(told, codec.describe(value), data)
                return
        path = self._place.kept / f"{self._attempt}-{len(self.told)}"
        codec.encode(value, path)
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            if codec.name != TREE:
                raise Invalid(f"the codec `{codec.name}` has made a folder: encode must write one file")
            self._tell(told | {"folder": str(path)}, codec.describe(value))
        elif status.st_size <= INLINE_BYTES:
            self._tell(told, codec.describe(value), path.read_bytes())
        else:
            self._tell(told | {"path": str(path)}, codec.describe(value))

    def _tell(self, told: dict[str, Any], about: dict[str, Any], data: bytes | None = None) -> None:
        if data is not None:
            told["part"] = len(self.parts)
            self.parts.append(data)
        self.told.append(told | {"about": about})


def _named_outputs(value: Any, wanted: Outputs, node: str) -> dict[str, Any]:
    if wanted is None:
        return {"result": value}
    if isinstance(value, tuple) and len(value) == len(wanted):
        return dict(zip(wanted, value, strict=True))
    if all(hasattr(value, name) for name in wanted):
        return {name: getattr(value, name) for name in wanted}
    raise Invalid(
        f"step `{node}` promises the outputs {', '.join(wanted)}, but returned {a_type(type(value))}"
    )


def told(error: BaseException, root: str) -> dict[str, Any]:
    """What the user's code raised, with the innermost frame that lies in their project."""
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if frame.filename.startswith(root + os.sep)]
    said: dict[str, Any] = {"type": type(error).__name__, "message": _text(error)}
    if isinstance(error, MlwrightError):
        said |= {"message": error.message, "hint": error.hint, "where": error.where, "ours": True}
    if isinstance(error, SyntaxError) and str(error.filename).startswith(root):
        file = str(Path(str(error.filename)).relative_to(root))
        said |= {"file": file, "line": error.lineno, "function": ""}
    elif mine:
        last = mine[-1]
        file = str(Path(last.filename).relative_to(root))
        said |= {"file": file, "line": last.lineno, "function": last.name}
    return said


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # their exception's own __str__ is their code too
        return "(its message cannot be shown)"


def shown(error: BaseException, root: str) -> str:
    """The traceback as the user knows it: from their first frame on, by their project's paths."""
    trace = error.__traceback__
    while trace is not None and not trace.tb_frame.f_code.co_filename.startswith(root + os.sep):
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(error), error, trace))
    return text.replace(root + os.sep, "")


def _opened(path: str, flags: int) -> int:
    """A descriptor of a file of the system; -1 where there is none."""
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError:
        return -1


def _cpu_s() -> float:
    """Processor time of this process and of the children it has waited for."""
    own, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + theirs.ru_utime + theirs.ru_stime
