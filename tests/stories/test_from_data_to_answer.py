"""The journeys of a run and of a prediction, typed as in the README."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlwright import Client
from tests.conftest import COMMAND, installed

SOAK = os.environ.get("MLWRIGHT_SOAK") == "1"


def answer(*arguments: str, cwd: Path) -> Any:
    """What a command says with --json."""
    done = installed(*arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def states(run: dict[str, Any]) -> dict[str, str]:
    return {each["attempt"]["node"]: each["attempt"]["state"] for each in run["attempts"]}


@pytest.fixture(scope="module")
def run_once(starter: Path) -> Path:
    """The starter project after its first run."""
    added = installed("datasets", "add", "data/patients.csv", "--name", "patients", cwd=starter)
    assert "added patients@1" in added.stdout, added.stderr
    ran = installed("run", "diagnosis", cwd=starter)
    assert ran.returncode == 0, ran.stderr
    return starter


@contextmanager
def served(project: Path, reference: str) -> Iterator[str]:
    """`mlwright serve` in the background; gives its URL, and ends it."""
    command = [str(COMMAND), "serve", reference, "--port", "0", "--json"]
    server = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        lines = []
        for line in server.stdout:
            lines.append(line)
            if line.startswith("}"):
                break
        assert lines, server.communicate()[1]
        yield json.loads("".join(lines))["url"]
    finally:
        server.terminate()
        server.communicate(timeout=30)
    assert server.returncode == 0


def test_a_run_goes_from_a_table_to_a_registered_champion(run_once: Path) -> None:
    """Load, split, train, evaluate, gate, register: the first version that passes is the champion."""
    runs = answer("runs", "list", cwd=run_once)
    detail = answer("runs", "show", runs[-1]["id"], cwd=run_once)
    model = answer("models", "show", "diagnosis@champion", cwd=run_once)

    assert set(states(detail)) == {"load", "split", "train", "evaluate", "gate", "signature", "register"}
    assert model["version"]["number"] == 1
    assert model["metrics"]["auc"] >= 0.95
    assert len(model["signature"]["inputs"]) == 30
    assert model["data"] == {"patients@latest": "patients@1"}
    assert model["code"] == detail["made_with"]["code"]["id"]
    assert model["environment"] == detail["made_with"]["environment"]["id"]
    assert model["parameters"] == {"data": "patients@latest", "trees": 100, "test_share": 0.25, "seed": 0}


def test_the_same_run_again_reuses_what_computes_and_checks_what_judges(run_once: Path) -> None:
    """Computing steps come from the cache, gate and register are made again, and no version is added."""
    again = answer("run", "diagnosis", cwd=run_once)

    judged = {"gate", "register"}
    assert {state for node, state in states(again).items() if node not in judged} == {"reused"}
    assert {state for node, state in states(again).items() if node in judged} == {"checked"}
    assert len(answer("models", "list", cwd=run_once)) == 1


def test_a_served_model_answers_as_the_pipeline_did_and_leads_back_to_code_data_and_environment(
    run_once: Path,
) -> None:
    """The prediction's id alone leads to the four versions, after the server is gone."""
    example = answer("models", "show", "diagnosis@champion", cwd=run_once)["signature"]["example"]

    with served(run_once, "diagnosis@champion") as url, Client(url) as client:
        prediction = client.predict([example["input"]])

    assert prediction.predictions[0] == example["output"]
    assert prediction.model == "diagnosis@1"
    reached = answer("lineage", prediction.id, cwd=run_once)
    kinds = {edge["earlier"]["kind"] for edge in reached}
    assert {"run", "snapshot", "lock", "version", "artifact", "attempt"} <= kinds
    shown = installed("lineage", prediction.id, cwd=run_once).stdout
    for part in ("model diagnosis@1", "dataset patients@1", "code b3:", "environment b3:", "step train"):
        assert part in shown


