"""Judgement steps: `gate`, `register`, and the `add` of predictions to a dataset.

They are made in the engine's process, every time, from recorded values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from msgspec import Struct

from mlwright.kernel import edges
from mlwright.kernel.database import Transaction
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import WorkFailed
from mlwright.kernel.ids import short
from mlwright.sdk.conditions import Finding, judge, judge_against, parse_condition
from mlwright.sdk.types import with_article
from mlwright.storage import InlineObjects
from mlwright.tracking import Run
from mlwright.versioning import Artifact
from mlwright.workflow.attempts import Attempt, AttemptState, begin
from mlwright.workflow.graph import Argument, Graph, Node
from mlwright.workflow.known import Known
from mlwright.workflow.licences import licence_of
from mlwright.workflow.predictors import predictor_code
from mlwright.workflow.records import Records
from mlwright.workflow.rooms import Rooms


class Verdict(Struct, frozen=True):
    """What became of a judgement: its state, what is shown beside it, and the error of a closed gate."""

    state: AttemptState
    note: str
    error: WorkFailed | None = None


class Judge(Struct, frozen=True):
    """Makes the judgements of one run.

    Args:
        passed: the gates that are open.
        replay: nothing is registered and no alias moves.
    """

    rooms: Rooms
    records: Records
    run: Run
    graph: Graph
    known: Known
    passed: set[str]
    parameters: Mapping[str, Any]
    replay: bool

    def judge(self, node: Node) -> Verdict:
        """Make a judgement and record it; it is durable on return.

        Raises:
            WorkFailed: what it is given cannot be judged.
        """
        self.records.flush()
        match node.kind:
            case "gate":
                return self._gate(node)
            case "add":
                return self._add(node)
        return self._register(node)

    def holds(self, node: Node) -> bool:
        """Whether the condition of a node is true; one that has none is.

        Raises:
            WorkFailed: what it is given is neither true nor false.
        """
        condition = node.when
        if condition is None:
            return True
        if condition.kind != "output":
            return bool(condition.value)
        if self.graph[condition.node].kind == "gate":
            return condition.node in self.passed
        self.records.flush()
        value = self._read(condition, f"the condition of `{node.name}`")
        if not isinstance(value, bool):
            raise WorkFailed(
                f"the condition of `{node.name}` is {value!r}, neither true nor false",
                hint=f"let `{condition.node}` return a bool",
            )
        return value

    def _gate(self, node: Node) -> Verdict:
        values = {name: self._value(node, name) for name in node.inputs}
        verdict = judge_gate(node, values)
        passed = verdict["passed"]
        state = AttemptState.CHECKED if passed else AttemptState.FAILED
        self.records.now(lambda tx: self._record(tx, node, state, verdict))
        note = "; ".join(each["text"] for each in verdict["findings"] if passed or not each["holds"])
        if passed:
            self.passed.add(node.name)
            return Verdict(state, note)
        run = short(self.run.id)
        error = WorkFailed(
            f"gate `{node.name}` of run {run} is closed: {note}",
            hint=f"look at the run: mlwright runs show {run}",
        )
        return Verdict(state, note, error)

    def _register(self, node: Node) -> Verdict:
        if not self._value(node, "when", absent=True):
            note = "the gate is closed"
            self.records.now(lambda tx: self._record(tx, node, AttemptState.SKIPPED, {"note": note}))
            return Verdict(AttemptState.SKIPPED, note)
        model, signature = self._artifact(node, "model"), self._artifact(node, "signature")
        assert model is not None
        assert signature is not None
        described, scores = self._value(node, "signature"), self._value(node, "scores", absent={})
        environment, licence = self._environment(node), licence_of(self.rooms, self.run)
        (code,) = edges.made_from(self.rooms.database, self.run.end, "code")
        snapshot = self.rooms.snapshots.get(code.earlier.id)
        predictor = predictor_code(self.rooms, snapshot, described.get("predictor", ""))
        told: list[str] = []

        def change(tx: Transaction) -> None:
            told.clear()
            if self.replay:
                told.append("replayed: nothing is registered")
                self._record(tx, node, AttemptState.CHECKED, {"note": told[0]})
                return
            version, note = self.rooms.models.record(
                tx,
                node.settings["name"],
                model,
                signature=signature,
                signature_value=described,
                scores=self._artifact(node, "scores"),
                metrics=scores,
                parameters={**self.parameters, "seed": self.run.seed},
                run=self.run.end,
                message=node.settings["message"],
                environment=environment,
                licence=licence,
                predictor=predictor,
            )
            told.append(note)
            detail = {"version": version.id, "reference": version.reference, "note": note}
            self._record(tx, node, AttemptState.CHECKED, detail)

        self.records.now(change)
        return Verdict(AttemptState.CHECKED, told[0])

    def _add(self, node: Node) -> Verdict:
        """Files that a step made become a version of a dataset, which leads to what they were made from."""
        files, about = self._artifact(node, "files"), self._value(node, "about")
        assert files is not None
        made_with = {role: End("version", version) for role, version in node.settings["made_with"].items()}
        told: list[str] = []

        def change(tx: Transaction) -> None:
            told.clear()
            if self.replay:
                told.append("replayed: no dataset is added to")
                self._record(tx, node, AttemptState.CHECKED, {"note": told[0]})
                return
            version, new = self.rooms.datasets.take(
                tx, node.settings["name"], files, about, {"run": self.run.end, **made_with}
            )
            told.append(
                f"{version.reference} added" if new else f"{version.reference} holds these rows already"
            )
            detail = {"version": version.id, "reference": version.reference, "note": told[0]}
            self._record(tx, node, AttemptState.CHECKED, {**detail, "rows": about["rows"]})

        self.records.now(change)
        return Verdict(AttemptState.CHECKED, told[0])

    def _environment(self, node: Node) -> End | None:
        """The lock that a model is loaded with, if not the run's own: where its signature was read."""
        name = self.graph[node.inputs["signature"].node].environment
        made_with = edges.made_from(self.rooms.database, self.run.end, f"environment:{name}") if name else []
        return made_with[0].earlier if made_with else None

    def _record(self, tx: Transaction, node: Node, state: AttemptState, detail: dict[str, Any]) -> None:
        attempt = begin(self.run.id, node.name, state, detail=detail)
        self.rooms.attempts.add(tx, [attempt])
        edges.add(tx, [Edge(attempt.end, "of", self.run.end), *self._edges(attempt, node)])

    def _edges(self, attempt: Attempt, node: Node) -> list[Edge]:
        """A gate's promise is no artifact: `when` leaves no edge."""
        found = {name: self._artifact(node, name) for name in node.inputs}
        return [
            Edge(attempt.end, f"input:{name}", made.end) for name, made in found.items() if made is not None
        ]

    def _value(self, node: Node, name: str, absent: Any = None) -> Any:
        argument = node.inputs.get(name)
        if argument is None:
            return absent
        if argument.kind != "output":
            return argument.value
        if self.graph[argument.node].kind == "gate":
            return argument.node in self.passed
        return self._read(argument, f"what `{node.name}` is given as {name}")

    def _read(self, argument: Argument, what: str) -> Any:
        made = self.known.outputs[argument.node, argument.output]
        if isinstance(made, tuple):
            raise WorkFailed(
                f"{what} is a list of {len(made)} values", hint="pass one of them, or reduce them"
            )
        return read_value(self.rooms.objects, made, what)

    def _artifact(self, node: Node, name: str) -> Artifact | None:
        argument = node.inputs.get(name)
        made = None if argument is None else self.known.outputs.get((argument.node, argument.output))
        return None if isinstance(made, tuple) else made


