"""The first-party code that a function can reach, read from source.

A function's result can depend on every function, class, method and constant it names, in any module of
the project, on what its names are imported from, and on all that these name in turn. A unit is one
statement at the top of a module, in normal form (no comments, docstrings or formatting). What cannot be
resolved is taken whole: a module that is passed around brings all its statements, and an import by a computed
name brings all modules and packages.

A file of the project that is not code counts for what names it: a text constant that is its name, or the end
of its path (`"params.yaml"`).

Statements that have effects (`random.seed(1)`, `settings.x = 2`, `@register` of the project's own) count for
everything in their module, and for all that imports it, since importing it runs them.
"""

from __future__ import annotations

import ast
import contextlib
import symtable
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from mlwright.kernel.digest import Digest, composite, digest_of
from mlwright.workflow.modules import (
    ENGINE,
    IMPORTS,
    Import,
    Module,
    dotted,
    imports_of,
    normal,
    read_module,
    sources_of,
    stars_of,
)
from mlwright.workflow.reach import ANYTHING, Reach

_IMPORTERS = {"import_module", "__import__", "runpy", "pkgutil"}
_LOOKERS = {"globals", "vars", "eval", "exec", "__subclasses__"}
"""What finds names of a module without naming them."""


class Unit(Struct, frozen=True):
    """A statement at the top of a module: its file (relative to the project), its line, its source."""

    file: str
    line: int
    source: str


class CodeIndex:
    """The modules of a project, parsed when they are reached.

    Args:
        roots: folders that the interpreter would search, first one first; the first is the project's own.
        files: the project's files that are not modules, by path, each with its digest.
    """

    def __init__(self, *roots: Path, files: Mapping[str, Digest] | None = None) -> None:
        self._roots = roots
        self._files: dict[str, list[tuple[str, Digest]]] = {}
        for path, digest in (files or {}).items():
            self._files.setdefault(path.rpartition("/")[2], []).append((path, digest))
        self._modules: dict[str, Module | None] = {}
        self._reached: dict[str, Reach] = {}

    def reach(self, address: str) -> Reach:
        """What `module:function` reaches, itself included."""
        if address not in self._reached:
            module, _, name = address.partition(":")
            walk = _Walk(self)
            walk.name(module, name.partition(".")[0])
            walk.order()
            self._reached[address] = Reach(dict(sorted(walk.units.items())), frozenset(walk.libraries))
        return self._reached[address]

    def unit(self, key: str) -> Unit | None:
        """Where a unit stands, by the key it has in `Reach`; None when this code has no such statement."""
        module, _, label = key.partition(":")
        found = self.module(module)
        for position, statement in enumerate(found.statements if found else ()):
            if found and found.label(position) == label:
                decorators = getattr(statement, "decorator_list", ())
                first = min([statement.lineno, *(each.lineno for each in decorators)])
                source = "\n".join(found.lines[first - 1 : statement.end_lineno])
                return Unit(found.file, statement.lineno, source)
        return None

    def module(self, name: str) -> Module | None:
        """A module of the project, or None when there is no such one."""
        if name not in self._modules:
            self._modules[name] = self._read(name)
        return self._modules[name]

    def all_modules(self) -> list[str]:
        """The name of every module of the project."""
        found = set()
        for root in self._roots:
            for path in root.rglob("*.py"):
                parts = path.relative_to(root).with_suffix("").parts
                name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
                if name and all(part.isidentifier() for part in parts):
                    found.add(name)
        return sorted(found)

    def files_named(self, text: str) -> dict[str, Digest]:
        """The files that a text constant names, by path."""
        candidates = self._files.get(text.rpartition("/")[2], ())
        return {path: digest for path, digest in candidates if path == text or path.endswith(f"/{text}")}

    def is_ours(self, name: str) -> bool:
        """Whether a module, or a folder that can be imported, of the project has this name."""
        return self.module(name) is not None or any(
            root.joinpath(*name.split(".")).is_dir() for root in self._roots
        )

    def _read(self, name: str) -> Module | None:
        for root in self._roots:
            stem = root.joinpath(*name.split("."))
            for path, package in (
                (stem / "__init__.py", name),
                (stem.with_suffix(".py"), name.rpartition(".")[0]),
            ):
                if path.is_file():
                    file = path.relative_to(self._roots[0]).as_posix()
                    return read_module(name, package, file, path.read_bytes())
        return None


