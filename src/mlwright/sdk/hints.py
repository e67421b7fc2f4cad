"""Type hints, resolved: also those that name what is imported only `if TYPE_CHECKING`.

A pipeline is traced in the project's own environment, and a step may run in another. What only that one has
can be in annotations all the same: a class of the same name stands in for it here.
"""

from __future__ import annotations

import ast
import sys
import typing
from functools import cache
from pathlib import Path
from typing import Any


def resolved(annotated: Any, *, extras: bool = False) -> dict[str, Any]:
    """The type hints of a function or a class.

    Args:
        extras: with what `Annotated` says beside the type.

    Raises:
        NameError: a hint names what the module neither has nor imports for type checkers.
    """
    try:
        return typing.get_type_hints(annotated, include_extras=extras)
    except NameError:
        stand_ins = _only_for_checkers(annotated.__module__)
        if not stand_ins:
            raise
        return typing.get_type_hints(annotated, localns=stand_ins, include_extras=extras)


def is_stand_in(found: type) -> bool:
    """Whether a class is only known by its name."""
    return isinstance(found, _StandIn)


class _StandIn(type):
    """The type of classes that are known by name only. What is looked up in one is another."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)  # what libraries look for, to learn what this is
        return _stand_in(f"{cls.__module__}.{cls.__qualname__}".lstrip("."), name)

    def __getitem__(cls, parameters: Any) -> Any:
        return cls


def _stand_in(module: str, name: str) -> Any:
    return _StandIn(name, (), {"__module__": module})


@cache
def _only_for_checkers(name: str) -> dict[str, Any]:
    """What a module imports `if TYPE_CHECKING`, by the name that it has there."""
    module = sys.modules.get(name)
    path = getattr(module, "__file__", None)
    if path is None or not path.endswith(".py"):
        return {}
    found: dict[str, Any] = {}
    for block in ast.walk(ast.parse(Path(path).read_bytes())):
        if isinstance(block, ast.If) and _is_for_checkers(block.test):
            for statement in block.body:
                found |= _imported(statement)
    return {each: stand_in for each, stand_in in found.items() if not hasattr(module, each)}


def _is_for_checkers(test: ast.expr) -> bool:
    return ast.unparse(test).rpartition(".")[2] == "TYPE_CHECKING"


def _imported(statement: ast.stmt) -> dict[str, Any]:
    match statement:
        case ast.Import(names):
            # Without `as`, the name is that of the outermost package.
            paths = [(each.asname or each.name, each.name) for each in names]
            return {
                bound.partition(".")[0]: _stand_in("", path if bound != path else path.partition(".")[0])
                for bound, path in paths
            }
        case ast.ImportFrom(module, names):
            return {each.asname or each.name: _stand_in(module or "", each.name) for each in names}
    return {}
