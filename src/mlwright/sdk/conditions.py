"""What a gate asks of a run's scores: `auc >= 0.95`."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlwright.kernel.errors import Invalid

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}
_GRAMMAR = re.compile(r"\s*([^\s<>=]+)\s*(>=|<=|==|>|<)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")


@dataclass(frozen=True, slots=True)
class Condition:
    """A metric, how it is compared, and with what."""

    metric: str
    compare: str
    threshold: float

    def not_worse(self, value: float, reference: float, tolerance: float = 0.0) -> bool:
        """Whether a value is as good as another, or worse by no more than the tolerance.

        Which way is better is told by the way it is compared.
        """
        if self.compare == "==":
            return abs(value - self.threshold) <= abs(reference - self.threshold) + tolerance
        better_by = value - reference if self.compare in {">", ">="} else reference - value
        return value == reference or better_by >= -tolerance


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a gate looked at: in words, and whether it holds."""

    text: str
    holds: bool


def parse_condition(text: str) -> Condition:
    """Read `METRIC OPERATOR NUMBER`; the operators are >=, <=, >, <, ==.

    Raises:
        Invalid: `text` is not such a condition.
    """
    match = _GRAMMAR.fullmatch(text) if isinstance(text, str) else None
    if not match:
        raise Invalid(f"a gate cannot read the condition {text!r}", hint='write it as "auc >= 0.95"')
    return Condition(match[1], match[2], float(match[3]))


def judge(scores: Mapping[str, float], conditions: Sequence[Condition]) -> list[Finding]:
    """Hold scores against conditions; what is NaN, missing or no number passes nothing."""
    findings = []
    for condition in conditions:
        wanted = f"{condition.metric} {condition.compare} {condition.threshold:g}"
        if not isinstance(scores, Mapping) or condition.metric not in scores:
            findings.append(Finding(f"{wanted}: there is no such score", holds=False))
            continue
        value = _number(scores[condition.metric])
        if value is None:
            findings.append(Finding(f"{wanted}: the score is not a number", holds=False))
            continue
        holds = not math.isnan(value) and _OPERATORS[condition.compare](value, condition.threshold)
        findings.append(Finding(f"{wanted}: it is {value:.6g}", holds))
    return findings


def judge_against(
    scores: Mapping[str, float],
    reference: Mapping[str, float],
    conditions: Sequence[Condition],
    name: str,
    tolerance: float = 0.0,
) -> list[Finding]:
    """Hold scores against those of an earlier version: each metric of the conditions, in its direction.

    Args:
        name: how the findings call that version.
        tolerance: by how much a metric may be worse and still hold, in its own unit.
    """
    findings = []
    for condition in conditions:
        metric = condition.metric
        if not all(isinstance(each, Mapping) and metric in each for each in (scores, reference)):
            findings.append(Finding(f"{metric} is missing here or in {name}", holds=False))
            continue
        mine, theirs = _number(scores[metric]), _number(reference[metric])
        if mine is None or theirs is None:
            findings.append(Finding(f"{metric} is not a number here or in {name}", holds=False))
            continue
        holds = condition.not_worse(mine, theirs, tolerance)
        findings.append(Finding(f"{metric} {mine:.6g} against {theirs:.6g} of {name}", holds))
    return findings


def _number(score: Any) -> float | None:
    """A score by its value, a NumPy scalar's too; None for what is no number."""
    try:
        return None if isinstance(score, str) else float(score)
    except (TypeError, ValueError):
        return None