def test_the_impact_of_a_dataset_is_the_same_walk_downwards(run_once: Path) -> None:
    """What must be made again if the data was wrong: the run and the model."""
    shown = installed("lineage", "patients@1", "--down", cwd=run_once).stdout

    assert "model diagnosis@1" in shown
    assert "of diagnosis (succeeded)" in shown


def test_a_run_is_reproduced_to_the_bit_from_another_home_and_path(run_once: Path, tmp_path: Path) -> None:
    """From the records alone, in a fresh workspace and without the cache, each digest comes out the same."""
    first = answer("runs", "list", cwd=run_once)[-1]["id"]
    home = tmp_path / "home"
    home.mkdir()

    done = installed(
        "runs", "reproduce", first, "--in", str(tmp_path / "else" / "where"), cwd=run_once, HOME=str(home)
    )

    assert done.returncode == 0, done.stderr + done.stdout
    assert "different" not in done.stdout
    assert "7 of 7 outputs are identical" in done.stdout
    assert answer("models", "list", cwd=tmp_path / "else" / "where") == []


def test_a_table_is_predicted_over_and_comes_out_the_same_again(run_once: Path) -> None:
    """The environment of a replica predicts; from the records alone, each digest comes out the same."""
    done = installed(
        "predict", "diagnosis@champion", "patients@1", "--to", "scores", "--rows", "200", cwd=run_once
    )
    again = installed("runs", "reproduce", "latest", cwd=run_once)

    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("scores@1 added: 569 rows\n")
    assert again.returncode == 0, again.stderr + again.stdout
    assert "6 of 6 outputs are identical" in again.stdout
    assert "replayed" not in answer("datasets", "show", "scores@1", cwd=run_once)


def test_a_changed_parameter_trains_again_and_the_champion_is_judged_beside(run_once: Path) -> None:
    """The gate compares with the champion on this run's data; a worse model does not pass, nor move it."""
    worse = installed("run", "diagnosis", "-p", "trees=1", cwd=run_once)

    assert worse.returncode == 1
    assert "gate `gate` of run" in worse.stderr
    shown = answer("runs", "show", "latest", cwd=run_once)
    assert states(shown)["load"] == "reused"
    assert states(shown)["train"] == "succeeded"
    assert states(shown)["evaluate[diagnosis@champion]"] in {"reused", "succeeded"}
    assert states(shown)["register"] == "skipped"
    assert answer("models", "show", "diagnosis@champion", cwd=run_once)["version"]["number"] == 1


def test_an_alias_moves_with_who_when_and_why(run_once: Path) -> None:
    """`models alias` keeps the move, and shows the plan first."""
    plan = installed("models", "alias", "diagnosis@1", "stable", "--dry-run", cwd=run_once)
    moved = installed("models", "alias", "diagnosis@1", "stable", "-m", "after a week of use", cwd=run_once)

    detail = answer("models", "show", "diagnosis@stable", cwd=run_once)
    assert "nothing -> diagnosis@1" in plan.stdout
    assert moved.returncode == 0
    assert detail["moves"][0]["reason"] == "after a week of use"
    assert detail["moves"][0]["actor"]


def test_make_demo_runs_the_main_job_and_leaves_no_process(tmp_path: Path) -> None:
    """The demo of the README ends with 0, and everything that it started is gone."""
    root = Path(__file__).resolve().parents[2]
    shutil.rmtree(root / "demo", ignore_errors=True)

    done = [
        subprocess.run(["make", "demo"], cwd=root, capture_output=True, text=True, timeout=300)
        for _ in range(3 if SOAK else 1)
    ]

    assert {each.returncode for each in done} == {0}, done[0].stdout + done[-1].stderr
    assert "they agree" in done[0].stdout
    assert "outputs are identical" in done[0].stdout
    assert processes_in(root / "demo") == []


def processes_in(folder: Path) -> list[str]:
    """The command lines of processes that work in a folder, or name it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                inside = (entry / "cwd").readlink().is_relative_to(folder)
            except OSError:
                continue
            if inside or str(folder) in command:
                found.append(command)
    return found
