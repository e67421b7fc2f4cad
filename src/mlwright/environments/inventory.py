"""What an environment holds: which distribution gives which module, needs which others, and its hashes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import asdict


class Inventory(Struct, frozen=True):
    """The distributions of one environment, each by its normalised name.

    Args:
        modules: top-level module to the distributions that bring it.
        requires: distribution to those it requires here.
        pins: distribution to `version b3:digest-of-its-file-hashes`.
    """

    modules: dict[str, tuple[str, ...]]
    requires: dict[str, tuple[str, ...]]
    pins: dict[str, str]

    def closure(self, names: Iterable[str]) -> dict[str, str]:
        """Distributions and all that they require, each with its pin; unknown names are left out."""
        reached: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in self.pins and name not in reached:
                reached.add(name)
                waiting += self.requires[name]
        return {name: self.pins[name] for name in sorted(reached)}

    def write(self, path: Path) -> None:
        """Keep it beside the environment."""
        path.write_text(json.dumps(asdict(self), sort_keys=True))

    @classmethod
    def read(cls, path: Path) -> Inventory:
        """Read what `write` kept."""
        return msgspec.json.decode(path.read_bytes(), type=cls)
