"""A script or a notebook as the whole work of a worker, in a copy of the project that is its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlwright.sdk.notebook import run_notebook
from mlwright.sdk.script import run_script, wind_down
from mlwright.sdk.written import folder_state, written_since

NOTEBOOK = "notebook"
"""The output that is the notebook as it was executed."""


def run_whole(
    kind: str,
    path: str,
    arguments: Mapping[str, Any],
    root: Path,
    keep: Callable[[str, Any], None],
    *,
    alone: bool,
) -> BaseException | None:
    """Run it to its end, whatever that is, and keep what it wrote.

    Args:
        kind: `script` or `notebook`.
        path: relative to `root`.
        arguments: of a script, texts under `arguments`; of a notebook, its parameters: each as it is sent.
        root: the copy of the project.
        keep: takes each output: a name, and the value.
        alone: whether the process ends with it.

    Returns:
        What it failed of; None when it did not.
    """
    values = {name: each["value"] for name, each in arguments.items()}
    before = folder_state(root)
    error: BaseException | None = None
    try:
        if kind == "script":
            run_script(root / path, values["arguments"], root)
        else:
            executed = run_notebook(root / path, values, root)
            keep(NOTEBOOK, executed.encoded())
            error = executed.error
    except BaseException as raised:  # SystemExit too
        error = raised
    if alone:
        wind_down()
    for file in written_since(root, before):
        keep(file.as_posix(), root / file)
    return error
