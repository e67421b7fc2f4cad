"""Which handler answers which path, and who may ask."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from msgspec import Struct

from mlwright.server.call import Call
from mlwright.server.permissions import Permission

Handler = Callable[[Call], Awaitable[Any]]
"""Answers a call: with a value that becomes JSON, or with a Starlette `Response`."""

_NAME = re.compile(r"\{(\w+)(:path)?\}")
MIB = 1 << 20
STREAMED = 1 << 62
"""How large a body may be that goes to the disk while it comes."""


class Route(Struct, frozen=True):
    """One method of one path.

    Args:
        method: as HTTP names it.
        path: `/health`; `{name}` stands for a part without a slash, `{name:path}` for all that is left.
        handler: what answers.
        permission: what it needs; there is no default.
        body_bytes: how large a body may be; a handler that streams it looks itself.
        tokenless: on this machine it may be asked without a token, by a setting that is on: MLflow's clients
            have none.
    """

    method: str
    path: str
    handler: Handler
    permission: Permission
    body_bytes: int = MIB
    tokenless: bool = False


class Table:
    """Finds the route of a request; a path without variables costs one look.

    Args:
        routes: of which no two answer the same method of the same path.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._plain: dict[str, dict[str, Route]] = {}
        patterns: dict[str, dict[str, Route]] = {}
        for route in routes:
            known = patterns if "{" in route.path else self._plain
            methods = known.setdefault(route.path, {})
            assert route.method not in methods, f"{route.method} {route.path} has two handlers"
            methods[route.method] = route
        shapes = [_NAME.sub(r"{\2}", path) for path in patterns]
        assert len(set(shapes)) == len(shapes), "two paths differ only in the names of their variables"
        self._patterns = [(_pattern(path), methods) for path, methods in patterns.items()]

    def find(self, path: str) -> tuple[dict[str, Route], dict[str, str]]:
        """The routes of a path by method, and the variables in it; both empty when there is nothing."""
        if methods := self._plain.get(path):
            return methods, {}
        for pattern, methods in self._patterns:
            if found := pattern.fullmatch(path):
                return methods, found.groupdict()
        return {}, {}


def _pattern(path: str) -> re.Pattern[str]:
    """The expression that the paths of a route match; a plain variable holds at least a letter."""
    pieces = _NAME.split(path)
    text = re.escape(pieces[0])
    for name, rest, fixed in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        text += f"(?P<{name}>{'.*' if rest else '[^/]+'}){re.escape(fixed)}"
    return re.compile(text, re.DOTALL)
