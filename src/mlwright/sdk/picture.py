"""A picture: what comes back of a figure of matplotlib, which is code and state that no file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
"""How every PNG begins. Source: ISO/IEC 15948:2003, 5.2."""


class Picture:
    """An image, as PNG. Notebooks show it.

    Args:
        png: the bytes of the file.
    """

    __slots__ = ("png",)

    def __init__(self, png: bytes) -> None:
        self.png = png

    def save(self, path: str | Path) -> None:
        """Write the image to a file, whose name should end in .png."""
        Path(path).write_bytes(self.png)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Picture) and self.png == other.png

    def __hash__(self) -> int:
        return hash(self.png)

    def __repr__(self) -> str:
        return f"Picture({len(self.png):,} bytes)"

    def _repr_png_(self) -> bytes:
        return self.png

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"a figure that was stored comes back as a picture, which has no `{name}`:"
            " it has `png` and `save(path)`; to draw it anew, return the numbers too"
        )