class _Walk:
    """One walk over what can be reached."""

    def __init__(self, index: CodeIndex) -> None:
        self._index = index
        self._seen: dict[str, set[int]] = {}
        self._entered: set[str] = set()
        self._named: set[tuple[str, str]] = set()
        self.units: dict[str, Digest] = {}
        self.libraries: set[str] = set()

    def name(self, module: str, name: str) -> None:
        """Reach a name in a module."""
        found = self._enter(module)
        if found is None:
            self._library(module)
            return
        if (module, name) in self._named:
            return
        self._named.add((module, name))
        for position in found.binders.get(name, ()):
            self._statement(found, position)
        self._imported(found, name, found.imports.get(name, []), [])
        if name not in found.binders and name not in found.imports:
            if self._index.is_ours(f"{module}.{name}"):
                self.whole(f"{module}.{name}")
            if name != "__getattr__":  # PEP 562: a module may answer for names it does not bind
                self.name(module, "__getattr__")
        for star in found.stars:
            self.name(star, name)

    def whole(self, module: str) -> None:
        """Reach everything in a module."""
        found = self._enter(module)
        if found is None:
            if not self._index.is_ours(module):
                self._library(module)
            return
        for name in [*found.binders, *found.imports]:
            self.name(module, name)
        for star in found.stars:
            self.whole(star)

    def order(self) -> None:
        """Where a name is bound more than once, the order of what was reached decides what it means."""
        for name, positions in self._seen.items():
            module = self._index.module(name)
            assert module is not None
            if any(len(set(at) & positions) > 1 for at in module.binders.values()) or len(module.stars) > 1:
                order = [module.label(position) for position in sorted(positions)]
                self.units[f"{name}:order"] = composite("order", [order, module.stars])

    def _enter(self, name: str) -> Module | None:
        """Importing a module runs the effects of its packages, of what it imports, and its own."""
        found = self._index.module(name)
        if name in self._entered:
            return found
        self._entered.add(name)
        parent = name.rpartition(".")[0]
        if parent and self._index.is_ours(name):
            self._enter(parent)
        if found is not None:
            for source in found.sources:
                self._enter(source)
            for library in found.silent:
                if not self._index.is_ours(library):
                    self._library(library)
            for position in found.effects:
                self._statement(found, position)
        return found

    def _statement(self, module: Module, position: int) -> None:
        seen = self._seen.setdefault(module.name, set())
        if position in seen:
            return
        seen.add(position)
        statement = module.statements[position]
        text = normal(statement, module)
        self.units[f"{module.name}:{module.label(position)}"] = digest_of(text.encode())
        self._mentions(statement, module)

    def _mentions(self, statement: ast.stmt, module: Module) -> None:
        bound = {name: list(sources) for name, sources in module.imports.items()}
        for node in ast.walk(statement):
            if isinstance(node, IMPORTS):
                for name, source in imports_of(node, module.package).items():
                    bound.setdefault(name, []).append(source)
                for ran in sources_of(node, module.package):
                    self._enter(ran)
                for star in stars_of(node, module.package):
                    self.whole(star)
        sources = [statement, *_quoted_annotations(statement)]
        used = {name for source in sources for name in _globals_used(ast.unparse(source))}
        waiting: list[ast.AST] = [*sources]
        while waiting:
            node = waiting.pop()
            path = dotted(node)
            if path is not None:
                self._mention(path, bound, used, module)
                continue
            waiting += ast.iter_child_nodes(node)
            if isinstance(node, ast.Attribute) and node.attr in _LOOKERS:
                self.whole(module.name)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found = self._index.files_named(node.value.removeprefix("./"))
                self.units |= {f"file:{name}": digest for name, digest in found.items()}

    def _mention(
        self, path: list[str], bound: Mapping[str, list[Import]], used: set[str], module: Module
    ) -> None:
        """`helper`, or `features.helper`: as far as the path leads through modules, only that name counts."""
        first, rest = path[0], path[1:]
        self._look_around(path, module)
        if first in bound:
            self._imported(module, first, bound[first], rest)
        if first in used and first not in module.imports:
            self.name(module.name, first)
        elif first in used:  # what it is imported from has been followed, as far as the path leads
            for position in module.binders.get(first, ()):
                self._statement(module, position)
            for star in module.stars:
                self.name(star, first)

    def _look_around(self, path: list[str], module: Module) -> None:
        if _IMPORTERS & set(path) and ANYTHING not in self.libraries:
            self.libraries.add(ANYTHING)
            for name in self._index.all_modules():
                self.whole(name)
        if _LOOKERS & set(path):
            self.whole(module.name)

    def _imported(self, module: Module, name: str, sources: list[Import], rest: list[str]) -> None:
        ours = [source for source in sources if source.module.partition(".")[0] != ENGINE]
        if ours:
            told = ", ".join(dict.fromkeys(map(str, ours)))
            self.units[f"{module.name}:import {name}"] = digest_of(told.encode())
        for source in ours:
            self._look_around(source.path, module)
            self._follow(source, rest)

    def _follow(self, source: Import, rest: list[str]) -> None:
        module = source.module
        for name in [*([source.name] if source.name else []), *rest]:
            found = self._index.module(module)
            below = f"{module}.{name}"
            if not self._index.is_ours(below):
                self.name(module, name)
                return
            if found is not None and (name in found.binders or name in found.imports):
                self.name(module, name)  # a package may bind the name of one of its modules to something else
            module = below
        self.whole(module)

    def _library(self, module: str) -> None:
        top = module.partition(".")[0]
        if top and top not in sys.stdlib_module_names and top != ENGINE:
            self.libraries.add(top)


def _globals_used(source: str) -> set[str]:
    """The names that code takes from its module, by Python's own scoping: a local of that name is another.

    A class's body looks in its module for a name that it binds later.
    """

    def used(table: symtable.SymbolTable) -> Iterator[str]:
        outer = table.get_type() in {"module", "class"}
        for symbol in table.get_symbols():
            if symbol.is_global() or (outer and symbol.is_referenced()):
                yield symbol.get_name()
        for child in table.get_children():
            yield from used(child)

    return set(used(symtable.symtable(source, "<statement>", "exec")))


def _quoted_annotations(statement: ast.stmt) -> Iterator[ast.expr]:
    """What annotations in quotes would say without them."""
    for node in ast.walk(statement):
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            for part in ast.walk(annotation) if annotation is not None else ():
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    with contextlib.suppress(SyntaxError):
                        yield ast.parse(part.value, mode="eval").body
