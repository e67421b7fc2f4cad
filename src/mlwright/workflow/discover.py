"""Finding the pipelines of a project by reading its modules, without importing anything."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from mlwright.kernel.errors import Invalid, NotFound, nearest


@dataclass(frozen=True, slots=True)
class FoundPipeline:
    """A function with `@pipeline`, and where it stands. `summary` is the first line of its docstring."""

    name: str
    module: str
    file: str
    line: int
    summary: str


def discover(root: Path, folder: str) -> list[FoundPipeline]:
    """Every pipeline in the modules of a folder, by name.

    Raises:
        NotFound: there is no such folder.
        Invalid: two pipelines have one name. A module with a syntax error is left to its own run.
    """
    home = root / folder
    if not home.is_dir():
        raise NotFound(
            f"there is no folder `{folder}` for pipelines",
            where=str(root),
            hint="make it, or set it in [tool.mlwright]",
        )
    found: dict[str, FoundPipeline] = {}
    for file in sorted(home.rglob("*.py")):
        for pipeline in _in_module(file, root):
            if pipeline.name in found:
                other = found[pipeline.name]
                raise Invalid(
                    f"two pipelines are named `{pipeline.name}`",
                    where=f"{other.file}:{other.line} and {pipeline.file}:{pipeline.line}",
                    hint="rename one",
                )
            found[pipeline.name] = pipeline
    return sorted(found.values(), key=lambda pipeline: pipeline.name)


def find(root: Path, folder: str, name: str) -> FoundPipeline:
    """The pipeline with a name.

    Raises:
        NotFound: there is none; the message names the nearest.
        Invalid: a module cannot be parsed, and the pipeline may be in it.
    """
    pipelines = discover(root, folder)
    for pipeline in pipelines:
        if pipeline.name == name:
            return pipeline
    for file in sorted((root / folder).rglob("*.py")):
        try:
            ast.parse(file.read_bytes())
        except SyntaxError as error:
            raise Invalid(
                f"a module of the project cannot be parsed: {error.msg}",
                where=f"{file.relative_to(root)}:{error.lineno}",
            ) from error
    known = [pipeline.name for pipeline in pipelines]
    hint = nearest(name, known) or f"write a function with @pipeline in {folder}/"
    raise NotFound(f"there is no pipeline `{name}`", where=str(root / folder), hint=hint)


def _in_module(file: Path, root: Path) -> list[FoundPipeline]:
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError:
        return []
    relative = file.relative_to(root)
    module = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
    return [
        FoundPipeline(
            node.name,
            module,
            relative.as_posix(),
            node.lineno,
            (ast.get_docstring(node) or "").partition("\n")[0],
        )
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and any(map(_is_pipeline, node.decorator_list))
    ]


def _is_pipeline(decorator: ast.expr) -> bool:
    match decorator:
        case ast.Name(id="pipeline") | ast.Attribute(attr="pipeline"):
            return True
    return False
