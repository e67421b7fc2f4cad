"""Finding the pipelines of a project by reading its modules, without importing anything."""

from __future__ import annotations

import ast
from pathlib import Path

from mlwright.kernel.errors import Invalid, NotFound, nearest
from mlwright.kernel.settings import ProjectFolder
from mlwright.workflow.found import FoundPipeline


def discover(project: ProjectFolder, code: Path) -> list[FoundPipeline]:
    """Every pipeline of a project, by name.

    Args:
        project: whose settings name the folder of the pipelines.
        code: where its files are: the project's own folder, or a snapshot of it.

    Raises:
        NotFound: there is no such folder.
        Invalid: two pipelines have one name, or a module cannot be parsed.
    """
    folder = project.settings.pipelines
    home = code / folder
    if not home.is_dir():
        raise NotFound(
            f"there is no folder `{folder}` for pipelines",
            where=str(project.root),
            hint="make it, or name another in [tool.mlwright]: pipelines",
        )
    found: dict[str, FoundPipeline] = {}
    for file in sorted(home.rglob("*.py")):
        for pipeline in _in_module(file, code):
            if pipeline.name in found:
                other = found[pipeline.name]
                raise Invalid(
                    f"two pipelines are named `{pipeline.name}`",
                    where=f"{other.file}:{other.line} and {pipeline.file}:{pipeline.line}",
                    hint="rename one",
                )
            found[pipeline.name] = pipeline
    return sorted(found.values(), key=lambda pipeline: pipeline.name)


def find(project: ProjectFolder, code: Path, name: str) -> FoundPipeline:
    """The pipeline with a name.

    Raises:
        NotFound: there is none; the message names the nearest.
        Invalid: as `discover`.
    """
    pipelines = discover(project, code)
    for pipeline in pipelines:
        if pipeline.name == name:
            return pipeline
    folder = project.settings.pipelines
    known = [pipeline.name for pipeline in pipelines]
    hint = nearest(name, known) or f"write a function with @pipeline in {folder}/"
    raise NotFound(f"there is no pipeline `{name}`", where=str(project.root / folder), hint=hint)


def _in_module(file: Path, root: Path) -> list[FoundPipeline]:
    relative = file.relative_to(root)
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError as error:
        raise Invalid(
            f"a module of the project cannot be parsed: {error.msg}", where=f"{relative}:{error.lineno}"
        ) from error
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
