"""How a figure becomes a file: by the method that its library gives it, with no library imported here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path, PurePosixPath
from typing import Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.types import a_type

Write = Callable[[Path], object]

# None takes away what matplotlib would write by itself: its version, and the time.
_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Creator": None, "Date": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}
_IMAGES = {"png": "png", "jpg": "jpeg", "jpeg": "jpeg", "webp": "webp"}


def writer_of(figure: Any, name: str) -> tuple[str, Write]:
    """How to write a figure under a name.

    Args:
        figure: what has `savefig`, or a `figure` that has it; `write_html` or `to_html`; or `save`.
        name: its suffix says the format, if it has one.

    Returns:
        The suffix, with its dot, that the name has or should get; and what writes the file.

    Raises:
        Invalid: nothing of the kind, or a format that it cannot be written in.
    """
    drawn = figure if hasattr(figure, "savefig") else getattr(figure, "figure", None)  # an Axes knows its own
    if hasattr(drawn, "savefig"):
        format_ = _format(figure, name, _METADATA)
        return f".{format_}", lambda path: save_drawn(drawn, path, format_)
    if hasattr(figure, "write_html") or hasattr(figure, "to_html"):
        return f".{_format(figure, name, ('html',))}", lambda path: _save_page(figure, path)
    if hasattr(figure, "save"):
        format_ = _format(figure, name, _IMAGES)
        return f".{format_}", lambda path: figure.save(path, format=_IMAGES[format_])
    raise Invalid(
        f"log_figure cannot write {a_type(type(figure))}",
        hint="give a figure of matplotlib or plotly, or an image of PIL; log_artifact takes files and values",
    )


def _format(figure: Any, name: str, known: Any) -> str:
    """The format that a name asks for, or the first one of the known."""
    formats = list(known)
    wanted = PurePosixPath(name).suffix.lower().removeprefix(".") or formats[0]
    if wanted not in formats:
        raise Invalid(
            f"{a_type(type(figure))} cannot be logged as {name!r}",
            hint=f"end the name in {' or '.join(f'.{each}' for each in formats)}",
        )
    return wanted


def save_drawn(figure: Any, path: Path, format_: str) -> None:
    """Write a figure of matplotlib, the same bytes for the same figure: no time, no random ids."""
    library = sys.modules.get("matplotlib")
    fixed: AbstractContextManager[object] = nullcontext()
    if library is not None:
        fixed = library.rc_context({"svg.hashsalt": "mlwright"})
    with fixed:
        figure.savefig(path, format=format_, metadata=_METADATA[format_])


def _save_page(figure: Any, path: Path) -> None:
    # plotly gives the page's element a random id where it is not told one; others do not know the argument.
    options = {"div_id": "figure"} if type(figure).__module__.partition(".")[0] == "plotly" else {}
    if hasattr(figure, "write_html"):
        figure.write_html(path, **options)
    else:
        path.write_text(figure.to_html(**options), encoding="utf-8")