def judge_gate(node: Node, values: Mapping[str, Any]) -> dict[str, Any]:
    """A gate's verdict.

    Args:
        node: the gate.
        values: `scores`, and `reference` when a pinned version was evaluated beside.

    Returns:
        `{"passed": bool, "findings": [{"text": ..., "holds": ...}, ...]}`
    """
    conditions = [parse_condition(text) for text in node.settings["conditions"]]
    findings = judge(values["scores"], conditions)
    against = node.settings["not_worse_than"]
    if "reference" in values:
        findings += judge_against(
            values["scores"], values["reference"], conditions, against, node.settings["tolerance"]
        )
    elif against:
        findings.append(Finding(f"there is no {against} yet to compare with", holds=True))
    return {"passed": all(each.holds for each in findings), "findings": [asdict(each) for each in findings]}


def read_value(objects: InlineObjects, artifact: Artifact, what: str) -> Any:
    """A JSON value that a step gave; nothing else is read in the engine's process.

    Raises:
        WorkFailed: the step gave something else.
    """
    if artifact.codec == "text":
        return objects.get(artifact.digest).decode("utf-8", "surrogatepass")
    if artifact.codec != "json":
        raise WorkFailed(
            f"{what} must be numbers, text or lists of these, and is {with_article(artifact.type)}",
            hint="return JSON values: numbers by name for a gate, a bool for a condition, a list to map over",
        )
    return json.loads(objects.get(artifact.digest))
