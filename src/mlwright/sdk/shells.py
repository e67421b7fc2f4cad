"""What executes the cells of a notebook: IPython where the environment has it, else Python alone."""

from __future__ import annotations
import __future__

import ast
import linecache
import os
import re
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from mlwright.sdk.cells import Shown


class Shell(Protocol):
    """Executes cells, one after the other, in the namespace of one main module.

    Laws, examined for both by `tests/sdk/test_notebook.py`:
        1. what one cell defines, the next one sees
        2. a cell's last expression, unless a semicolon follows it, is shown as its result
        3. what a cell raises is the answer, never raised; its traceback shows the cell's own lines
    """

    def run(self, source: str, name: str, number: int) -> BaseException | None:
        """Execute a cell.

        Args:
            source: its text.
            name: the file name of its code.
            number: its execution count.
        """
        ...


def has_ipython() -> bool:
    """Whether this environment has IPython."""
    return find_spec("IPython") is not None


@contextmanager
def shell(main: types.ModuleType, shown: Shown) -> Iterator[Shell]:
    """The best shell that this environment has."""
    if not has_ipython():
        yield PlainShell(main, shown)
        return
    with TemporaryDirectory(prefix="mlwright-ipython-") as folder:
        yield IPythonShell(main, shown, folder)


class PlainShell:
    """Python alone.

    Args:
        main: the module that the cells make up.
        shown: collects what they show.
    """

    def __init__(self, main: types.ModuleType, shown: Shown) -> None:
        self._names = main.__dict__
        self._shown = shown
        self._flags = 0  # a `from __future__ import` holds for the cells after it too
        self._names["display"] = self._display

    def run(self, source: str, name: str, number: int) -> BaseException | None:
        """Execute a cell."""
        lines = [f"{line}\n" for line in source.split("\n")]
        linecache.cache[name] = (len(source), None, lines, name)
        try:
            value = self._value(source, name)
            if value is not None and not source.rstrip().endswith(";"):
                self._shown.result({"text/plain": repr(value)})
        except BaseException as error:  # SystemExit too: what it means is the notebook's to say
            return error
        return None

    def _value(self, source: str, name: str) -> Any:
        """Execute all but a last expression, then answer that one's value."""
        tree = compile(source, name, "exec", self._flags | ast.PyCF_ONLY_AST, dont_inherit=True)
        assert isinstance(tree, ast.Module)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(self._code(tree, name, "exec"), self._names)  # noqa: S102 - the user's own notebook
        if not isinstance(last, ast.Expr):
            return None
        return eval(self._code(ast.Expression(last.value), name, "eval"), self._names)  # noqa: S307

    def _code(self, tree: ast.Module | ast.Expression, name: str, mode: str) -> types.CodeType:
        code: types.CodeType = compile(tree, name, mode, self._flags, dont_inherit=True)
        for feature in __future__.all_feature_names:
            self._flags |= code.co_flags & getattr(__future__, feature).compiler_flag
        return code

    def _display(self, *values: object) -> None:
        for value in values:
            self._shown.display({"text/plain": repr(value)})


