"""A workspace whose records are in PostgreSQL: always the same one, and none that is another's."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.kernel import events
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Conflict, Invalid
from mlwright.kernel.settings import find_project
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.workspace import Workspace, open_workspace
from mlwright.workspace.restore import plan_restore, restore
from tests.happened import happened
from tests.postgres import Postgres
from tests.processes import run_python

RESTORE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from mlwright.workspace import restore

restore._put_in_place = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
restore.restore(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def project(folder: Path, database: str = "") -> Path:
    """A project's folder."""
    folder.mkdir(exist_ok=True)
    setting = f'database = "{database}"\n' if database else ""
    (folder / "pyproject.toml").write_text(f'[project]\nname = "{folder.name}"\n[tool.mlwright]\n{setting}')
    return folder


def opened(folder: Path) -> Workspace:
    """Its workspace."""
    return open_workspace(find_project(folder))


def note(workspace: Workspace) -> None:
    """Let something be recorded."""
    with workspace.database.transaction() as tx:
        events.record(tx, "noted", End("test", "1"))


def test_records_go_to_the_server_and_come_from_there(postgres: Postgres, tmp_path: Path) -> None:
    """No file is made for them; a second opening finds what the first has recorded."""
    url = postgres.make(schema=False)
    workspace = opened(project(tmp_path / "one", url))
    note(workspace)
    workspace.close()

    again = opened(tmp_path / "one")

    assert again.id == workspace.id
    assert [event.verb for event in happened(again.database)] == ["noted"]
    assert again.records_at == url
    assert not (tmp_path / "one" / ".mlwright" / "metadata.db").exists()
    again.close()


def test_a_blank_workspace_moves_by_its_setting(postgres: Postgres, tmp_path: Path) -> None:
    """Where nothing was recorded yet, `database` takes effect, and the store of objects stays."""
    before = opened(project(tmp_path / "one"))
    before.close()

    workspace = opened(project(tmp_path / "one", postgres.make()))

    assert workspace.id == before.id
    assert workspace.records_at.startswith("postgresql://")
    workspace.close()


def test_records_elsewhere_are_refused(postgres: Postgres, tmp_path: Path) -> None:
    """A setting moves no records: whoever writes it, or takes it away, is told where they are."""
    local = opened(project(tmp_path / "one"))
    note(local)
    local.close()
    url = postgres.make()
    note(remote := opened(project(tmp_path / "two", url)))
    remote.close()

    with pytest.raises(Conflict, match=r"lie in .*metadata\.db, and `database` names postgresql") as to:
        opened(project(tmp_path / "one", postgres.make()))
    with pytest.raises(Conflict, match=r"lie in postgresql.*names no database") as back:
        opened(project(tmp_path / "two"))

    assert "architecture.md" in str(to.value.hint)
    assert "architecture.md" in str(back.value.hint)
    opened(project(tmp_path / "one")).close()
    opened(project(tmp_path / "two", url)).close()


def test_records_of_another_workspace_are_refused(postgres: Postgres, tmp_path: Path) -> None:
    """A database that is exchanged for another workspace's is not taken for its own."""
    opened(project(tmp_path / "one", postgres.make())).close()
    url = postgres.make()
    opened(project(tmp_path / "two", url)).close()

    with pytest.raises(Conflict, match="another workspace") as raised:
        opened(project(tmp_path / "one", url))

    assert raised.value.hint


def test_a_second_machine_needs_the_bytes_too(postgres: Postgres, tmp_path: Path) -> None:
    """Records that name bytes in a folder elsewhere are refused, with what helps."""
    url = postgres.make()
    note(first := opened(project(tmp_path / "one", url)))
    first.close()

    for _ in range(2):
        with pytest.raises(Conflict, match="lie in a folder elsewhere") as raised:
            opened(project(tmp_path / "two", url))

    assert "bucket" in str(raised.value.hint)
    opened(tmp_path / "one").close()


@pytest.mark.parametrize("setting", ["postgresql://me:swordfish@host/mine", "sqlite:///swordfish"])
def test_a_setting_that_cannot_be_is_told_without_it(setting: str, tmp_path: Path) -> None:
    """An address with a password, or of another engine, is refused and not repeated."""
    with pytest.raises(Invalid) as raised:
        opened(project(tmp_path / "one", setting))

    assert "swordfish" not in f"{raised.value.message}{raised.value.where}{raised.value.hint}"


def test_a_workspace_moves_to_a_server_by_its_backup(root: Path, postgres: Postgres, tmp_path: Path) -> None:
    """Backup, setting, restore: all is there, the old file lies aside; once more is refused."""
    with Project.open(root) as before:
        before.backup(tmp_path / "backup")
        runs = before.runs.list()
    url = postgres.make(schema=False)
    with (root / "pyproject.toml").open("a") as settings:
        settings.write(f'database = "{url}"\n')

    assert any(url in str(change) for change in plan_restore(tmp_path / "backup", root, force=True).changes)
    done = restore(tmp_path / "backup", root, force=True)

    assert (done.filled, done.server) == (True, url)
    assert done.aside is not None
    assert SqliteDatabase(done.aside / "metadata.db").read("SELECT id FROM run")
    with Project.open(root) as after:
        assert after.runs.list() == runs
        assert after.verify().faults == ()
        assert after.rooms.workspace.records_at == url
    with pytest.raises(Conflict, match="records already"):
        restore(tmp_path / "backup", root, force=True)


def test_a_restore_that_fails_leaves_the_database_empty(
    root: Path, backup: Path, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails before the records are committed leaves neither them nor a folder."""
    url = postgres.make(schema=False)
    target = project(tmp_path / "target", url)

    def broken(*_: object) -> None:
        raise OSError(5, "broken")

    with monkeypatch.context() as failing:
        failing.setattr("mlwright.workspace.server.remember", broken)
        with pytest.raises(Exception, match="broken"):
            restore(backup, target)
    assert {path.name for path in target.iterdir()} == {"pyproject.toml"}

    done = restore(backup, target)

    assert done.filled
    workspace = opened(target)
    assert workspace.database.read("SELECT id FROM run")
    workspace.close()


@pytest.mark.parametrize("looked", [False, True])
def test_a_restore_that_dies_behind_the_records_is_gone_on_with(
    root: Path, backup: Path, postgres: Postgres, tmp_path: Path, looked: bool
) -> None:
    """Killed before the folder is in place, also if somebody looks then: the same command finishes it."""
    url = postgres.make(schema=False)
    target = project(tmp_path / "target", url)
    killed = run_python(RESTORE_AND_DIE, backup, target)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (target / ".mlwright").exists()
    if looked:
        with pytest.raises(Conflict, match="lie in a folder elsewhere"):
            opened(target)

    planned = plan_restore(backup, target)
    done = restore(backup, target)

    assert [change.action for change in planned.changes if change.subject == "records"] == ["keep"]
    assert done.filled
    assert ".mlwright.restoring" not in {path.name for path in target.iterdir()}
    with Project.open(target) as after, Project.open(root) as before:
        assert after.runs.list() == before.runs.list()
        assert after.verify().faults == ()
    with pytest.raises(Conflict, match="records already"):
        restore(backup, target)
