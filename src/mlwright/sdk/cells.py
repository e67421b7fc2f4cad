"""What the cells of a notebook show: recorded for the executed notebook, and passed on as it comes."""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

TEXT_LIMIT = 2**20
"""Characters of text that one cell leaves in the executed notebook."""

Output = dict[str, Any]
"""One output of a cell, as nbformat 4 writes it."""


class Shown:
    """Collects what the running cell shows, in the order it came; cells follow each other."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._outputs: list[Output] = []
        self._chunks: list[str] = []
        self._left = TEXT_LIMIT
        self._cut = False
        self._clear_before_next = False
        self._by_id: dict[str, list[Output]] = {}

    def begin(self, number: int | None) -> None:
        """A cell begins.

        Args:
            number: its execution count.
        """
        self._number = number
        self._start_over()

    def end(self) -> list[Output]:
        """The cell has ended; what it showed."""
        self._join()
        if self._cut:
            note = f"\n[the text of this cell is cut after {TEXT_LIMIT:,} characters]\n"
            self._outputs.append({"output_type": "stream", "name": "stderr", "text": note})
        outputs = self._outputs
        self._start_over()
        return outputs

    def text(self, stream: str, text: str) -> None:
        """The cell wrote to standard output or error."""
        if not text:
            return
        self._maybe_clear()
        kept = self._within_limit(text)
        if not kept:
            return
        last = self._outputs[-1] if self._outputs else {}
        if last.get("name") != stream:
            self._join()
            self._outputs.append({"output_type": "stream", "name": stream, "text": ""})
        self._chunks.append(kept)

    def result(self, bundle: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> None:
        """The value of the cell's last expression, by MIME type."""
        self._show(
            {
                "output_type": "execute_result",
                "execution_count": self._number,
                "data": self._kept(bundle),
                "metadata": _json(metadata or {}),
            }
        )

    def display(
        self, bundle: Mapping[str, Any], metadata: Mapping[str, Any] | None = None, key: str | None = None
    ) -> None:
        """The cell displayed something, by MIME type.

        Args:
            bundle: MIME type -> representation.
            metadata: MIME type -> metadata.
            key: the name by which it may be updated.
        """
        output = {
            "output_type": "display_data",
            "data": self._kept(bundle),
            "metadata": _json(metadata or {}),
        }
        if key is not None:
            self._by_id.setdefault(key, []).append(output)
        self._show(output)

    def update(self, bundle: Mapping[str, Any], metadata: Mapping[str, Any] | None, key: str) -> None:
        """Something displayed before looks otherwise now."""
        for output in self._by_id.get(key, []):
            output |= {"data": self._kept(bundle), "metadata": _json(metadata or {})}

    def clear(self, *, wait: bool) -> None:
        """Forget what the cell showed.

        Args:
            wait: only when the next output comes.
        """
        self._clear_before_next = wait
        if not wait:
            self._start_over()

    def error(self, name: str, message: str, traceback: str) -> None:
        """The cell raised."""
        self._show(
            {
                "output_type": "error",
                "ename": name,
                "evalue": message,
                "traceback": traceback.splitlines(),
            }
        )

    def _show(self, output: Output) -> None:
        self._maybe_clear()
        self._join()
        self._outputs.append(output)

    def _join(self) -> None:
        if self._chunks:
            self._outputs[-1]["text"] = "".join(self._chunks)
            self._chunks = []

    def _start_over(self) -> None:
        self._outputs, self._chunks = [], []
        self._left, self._cut, self._clear_before_next = TEXT_LIMIT, False, False

    def _maybe_clear(self) -> None:
        if self._clear_before_next:
            self._start_over()

    def _within_limit(self, text: str) -> str:
        kept = text[: self._left]
        self._left -= len(kept)
        self._cut = self._cut or len(kept) < len(text)
        return kept

    def _kept(self, bundle: Mapping[str, Any]) -> dict[str, Any]:
        """The bundle as JSON; a picture or a page is kept whole, it would be worthless cut."""
        kept = {mime: _json(value) for mime, value in bundle.items()}
        if isinstance(kept.get("text/plain"), str):
            kept["text/plain"] = self._within_limit(kept["text/plain"])
        return kept


def _json(value: Any) -> Any:
    """A value of its own that JSON can hold: what shows it may change it afterwards."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return json.loads(json.dumps(value, default=str, skipkeys=True))


class _Tee(io.TextIOBase):
    """A standard stream whose text is recorded too."""

    def __init__(self, stream: TextIO, name: str, shown: Shown) -> None:
        self._stream = stream
        self._name = name
        self._shown = shown

    def write(self, text: str) -> int:
        written = self._stream.write(text)
        self._shown.text(self._name, text)
        return written

    def flush(self) -> None:
        self._stream.flush()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()

    def close(self) -> None:
        """The stream is the process's: a cell does not close it."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self._stream.errors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def recorded(shown: Shown) -> Iterator[None]:
    """Record what is written to `sys.stdout` and `sys.stderr`; it reaches them all the same.

    What goes past these two, from a library in C or a process that was started, is not recorded.
    """
    kept = sys.stdout, sys.stderr
    sys.stdout = _Tee(kept[0], "stdout", shown)
    sys.stderr = _Tee(kept[1], "stderr", shown)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = kept
        for stream in kept:
            stream.flush()