class IPythonShell:
    """IPython's interactive shell: magics, `!commands`, `display`, rich results, top-level `await`.

    Nothing of the user's own configuration or history is read or written.

    Args:
        main: the module that the cells make up.
        shown: collects what they show.
        folder: where IPython may keep what it wants to keep.
    """

    def __init__(self, main: types.ModuleType, shown: Shown, folder: str) -> None:
        shells: Any = import_module("IPython.core.interactiveshell")
        config: Any = import_module("traitlets.config").Config()
        config.HistoryManager.enabled = False
        if find_spec("matplotlib_inline") is not None:  # as in Jupyter: figures show below their cell
            os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
        # IPython would look for packages in an activated environment that is not the one it runs in.
        activated = os.environ.pop("VIRTUAL_ENV", None)
        try:
            self._shell: Any = shells.InteractiveShell.instance(
                user_module=main, ipython_dir=folder, config=config
            )
        finally:
            if activated is not None:
                os.environ["VIRTUAL_ENV"] = activated
        self._name = ""
        self._raised: BaseException | None = None
        self._show_through(shown)
        self._shell.compile.get_code_name = lambda raw, transformed, number: self._name
        self._shell.showtraceback = self._traceback_wanted
        self._shell.showsyntaxerror = lambda *arguments, **options: self._traceback_wanted()
        # What IPython keeps of an exception, it makes by calling the exception's own code.
        self._shell._format_exception_for_storage = lambda error, *arguments, **options: {
            "ename": type(error).__name__,
            "evalue": "",
            "traceback": [],
        }
        self._shell.ask_exit = sys.exit
        self._shell.enable_gui = lambda gui=None: None  # `%matplotlib inline` asks for none
        warnings.filterwarnings("ignore", message="To exit: use")

    def run(self, source: str, name: str, number: int) -> BaseException | None:
        """Execute a cell."""
        self._name, self._raised = name, None
        self._shell.execution_count = number
        done = self._shell.run_cell(_keeping_lines(source), store_history=number > 0)
        error: BaseException | None = done.error_before_exec or done.error_in_exec or self._raised
        return error

    def _show_through(self, shown: Shown) -> None:
        self._shell.display_pub = _Publisher(shown)
        self._shell.displayhook.write_output_prompt = lambda: None
        self._shell.displayhook.write_format_data = shown.result

    def _traceback_wanted(self, given: Any = None, *arguments: Any, **options: Any) -> None:
        """IPython would print a traceback; the notebook does, so that it is the same for both shells.

        Some magics (`%%time`, `%run`) only print what was raised: that ends the notebook all the same. What
        comes with its exception `given` is an object's failing representation, which ends nothing.
        """
        if given is None:
            self._raised = self._raised or sys.exc_info()[1]
        else:
            sys.stderr.write(f"{type(given[1]).__name__}: {given[1]}\n")


class _Publisher:
    """Where IPython's `display` goes."""

    is_publishing = False

    def __init__(self, shown: Shown) -> None:
        self._shown = shown

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        *_: object,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **__: object,
    ) -> None:
        """Show something, or show something else in its place."""
        key = (transient or {}).get("display_id")
        if update and key is not None:
            self._shown.update(data, metadata, key)
        else:
            self._shown.display(data, metadata, key)

    def clear_output(self, wait: bool = False) -> None:
        """Forget what the cell has shown."""
        self._shown.clear(wait=wait)


def _keeping_lines(source: str) -> str:
    """The cell for IPython, which drops leading empty lines, and with them the true line numbers."""
    empty = len(source) - len(source.lstrip("\n"))
    return source if source[empty:].startswith("%%") else "#\n" * empty + source[empty:]


_OF_IPYTHON = re.compile(r"\s*([%!?]+\w*)|[\w.,\s\[\]\"']+=\s*([%!]\w*)|.*?(\?+)\s*$")


def needs_ipython(source: str) -> tuple[int, str] | None:
    """The first thing in a cell that only IPython understands: its line and what it is; None for Python.

    A cell that is neither is left to fail when its turn comes.
    """
    lines = source.splitlines()
    first = next((number for number, line in enumerate(lines, 1) if line.strip()), 1)
    if source.lstrip().startswith("%%"):
        return first, _named(lines[first - 1])
    try:
        compile(source, "cell", "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        at = getattr(error, "lineno", None)
        found = [number for number, line in enumerate(lines, 1) if _OF_IPYTHON.match(line)]
        line = at if at in found else next(iter(found), None)
        return None if line is None else (line, _named(lines[line - 1]))
    return _top_level_await(source)


def _named(line: str) -> str:
    found = _OF_IPYTHON.match(line)
    assert found is not None
    return next(group for group in found.groups() if group)


def _top_level_await(source: str) -> tuple[int, str] | None:
    try:
        compile(source, "cell", "exec", 0, dont_inherit=True)
    except SyntaxError as error:
        line = error.lineno or 1
    else:
        return None
    try:
        compile(source, "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except SyntaxError:
        return None
    return line, "await"
