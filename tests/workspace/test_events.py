"""The door of events: what happened by filters, as it happens, and whether anybody has tampered with it."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mlwright.app import Project
from tests.conftest import COMMAND, PYPROJECT, mlwright, write
from tests.processes import until


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """A project in which a dataset got two versions and an alias, which moved."""
    folder = write(tmp_path / "small", {"pyproject.toml": PYPROJECT})
    with Project.open(folder) as project:
        for number, text in enumerate(("a", "b"), 1):
            (folder / "t.txt").write_text(text)
            project.datasets.add(folder / "t.txt", "notes")
            project.datasets.versions.set_alias(f"notes@{number}", "good", reason="looked at")
    return folder


def asked(told: Path, *arguments: str) -> Any:
    """What `events --json` answers."""
    done = mlwright("events", "--json", *arguments, cwd=told)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def tamper(told: Path, sql: str) -> None:
    with sqlite3.connect(told / ".mlwright" / "metadata.db") as file:
        file.executescript(sql)
    file.close()


def test_events_are_asked_for_by_what_they_tell(told: Path) -> None:
    """By verb or noun, subject, actor and time; oldest first, the newest at the most."""
    every = asked(told)

    verbs = [event["verb"] for event in every]
    assert verbs == ["dataset.added", "alias.moved", "dataset.added", "alias.moved"]
    assert [event["id"] for event in asked(told, "--limit", "2")] == [3, 4]
    assert [event["id"] for event in asked(told, "--after", "1", "--limit", "2")] == [2, 3]
    assert [event["id"] for event in asked(told, "--verb", "alias")] == [2, 4]
    assert [event["id"] for event in asked(told, "--subject", "notes@1")] == [1, 2]
    assert [event["id"] for event in asked(told, "--subject", f"version:{every[2]['subject']['id']}")] == [
        3,
        4,
    ]
    assert asked(told, "--actor", "nobody else") == asked(told, "--until", "1h") == []
    assert asked(told, "--since", "1h", "--actor", every[0]["actor"]) == every
    moved = every[3]["detail"]
    assert (moved["before"], moved["after"]) == ("notes@1", "notes@2")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--since", "soon"), 2, "is no point in time"),
        (("--verb", "moved%"), 2, "is no verb of an event"),
        (("--subject", "nothing"), 3, "nothing is named 'nothing'"),
        (("--after", "-1"), 2, "--after"),
        (("--verify", "--head", "ab12"), 2, "64 hexadecimal digits"),
    ],
)
def test_what_cannot_be_asked_is_said(
    arguments: tuple[str, ...], status: int, message: str, told: Path
) -> None:
    """One message, with the exit code of its kind."""
    done = mlwright("events", *arguments, cwd=told)

    assert done.returncode == status
    assert message in done.stderr


def test_what_is_as_it_was_recorded_has_a_head(told: Path) -> None:
    """`--verify` tells the head; `workspace show` and `verify` tell the same; later it is found again."""
    head = asked(told, "--verify")["head"]
    plain = mlwright("events", "--verify", cwd=told)
    shown = json.loads(mlwright("workspace", "show", "--json", cwd=told).stdout)
    verified = json.loads(mlwright("workspace", "verify", "--json", cwd=told).stdout)
    with Project.open(told) as project:
        project.datasets.versions.remove_alias("notes", "good")

    later = mlwright("events", "--head", head, cwd=told)

    assert plain.stdout == f"4 events are as recorded\nhead {head}\n"
    assert head == shown["head"] == verified["head"] and verified["events"] == 4
    assert later.stdout.startswith("5 events are as recorded, 4 of them up to the head that was noted\n")


def test_who_tampers_is_found_by_both_doors(told: Path) -> None:
    """`events --verify` names the first event that does not fit, `workspace verify` too: exit status 5."""
    tamper(told, "UPDATE event SET actor = 'somebody' WHERE id = 2; DELETE FROM event WHERE id = 3")

    done = mlwright("events", "--verify", cwd=told)
    whole = mlwright("workspace", "verify", cwd=told)

    assert (done.returncode, whole.returncode) == (5, 5)
    assert "event 2 is not what was recorded" in done.stdout
    assert "events event 2: event 2 is not what was recorded" in whole.stdout


def test_the_newest_cut_off_are_found_by_a_backups_head(told: Path, tmp_path: Path) -> None:
    """The manifest of a backup has the head of its records, which the workspace must still have."""
    with Project.open(told) as project:
        manifest, _ = project.backup(tmp_path / "backup")
    whole = mlwright("events", "--head", manifest.head or "", cwd=told)
    tamper(told, "DELETE FROM event WHERE id > 2; UPDATE sqlite_sequence SET seq = 2 WHERE name = 'event'")

    alone = mlwright("events", "--verify", cwd=told)
    compared = mlwright("events", "--verify", "--head", manifest.head or "", cwd=told)

    assert (whole.returncode, alone.returncode, compared.returncode) == (0, 0, 5)
    assert "no event has the digest that was noted" in compared.stdout


def test_a_thing_that_is_gone_is_named_too(told: Path) -> None:
    """Rows that were taken away by hand do not keep the list from being shown."""
    tamper(told, "UPDATE event SET subject_kind = 'lock', subject_id = 'feed' WHERE id = 1")

    done = mlwright("events", cwd=told)

    assert done.returncode == 0
    assert "lock feed" in done.stdout


def test_events_are_followed_until_somebody_ends_it(told: Path, tmp_path: Path) -> None:
    """`--follow` shows the newest, and then each as it comes, one line of JSON each."""
    out = tmp_path / "out"
    with out.open("wb") as file:
        following = subprocess.Popen(
            [str(COMMAND), "events", "--follow", "--json", "--verb", "alias", "--limit", "1"],
            cwd=told,
            stdout=file,
            stderr=subprocess.DEVNULL,
        )
    try:
        until(lambda: out.read_bytes().endswith(b"\n"))
        with Project.open(told) as project:
            project.datasets.versions.remove_alias("notes", "good", reason="done")
            project.datasets.versions.set_alias("notes@1", "old")
        until(lambda: out.read_bytes().count(b"\n") == 3)
    finally:
        following.send_signal(signal.SIGINT)
        status = following.wait(30)

    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["verb"] for line in lines] == ["alias.moved", "alias.removed", "alias.moved"]
    assert status == 130
