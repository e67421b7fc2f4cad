"""An artifact as it lies in the store, for a step of ours that reads it itself."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

STORED = "mlwright.sdk.stored.Stored"
"""The type by which a step asks for it."""


class Stored(NamedTuple):
    """The bytes of an artifact, and what reads them.

    Args:
        codec: its name.
        path: a file that is only to be read.
    """

    codec: str
    path: Path
