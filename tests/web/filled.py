"""A workspace with something on every page, and texts in every place that look like markup."""

from __future__ import annotations

import math
from pathlib import Path

from mlwright.app import Project
from mlwright.kernel.clock import now_us
from mlwright.tracking.points import Point
from mlwright.tracking.reports import Reports
from mlwright.tracking.run import RunState
from tests.conftest import PYPROJECT, write
from tests.workflow.lent import lend

PAYLOADS = (
    "<script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    '"><svg onload=window.hacked=1>',
    "' onmouseover='window.hacked=1' x='",
    "javascript:window.hacked=1",
    "</title></pre></textarea><script>window.hacked=1</script>",
    "{{ 7 * 7 }}{% raw %}",
    '<div hx-get="/hacked" hx-trigger="load"></div>',
)
"""Texts that would execute, or ask for something, if a page took them for markup."""

_PIPELINES = '''
import sys
import time
from pathlib import Path

import pandas as pd
from sklearn.tree import DecisionTreeClassifier

from mlwright import Dataset, log_metric, pipeline, step
from mlwright.steps import gate, register


@step
def load(data: Dataset) -> pd.DataFrame:
    return data.table().to_pandas()


@step
def fit(train: pd.DataFrame, depth: int = 1) -> DecisionTreeClassifier:
    """Fit a tree."""
    for number in range(30):
        log_metric("loss", 1 / (number + 1), step=number)
    return DecisionTreeClassifier(max_depth=depth, random_state=0).fit(train[["age", "size"]], train["ill"])


@step
def evaluate(model: DecisionTreeClassifier, table: pd.DataFrame) -> dict[str, float]:
    print("evaluated on", len(table), "rows")
    return {"accuracy": float((model.predict(table[["age", "size"]]) == table["ill"]).mean())}


@pipeline
def ills(data: Dataset = Dataset("people@latest"), depth: int = 1, least: float = 0.0):
    """From people to a model of who is ill."""
    table = load(data)
    model = fit(table, depth=depth)
    scores = evaluate(model, table)
    register("ills", model, scores, example=table, when=gate(scores, f"accuracy >= {least}"))


@step
def say(text: str) -> str:
    print(text)
    return text


@step
def break_(text: str) -> None:
    raise ValueError(text)


@pipeline
def hostile(text: str = ""):
    break_(say(text))


@step(cache=False)
def wait(until: str) -> None:
    print("waiting for", until, flush=True)
    while not Path(until).exists():
        time.sleep(0.05)
    print("it is there", flush=True)


@pipeline
def slow(until: str = ""):
    wait(until)
'''


def _people(most: int) -> str:
    rows = (
        f"{age},{age % 7},{int(age > 40 or age % 7 == 3)},{'old' if age > 60 else 'young'}\n"
        for age in range(18, most)
    )
    return "age,size,ill,group\n" + "".join(rows)


def fill(root: Path) -> None:
    """Make the project at a place, and let things happen in it."""
    write(root, {"pyproject.toml": PYPROJECT, "pipelines/p.py": _PIPELINES})
    hostile = PAYLOADS[0]
    files = {f"{number}.txt": each for number, each in enumerate(PAYLOADS)}
    write(root / "texts", files)
    (root / "texts" / "<img src=x onerror=window.hacked=1>.txt").write_text("x")
    (root / "people.csv").write_text(_people(80))
    with Project.open(root) as project:
        project.environments.lock()
        lend(project)
        project.datasets.add(root / "people.csv", "people", message=hostile, tags={"source": PAYLOADS[1]})
        project.run("ills")
        (root / "people.csv").write_text(_people(95))
        project.datasets.add(root / "people.csv", "people", message="more of them")
        project.datasets.versions.set_alias("people@1", "golden", reason=hostile)
        project.datasets.add(root / "texts", "texts", message=PAYLOADS[1])
        project.run("ills", depth=2)
        card = (
            "# A card\n\n"
            + "\n\n".join(PAYLOADS)
            + "\n\n[a link](javascript:window.hacked=1) ![i](http://x/y.png)\n"
        )
        project.models.write_card("ills@1", card, reason=hostile)
        project.pipelines.run(project.request("hostile", {"text": "\n".join(PAYLOADS)}))
        _report(project)


def _report(project: Project) -> None:
    """Runs that clients have told of, with curves; and some whose every text looks like markup."""
    reports, at_us = Reports(), now_us() - 3_600_000_000
    with project.rooms.database.transaction() as tx:
        for number in range(60):
            run = reports.begin(tx, experiment=0, name=f"trial {number}", started_us=at_us + number, tags={})
            points = [
                Point(name, math.exp(-step / (10 + number)) + index, step, at_us + step)
                for index, name in enumerate(("loss", "val/loss"))
                for step in range(50)
            ]
            reports.log(tx, run.id, points=points, params=[("depth", str(number)), ("rate", "0.1")])
            reports.update(tx, run.id, state=RunState.SUCCEEDED, finished_us=at_us + 60_000_000)
        for payload in PAYLOADS:
            run = reports.begin(tx, experiment=0, name=payload, started_us=at_us, tags={payload: payload})
            points = [Point(payload, 1.0 + step, step, at_us) for step in range(3)]
            reports.log(tx, run.id, params=[("text", payload)], points=points)
            reports.update(tx, run.id, state=RunState.FAILED, finished_us=at_us + 1)
