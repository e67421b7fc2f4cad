"""Started as a script by the interpreter of an environment that need not hold this package.

It makes `mlwright` importable from the engine's own folder, and nothing else of the engine's, then runs
`main(arguments)` of the module that is named. Arguments: the package's folder, the engine's process id, the
module, the rest.
"""

from __future__ import annotations

import sys


def _graft(package: str) -> None:
    """Make the engine's package importable here, without the folder that holds its dependencies."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("mlwright", f"{package}/__init__.py", submodule_search_locations=[package])
    assert spec is not None and spec.loader is not None
    sys.modules["mlwright"] = module = module_from_spec(spec)
    spec.loader.exec_module(module)


def _die_with(engine: int) -> None:
    """When the thread that started this process is gone, so is the process.

    Source: prctl(2), PR_SET_PDEATHSIG = 1. Linux only; elsewhere nothing happens.
    """
    if sys.platform == "linux":
        import ctypes
        import os
        import signal

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != engine:  # it was gone before the signal was asked for
            sys.exit(1)


if __name__ == "__main__":
    _die_with(int(sys.argv[2]))
    _graft(sys.argv[1])
    from importlib import import_module

    import_module(sys.argv[3]).main(sys.argv[4:])
