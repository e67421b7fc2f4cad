"""A notebook: read it, give it its parameters, execute it cell by cell, keep what the cells showed."""

from __future__ import annotations

import ast
import copy
import json
import linecache
import math
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlwright.kernel.errors import Invalid, nearest
from mlwright.sdk.cells import Shown, recorded
from mlwright.sdk.script import failure_of, make_importable, new_main
from mlwright.sdk.shells import Shell, has_ipython, needs_ipython, shell

PARAMETERS_TAG = "parameters"
INJECTED_TAG = "injected-parameters"


@dataclass(frozen=True, slots=True)
class Notebook:
    """A notebook of Python, of nbformat 4.

    Attributes:
        name: its path in the project.
        document: the file's JSON, each cell's source one text.
    """

    name: str
    document: dict[str, Any]

    @property
    def cells(self) -> list[dict[str, Any]]:
        """All its cells, text included."""
        cells: list[dict[str, Any]] = self.document["cells"]
        return cells

    def parameters(self) -> dict[str, str]:
        """The names that the cell tagged `parameters` assigns, each with the expression of its default.

        The expression is empty where a name has none of its own, as in `a, b = both()`.

        Raises:
            Invalid: that cell is not Python.
        """
        at = self._tagged(PARAMETERS_TAG)
        return {} if at is None else _assigned(self.cells[at]["source"], self.name)

    def with_parameters(self, values: Mapping[str, Any]) -> Notebook:
        """The notebook with these values in a cell after the one tagged `parameters`.

        Args:
            values: what JSON can hold, by name.

        Raises:
            Invalid: no cell is tagged, or it assigns no such name.
        """
        if not values:
            return self
        at = self._tagged(PARAMETERS_TAG)
        if at is None:
            raise Invalid(
                f"{self.name} takes no parameters: none of its cells is tagged `{PARAMETERS_TAG}`",
                where=self.name,
                hint=f"tag the cell that assigns the defaults `{PARAMETERS_TAG}` "
                "(JupyterLab: Property Inspector, Cell Tags; VS Code: ... of the cell, Add Cell Tag)",
            )
        known = list(self.parameters())
        for name in values:
            if name not in known:
                raise Invalid(
                    f"{self.name} has no parameter `{name}`", where=self.name, hint=nearest(name, known)
                )
        lines = [f"{name} = {_literal(values[name])}" for name in known if name in values]
        injected: dict[str, Any] = {
            "cell_type": "code",
            "execution_count": None,
            "metadata": {"tags": [INJECTED_TAG]},
            "outputs": [],
            "source": "\n".join(["# Parameters", *lines]),
        }
        if "id" in self.cells[at]:
            injected["id"] = INJECTED_TAG
        before = self._tagged(INJECTED_TAG)
        cells = [cell for number, cell in enumerate(self.cells) if number != before]
        after = at + 1 if before is None or before > at else at
        return replace(self, document={**self.document, "cells": [*cells[:after], injected, *cells[after:]]})

    def _tagged(self, tag: str) -> int | None:
        return next((number for number, cell in enumerate(self.cells) if _has_tag(cell, tag)), None)


@dataclass(frozen=True, slots=True)
class Executed:
    """A notebook that was executed, to its end or to the cell that failed.

    Attributes:
        document: its JSON, with what the cells showed.
        error: what ended it; None for a success.
        place: the cell that failed, and the line in it when known: `report.ipynb cell 3, line 2`.
    """

    document: dict[str, Any]
    error: BaseException | None = None
    place: str = ""

    def encoded(self) -> bytes:
        """The file's bytes: the same for the same document."""
        text = json.dumps(self.document, indent=1, sort_keys=True, ensure_ascii=False)
        # What is no character (a lone surrogate) becomes \udc80, which is how JSON would escape it.
        return (text + "\n").encode(errors="backslashreplace")


