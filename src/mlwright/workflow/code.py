"""The first-party code that a function can reach, read from source.

A function's result can depend on every function, class, method and constant it names, in any module of
the project, and on all that these name in turn. A unit is one statement at the top of a module, in
normal form (no comments, docstrings, formatting or annotations' places). What cannot be resolved is taken
whole: a module that is passed around brings all its statements.

A file of the project that is not code counts for what names it: a text constant that is its name, or the end
of its path (`"params.yaml"`).

Statements that only have effects (`random.seed(1)`, `settings.x = 2`) count for everything in their
module, since importing it runs them.
"""

from __future__ import annotations

import ast
import contextlib
import symtable
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlwright.kernel.digest import Digest, digest_of

_DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
ANYTHING = "*"
"""Stands among the libraries for code that imports by a name it computes."""

_ENGINE = "mlwright"
_IMPORTERS = {"import_module", "__import__"}


@dataclass(frozen=True, slots=True)
class Reach:
    """What a function reaches: units by `module:name`, each with a digest; top-level names of libraries."""

    units: dict[str, Digest]
    libraries: frozenset[str]


@dataclass(frozen=True, slots=True)
class Unit:
    """A statement at the top of a module: its file (relative to the project), its line, its source."""

    file: str
    line: int
    source: str


@dataclass(frozen=True, slots=True)
class _Import:
    """A name that an import binds: the module, and the name within it (None for the module itself)."""

    module: str
    name: str | None


@dataclass(slots=True)
class _Module:
    """A module's statements, who binds which name, and what its imports mean."""

    name: str
    package: str
    file: str
    lines: list[str]
    statements: list[ast.stmt]
    binders: dict[str, list[int]] = field(default_factory=dict)
    effects: list[int] = field(default_factory=list)
    stars: list[str] = field(default_factory=list)
    imports: dict[str, _Import] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)

    def counts(self, position: int) -> bool:
        """Whether a statement can be a unit: docstrings, imports and the main guard are none."""
        return position in self.effects or any(position in at for at in self.binders.values())

    def label(self, position: int) -> str:
        """What a statement is called: the name it binds, with a number when it is not the first to."""
        for name, positions in self.binders.items():
            if position in positions:
                at = positions.index(position)
                return name if not at else f"{name}#{at + 1}"
        return f"effect#{self.effects.index(position) + 1}"


