"""A worker: the process that runs a user's functions, in the environment of their steps.

It serves requests over an inherited socket until the other side is gone. It reads paths it is given and
writes into the scratch folder it is given.

Requests (`op`): `parameters`, `trace`, `execute`. Answers: `done`, or `failed` with what the user's code
raised and where.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import resource
import signal
import socket
import sys
import time
import traceback
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mlwright.kernel.errors import Invalid, MlwrightError
from mlwright.sdk import report
from mlwright.sdk.codecs import codec_for, codec_named
from mlwright.sdk.dataset import Dataset
from mlwright.sdk.frames import Frame, FrameReader, receive
from mlwright.sdk.pipeline import Pipeline
from mlwright.sdk.step import Step
from mlwright.sdk.types import output_types, type_name

INLINE_BYTES = 4096


def main(arguments: list[str]) -> None:
    """Serve requests until the other side is gone.

    Args:
        arguments: the socket's descriptor, the snapshot's folder.
    """
    stream = socket.socket(fileno=int(arguments[0]))
    stream.set_inheritable(False)
    # A child that outlives us would keep the connection open, and the engine would wait for its answer.
    os.register_at_fork(after_in_child=stream.close)
    root = arguments[1]
    sys.path.insert(0, root)
    sys.argv = [root]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the engine's to act on
    reader = FrameReader()
    while (frames := receive(stream, reader)) is not None:
        for frame in frames:
            stream.sendall(answer(frame, root).encode())


def answer(frame: Frame, root: str) -> Frame:
    """Do what a request asks; whatever goes wrong in it is an answer too."""
    operations: dict[str, Callable[[Frame, str], Frame]] = {
        "parameters": _parameters,
        "trace": _trace,
        "execute": _execute,
    }
    head = frame.head
    try:
        done = operations[head["op"]](frame, root)
    except BaseException as error:  # SystemExit too: a step that calls sys.exit() has failed
        return Frame({"id": head["id"], "state": "failed", "error": _told(error, root)})
    return Frame({"id": head["id"], "state": "done", **done.head}, done.parts)


def _parameters(frame: Frame, root: str) -> Frame:
    return Frame({"parameters": _pipeline(frame.head).parameters()})


def _trace(frame: Frame, root: str) -> Frame:
    return Frame({"nodes": _pipeline(frame.head).trace(frame.head["values"])})


def _pipeline(head: dict[str, Any]) -> Pipeline[Any, Any]:
    found = getattr(importlib.import_module(head["module"]), head["pipeline"], None)
    if not isinstance(found, Pipeline):
        raise Invalid(f"{head['module']}.{head['pipeline']} is not a pipeline")
    return found


def _execute(frame: Frame, root: str) -> Frame:
    head = frame.head
    scratch = Path(head["scratch"])
    work = scratch / "work"
    work.mkdir(parents=True, exist_ok=True)
    os.chdir(work)
    report.open_journal(scratch / report.JOURNAL)
    _forget_peak()
    began, cpu_began = time.perf_counter(), time.process_time()
    try:
        with _captured(scratch / "log.txt"):
            try:
                function, hints = _step(head["step"])
                _seed(head["seed"])
                arguments = {
                    name: _decode(argument, frame.parts, scratch)
                    for name, argument in head["arguments"].items()
                }
                outputs, parts = _encode(function(**arguments), hints, head["node"], scratch)
            except BaseException as error:
                sys.stderr.write(_shown(error, root))
                raise
    finally:
        report.close_journal()
        os.chdir("/")
    usage = {
        "wall_s": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu_began,
        "peak_bytes": _peak_bytes(),
    }
    return Frame({"outputs": outputs, "usage": usage}, tuple(parts))


def _step(address: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    module, _, name = address.partition(":")
    found = getattr(importlib.import_module(module), name)
    if isinstance(found, Step):
        return found.function, found.hints
    return found, typing.get_type_hints(found)


_SEEDERS: dict[str, Callable[[Any, int], object]] = {
    "numpy": lambda numpy, seed: numpy.random.seed(seed % 2**32),
    "torch": lambda torch, seed: torch.manual_seed(seed),
}


class _SeedAtImport(MetaPathFinder):
    """Seeds a library that a step imports only while it runs, as if it had been there before."""

    seed: int | None = None

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """The library's own spec, with a loader that seeds it; None for every other module."""
        if name not in _SEEDERS or self.seed is None:
            return None
        sys.meta_path.remove(self)
        try:
            spec = find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        if spec is None or spec.loader is None:
            return None
        execute, seed = spec.loader.exec_module, self.seed

        def exec_module(module: Any) -> None:
            execute(module)
            _SEEDERS[name](module, seed)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


