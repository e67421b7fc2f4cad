"""A folder that is to hold a project, holds one that may be unwell, or holds a backup of one.

What is done with one before a project is opened in it; what is done with an open one is `app.Project`.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from mlwright.app import Project
from mlwright.kernel.errors import MlwrightError, NotFound, Unavailable
from mlwright.kernel.plan import Plan
from mlwright.kernel.progress import SILENT, Progress
from mlwright.kernel.settings import ProjectFolder, Settings, find_project
from mlwright.opened import OpenWorkspace
from mlwright.workflow import open_rooms
from mlwright.workflow.upkeep import project_checks
from mlwright.workspace import create_project
from mlwright.workspace.doctor import Finding, examine, machine_checks
from mlwright.workspace.layout import DATABASE, RECORDS
from mlwright.workspace.verify import Verified
from mlwright.workspace.verify_backup import for_backup, opened_backup


def create(folder: Path, name: str | None = None) -> Plan:
    """Make a project: the starter's files, the lock of its packages, and its data.

    Raises:
        Conflict: the folder holds files of the same names.
        Unavailable: the packages cannot be locked or installed; the files are there already.
    """
    plan = create_project(folder, name)
    with Project.open(folder) as project:
        project.environments.lock()
        environment = project.environments.build(project.environments.current())
        done = subprocess.run(
            [str(environment.python), "scripts/patients.py"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"scripts/patients.py failed:\n{done.stderr}", where=str(folder))
    return plan


def doctor(folder: Path = Path()) -> list[Finding]:
    """Look whether all is well with this machine and with the project that a folder lies in, if it does.

    Later checks replace earlier ones of the same name: of the clock, the project's own knows more.
    """
    checks = machine_checks(folder)
    try:
        found = find_project(folder)
        checks = machine_checks(found.root)
        if not any((found.local / name).exists() for name in (DATABASE, RECORDS)):
            told = f"{found.name} in {found.root}, without a workspace yet"
            return [*examine(checks), Finding("project", "ok", told, "the first command makes it")]
        with Project.open(folder) as project:
            return examine(checks | project_checks(project.rooms))
    except NotFound:
        return [*examine(checks), Finding("project", "ok", "you are in none", "make one: mlwright init")]
    except MlwrightError as error:
        told = f"{error.message} ({error.where})" if error.where else error.message
        return [*examine(checks), Finding("project", "problem", told, error.hint or "")]


def verify_backup(source: Path, progress: Progress = SILENT) -> Verified:
    """Look at every record, edge and byte of a backup, where it lies; nothing in it is changed.

    Raises:
        NotFound: there is no backup.
        Corrupt: it is not complete, or its records are damaged: what it should hold cannot be known.
        Incompatible: a newer mlwright made it.
    """
    with opened_backup(source) as backup:
        place = ProjectFolder(backup.workspace.root, backup.manifest.project, Settings())
        found = OpenWorkspace(open_rooms(place, backup.workspace)).verify(progress)
        return for_backup(backup, found)