class CodeIndex:
    """The modules of a project, parsed when they are reached.

    Args:
        roots: folders that the interpreter would search, first one first.
        files: the project's files that are not modules, by path, each with its digest.
    """

    def __init__(self, *roots: Path, files: Mapping[str, Digest] | None = None) -> None:
        self._roots = roots
        self._files: dict[str, list[tuple[str, Digest]]] = {}
        for path, digest in (files or {}).items():
            self._files.setdefault(path.rpartition("/")[2], []).append((path, digest))
        self._modules: dict[str, _Module | None] = {}
        self._reached: dict[str, Reach] = {}

    def reach(self, address: str) -> Reach:
        """What `module:function` reaches, itself included."""
        if address not in self._reached:
            module, _, name = address.partition(":")
            walk = _Walk(self)
            walk.name(module, name.partition(".")[0])
            self._reached[address] = Reach(dict(sorted(walk.units.items())), frozenset(walk.libraries))
        return self._reached[address]

    def unit(self, key: str) -> Unit | None:
        """Where a unit stands, by the key it has in `Reach`; None when this code has no such unit."""
        module, _, label = key.partition(":")
        found = self.module(module)
        for position, statement in enumerate(found.statements if found else ()):
            if found and found.counts(position) and found.label(position) == label:
                first = min(
                    [statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", ()))]
                )
                return Unit(
                    found.file, statement.lineno, "\n".join(found.lines[first - 1 : statement.end_lineno])
                )
        return None

    def module(self, name: str) -> _Module | None:
        """A module of the project, or None when there is no such one."""
        if name not in self._modules:
            self._modules[name] = self._parse(name)
        return self._modules[name]

    def _parse(self, name: str) -> _Module | None:
        for root in self._roots:
            stem = root.joinpath(*name.split("."))
            for path, package in (
                (stem / "__init__.py", name),
                (stem.with_suffix(".py"), name.rpartition(".")[0]),
            ):
                if path.is_file():
                    file = path.relative_to(self._roots[0]).as_posix()
                    return _read(name, package, file, path.read_bytes())
        return None

    def files_named(self, text: str) -> dict[str, Digest]:
        """The files that a text constant names, by path."""
        candidates = self._files.get(text.rpartition("/")[2], ())
        return {path: digest for path, digest in candidates if path == text or path.endswith(f"/{text}")}

    def is_package(self, name: str) -> bool:
        """Whether a folder of the project can be imported under this name."""
        return any(root.joinpath(*name.split(".")).is_dir() for root in self._roots)


class _Walk:
    """One walk over what can be reached."""

    def __init__(self, index: CodeIndex) -> None:
        self._index = index
        self._seen: set[tuple[str, int]] = set()
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
        if name in found.imports:
            self._follow(found.imports[name], [])
        elif name not in found.binders:
            if self._index.module(f"{module}.{name}") or self._index.is_package(f"{module}.{name}"):
                self.whole(f"{module}.{name}")
            for star in found.stars:
                self.name(star, name)

    def whole(self, module: str) -> None:
        """Reach everything in a module."""
        found = self._enter(module)
        if found is None:
            if not self._index.is_package(module):
                self._library(module)
            return
        for name in [*found.binders, *found.imports]:
            self.name(module, name)

    def _enter(self, name: str) -> _Module | None:
        """Importing a module runs the effects of its packages and its own."""
        found = self._index.module(name)
        if name in self._entered:
            return found
        self._entered.add(name)
        parent = name.rpartition(".")[0]
        if parent and (found is not None or self._index.is_package(name)):
            self._enter(parent)
        if found is not None:
            for source in found.sources:
                self._enter(source)
            for position in found.effects:
                self._statement(found, position)
        return found

    def _statement(self, module: _Module, position: int) -> None:
        if (module.name, position) in self._seen:
            return
        self._seen.add((module.name, position))
        statement = module.statements[position]
        text = ast.dump(_normal(statement, module), annotate_fields=False)
        self.units[f"{module.name}:{module.label(position)}"] = digest_of(text.encode())
        self._mentions(statement, module)

    def _mentions(self, statement: ast.stmt, module: _Module) -> None:
        bound = dict(module.imports)
        for node in ast.walk(statement):
            if isinstance(node, ast.Import | ast.ImportFrom):
                bound |= _imports(node, module.package)
                for source in _sources(node, module.package):
                    self._enter(source)
                for star in _stars(node, module.package):
                    self.whole(star)
        quoted = list(_quoted_annotations(statement))
        sources = [statement, *quoted]
        globals_used = {name for source in sources for name in _globals_used(ast.unparse(source))}
        waiting: list[ast.AST] = [*sources]
        while waiting:
            node = waiting.pop()
            path = _dotted(node)
            if path is None:
                waiting += ast.iter_child_nodes(node)
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found = self._index.files_named(node.value.removeprefix("./"))
                    self.units |= {f"file:{name}": digest for name, digest in found.items()}
                continue
            if _IMPORTERS & set(path):
                self.libraries.add(ANYTHING)
            if path[0] in globals_used or path[0] in bound:
                self._mention(path, bound, module)

    def _mention(self, path: list[str], bound: dict[str, _Import], module: _Module) -> None:
        """`helper`, or `features.helper`: as far as the path leads through modules, only that name counts."""
        first, rest = path[0], path[1:]
        if first in bound:
            self._follow(bound[first], rest)
        if first in module.binders or (module.stars and first not in bound):
            self.name(module.name, first)

    def _follow(self, bound: _Import, rest: list[str]) -> None:
        module = bound.module
        if module.partition(".")[0] == _ENGINE:
            return
        for name in [*([bound.name] if bound.name else []), *rest]:
            below = f"{module}.{name}"
            if self._index.module(below) is None and not self._index.is_package(below):
                self.name(module, name)
                return
            module = below
        self.whole(module)

    def _library(self, module: str) -> None:
        top = module.partition(".")[0]
        if top and top not in sys.stdlib_module_names and top != _ENGINE:
            self.libraries.add(top)


def _read(name: str, package: str, file: str, source: bytes) -> _Module:
    tree = ast.parse(source)
    lines = source.decode(errors="replace").splitlines()
    module = _Module(name, package, file, lines, tree.body)
    for position, statement in enumerate(tree.body):
        if _is_docstring(statement) or _is_main_guard(statement):
            continue
        names = set(_bound_names(statement))
        for bound in () if isinstance(statement, ast.Import | ast.ImportFrom) else names:
            module.binders.setdefault(bound, []).append(position)
        for node in ast.walk(statement) if not isinstance(statement, _DEFINITIONS) else ():
            if isinstance(node, ast.Import | ast.ImportFrom):
                module.stars += _stars(node, package)
                module.sources += _sources(node, package)
                module.imports |= _imports(node, package)
        if isinstance(statement, ast.Import | ast.ImportFrom):
            continue
        if not names or _has_effects(statement):
            module.effects.append(position)
    return module


def _bound_names(statement: ast.stmt) -> Iterator[str]:
    """The module's names that a statement at its top binds, inside ifs, tries, loops and withs too."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, _DEFINITIONS):
            yield node.name
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                if alias.name != "*":
                    yield alias.asname or alias.name.partition(".")[0]
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            yield node.id
        waiting += ast.iter_child_nodes(node)


def _has_effects(statement: ast.stmt) -> bool:
    """Whether a statement that binds names also does something to others: `a.b = c = 1`, a loop, a with."""
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return any(
            isinstance(part, ast.Attribute | ast.Subscript) for target in targets for part in ast.walk(target)
        )
    return isinstance(statement, ast.For | ast.While | ast.With)


def _globals_used(source: str) -> set[str]:
    """The names that code takes from its module, by Python's own scoping: a local of that name is another."""

    def used(table: symtable.SymbolTable) -> Iterator[str]:
        for symbol in table.get_symbols():
            if symbol.is_global() or (table.get_type() == "module" and symbol.is_referenced()):
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


def _dotted(node: ast.AST) -> list[str] | None:
    """`["features", "clean"]` for the expression `features.clean`; None for what is no such path."""
    path: list[str] = []
    while isinstance(node, ast.Attribute):
        path.insert(0, node.attr)
        node = node.value
    return [node.id, *path] if isinstance(node, ast.Name) else None


def _imports(statement: ast.Import | ast.ImportFrom, package: str) -> dict[str, _Import]:
    if isinstance(statement, ast.Import):
        # `import a.b` binds `a`; `import a.b as c` binds c to a.b.
        return {
            alias.asname or alias.name.partition(".")[0]: _Import(
                alias.name if alias.asname else alias.name.partition(".")[0], None
            )
            for alias in statement.names
        }
    source = _source(statement, package)
    return {
        alias.asname or alias.name: _Import(source, alias.name)
        for alias in statement.names
        if alias.name != "*"
    }


def _stars(statement: ast.stmt, package: str) -> list[str]:
    if isinstance(statement, ast.ImportFrom) and any(alias.name == "*" for alias in statement.names):
        return [_source(statement, package)]
    return []


def _sources(statement: ast.Import | ast.ImportFrom, package: str) -> list[str]:
    """The modules that an import runs."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    source = _source(statement, package)
    return [source, *(f"{source}.{alias.name}" for alias in statement.names)]


def _source(statement: ast.ImportFrom, package: str) -> str:
    module = statement.module or ""
    if not statement.level:
        return module
    base = package.split(".")[: len(package.split(".")) - statement.level + 1]
    return ".".join([*base, module] if module else base)


class _Normal(ast.NodeTransformer):
    """Drops what does not change what a function computes: docstrings, and how a step is run."""

    def __init__(self, engine_names: frozenset[str]) -> None:
        self._engine_names = engine_names

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._definition(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._definition(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._definition(node)

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> ast.AST:
        body = node.body[1:] if _is_docstring(node.body[0]) else node.body
        node.body = body or [ast.Pass()]
        node.decorator_list = [each for each in node.decorator_list if not self._is_engine(each)]
        self.generic_visit(node)
        return node

    def _is_engine(self, decorator: ast.expr) -> bool:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        while isinstance(target, ast.Attribute):
            target = target.value
        return isinstance(target, ast.Name) and target.id in self._engine_names


def _normal(statement: ast.stmt, module: _Module) -> ast.AST:
    engine_names = frozenset(
        name
        for other in module.statements
        if isinstance(other, ast.Import | ast.ImportFrom)
        for name, bound in _imports(other, module.package).items()
        if bound.module.partition(".")[0] == _ENGINE
    )
    copy = ast.parse(ast.unparse(statement)).body[0]
    return _Normal(engine_names).visit(copy)  # type: ignore[no-any-return]


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _is_main_guard(statement: ast.stmt) -> bool:
    match statement:
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
            return True
    return False
