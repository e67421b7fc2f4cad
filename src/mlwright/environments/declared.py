"""What a project declares that it needs: the requirements, groups and extras of its `pyproject.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from mlwright.kernel.errors import Invalid, nearest


def dependencies(root: Path) -> list[str]:
    """The requirements in `pyproject.toml`, as they are written."""
    pyproject = pyproject_of(root)
    project, groups = pyproject.get("project", {}), pyproject.get("dependency-groups", {})
    optional = project.get("optional-dependencies", {}).values()
    # A group may also name another one, in a table.
    grouped = [each for each in chain.from_iterable(groups.values()) if isinstance(each, str)]
    return [*project.get("dependencies", []), *chain.from_iterable(optional), *grouped]


def selection(root: Path, name: str) -> tuple[str, ...]:
    """The option by which uv adds a group or an extra to the project's own dependencies.

    Raises:
        Invalid: neither has that name, or both.
    """
    if not name:
        return ()
    pyproject = pyproject_of(root)
    kinds = {
        "--group": pyproject.get("dependency-groups", {}),
        "--extra": pyproject.get("project", {}).get("optional-dependencies", {}),
    }
    found = [kind for kind, names in kinds.items() if normal(name) in map(normal, names)]
    where = str(root / "pyproject.toml")
    if not found:
        known = [each for names in kinds.values() for each in names]
        raise Invalid(
            f"there is no environment `{name}`: no dependency group and no extra has that name",
            where=where,
            hint=nearest(name, known) or f'add one: [dependency-groups] {name} = ["PACKAGE"]',
        )
    if len(found) > 1:
        raise Invalid(
            f"the environment `{name}` is both a dependency group and an extra",
            where=where,
            hint="rename one of them",
        )
    return (found[0], name)


def names(root: Path) -> list[str]:
    """The dependency groups and extras of a project, as they are written."""
    pyproject = pyproject_of(root)
    groups = pyproject.get("dependency-groups", {})
    return list(dict.fromkeys([*groups, *pyproject.get("project", {}).get("optional-dependencies", {})]))


def normal(name: str) -> str:
    """A name as it is compared. Source: PEP 503; PEP 685 for extras, PEP 735 for groups."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pyproject_of(root: Path) -> dict[str, Any]:
    """The project's `pyproject.toml`; empty where there is none."""
    try:
        return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def check_requirements(lines: Sequence[str], where: Path | None = None) -> None:
    """Refuse what is an option, a path or a piece of shell, or holds a password.

    uv would build the project to learn more.

    Raises:
        Invalid: one of them is no requirement, or has a password in its address.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    from mlwright.environments.credentials import refuse_credentials, shown

    for line in lines:
        refuse_credentials(line, f"the requirement {shown(line)}", None if where is None else str(where))
        try:
            Requirement(line)
        except InvalidRequirement as error:
            raise Invalid(
                f"{shown(line)} is not a requirement",
                where=None if where is None else str(where),
                hint="write NAME, or NAME with versions: pandas>=2.2",
            ) from error
