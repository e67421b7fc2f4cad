"""Doors: the operations on the workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlwright.server.operations import operation
from mlwright.server.permissions import Permission
from mlwright.workspace.summary import Summary

if TYPE_CHECKING:
    from mlwright.app import Project


@operation("GET", "/workspace", Permission.READ)
def show_workspace(project: Project) -> Summary:
    """Where the workspace lies, what is recorded in it, and how much room it takes."""
    return project.summary()


OPERATIONS = (show_workspace,)
"""All of them."""
