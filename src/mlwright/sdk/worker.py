"""The process that runs a user's functions, in the environment of their steps.

Started as a script by the interpreter of that environment: it makes `mlwright` importable from the
engine's own folder and nothing else of the engine's, then serves requests over an inherited socket until
the other side is gone. It reads paths it is given and writes into the scratch folder it is given.

Requests (`op`): `parameters`, `trace`, `execute`. Answers: `done`, or `failed` with what the user's code
raised and where.
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
    from mlwright.sdk.session import main

    main()
