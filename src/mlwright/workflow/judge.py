"""Judgement steps: `gate` and `register`, made in the engine's process, every time, from recorded values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mlwright.kernel.errors import WorkFailed
from mlwright.sdk.conditions import Finding, judge, judge_against, parse_condition
from mlwright.storage import InlineObjects
from mlwright.versioning import Artifact
from mlwright.workflow.graph import Node


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
    if artifact.codec != "json":
        raise WorkFailed(
            f"{what} must be numbers by name, and is a {artifact.type}",
            hint="let the step return a dict[str, float]",
        )
    return json.loads(objects.get(artifact.digest))
