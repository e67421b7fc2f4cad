"""Doors: the operations on environments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from mlwright.environments.differences import EnvironmentDifference
from mlwright.environments.listing import ListedEnvironment
from mlwright.environments.locks import Lock
from mlwright.server.operations import operation
from mlwright.server.permissions import Permission

if TYPE_CHECKING:
    from mlwright.app import Project


class EnvironmentDetail(Struct, frozen=True):
    """An environment.

    Args:
        built: whether it is there on the machine that was asked.
        packages: with their versions and the digests of their files; of one that is not built, none.
    """

    lock: Lock
    built: bool
    packages: dict[str, str]


@operation("GET", "/environments", Permission.READ)
def list_environments(project: Project) -> tuple[ListedEnvironment, ...]:
    """The environments that the project names, and those that are recorded or built on this machine."""
    return project.environments.list()


@operation("GET", "/environments/{reference:path}", Permission.READ)
def show_environment(project: Project, reference: str = "default") -> EnvironmentDetail:
    """An environment: interpreter, platform, packages.

    Args:
        reference: its name, a run (`RUN`, `RUN/STEP`), or a digest.

    Raises:
        NotFound: there is none.
        Unavailable: the project's files do not fit each other.
    """
    lock = project.environment(reference)
    built = project.environments.built(lock)
    pins = project.environments.build(lock).inventory.pins if built else {}
    return EnvironmentDetail(lock, built, dict(pins))


@operation("GET", "/diff/environments", Permission.READ)
def diff_environments(project: Project, then: str, now: str) -> EnvironmentDifference:
    """What differs between two environments: Python, platform, and package by package.

    Args:
        then: the first: a name, a run (`RUN`, `RUN/STEP`), or a digest.
        now: the second.

    Raises:
        NotFound: one of them is not there.
    """
    return project.environments.difference(project.environment(then), project.environment(now))


OPERATIONS = (list_environments, show_environment, diff_environments)
"""All of them."""
