"""One module of a project, read and not run: who binds which name, and what importing it does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property

from msgspec import Struct, field

ENGINE = "mlwright"
DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
IMPORTS = ast.Import | ast.ImportFrom
_COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class Import(Struct, frozen=True):
    """A name that an import binds: the module, and the name within it (None for the module itself)."""

    module: str
    name: str | None

    @property
    def path(self) -> list[str]:
        """`["importlib", "import_module"]`."""
        return [*self.module.split("."), *([self.name] if self.name else [])]

    def __str__(self) -> str:
        return f"{self.module}:{self.name or ''}"


class Module(Struct, dict=True):
    """A module as its source says it.

    Args:
        package: what relative imports in it are relative to.
        binders: name to the positions of the statements at its top that bind it, in order.
        effects: positions of statements that do something to others when the module is imported.
        stars: modules that are imported with `*`.
        imports: name to what it may be imported from; several where a `try` or an `if` decides.
        sources: modules that importing this one runs.
        silent: libraries that are imported and never named: for what their import does.
    """

    name: str
    package: str
    file: str
    lines: list[str]
    statements: list[ast.stmt]
    binders: dict[str, list[int]] = field(default_factory=dict)
    effects: list[int] = field(default_factory=list)
    stars: list[str] = field(default_factory=list)
    imports: dict[str, list[Import]] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)

    def label(self, position: int) -> str | None:
        """What a statement is called: the name it binds, with a number when it is not the first to.

        None for what is no unit: docstrings, imports, the main guard.
        """
        return self._labels.get(position)

    @cached_property
    def _labels(self) -> dict[int, str]:
        labels: dict[int, str] = {}
        for name, positions in self.binders.items():
            for at, position in enumerate(positions):
                labels.setdefault(position, name if not at else f"{name}#{at + 1}")
        for at, position in enumerate(self.effects):
            labels.setdefault(position, f"effect#{at + 1}")
        return labels

    @cached_property
    def engine_names(self) -> frozenset[str]:
        """The names that stand for something of this package."""
        return frozenset(
            name
            for name, sources in self.imports.items()
            if any(source.module.partition(".")[0] == ENGINE for source in sources)
        )


def read_module(name: str, package: str, file: str, source: bytes) -> Module:
    """Read a module's source.

    Raises:
        SyntaxError: it is not Python.
    """
    tree = ast.parse(source)
    module = Module(name, package, file, source.decode(errors="replace").splitlines(), tree.body)
    mentioned = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for position, statement in enumerate(tree.body):
        if _is_docstring(statement) or _is_main_guard(statement):
            continue
        _read_imports(statement, module, mentioned)
        if isinstance(statement, IMPORTS):
            continue
        # In the order they stand in: a label must not depend on how a set is walked.
        for bound in dict.fromkeys(_bound_names(statement)):
            module.binders.setdefault(bound, []).append(position)
    bound_at = {position for positions in module.binders.values() for position in positions}
    for position, statement in enumerate(tree.body):
        if _is_docstring(statement) or _is_main_guard(statement) or isinstance(statement, IMPORTS):
            continue
        if position not in bound_at or _has_effects(statement, module):
            module.effects.append(position)
    return module


def imports_of(statement: ast.Import | ast.ImportFrom, package: str) -> dict[str, Import]:
    """The names that an import binds; `import a.b` binds `a`, `import a.b as c` binds c to a.b."""
    if isinstance(statement, ast.Import):
        return {
            alias.asname or alias.name.partition(".")[0]: Import(
                alias.name if alias.asname else alias.name.partition(".")[0], None
            )
            for alias in statement.names
        }
    source = _source(statement, package)
    return {
        alias.asname or alias.name: Import(source, alias.name)
        for alias in statement.names
        if alias.name != "*"
    }


def stars_of(statement: ast.stmt, package: str) -> list[str]:
    """The module that a statement imports with `*`."""
    if isinstance(statement, ast.ImportFrom) and any(alias.name == "*" for alias in statement.names):
        return [_source(statement, package)]
    return []


def sources_of(statement: ast.Import | ast.ImportFrom, package: str) -> list[str]:
    """The modules that an import runs."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    source = _source(statement, package)
    return [source, *(f"{source}.{alias.name}" for alias in statement.names)]


