"""Seeds: the libraries that draw random numbers begin each attempt where the last run of it began."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import Any

_SEEDERS: dict[str, Callable[[Any, int], object]] = {
    "numpy": lambda numpy, seed: numpy.random.seed(seed % 2**32),
    "torch": lambda torch, seed: torch.manual_seed(seed),
}


class _SeedAtImport:
    """Seeds a library that a step imports only while it runs, as if it had been there before.

    A finder of `sys.meta_path`, not named one: `importlib.abc` would cost each worker 5 ms.
    """

    seed: int | None = None

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """The library's own spec, with a loader that seeds it; None for every other module."""
        if name not in _SEEDERS or self.seed is None:
            return None
        sys.meta_path.remove(self)
        try:
            spec = find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        if spec is None or spec.loader is None:
            return None
        execute, seed = spec.loader.exec_module, self.seed

        def exec_module(module: Any) -> None:
            execute(module)
            _SEEDERS[name](module, seed)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


_seed_at_import = _SeedAtImport()


def seed_all(seed: int | None) -> None:
    """Seed what is imported, and what the step will import; None leaves everything as it is."""
    _seed_at_import.seed = seed
    if _seed_at_import not in sys.meta_path:
        sys.meta_path.insert(0, _seed_at_import)
    if seed is None:
        return
    random.seed(seed)
    for name, seeder in _SEEDERS.items():
        if name in sys.modules:
            seeder(sys.modules[name], seed)
