"""Scripts and notebooks as runs: a graph of one node, which has a copy of the project to itself."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mlwright.kernel.errors import Invalid, NotFound
from mlwright.kernel.settings import ProjectFolder
from mlwright.workflow.graph import Argument, Graph, Node

KINDS = {".py": "script", ".ipynb": "notebook"}


def kind_of(name: str) -> str:
    """`script` or `notebook`, by the suffix of a path; else `pipeline`."""
    return KINDS.get(PurePosixPath(name).suffix, "pipeline")


def path_in(project: ProjectFolder, text: str, start: Path) -> str:
    """A script's path within the project.

    Args:
        project: that it must lie in.
        text: as it was typed, relative to `start`.

    Raises:
        NotFound: there is no such file.
        Invalid: it lies outside the project.
    """
    file = (start / text).resolve()
    if not file.is_file():
        raise NotFound(
            f"there is no script {text}", where=str(start), hint="a path from where you are, or whole"
        )
    if not file.is_relative_to(project.root):
        raise Invalid(
            f"{text} lies outside the project",
            where=str(project.root),
            hint="move it in: its code is recorded",
        )
    return file.relative_to(project.root).as_posix()


def asked_for(
    project: ProjectFolder, name: str, parameters: Mapping[str, Any], arguments: Sequence[str], start: Path
) -> tuple[str, dict[str, Any]]:
    """What is to be run, as a request names it, and what it is given.

    Args:
        name: of a pipeline; or the path of a script or notebook, relative to `start`.
        arguments: of a script.

    Raises:
        NotFound: there is no such script.
        Invalid: it lies outside the project, or arguments are given to what is no script.
    """
    if kind_of(name) != "pipeline":
        name = path_in(project, name, start)
    return name, with_arguments(name, parameters, arguments)


def with_arguments(name: str, parameters: Mapping[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """What is given to a pipeline, a script or a notebook.

    Args:
        name: of a pipeline, or a path.
        arguments: of a script.

    Raises:
        Invalid: arguments are given to what is no script.
    """
    given, kind = dict(parameters), kind_of(name)
    if kind == "script":
        given["arguments"] = list(arguments)
    elif arguments:
        raise Invalid(
            f"{arguments[0]!r} is too much: a {kind} has no arguments",
            hint="set parameters: -p NAME=VALUE",
        )
    return given


def bind_script(path: str, kind: str, code: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """The recorded parameters of a script: its arguments; of a notebook: what is set in its tagged cell.

    Raises:
        Invalid: the file is not in the snapshot, a notebook cannot be read, or has no such parameter.
    """
    if not (code / path).is_file():
        raise Invalid(
            f"{path} is not part of the recorded code",
            hint="Git or [tool.mlwright] ignores it",
        )
    if kind == "script":
        arguments = given.get("arguments", [])
        if set(given) - {"arguments"}:
            raise Invalid(
                "a script takes arguments, not parameters", hint=f"mlwright run {path} --name value"
            )
        return {"arguments": [str(each) for each in arguments]}
    from mlwright.sdk.notebook import read_notebook

    values = {name: _value(text) for name, text in given.items()}
    notebook = read_notebook(code / path, path)
    known = notebook.parameters()
    # What the notebook sets to text stays text, whatever it looks like.
    values = {
        name: given[name] if isinstance(given[name], str) and known.get(name, "")[:1] in {"'", '"'} else value
        for name, value in values.items()
    }
    notebook.with_parameters(values)
    return values


def script_graph(path: str, kind: str, parameters: Mapping[str, Any], cpus: int) -> Graph:
    """The graph of a script: it has every processor, and runs every time."""
    node = Node(
        name=PurePosixPath(path).stem,
        kind="notebook" if kind == "notebook" else "script",
        inputs={name: Argument("value", value=value) for name, value in parameters.items()},
        outputs={},
        step=path,
        cpus=cpus,
        cache=False,
    )
    return Graph(path, (node,))


def _value(text: Any) -> Any:
    """What was typed, as JSON if it is that."""
    if isinstance(text, str):
        with contextlib.suppress(ValueError):
            return json.loads(text)
    return text
