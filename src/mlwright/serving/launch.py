"""The replica's process, started as a script by the interpreter of the model's environment.

As in `sdk/worker.py`, `mlwright` is made importable from the engine's own folder and nothing else of the
engine's is. Arguments: the package's folder, the spec's path, the listening socket's descriptor, the
process id of the engine.
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


if __name__ == "__main__":
    _graft(sys.argv[1])
    from mlwright.serving.replica import main

    main(sys.argv[2:])
