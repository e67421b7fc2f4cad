"""The example projects: each is run in one home and path, and made again bit for bit in another.

`make test` runs scikit-learn and LightGBM; `make soak` PyTorch too, where a wheel of it lies in a folder that
`UV_FIND_LINKS` or `PIP_FIND_LINKS` names.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from uv import find_uv_bin

from tests.conftest import PYPROJECT, installed, write

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@cache
def uv_cache() -> str:
    """Where uv keeps packages: another home shall not fetch them again."""
    done = subprocess.run([find_uv_bin(), "cache", "dir"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def answered(*arguments: str, cwd: Path, home: Path, **variables: str) -> Any:
    """What a command says with --json, for a user with that home."""
    home.mkdir(exist_ok=True)
    told = {"HOME": str(home), "UV_CACHE_DIR": uv_cache(), **variables}
    done = installed(*arguments, "--json", cwd=cwd, **told)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


def made_again_elsewhere(project: Path, pipeline: str, tmp_path: Path, **variables: str) -> dict[str, Any]:
    """Run a pipeline, carry the run in a bundle to another home and path, and make it again there."""
    here, there = tmp_path / "home", tmp_path / "another home"
    answered("run", pipeline, cwd=project, home=here, **variables)
    answered("runs", "export", "latest", str(tmp_path / "run.tar"), cwd=project, home=here)
    other = write(tmp_path / "some" / "where else", {"pyproject.toml": PYPROJECT})
    shutil.rmtree(project)
    shutil.rmtree(here)
    run = answered("runs", "import", str(tmp_path / "run.tar"), cwd=other, home=there)["id"]
    again: dict[str, Any] = answered(
        "runs", "reproduce", run, cwd=other, home=there, TZ="Asia/Tokyo", **variables
    )
    assert again["original"]["project"] == again["again"]["project"]
    return again


@pytest.mark.parametrize(
    ("name", "script", "dataset", "pipeline", "outputs"),
    [
        ("scikit-learn", "houses.py", "houses", "prices", 6),
        ("lightgbm", "customers.py", "customers", "churn", 9),
    ],
)
def test_an_example_is_made_again_bit_for_bit_in_another_home_and_path(
    name: str, script: str, dataset: str, pipeline: str, outputs: int, tmp_path: Path
) -> None:
    """From a bundle alone, after the first project is gone: each output is identical."""
    project = copied(name, tmp_path)
    subprocess.run([sys.executable, f"scripts/{script}"], cwd=project, check=True)
    answered("datasets", "add", f"data/{dataset}.csv", "--name", dataset, cwd=project, home=tmp_path / "home")

    again = made_again_elsewhere(project, pipeline, tmp_path)

    assert {each["verdict"] for each in again["comparisons"]} == {"identical"}
    assert len(again["comparisons"]) == outputs
    before = os.environ.get("TZ", "not set")
    assert again["causes"] == [f"the environment variable TZ: {before} -> Asia/Tokyo"]


def wheels_of_torch() -> list[Path]:
    """Those for this Python, in the folders that are named for such."""
    folders = " ".join(os.environ.get(name, "") for name in ("UV_FIND_LINKS", "PIP_FIND_LINKS")).split()
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    return sorted(file for folder in folders for file in Path(folder).glob(f"torch-*-{tag}-*.whl"))


@pytest.mark.soak
@pytest.mark.skipif(not wheels_of_torch(), reason="no wheel of torch lies in UV_FIND_LINKS")
@pytest.mark.skipif(not os.environ.get("MLWRIGHT_SOAK"), reason="make soak")
def test_a_network_of_pytorch_is_made_again_bit_for_bit_in_another_home_and_path(tmp_path: Path) -> None:
    """The same weights; the project is locked again with the wheel that is there."""
    wheel = wheels_of_torch()[-1]
    project = copied("pytorch", tmp_path)
    declared = project / "pyproject.toml"
    version = wheel.name.split("-")[1]
    declared.write_text(declared.read_text().replace("torch>=2.8", f"torch=={version}"))
    links = {"UV_FIND_LINKS": str(wheel.parent)}
    answered("environments", "lock", cwd=project, home=tmp_path / "home", **links)

    again = made_again_elsewhere(project, "moons", tmp_path, **links)

    assert [each["verdict"] for each in again["comparisons"]] == ["identical"] * 4


@pytest.mark.parametrize("name", sorted(each.name for each in EXAMPLES.iterdir() if each.is_dir()))
def test_an_example_is_small_and_locked_as_this_project_is(name: str) -> None:
    """A README, few bytes beside the lock, and no other version of a package that is tested here."""
    folder = EXAMPLES / name
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != "uv.lock"]
    tested, locked = versions_in(ROOT / "uv.lock"), versions_in(folder / "uv.lock")

    assert (folder / "README.md").exists() and (folder / "pipelines").is_dir()
    assert sum(file.stat().st_size for file in files if ".mlwright" not in file.parts) < 100_000
    # What our server is held against may have other versions: our lock then names two.
    assert {
        package for package in locked.keys() & tested.keys() if locked[package] - tested[package]
    } == set()
    assert f"({name}/README.md)" in (EXAMPLES / "README.md").read_text()


def versions_in(lock: Path) -> dict[str, set[str]]:
    """The versions that a lock has of each package."""
    found: dict[str, set[str]] = {}
    for package in tomllib.loads(lock.read_text())["package"]:
        found.setdefault(package["name"], set()).add(package.get("version", ""))
    return found


def copied(name: str, tmp_path: Path) -> Path:
    """An example as somebody has copied it."""
    left_out = shutil.ignore_patterns(".mlwright", "data")
    return Path(shutil.copytree(EXAMPLES / name, tmp_path / "project", ignore=left_out))
