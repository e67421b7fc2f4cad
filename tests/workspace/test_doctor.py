"""The doctor: each check judges what it is given; the command looks inside and outside of a project."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.compute.machine import Machine
from mlwright.kernel.errors import Unavailable
from mlwright.workspace.doctor import (
    EXTRAS,
    Finding,
    check_backup,
    check_clock,
    check_disk,
    check_extra,
    check_file_system,
    check_git,
    check_incoming,
    check_left_over_runs,
    check_machine,
    check_repository,
    check_sqlite,
    check_uv,
    examine,
)
from tests.conftest import mlwright, write

GIB = 1 << 30
NOW_US = 1_795_000_000_000_000
DAY_US = 86_400_000_000

JUDGED = [
    (check_machine(Machine(2, 8 * GIB, (), "A processor", "")), "ok", "2 processors (A processor), 8.0 GiB"),
    (
        check_machine(Machine(1, GIB // 2, ("0",), "x", "")),
        "warning",
        "1 processor (x), 0.5 GiB of memory, 1 GPU",
    ),
    (check_sqlite("3.54.1"), "ok", "3.54.1"),
    (check_sqlite("3.51.3"), "ok", "3.51.3"),
    (check_sqlite("3.51.2"), "problem", "can damage records"),
    (check_file_system("ext4"), "ok", "ext4"),
    (check_file_system(""), "ok", "unknown"),
    (check_file_system("nfs4"), "problem", "nfs4"),
    (check_disk(50 * GIB, 100 * GIB), "ok", "50.0 of 100.0 GiB are free"),
    (check_disk(4 * GIB, 20 * GIB), "warning", "4.0 of 20.0 GiB"),
    (check_disk(40 * GIB, 1000 * GIB), "warning", "40.0 of 1000.0 GiB"),
    (check_disk(50 << 20, 20 * GIB), "problem", "0.0 of 20.0 GiB"),
    (check_clock(NOW_US, None), "ok", "20"),
    (check_clock(NOW_US, NOW_US + 1_000_000), "ok", "20"),
    (check_clock(NOW_US, NOW_US + 600_000_000), "problem", "the newest record is 10 min 00 s in the future"),
    (check_clock(0, None), "problem", "it shows 1970"),
    (check_git("2.39.5"), "ok", "2.39.5"),
    (check_git(None), "warning", "not installed"),
    (check_repository(("ab" * 20, True)), "ok", "commit ababababab, with changes"),
    (check_repository(("ab" * 20, False)), "ok", "commit ababababab"),
    (check_repository(("", True)), "warning", "no commit yet"),
    (check_repository(None), "warning", "none"),
    (check_uv("0.13.9"), "ok", "0.13.9"),
    (check_uv(None), "problem", "not found"),
    (check_extra("s3", []), "ok", "installed: objects and remotes in S3"),
    (check_extra("s3", ["obstore"]), "ok", "not installed (no obstore)"),
    (check_left_over_runs(0), "ok", "none is left over"),
    (check_left_over_runs(1), "warning", "1 run is recorded as running"),
    (check_left_over_runs(2), "warning", "2 runs are recorded as running"),
    (check_backup(None, NOW_US), "ok", "none was made yet"),
    (check_backup(NOW_US - 3 * DAY_US, NOW_US), "ok", "the last one is 3.0 days old"),
]


@pytest.mark.parametrize(("finding", "state", "found"), JUDGED)
def test_each_check_judges_what_it_is_given(finding: Finding, state: str, found: str) -> None:
    """The verdict and its words; whatever is not well has a hint."""
    assert finding.state == state
    assert found in finding.found
    assert finding.state == "ok" or finding.hint


def test_what_cannot_be_looked_at_is_a_problem_of_that_name() -> None:
    """A check that raises does not end the look; its own hint is told."""

    def raises() -> Finding:
        raise Unavailable("uv.lock does not fit", hint="mlwright environments lock")

    def refused() -> Finding:
        raise PermissionError(13, "Permission denied", "/secret")

    found = examine({"lock": raises, "disk": refused, "uv": lambda: check_uv("1")})

    assert found[0] == Finding("lock", "problem", "uv.lock does not fit", "mlwright environments lock")
    assert (found[1].name, found[1].state) == ("disk", "problem")
    assert "/secret" in found[1].found
    assert found[2].state == "ok"


def test_files_that_somebody_left_are_told_when_they_are_old(tmp_path: Path) -> None:
    """What is being stored now is none of them, and no folder is no problem."""
    incoming = tmp_path / "incoming"
    nothing = check_incoming(incoming, NOW_US)
    write(incoming, {"old": "x" * 2000, "young": "y"})
    for name, age_us in (("old", 2 * DAY_US), ("young", 0)):
        at_s = (NOW_US - age_us) / 1e6
        os.utime(incoming / name, (at_s, at_s))

    found = check_incoming(incoming, NOW_US)

    assert nothing.state == "ok"
    assert found.state == "warning"
    assert found.found.startswith("1 file (0.0 MiB)")
    assert "mlwright gc" in found.hint


def test_extras_are_those_that_the_package_has() -> None:
    """Each extra but `all` has its words, and no other."""
    import tomllib

    pyproject = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())

    assert set(EXTRAS) == set(pyproject["project"]["optional-dependencies"]) - {"all"}


def states(folder: Path) -> dict[str, tuple[str, str, str]]:
    """What the command finds in a folder, by name."""
    done = mlwright("doctor", "--json", cwd=folder)
    assert done.returncode in {0, 6}, done.stderr
    found = json.loads(done.stdout)
    assert (done.returncode == 6) == any(each["state"] == "problem" for each in found)
    return {each["name"]: (each["state"], each["found"], each["hint"]) for each in found}


def test_outside_of_a_project_the_machine_is_looked_at(tmp_path: Path) -> None:
    """A line each, no project needed, and nothing is written."""
    done = mlwright("doctor", cwd=tmp_path)

    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[1] for line in lines][:8] == [
        *("machine", "python", "sqlite", "file", "disk", "clock", "git", "uv"),
    ]
    assert " ".join(lines[-1].split()) == "ok project you are in none; hint: make one: mlwright init"
    assert list(tmp_path.iterdir()) == []


def test_inside_of_a_project_its_workspace_is_looked_at_too(project: Project, root: Path) -> None:
    """Repository, packages, workspace, runs, backup: as they are, and after something was done."""
    before = states(root)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    project.backup(root.parent / "backup")
    (root / "pyproject.toml").write_text(
        (root / "pyproject.toml").read_text().replace("dependencies = []", 'dependencies = ["msgspec"]')
    )
    with project.rooms.database.transaction() as tx:
        tx.execute("UPDATE run SET state = 'running', finished_us = NULL")

    after = states(root)

    assert before["packages"][1] == "0 packages are locked, and the environment is built"
    assert before["repository"][0] == "warning"
    assert before["workspace"][1].startswith(project.rooms.workspace.id)
    assert before["runs"][0] == before["project"][0] == "ok"
    assert before["backup"][1] == "none was made yet"
    assert after["repository"][1] == "no commit yet"
    assert after["packages"][0] == "problem"
    assert after["packages"][2] == "mlwright environments lock"
    assert after["runs"][0] == "warning"
    assert after["backup"][1] == "the last one is 0.0 days old"
    assert project.rooms.database.read("SELECT state FROM run") == [{"state": "running"}]


def test_a_project_without_a_workspace_gets_none(tmp_path: Path) -> None:
    """Looking makes nothing."""
    write(tmp_path, {"pyproject.toml": "[tool.mlwright]\n"})

    found = states(tmp_path)

    assert "without a workspace yet" in found["project"][1]
    assert [path.name for path in tmp_path.iterdir()] == ["pyproject.toml"]


@pytest.mark.parametrize("spoil", ["settings", "database"])
def test_what_keeps_a_project_from_opening_is_told(root: Path, spoil: str) -> None:
    """A wrong setting, a damaged database: a problem with its hint, after what could be looked at."""
    if spoil == "settings":
        write(root, {"pyproject.toml": "[tool.mlwright]\nworker = 2\n"})
    else:
        (root / ".mlwright" / "metadata.db").write_bytes(b"no database at all" * 1000)

    found = states(root)

    assert found["project"][0] == "problem"
    assert ("unknown setting" if spoil == "settings" else "is damaged") in found["project"][1]
    assert found["project"][2]
    assert found["uv"][0] == "ok"
