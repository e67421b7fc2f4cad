"""Started as a script by the interpreter of an environment that need not hold this package.

It makes `mlwright` importable from the engine's own folder, and nothing else of the engine's, then runs
`main(arguments)` of the module that is named. Arguments: the package's folder, the engine's process id (0 for
what outlives it), the module, the rest.
"""

from __future__ import annotations

import sys

MEMORY = "MLWRIGHT_MEMORY_BYTES"
"""The variable by which the engine hands in the limit of memory."""


def _graft(package: str) -> None:
    """Make the engine's package importable here, without the folder that holds its dependencies."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("mlwright", f"{package}/__init__.py", submodule_search_locations=[package])
    assert spec is not None and spec.loader is not None
    sys.modules["mlwright"] = module = module_from_spec(spec)
    spec.loader.exec_module(module)


def _bind_to(engine: int) -> None:
    """End with the thread that started this process, and take in what those it starts leave behind.

    So everything it starts, however often removed, is below it as long as it lives.

    Args:
        engine: the process of that thread; 0 to outlive it.

    Source: prctl(2), PR_SET_PDEATHSIG = 1, PR_SET_CHILD_SUBREAPER = 36. On Linux only.
    """
    if sys.platform == "linux":
        import ctypes
        import os

        prctl = ctypes.CDLL(None).prctl
        prctl(36, 1, 0, 0, 0)
        if engine:
            prctl(1, 9, 0, 0, 0)
            if os.getppid() != engine:  # it was gone before the signal was asked for
                sys.exit(1)


def _limit_memory() -> None:
    """Refuse this process, and each that it starts, more memory for itself than it may have."""
    import os

    limit = os.environ.pop(MEMORY, "")
    if limit:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (int(limit), int(limit)))


if __name__ == "__main__":
    _bind_to(int(sys.argv[2]))
    _limit_memory()
    _graft(sys.argv[1])
    from importlib import import_module

    import_module(sys.argv[3]).main(sys.argv[4:])
