"""Run a script as `python script.py` would, in a worker that is retired afterwards."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import types
from importlib.machinery import SourceFileLoader
from pathlib import Path

from mlwright.kernel.errors import WorkFailed
from mlwright.sdk.forked import children_end_here


def run_script(path: Path, arguments: list[str], root: Path) -> None:
    """Execute a script as the main module of this process, from the project's root.

    The working directory, `sys.argv`, `sys.path` and the main module stay the script's own afterwards:
    what it left behind (threads, exit handlers) may still need them. See `wind_down`.

    Args:
        path: the script, below `root`.
        arguments: what follows its name on the command line.
        root: the copy of the project that the script may write into.

    Raises:
        WorkFailed: it ended itself with a status other than 0; with the place where it did.
        BaseException: whatever it raised.
    """
    os.chdir(root)
    make_importable(path.parent, root)
    sys.argv = [str(path.relative_to(root)), *arguments]
    main = new_main()
    main.__dict__.update(
        __file__=str(path), __cached__=None, __loader__=SourceFileLoader("__main__", str(path))
    )
    code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    try:
        with children_end_here(lambda error: sys.excepthook(type(error), error, error.__traceback__)):
            exec(code, main.__dict__)  # noqa: S102 - the user's own script
    except SystemExit as ended:
        failure = failure_of(ended, "script")
        if failure is not None:
            raise failure.with_traceback(ended.__traceback__) from None


def wind_down() -> None:
    """Do what Python does when its main module has ended: wait for its threads, run its exit handlers.

    What these write is the script's output too, so it has to be there before anyone looks. Only for a
    process that ends soon: in one that goes on, threads that others own would be waited for.
    """
    threading._shutdown()  # type: ignore[attr-defined] # no other way lets an idle thread pool end
    atexit._run_exitfuncs()


def failure_of(ended: SystemExit, what: str) -> WorkFailed | None:
    """What `sys.exit(...)` means, by Python's rules; a text is written to standard error.

    Returns:
        None for a success.
    """
    if ended.code is None:
        return None
    if isinstance(ended.code, int):
        status = ended.code & 0xFF  # all that a process can tell
        return WorkFailed(f"the {what} ended with exit status {status}") if status else None
    text = str(ended.code)
    sys.stderr.write(f"{text}\n")
    return WorkFailed(f"the {what} ended with exit status 1: {text}")


def make_importable(folder: Path, root: Path) -> None:
    """Look for modules in a folder first, then in the project's root, then where it was looked before."""
    first = list(dict.fromkeys([str(folder), str(root)]))
    sys.path[:] = [*first, *(entry for entry in sys.path if entry not in first)]


def new_main() -> types.ModuleType:
    """Put a fresh main module in the place of the worker's, so that pickling finds what it defines."""
    main = types.ModuleType("__main__")
    main.__dict__.update(__builtins__=__builtins__, __annotations__={})
    sys.modules["__main__"] = main
    return main
