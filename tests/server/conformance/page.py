"""The table of the documentation: what of MLflow's protocol is answered, and how."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.server.conformance import scenarios
from tests.server.conformance.endpoints import OUTSIDE, TRACKED
from tests.server.conformance.scenario import ALL, Difference, Scenario

Table = Callable[[Sequence[str], Sequence[Sequence[str]]], str]
assert scenarios.MODULES


def page(table: Table) -> str:
    """The page, from what the scenarios declare.

    Args:
        table: makes a table of a head and rows.
    """
    counts = [f"{count} for one {step}" for each in ALL.values() for step, count in each.requests.items()]
    parts = [
        "# MLflow's protocol, call by call",
        "What [MLflow's protocol](mlflow.md) says is tested. Each scenario below is run by the unmodified"
        " client of MLflow 3.17 against `mlwright up` and against MLflow's own server, and the answers are"
        " compared value by value: names that a server makes up (ids, names of runs), times and addresses may"
        " differ, numbers not in one bit. Of a refusal, its `error_code` and its status are compared; the"
        " sentence is each server's own. The client sends as many requests to either server:"
        f" {' and '.join(counts)} (a new process asks once more, for `server-info`, and keeps that answer).",
        "Paths stand below `/api/2.0/mlflow/`, `/api/3.0/mlflow/`, `/ajax-api/2.0/mlflow/` and"
        " `/ajax-api/3.0/mlflow/`; those of `mlflow-artifacts` below `/api/2.0/` and its kin.",
        "## Clients",
        table(
            ["used", "scenario", "needs"],
            [
                (used, f"`{each.name}`", ", ".join(f"`{name}`" for name in each.needs))
                for each in ALL.values()
                for used in each.shows
            ],
        ),
        "A scenario whose package is not installed is skipped, and counted as skipped.",
    ]
    for subject, endpoints in TRACKED.items():
        parts += [
            f"## {subject}",
            table(["endpoint", "answers", "scenarios"], [_row(each) for each in endpoints]),
        ]
    parts += [
        "## Not implemented",
        "Everything else of the protocol (traces, gateway, prompts, judges, evaluation data, webhooks,"
        f" workspaces) is answered with status 501 and the `error_code` `NOT_IMPLEMENTED`: {len(OUTSIDE)}"
        " endpoints.",
        "\n".join(f"- `{each}`" for each in OUTSIDE),
        "## Scenarios",
        table(
            ["scenario", "claim", "answers that differ on purpose"], [_told(each) for each in ALL.values()]
        ),
    ]
    return "\n\n".join(parts)


def _row(endpoint: str) -> tuple[str, str, str]:
    """An endpoint, how its answers compare, and the scenarios that say so."""
    those = [each for each in ALL.values() if endpoint in each.covers]
    whys = [why.why for each in those for why in each.differs if why.endpoint == endpoint]
    answers = " ".join(dict.fromkeys(("The same, but:", *whys))) if whys else "The same."
    return f"`{endpoint}`", answers, ", ".join(f"`{each.name}`" for each in those)


def _steps(those: Difference) -> str:
    return ", ".join(f"*{step}*" for step in those.steps)


def _told(each: Scenario) -> tuple[str, str, str]:
    differs = " ".join(f"{_steps(those)}: {those.why}" for those in each.differs)
    return f"`{each.name}`", each.claim, differs
