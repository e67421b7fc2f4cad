"""Asking a worker what a pipeline looks like; the answer is remembered, as importing takes seconds."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import msgspec

from mlwright.compute import LocalExecutor, Place, Task
from mlwright.kernel.errors import Invalid, MlwrightError
from mlwright.sdk.frames import Frame
from mlwright.workflow.found import FoundPipeline
from mlwright.workflow.memory import Memory
from mlwright.workflow.parameters import Parameter
from mlwright.workflow.watch import Watcher


class Tracer:
    """Traces one pipeline. Use it as a context manager: its worker lives as long.

    The worker is its own: what a pipeline's function does to its modules must not reach a step.
    """

    def __init__(self, place: Place, pipeline: FoundPipeline, memory: Memory, watcher: Watcher) -> None:
        self._place = place
        self._pipeline = pipeline
        self._memory = memory
        self._watcher = watcher
        self._executor: LocalExecutor | None = None

    def __enter__(self) -> Tracer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._executor is not None:
            self._executor.close()

    def parameters(self) -> list[Parameter]:
        """The pipeline's parameters.

        Raises:
            Invalid: its module cannot be imported, or a parameter's type cannot be given.
        """
        return msgspec.convert(self._ask("parameters", {})["parameters"], list[Parameter])

    def known_parameters(self) -> list[Parameter] | None:
        """The same, if they were asked for before; else None: nothing is imported."""
        found = self._memory.remembered(self._question("parameters", {}))
        return None if found is None else msgspec.convert(found["parameters"], list[Parameter])

    def nodes(self, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The nodes of its graph for these values.

        Raises:
            Invalid: the pipeline's function raised.
        """
        return self._ask("trace", {"values": dict(values)})["nodes"]  # type: ignore[no-any-return]

    def _ask(self, operation: str, more: dict[str, Any]) -> dict[str, Any]:
        question = self._question(operation, more)
        return self._memory.recall(question, lambda: self._work_out(question))  # type: ignore[no-any-return]

    def _question(self, operation: str, more: Mapping[str, Any]) -> dict[str, Any]:
        return {"op": operation, "module": self._pipeline.module, "pipeline": self._pipeline.name, **more}

    def _work_out(self, question: dict[str, Any]) -> dict[str, Any]:
        self._watcher.preparing(f"importing {self._pipeline.file}")
        if self._executor is None:
            self._executor = LocalExecutor(slots=1)
        self._executor.submit(Task("trace", self._place, Frame({"id": "trace", **question})))
        report = self._executor.wait()[0]
        if report.state != "done":
            raise self._refusal(report.head)
        return report.head

    def _refusal(self, told: Mapping[str, Any]) -> MlwrightError:
        """A pipeline that cannot be traced, in the words of what its module raised."""
        pipeline = self._pipeline
        if "error" not in told:
            return Invalid(f"pipeline `{pipeline.name}` cannot be traced: {told['cause']}\n{told['words']}")
        cause = told["error"]
        where = f"{cause['file']}:{cause['line']}" if "file" in cause else f"{pipeline.file}:{pipeline.line}"
        message = cause["message"] if cause.get("ours") else f"{cause['type']}: {cause['message']}"
        hint = cause.get("hint")
        if cause["type"] == "ModuleNotFoundError":
            hint = "add the package to `dependencies` in pyproject.toml, then: mlwright environments lock"
        return Invalid(f"pipeline `{pipeline.name}` cannot be traced: {message}", where=where, hint=hint)
