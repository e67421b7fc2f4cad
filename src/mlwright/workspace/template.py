"""A new project from the starter: a pipeline that works, to be changed into one's own."""

from __future__ import annotations

import re
from pathlib import Path

from mlwright.kernel.errors import Conflict, Invalid, Unavailable
from mlwright.kernel.plan import Change, Plan

_STARTER = Path(__file__).with_name("starter")
_DOTTED = {"gitignore": ".gitignore"}


def plan_project(folder: Path, name: str | None = None) -> Plan:
    """What `init` would write into a folder.

    Raises:
        Conflict: the folder is a project already, or holds a file of the same name with other content.
        Invalid: no name for a package can be made of the folder's.
    """
    changes = []
    for path, text in _files(folder, name).items():
        target = folder / path
        above = next(each for each in target.parents if each.exists())
        if not above.is_dir():
            raise Conflict(f"{above} is a file", hint="name a folder")
        if not target.exists():
            changes.append(Change("write", path))
        elif target.is_file() and target.read_bytes() == text.encode():
            changes.append(Change("keep", path))
        else:
            raise Conflict(
                f"{path} is there already, with other content",
                where=str(folder),
                hint="start in an empty folder: mlwright init NAME",
            )
    return Plan(f"a new project in {folder}", tuple(changes))


def create_project(folder: Path, name: str | None = None) -> Plan:
    """Write the starter; files that are there already with the same content stay."""
    plan = plan_project(folder, name)
    wanted = _files(folder, name)
    try:
        for change in plan.changes:
            if change.action == "write":
                target = folder / change.subject
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(wanted[change.subject], encoding="utf-8")
    except OSError as error:
        raise Unavailable(f"the project cannot be written: {error.strerror}", where=str(folder)) from error
    return plan


def _files(folder: Path, name: str | None) -> dict[str, str]:
    if name is None:
        name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", name):
        raise Invalid(f"{name!r} cannot name a project", hint="give one: mlwright init DIR --name NAME")
    files = {}
    for path in sorted(_STARTER.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            relative = path.relative_to(_STARTER).as_posix()
            files[_DOTTED.get(relative, relative)] = path.read_text(encoding="utf-8").replace(
                "PROJECT_NAME", name
            )
    return files