def read_notebook(path: Path, name: str = "") -> Notebook:
    """Read a notebook.

    Args:
        path: the file.
        name: what to call it; the path itself if empty.

    Raises:
        Invalid: it is not a notebook of Python in nbformat 4.
    """
    name = name or str(path)
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{name} is not a notebook: it is not JSON: {error}", where=name) from None
    if not isinstance(document, dict) or not isinstance(document.get("nbformat"), int):
        raise Invalid(f"{name} is not a notebook: it names no nbformat", where=name)
    if document["nbformat"] != 4:
        raise Invalid(
            f"{name} has nbformat {document['nbformat']}; this version executes nbformat 4",
            where=name,
            hint=f"jupyter nbconvert --to notebook --nbformat 4 --inplace {name}",
        )
    language = _language(document)
    if not re.fullmatch(r"i?python\d*", language, re.IGNORECASE):
        raise Invalid(f"{name} is written in {language}; only notebooks of Python are executed", where=name)
    cells = document.get("cells")
    if not isinstance(cells, list):
        raise Invalid(f"{name} is not a notebook: it has no cells", where=name)
    document["cells"] = [_checked(cell, number, name) for number, cell in enumerate(cells, 1)]
    return Notebook(name, document)


def run_notebook(path: Path, parameters: Mapping[str, Any], root: Path) -> Executed:
    """Execute a notebook's cells as the main module of this process, from the notebook's own folder.

    Code cells are numbered from 1 on; the number is the execution count. The cell of given parameters has
    none, so that the numbers are those of the file.

    Args:
        path: the notebook, below `root`.
        parameters: what JSON can hold, by name.
        root: the copy of the project that the notebook may write into.

    Returns:
        Also when a cell failed, or ended the notebook with `sys.exit`; what it showed until then is kept.

    Raises:
        Invalid: it cannot be executed: see `read_notebook`, `with_parameters`; or it needs IPython.
    """
    notebook = read_notebook(path, str(path.relative_to(root))).with_parameters(parameters)
    if not has_ipython():
        _refuse_what_needs_ipython(notebook)
    document = _without_outputs(notebook.document)
    os.chdir(path.parent)
    make_importable(path.parent, root)
    sys.argv = [notebook.name]
    shown = Shown()
    with recorded(shown), _warnings_named_from(root), shell(new_main(), shown) as with_shell:
        for cell, number in _code_cells(document["cells"]):
            error = _run_cell(cell, number, with_shell, shown, path, root)
            if error is not None:
                return _ended(document, error, number, path, notebook.name)
    return Executed(document)


def shown_traceback(error: BaseException, root: Path) -> str:
    """The traceback as the user knows it: from their first frame on, by their project's paths."""
    trace = error.__traceback__
    ours = (str(Path(__file__).parent) + os.sep, f"{os.sep}IPython{os.sep}")
    while trace is not None and any(each in trace.tb_frame.f_code.co_filename for each in ours):
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(error), error, trace))
    return text.replace(f"{root}{os.sep}", "")


def _run_cell(
    cell: dict[str, Any], number: int | None, with_shell: Shell, shown: Shown, path: Path, root: Path
) -> BaseException | None:
    shown.begin(number)
    error = with_shell.run(cell["source"], _code_name(path, number), number or 0)
    if error is not None and not (isinstance(error, SystemExit) and not error.code):
        shown.error(type(error).__name__, _text(error), shown_traceback(error, root))
    cell["execution_count"] = number
    cell["outputs"] = shown.end()
    return error


def _ended(
    document: dict[str, Any], error: BaseException, number: int | None, path: Path, name: str
) -> Executed:
    if isinstance(error, SystemExit):
        failure = failure_of(error, "notebook")
        if failure is None:
            return Executed(document)
        error = failure.with_traceback(error.__traceback__)
    return Executed(document, error, _place(error, _code_name(path, number), name + _code_name("", number)))


def _code_name(path: Path | str, number: int | None) -> str:
    return f"{path} parameters" if number is None else f"{path} cell {number}"


def _place(error: BaseException, code_name: str, shown_name: str) -> str:
    """The cell, and the line at which it was when it failed."""
    lines = [
        line
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename == code_name
    ]
    if isinstance(error, SyntaxError) and error.filename == code_name and error.lineno:
        lines.append(error.lineno)
    return f"{shown_name}, line {lines[-1]}" if lines else shown_name


