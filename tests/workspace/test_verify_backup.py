"""Verifying a backup: whole, or what is wrong with it, and what makes it whole; nothing in it changes."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.folders import verify_backup
from mlwright.kernel.digest import digest_of
from mlwright.kernel.errors import Corrupt, Incompatible, MlwrightError, NotFound
from mlwright.workspace.backup import read_manifest
from tests.conftest import COMMAND, mlwright
from tests.workspace.conftest import BIG, flip, stored
from tests.workspace.test_restore import (
    a_flipped_object,
    a_flipped_pack,
    a_missing_object,
    a_way_out,
    an_empty_object,
    another_folder,
    flipped_records,
    foreign_objects,
    half_a_manifest,
    newer,
    no_folder,
    no_manifest,
    no_records,
    truncated_records,
)

Spoil = Callable[[Path], None]


def as_it_lies(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file with its inode, its time of change, and its bytes."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_ino, path.stat().st_ctime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_whole_backup_is_said_to_be(backup: Path, made: Path, tmp_path: Path) -> None:
    """All that the workspace has is read again, without a project; not a file of the backup changes."""
    with Project.open(made.parent / "project") as project:
        here = project.verify()
    before = as_it_lies(backup)

    there = mlwright("workspace", "verify", str(backup), cwd=tmp_path)
    told = json.loads(mlwright("workspace", "verify", "backup", "--json", cwd=tmp_path).stdout)

    assert (there.returncode, there.stderr) == (0, "")
    assert there.stdout.startswith("all is well: read ")
    assert told["faults"] == []
    assert (told["objects"], told["object_bytes"]) == (here.objects, here.object_bytes)
    assert (told["rows"], told["edges"]) == (here.rows, here.edges)
    assert as_it_lies(backup) == before


def a_missing_pack(backup: Path) -> None:
    """The one with the project's code."""
    before = {path: path.read_bytes() for path in backup.glob("objects/??/*")}
    a_flipped_pack(backup)
    (pack,) = [path for path, data in before.items() if path.read_bytes() != data]
    pack.unlink()


@pytest.mark.parametrize(
    ("spoil", "whose", "fault"),
    [
        (a_flipped_object, "dataset pictures@1, big.bin", "damaged"),
        (an_empty_object, "dataset pictures@1, big.bin", "damaged"),
        (a_missing_object, "dataset pictures@1, big.bin", "missing"),
        (a_flipped_pack, ", pipelines/p.py", "damaged"),
        (a_missing_pack, ", pipelines/p.py", "missing"),
    ],
)
def test_damage_is_told_and_what_the_hint_says_mends_it(
    made: Path, tmp_path: Path, backup: Path, spoil: Spoil, whose: str, fault: str
) -> None:
    """Which bytes, whose they are, and the command that copies them again: after it the backup is whole."""
    root = Path(shutil.copytree(made.parent / "project", tmp_path / "project", symlinks=True))
    spoil(backup)

    said = mlwright("workspace", "verify", str(backup), cwd=tmp_path)
    found = verify_backup(backup)

    assert said.returncode == 5
    assert f": {fault}\n" in said.stdout
    assert whose in said.stdout
    assert {each.fault for each in found.faults} == {fault}
    (hint,) = {each.hint for each in found.faults}
    assert f"  hint: {hint}" in said.stdout
    files, _, again = hint.rpartition("back up again: ")
    if files:
        Path(*shlex.split(files.removeprefix("remove ").removesuffix(", then "))).unlink()
    program, *arguments = shlex.split(again)
    assert program == COMMAND.name
    done = subprocess.run([COMMAND, *arguments], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert verify_backup(backup).faults == ()


@pytest.mark.parametrize(
    ("spoil", "error", "told"),
    [
        (no_folder, NotFound, "there is no backup"),
        (another_folder, NotFound, "there is no backup"),
        (no_manifest, Corrupt, "not complete"),
        (half_a_manifest, Corrupt, "is damaged"),
        (a_way_out, Corrupt, "it names the file"),
        (newer, Incompatible, "a newer mlwright"),
        (foreign_objects, Corrupt, "another workspace than its records"),
        (truncated_records, Corrupt, "records of the backup are damaged"),
        (flipped_records, Corrupt, "records of the backup are damaged"),
        (no_records, Corrupt, "records of the backup are not there"),
    ],
)
def test_what_is_no_backup_to_look_into_is_one_message(
    backup: Path, tmp_path: Path, spoil: Spoil, error: type[MlwrightError], told: str
) -> None:
    """No backup, an unfinished one, one of the future, records that are not those that were written."""
    spoil(backup)

    with pytest.raises(error, match=told) as refused:
        verify_backup(backup)
    said = mlwright("workspace", "verify", str(backup), cwd=tmp_path)

    assert refused.value.hint or refused.value.where
    assert (said.returncode, said.stdout) == (error.exit_code, "")
    assert told in said.stderr


def test_what_a_backup_could_not_have_is_told_apart(made: Path, tmp_path: Path) -> None:
    """Bytes that were damaged before it was made: the way on is in the project, not in another backup."""
    root = Path(shutil.copytree(made.parent / "project", tmp_path / "project", symlinks=True))
    flip(stored(root / ".mlwright", BIG))
    with Project.open(root) as project:
        project.backup(tmp_path / "lacks")

    (fault,) = verify_backup(tmp_path / "lacks").faults

    assert read_manifest(tmp_path / "lacks").lacking == (digest_of(BIG),)
    assert (fault.subject, fault.fault) == (digest_of(BIG), "missing")
    assert "it was so when the backup was made" in fault.hint


def test_a_backup_by_an_older_mlwright_is_looked_into(older: Path) -> None:
    """Its copy of the records is brought to today's schema, itself it stays as it is."""
    before = as_it_lies(older)

    sound = verify_backup(older)
    between = as_it_lies(older)
    flip(stored(older, b"bytes" * 1000))
    damaged = verify_backup(older)

    assert (sound.faults, sound.objects, sound.object_bytes) == ((), 1, 5000)
    assert between == before
    assert [fault.fault for fault in damaged.faults] == ["damaged"]
