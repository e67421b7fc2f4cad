"""A verb on a noun, declared once: the command line, Python, REST and the pages call one function.

    @operation("GET", "/runs/{run}", Permission.READ)
    def show_run(project: Project, run: str) -> RunDetail: ...

`show_run(project, "latest")` runs the function on a project that is here, and asks a server about one that is
not. The server answers it at `/api/v1/runs/latest`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, get_origin
from typing import get_type_hints as hints_of

import msgspec
from msgspec import Struct

from mlwright.server.permissions import Permission

if TYPE_CHECKING:
    from mlwright.app import Project

PREFIX = "/api/v1"
"""What stands before the path of each."""
MSGPACK = "application/vnd.msgpack"
"""What the command line is answered in: it has a word for NaN and the infinities."""
HIDDEN = frozenset({"pause", "progress"})
"""Parameters that are nobody's to ask for: how a stream waits, and who hears how far it is."""
_VARIABLE = re.compile(r"\{(\w+)(?::path)?\}")

P = ParamSpec("P")
T = TypeVar("T")


class Place(Protocol):
    """Where operations are done: a project that is open here, or one that a server answers for."""

    def perform(self, operation: Operation[..., T], *args: Any, **kwargs: Any) -> T:
        """Do it with these arguments."""
        ...


class Operation(Generic[P, T]):
    """What can be asked of a project.

    Args:
        method: of HTTP.
        path: below `/api/v1`; `{name}` and `{name:path}` are parameters of the function.
        permission: what it needs.
        function: is given the open project and what is asked. What it answers is a value that msgspec knows;
            an iterator is a stream.
        status: of the HTTP answer.
        location: where what was made is found, with its fields in braces: `/runs/{id}`.
        secret: whether the answer is told once and kept nowhere.
    """

    def __init__(
        self,
        method: str,
        path: str,
        permission: Permission,
        function: Callable[Concatenate[Project, P], T],
        *,
        status: int = 200,
        location: str = "",
        secret: bool = False,
    ) -> None:
        self.method, self.path, self.permission = method, path, permission
        self.function = function
        self.status, self.location, self.secret = status, location, secret
        self.name = function.__name__
        self.__doc__ = function.__doc__

    def __call__(self, place: Place, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do it there."""
        return place.perform(self, *args, **kwargs)

    @property
    def variables(self) -> list[str]:
        """The parameters that stand in the path."""
        return _VARIABLE.findall(self.path)

    @property
    def parameters(self) -> tuple[str, ...]:
        """All that can be asked, by name."""
        return tuple(self._fields)

    @cached_property
    def lists(self) -> frozenset[str]:
        """The parameters that may be given several times in a query."""
        return frozenset(name for name in self._fields if _is_list(self._hints[name]))

    @property
    def has_body(self) -> bool:
        """Whether what is asked is sent as JSON, and not in the query."""
        return self.method in {"POST", "PUT", "PATCH"}

    @property
    def takes_key(self) -> bool:
        """Whether its answer is kept for a request with a key: a question can be asked twice."""
        return self.method == "POST" and self.permission is not Permission.READ

    @cached_property
    def in_path(self) -> type[Struct]:
        """What the path tells."""
        return self._struct(f"{self.name}_path", [name for name in self._fields if name in self.variables])

    @cached_property
    def beside(self) -> type[Struct]:
        """What the query or the body tells."""
        return self._struct(
            f"{self.name}_asked", [each for each in self._fields if each not in self.variables]
        )

    @cached_property
    def answer(self) -> Any:
        """The type of what it answers; of a stream, that of an item."""
        answer = self._hints["return"]
        return answer.__args__[0] if self.streams else answer

    @cached_property
    def streams(self) -> bool:
        """Whether it answers item by item."""
        origin = get_origin(self._hints["return"])
        return isinstance(origin, type) and issubclass(origin, Iterator)

    def bound(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The arguments of a call by name, without those that were left out.

        Raises:
            TypeError: they are not those of the function.
        """
        found = self._signature.bind(None, *args, **kwargs).arguments
        return {name: value for name, value in found.items() if name in self._fields}

    @cached_property
    def _signature(self) -> inspect.Signature:
        return inspect.signature(self.function)

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return hints_of(self.function, localns={"Project": Any}, include_extras=True)

    @cached_property
    def _fields(self) -> dict[str, inspect.Parameter]:
        _, *others = self._signature.parameters.values()
        return {each.name: each for each in others if each.name not in HIDDEN}

    def _struct(self, name: str, fields: list[str]) -> type[Struct]:
        declared: list[Any] = []
        for each in fields:
            default = self._fields[each].default
            kind = self._hints[each]
            declared.append((each, kind) if default is inspect.Parameter.empty else (each, kind, default))
        return msgspec.defstruct(name, declared, kw_only=True, frozen=True, forbid_unknown_fields=True)


def _is_list(annotation: Any) -> bool:
    origin = getattr(annotation, "__origin__", None)
    return origin in {tuple, list} or any(map(_is_list, getattr(annotation, "__args__", ())))


def shown_by(
    operation: Operation[..., Any], operations: Iterable[Operation[..., Any]]
) -> Operation[..., Any] | None:
    """The operation that shows, at the same path, what another one writes anew; None where there is none."""
    if operation.method != "PUT":
        return None
    return next((each for each in operations if (each.method, each.path) == ("GET", operation.path)), None)


def operation(
    method: str,
    path: str,
    permission: Permission,
    *,
    status: int = 200,
    location: str = "",
    secret: bool = False,
) -> Callable[[Callable[Concatenate[Project, P], T]], Operation[P, T]]:
    """Declare what a function does as an operation; the arguments are those of `Operation`."""

    def declare(function: Callable[Concatenate[Project, P], T]) -> Operation[P, T]:
        return Operation(method, path, permission, function, status=status, location=location, secret=secret)

    return declare
