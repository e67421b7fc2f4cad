"""How work on many bytes goes on, told to whoever watches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Hears how work goes on; this one says nothing. One piece of work at a time."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def begin(self, what: str, total_bytes: int | None = None) -> None:
        """Work begins.

        Args:
            what: as it stands before the bar: `adding patients`.
            total_bytes: all there is to do; None when nobody knows.
        """

    def advance(self, done_bytes: int) -> None:
        """So many bytes more are done. Cheap; may be called from any thread."""

    def end(self) -> None:
        """The work is over, however it went."""

    @contextmanager
    def work(self, what: str, total_bytes: int | None = None) -> Iterator[None]:
        """Work from its begin to its end, as `begin` is told of it."""
        self.begin(what, total_bytes)
        try:
            yield
        finally:
            self.end()


SILENT = Progress()
"""Nobody watches."""
