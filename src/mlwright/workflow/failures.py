"""What went wrong in a step, in the words of the user's own code: their frames, not ours."""

from __future__ import annotations

from mlwright.compute import Report
from mlwright.compute.limits import memory_words
from mlwright.kernel.errors import MlwrightError, TimedOut, WorkFailed
from mlwright.kernel.ids import short
from mlwright.tracking import Run
from mlwright.tracking.run import PREDICTION
from mlwright.workflow.graph import Node


def in_words(run: Run, node: Node, report: Report) -> MlwrightError:
    """The error of an attempt that did not succeed: cause, place in the user's code, and how to go on.

    Args:
        run: whose attempt it was.
        node: the step.
        report: `failed`, `died` or `timed out`.
    """
    told, identity = report.head, short(run.id)
    # Of a step of ours there is no place that a user could look at.
    where = f"{node.step.partition(':')[0].replace('.', '/')}.py:{node.line} in {node.name}" * bool(node.line)
    resume = "the same command again" if run.kind == PREDICTION else f"mlwright runs resume {identity}"
    hint = f"fix it, then {run.go_on}"
    if report.state == "failed":
        cause = told["error"]
        kind_of_error = "" if cause.get("ours") else cause["type"]
        message = ": ".join(part for part in (kind_of_error, cause["message"]) if part)
        if "file" in cause:
            where = f"{cause['file']}:{cause['line']}" + (
                f" in {cause['function']}" * bool(cause["function"])
            )
        if cause.get("hint"):
            hint = f"{cause['hint']}; then: {resume}"
        elif cause["type"] == "BdbQuit":
            hint = "a debugger needs your terminal: run it again with --executor inline"
    else:
        message = "\n".join(part for part in (told["cause"], told.get("words")) if part)
    if node.memory_bytes is not None and _wanted_more_memory(report):
        peak = told.get("usage", {}).get("peak_bytes")
        message = f"{message}\n{memory_words(node.memory_bytes, peak)}".strip()
        hint = f"raise `memory` of the step, or let it hold less; then: {resume}"
    if report.state == "timed out":
        hint = f"raise `timeout` of the step, or let it do less; then: {resume}"
    kind = TimedOut if report.state == "timed out" else WorkFailed
    return kind(f"step `{node.name}` of run {identity} failed: {message}", where=where, hint=hint)


def _wanted_more_memory(report: Report) -> bool:
    """Whether a step with a limit was refused memory, or killed for it."""
    if report.state == "failed":
        return bool(report.head["error"]["type"] in {"MemoryError", "ArrayMemoryError", "_ArrayMemoryError"})
    return report.state == "died" and "for more memory than its limit" in report.head["cause"]