def dotted(node: ast.AST) -> list[str] | None:
    """`["features", "clean"]` for the expression `features.clean`; None for what is no such path."""
    path: list[str] = []
    while isinstance(node, ast.Attribute):
        path.insert(0, node.attr)
        node = node.value
    return [node.id, *path] if isinstance(node, ast.Name) else None


def normal(statement: ast.stmt, module: Module) -> str:
    """A statement's normal form: no comments, formatting or docstrings, and not how a step is run."""
    copy = ast.parse(ast.unparse(statement)).body[0]
    return ast.dump(_Normal(module.engine_names).visit(copy), annotate_fields=False)


def _read_imports(statement: ast.stmt, module: Module, mentioned: set[str]) -> None:
    for node in ast.walk(statement) if not isinstance(statement, DEFINITIONS) else ():
        if isinstance(node, IMPORTS):
            module.stars += stars_of(node, module.package)
            module.sources += sources_of(node, module.package)
            for name, source in imports_of(node, module.package).items():
                module.imports.setdefault(name, []).append(source)
                if name not in mentioned:
                    module.silent.append(source.module)


def _bound_names(statement: ast.stmt) -> Iterator[str]:
    """The module's names that a statement at its top binds, inside ifs, tries, loops and withs too."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, DEFINITIONS):
            yield node.name
            for inner in ast.walk(node):
                if isinstance(inner, ast.Global):
                    yield from inner.names
        elif isinstance(node, _COMPREHENSIONS):
            # Its own names are its own; only what `:=` binds is the module's.
            yield from (each.target.id for each in ast.walk(node) if isinstance(each, ast.NamedExpr))
        elif isinstance(node, IMPORTS):
            yield from (
                alias.asname or alias.name.partition(".")[0] for alias in node.names if alias.name != "*"
            )
        elif not isinstance(node, ast.Lambda):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
                yield node.id
            waiting += ast.iter_child_nodes(node)


def _has_effects(statement: ast.stmt, module: Module) -> bool:
    """Whether a statement that binds names also does something to others.

    So do stores into an attribute or an item, bare expressions and loops in a compound statement, a value
    that is thrown away, and a decorator of the project's own, which may put what it decorates somewhere.
    """
    if isinstance(statement, DEFINITIONS):
        return any(_is_own(decorator, module) for decorator in statement.decorator_list)
    if isinstance(statement, ast.Assign) and all(_is_dump(target) for target in statement.targets):
        return True
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            return True
        if isinstance(node, ast.For | ast.While | ast.With | ast.Delete):
            return True
        if isinstance(node, ast.Expr) and not _is_docstring(node):
            return True
        if not isinstance(node, DEFINITIONS):
            waiting += ast.iter_child_nodes(node)
    return False


def _is_own(decorator: ast.expr, module: Module) -> bool:
    path = dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
    if path is None:
        return True
    if path[0] in module.engine_names:
        return False
    # `@dataclass` and `@functools.cache` come from elsewhere; `@register` and `@encode.register` are ours.
    return path[0] in module.binders


def _is_dump(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id == "_"


def _source(statement: ast.ImportFrom, package: str) -> str:
    module = statement.module or ""
    if not statement.level:
        return module
    base = package.split(".")[: len(package.split(".")) - statement.level + 1]
    return ".".join([*base, module] if module else base)


class _Normal(ast.NodeTransformer):
    """Drops docstrings, and the decorators that only say how a step is run."""

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
        path = dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
        return path is not None and path[0] in self._engine_names


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _is_main_guard(statement: ast.stmt) -> bool:
    match statement:
        case ast.If(
            test=ast.Compare(
                left=ast.Name(id="__name__"), ops=[ast.Eq()], comparators=[ast.Constant(value="__main__")]
            ),
            orelse=[],
        ):
            return True
    return False
