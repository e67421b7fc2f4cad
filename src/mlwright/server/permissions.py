"""What a request needs, and what a person may: four steps, each of which holds those before it."""

from __future__ import annotations

from enum import StrEnum


class Permission(StrEnum):
    """What a route does to the workspace; `anyone` is for what tells nothing of it."""

    ANYONE = "anyone"
    READ = "read"
    WRITE = "write"
    DEPLOY = "deploy"
    ADMIN = "admin"


class Role(StrEnum):
    """What somebody may: each role may what those before it may."""

    VIEWER = "viewer"
    CONTRIBUTOR = "contributor"
    DEPLOYER = "deployer"
    ADMIN = "admin"

    def may(self, permission: Permission) -> bool:
        """Whether who has this role may do what needs this permission."""
        return permission in _ALLOWED[self]


_STEPS = tuple(Permission)
_ALLOWED = {role: frozenset(_STEPS[: 2 + number]) for number, role in enumerate(Role)}