def _code_cells(cells: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], int | None]]:
    """The code cells that hold something, numbered; given parameters have no number."""
    number = 0
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        injected = _has_tag(cell, INJECTED_TAG)
        number += not injected
        if cell["source"].strip():
            yield cell, None if injected else number


def _refuse_what_needs_ipython(notebook: Notebook) -> None:
    for cell, number in _code_cells(notebook.cells):
        found = needs_ipython(cell["source"])
        if found is not None:
            line, what = found
            at = _code_name(notebook.name, number)
            raise Invalid(
                f"{at} uses `{what}`, which needs IPython, and this environment has none",
                where=f"{at}, line {line}",
                hint="add ipython to the dependencies: mlwright environments add ipython",
            )


def _without_outputs(document: dict[str, Any]) -> dict[str, Any]:
    """A copy as if it had never been executed."""
    fresh = copy.deepcopy(document)
    for cell in fresh["cells"]:
        cell["metadata"].pop("execution", None)  # when an earlier execution began and ended
        if cell["cell_type"] == "code":
            cell |= {"execution_count": None, "outputs": []}
    return fresh


def _language(document: dict[str, Any]) -> str:
    metadata = document.get("metadata")
    for part, key in (("language_info", "name"), ("kernelspec", "language")):
        about = metadata.get(part) if isinstance(metadata, dict) else None
        if isinstance(about, dict) and isinstance(about.get(key), str):
            return str(about[key])
    return "python"


def _checked(cell: Any, number: int, name: str) -> dict[str, Any]:
    """A cell with its source as one text and its metadata there."""
    if isinstance(cell, dict):
        source = cell.get("source", "")
        if isinstance(source, list) and all(isinstance(line, str) for line in source):
            source = "".join(source)
        metadata = cell.get("metadata", {})
        if isinstance(source, str) and isinstance(metadata, dict) and isinstance(cell.get("cell_type"), str):
            return {**cell, "source": source, "metadata": metadata}
    raise Invalid(f"{name} is not a notebook: the {number}. of its cells is damaged", where=name)


def _has_tag(cell: dict[str, Any], tag: str) -> bool:
    tags = cell["metadata"].get("tags")
    return cell["cell_type"] == "code" and isinstance(tags, list) and tag in tags


def _assigned(source: str, name: str) -> dict[str, str]:
    plain = "".join(line for line in source.splitlines(keepends=True) if not re.match(r"\s*[%!]", line))
    try:
        body = ast.parse(plain).body
    except (SyntaxError, ValueError) as error:
        raise Invalid(
            f"{name}: the cell tagged `{PARAMETERS_TAG}` is not Python: {error}", where=name
        ) from None
    found: dict[str, str] = {}
    for statement in body:
        match statement:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    found |= _defaults(target, value)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                found |= _defaults(target, value)
    return found


def _defaults(target: ast.expr, value: ast.expr | None) -> dict[str, str]:
    match target:
        case ast.Name(id=name):
            return {name: ast.unparse(value) if value else ""}
        case ast.Tuple(elts=targets) | ast.List(elts=targets):
            values: list[Any] = getattr(value, "elts", [])
            if len(values) != len(targets):
                values = [None] * len(targets)
            pairs = zip(targets, values, strict=True)
            return {name: text for pair in pairs for name, text in _defaults(*pair).items()}
    return {}


def _literal(value: Any) -> str:
    """JSON's value as Python writes it."""
    match value:
        case float() if not math.isfinite(value):
            return f'float("{value}")'
        case list():
            return f"[{', '.join(map(_literal, value))}]"
        case dict():
            return f"{{{', '.join(f'{key!r}: {_literal(each)}' for key, each in value.items())}}}"
    return repr(value)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # their exception's own __str__ is their code too
        return "(its message cannot be shown)"


@contextmanager
def _warnings_named_from(root: Path) -> Iterator[None]:
    """Name files in warnings by their path in the project: the folder of the copy is another each time."""
    formatted = warnings.formatwarning

    def shortened(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        line = linecache.getline(filename, lineno) if line is None else line
        return formatted(message, category, filename.removeprefix(f"{root}{os.sep}"), lineno, line)

    warnings.formatwarning = shortened
    try:
        yield
    finally:
        warnings.formatwarning = formatted
