"""One model that is loaded: it proves itself, is asked, and every answer gets an id."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from concurrent.futures import Executor
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
from msgspec.structs import replace

from mlwright.kernel.errors import Incompatible, MlwrightError, Unavailable, WorkFailed
from mlwright.sdk.answers import same_answer
from mlwright.sdk.by_name import PIECES
from mlwright.sdk.rows import plain
from mlwright.serving.asking import asking
from mlwright.serving.batch import Asked
from mlwright.serving.batching import Batcher
from mlwright.serving.bounds import Bounds
from mlwright.serving.figures import ModelFigures
from mlwright.serving.named import Named, told_of
from mlwright.serving.problems import Problem
from mlwright.serving.records import Answered, Noting, Recorder
from mlwright.serving.runtime import Outputs, Runtime, Streaming
from mlwright.serving.spec import ModelSpec, ReplicaSpec, prediction_ids
from mlwright.serving.validation import Validator
from mlwright.serving.walk import Columns

_END = object()


class Served:
    """A model and all that is needed to answer with it.

    Args:
        spec: of the model.
        replica: that it is a part of: its limits and settings.
        runtime: the model in memory.
        thread: where it computes.
        recorder: keeps a sample of the answers.
        scratch: a folder where files of requests may be made.
        inline: whether it may be asked in the event loop.

    `shadows` are told of what was answered.
    """

    def __init__(
        self,
        spec: ModelSpec,
        replica: ReplicaSpec,
        runtime: Runtime,
        thread: Executor,
        recorder: Recorder | None = None,
        scratch: Path | None = None,
        *,
        inline: bool = True,
    ) -> None:
        self.spec = spec
        self.limits = replica.limits
        self.classes = runtime.classes
        self.class_names = [each if isinstance(each, str) else json.dumps(each) for each in runtime.classes]
        self.validator = Validator(
            spec.signature.inputs, replica.limits.rows, ignore_unknown=replica.unknown_fields == "ignore"
        )
        self.bounds = Bounds(spec.signature.inputs)
        self.named = Named(
            spec.signature.named,
            replica.limits.rows,
            ignore_unknown=replica.unknown_fields == "ignore",
            folder=scratch,
        )
        self.figures = ModelFigures(runtime=type(runtime).__name__.removesuffix("Runtime").lower())
        self._runtime = runtime
        self._recorder = recorder
        self._names = spec.signature.names
        self._ids = prediction_ids(spec.version_id)
        self._thread = thread
        self._batches = spec.signature.table or any(each.many for each in spec.signature.named)
        limits = replica.limits if self._batches else replace(replica.limits, batch_rows=1)
        # What a conversion takes follows from the rows. A model in Python may read a file, or wait for one.
        self._batcher = Batcher(runtime, limits, thread, self.figures, inline=inline and bool(spec.onnx))
        self.batch_rows = limits.batch_rows
        self.shadows: Sequence[Noting] = ()

    def check(self, deadline: float | None) -> None:
        """Refuse a request, before its body is read, that would have to wait for too long.

        Args:
            deadline: by `time.monotonic()`.

        Raises:
            Problem: 503.
        """
        self._batcher.check(deadline)

    async def ask(self, columns: Columns, *, proba: bool = False) -> Outputs:
        """Ask the model, perhaps together with others who ask just now.

        Args:
            columns: values that the validator took.
            proba: whether probabilities are asked for; the signature has them.

        Raises:
            Problem: 500, the model raises; 503, too many others wait; 504, the request's time is over.
        """
        return await self._batcher.ask(columns, proba=proba, who=asking.get())

    def begin(self, asked: Asked) -> None:
        """Have the model asked, perhaps together with others who ask just now.

        Raises:
            Problem: 503, too many others wait.
        """
        self._batcher.begin(asked)

    def drop(self, asked: Asked) -> None:
        """Who waits for it is gone."""
        self._batcher.drop(asked)

    def answers(self, columns: Columns, *, proba: bool = False) -> Outputs:
        """Ask the model here and now, alone: for those who are no server.

        Args:
            columns: values that the validator took.
            proba: as for `ask`.

        Raises:
            Problem: 500, the model raises.
        """
        return self._compute(columns, proba)

    async def pieces(self, request: Mapping[str, Any]) -> AsyncGenerator[Any]:
        """The pieces of one answer, as they are made; of a model whose signature says that it streams.

        Between two pieces others are answered.

        Args:
            request: what is given, by name.

        Raises:
            Problem: 422, the predictor refuses to answer; 500, it raises.
        """
        loop = asyncio.get_running_loop()
        made = self._stream(request)
        try:
            while (piece := await loop.run_in_executor(self._thread, next, made, _END)) is not _END:
                yield piece
        finally:
            await loop.run_in_executor(self._thread, made.close)

    def answered(
        self,
        columns: Columns,
        predictions: Sequence[Any],
        began: float,
        warnings: int,
        asked: Columns | None = None,
    ) -> str:
        """Give an answer its id, and have it recorded.

        Args:
            columns: that were asked about, as they may be recorded.
            predictions: plain values, one for each row.
            began: when the request did, by `time.perf_counter`.
            warnings: how many columns lay outside of what training saw.
            asked: the columns as the model was given them, where they are not recorded so.
        """
        identity, recorder, shadows = next(self._ids), self._recorder, self.shadows
        place = recorder.place() if recorder is not None else None
        if place is None and not shadows:
            return identity
        told = Answered(
            identity,
            self.spec.model,
            self._names,
            columns,
            predictions,
            began=began,
            warnings=warnings,
            asked=asked,
        )
        if recorder is not None and place is not None:
            recorder.keep(place, told)
        for each in shadows:
            each.note(told)
        return identity

    def prove(self) -> None:
        """Answer the signature's example as the pipeline did; and see how long that takes.

        Raises:
            Incompatible: it does not.
        """
        example, model = self.spec.signature.example, self.spec.model
        probabilities = self.spec.signature.probabilities
        try:
            columns = self._example()
            given = self._answer_to(columns)
        except Problem as problem:
            raise Incompatible(
                f"{model} cannot answer its own example: {problem.message}",
                hint="register the model again with an example that it was made for",
            ) from problem
        if not same_answer(given, example.output):
            raise Incompatible(
                f"{model} answers its example with {given!r}, the pipeline recorded {example.output!r}",
                hint="the environment or the model's bytes differ from the run's; run the pipeline again",
            )
        if self._batches and not self.spec.signature.output.stream:
            self._batcher.measure(columns, probabilities=probabilities)

    def _example(self) -> Columns:
        signature = self.spec.signature
        if signature.table:
            return self.validator.columns(msgspec.json.encode({"rows": [signature.example.input]}))
        return self.named.columns(signature.example.input)

    def _answer_to(self, columns: Columns) -> Any:
        signature = self.spec.signature
        if not signature.output.stream:
            return plain(self._compute(columns, signature.probabilities).labels)[0]
        with contextlib.closing(self._stream(told_of(signature.named, columns))) as pieces:
            return list(islice(pieces, PIECES))

    def _stream(self, request: Mapping[str, Any]) -> Generator[Any]:
        assert isinstance(self._runtime, Streaming)
        try:
            yield from self._runtime.stream(request)
        except Problem:
            raise
        except Exception as error:
            raise _failed(error) from error

    def _compute(self, columns: Columns, proba: bool) -> Outputs:
        try:
            return self._runtime(columns, proba=proba)
        except Problem:
            raise
        except Exception as error:
            raise _failed(error) from error


def _failed(error: Exception) -> Problem:
    return Problem(500, f"the model failed: {type(error).__name__}: {error}")


Loader = Callable[[ModelSpec, Path], Runtime]
"""Reads a model into memory; the folder is for copies."""


def load(
    spec: ModelSpec,
    replica: ReplicaSpec,
    loader: Loader,
    scratch: Path,
    thread: Executor,
    recorder: Recorder | None = None,
    *,
    inline: bool = True,
) -> Served:
    """Read a model into memory, and have it answer its example.

    Args:
        scratch: a folder where copies may be made.
        thread: where it will compute.
        recorder: keeps a sample of the answers.
        inline: whether it may be asked in the event loop.

    Raises:
        Incompatible: it answers its example differently from what the pipeline recorded.
        Unavailable: a library that the model needs is not installed.
        WorkFailed: the bytes cannot be read.
    """
    began = monotonic()
    try:
        served = Served(spec, replica, loader(spec, scratch), thread, recorder, scratch, inline=inline)
        served.prove()
        served.figures.load_s = monotonic() - began
    except MlwrightError:
        raise
    except ImportError as error:
        raise Unavailable(
            f"{spec.model} cannot be loaded: {error}",
            hint="add the package to the project's environment: mlwright environments add NAME",
        ) from error
    except Exception as error:
        raise WorkFailed(f"{spec.model} cannot be loaded: {type(error).__name__}: {error}") from error
    return served


def shares_by_class(names: list[str], shares: Any) -> list[dict[str, float]]:
    """The probabilities of each row, by the name of the class."""
    return [dict(zip(names, row, strict=True)) for row in plain(shares)]