_seed_at_import = _SeedAtImport()


def _seed(seed: int | None) -> None:
    """Seed what is imported, and what the step will import."""
    _seed_at_import.seed = seed
    if _seed_at_import not in sys.meta_path:
        sys.meta_path.insert(0, _seed_at_import)
    if seed is None:
        return
    random.seed(seed)
    for name, seeder in _SEEDERS.items():
        if name in sys.modules:
            seeder(sys.modules[name], seed)


def _decode(argument: dict[str, Any], parts: tuple[bytes, ...], scratch: Path) -> Any:
    match argument["kind"]:
        case "value":
            return argument["value"]
        case "dataset":
            files = {name: Path(path) for name, path in argument["files"].items()}
            return Dataset(argument["value"], files=files, scratch=scratch / "datasets")
        case "list":
            return [_decode(item, parts, scratch) for item in argument["items"]]
        case "dict":
            return {name: _decode(item, parts, scratch) for name, item in argument["fields"].items()}
    if "part" in argument:
        path = scratch / f"input-{argument['part']}"
        path.write_bytes(parts[argument["part"]])
    else:
        path = Path(argument["path"])
    return codec_named(argument["codec"]).decode(path, argument["wanted"], scratch)


def _encode(
    value: Any, hints: dict[str, Any], node: str, scratch: Path
) -> tuple[list[dict[str, Any]], list[bytes]]:
    """Write each output to a file of the scratch folder; small ones travel in the frame."""
    outputs: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for name, each in _named_outputs(value, hints.get("return"), node).items():
        codec = codec_for(each, f"the output `{name}` of step `{node}`")
        path = scratch / f"output-{name}"
        codec.encode(each, path)
        told: dict[str, Any] = {
            "name": name,
            "codec": codec.name,
            "type": type_name(type(each)),
            "about": codec.describe(each),
        }
        if path.stat().st_size <= INLINE_BYTES:
            told["part"] = len(parts)
            parts.append(path.read_bytes())
        else:
            told["path"] = str(path)
        outputs.append(told)
    return outputs, parts


def _named_outputs(value: Any, annotation: Any, node: str) -> dict[str, Any]:
    wanted = output_types(annotation)
    if wanted is None:
        return {"result": value}
    if isinstance(value, tuple) and len(value) == len(wanted):
        return dict(zip(wanted, value, strict=True))
    if all(hasattr(value, name) for name in wanted):
        return {name: getattr(value, name) for name in wanted}
    raise Invalid(
        f"step `{node}` promises the outputs {', '.join(wanted)}, but returned a {type_name(type(value))}"
    )


def _told(error: BaseException, root: str) -> dict[str, Any]:
    """What the user's code raised, with the innermost frame that lies in their project."""
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if frame.filename.startswith(root + os.sep)]
    told: dict[str, Any] = {"type": type(error).__name__, "message": _text(error)}
    if isinstance(error, MlwrightError):
        told |= {"message": error.message, "hint": error.hint, "where": error.where}
    if isinstance(error, SyntaxError) and str(error.filename).startswith(root):
        told |= {
            "file": str(Path(str(error.filename)).relative_to(root)),
            "line": error.lineno,
            "function": "",
        }
    elif mine:
        last = mine[-1]
        told |= {
            "file": str(Path(last.filename).relative_to(root)),
            "line": last.lineno,
            "function": last.name,
        }
    return told


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # their exception's own __str__ is their code too
        return "(its message cannot be shown)"


def _shown(error: BaseException, root: str) -> str:
    """The traceback as the user knows it: from their first frame on, by their project's paths."""
    trace = error.__traceback__
    while trace is not None and not trace.tb_frame.f_code.co_filename.startswith(root + os.sep):
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(error), error, trace))
    return text.replace(root + os.sep, "")


def _forget_peak() -> None:
    """Measure the peak of memory from here on. Source: proc(5), clear_refs, value 5 (Linux 4.0)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_bytes() -> int:
    """The most memory this process held since `_forget_peak`, or since it began where that is not known."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


@contextmanager
def _captured(path: Path) -> Iterator[None]:
    """Send everything written to standard output and error, by any library, to a file."""
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    kept = os.dup(1), os.dup(2)
    sys.stdout.flush()
    os.dup2(target, 1)
    os.dup2(target, 2)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for descriptor in (target, *kept):
            os.close(descriptor)
