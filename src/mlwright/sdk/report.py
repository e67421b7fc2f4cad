"""What a step tells about itself while it runs; outside a run the same calls do nothing.

Each call adds to the attempt's journal, so that nothing said before a crash is lost. Threads and forked
processes of a step may report at once; a process that it starts anew is outside the run.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from mlwright.kernel.errors import Invalid
from mlwright.sdk import attempts
from mlwright.sdk.journal import Journal
from mlwright.sdk.measures import MAX_NAME_CHARACTERS, named, whole

Item = TypeVar("Item")

MAX_ARTIFACT_NAME_CHARACTERS = 200
"""How long the name of a logged artifact may be, its folders included."""

_PROGRESS_EVERY_S = 0.1


_journal: Journal | None = None
_watching_forks = False


def open_journal(path: Path | str, scratch: Path, node: str = "") -> None:
    """Send what the step reports to `path`; the worker calls this before each attempt.

    It only remembers where: the file is made at the first report.

    Args:
        path: the journal. It and its folder need not exist.
        scratch: a folder, made when it is needed, where logged bytes are kept until the engine takes them.
        node: whose journal it is, for who finds it when nobody else knows of the attempt any more.
    """
    global _journal, _watching_forks  # noqa: PLW0603 - one attempt at a time in a worker, by construction
    close_journal()
    if not _watching_forks:
        os.register_at_fork(after_in_child=_forked)
        _watching_forks = True
    _journal = Journal(path, scratch, json.dumps({"node": node}).encode() + b"\n" if node else b"")
    attempts.begin()


def close_journal() -> bool:
    """Stop reporting.

    Returns:
        Whether there is a journal: whether this process, or a child of it, has reported anything.
    """
    global _journal
    if _journal is None:
        return False
    closed, _journal = _journal, None
    attempts.end()
    return closed.close()


def _forked() -> None:
    if _journal is not None:
        _journal.points.forked()


def log_metric(name: str, value: float, *, step: int = 0) -> None:
    """Report one number of the run.

    Args:
        name: what is measured, in at most 250 characters.
        value: any real number, NaN and infinities too; a NumPy or torch scalar is taken by its value.
        step: where in the training it was measured.

    Raises:
        Invalid: the name is not text, the value is no number, or the step is no whole number.
    """
    if _journal is not None:
        points = _journal.points
        points.put(points.point(name, value, step))


def log_metrics(values: Mapping[str, float], *, step: int = 0) -> None:
    """Report several numbers at once: all of them, or none when one is refused; see `log_metric`."""
    if _journal is not None:
        _refuse_no_mapping(values, "log_metrics")
        points = _journal.points
        for point in [points.point(name, value, step) for name, value in values.items()]:
            points.put(point)


def log_param(name: str, value: Any) -> None:
    """Report a setting of the run that is not among the pipeline's parameters.

    When the run has a parameter of that name with another value, this one is kept as `STEP.NAME`.

    Args:
        name: what is set, in at most 250 characters.
        value: None, a boolean, number or text, or lists and dictionaries of these; a NumPy scalar is taken
            by its value.

    Raises:
        Invalid: the name is not text, or the value is something else.
    """
    if _journal is not None:
        _journal.write(_param_line(name, value))


def log_params(values: Mapping[str, Any]) -> None:
    """Report several settings at once: all of them, or none when one is refused; see `log_param`."""
    if _journal is not None:
        _refuse_no_mapping(values, "log_params")
        _journal.write(b"".join(_param_line(name, value) for name, value in values.items()))


def log_artifact(value: Any, name: str | None = None) -> None:
    """Keep a file, a folder or a value with the run. Of one name, the last is kept.

    A `Path` is a file or folder; a `str` is text, even if there is a file of that name.

    Args:
        value: a `Path` to a file; a `Path` to a folder, whose files become `NAME/relative/path` (links to
            folders are not followed); or what a step can return: a table, an array, a model, text, bytes,
            JSON values. It is copied at once: what happens to it later does not count.
        name: how it is called, as `plots/roc.png`; by default the name of the file or folder. A value needs
            one.

    Raises:
        Invalid: no such file, a folder without files, a value that nothing can store, or a name that is
            empty, absolute, not printable, longer than 200 characters or leads out of its folder.
    """
    if _journal is None:
        return
    journal = _journal
    if isinstance(value, Path):
        files = _files_of(value, name)
        folder = journal.folder()
        lines = [
            _copied(file, called, folder / str(number)) for number, (called, file) in enumerate(files.items())
        ]
        journal.write(b"".join(lines))
        return
    if name is None:
        hint = 'name it, as in log_artifact(value, "summary")'
        if isinstance(value, str):
            hint += "; a file is given as a Path: log_artifact(Path(...))"
        raise Invalid("log_artifact needs a name for a value", hint=hint)
    name = _artifact_name(name)
    place = journal.folder() / "0"
    codec = _encoded(value, name, place)
    journal.write(_artifact_line(name, place, codec.name, type(value), codec.describe(value)))


def log_figure(figure: Any, name: str) -> None:
    """Keep a figure with the run, as a file. Of one name, the last is kept.

    Args:
        figure: of matplotlib or what is built on it (.png, .svg, .pdf; equal figures have equal bytes), of
            plotly or Altair (.html), or an image of PIL (.png, .jpg, .webp).
        name: how it is called, as `plots/roc.svg`. Its suffix says the format; without one it becomes .png
            or .html.

    Raises:
        Invalid: not a figure, a suffix it cannot be written as, or a name that `log_artifact` would refuse.
    """
    if _journal is None:
        return
    from mlwright.sdk.figures import writer_of

    journal = _journal
    suffix, write = writer_of(figure, _artifact_name(name))
    if not PurePosixPath(name).suffix:
        name = _artifact_name(name + suffix)
    place = journal.folder() / "0"
    write(place)
    about = {"name": PurePosixPath(name).name, "figure": _type_name(type(figure))}
    journal.write(_artifact_line(name, place, "file", type(place), about))


def progress(iterable: Iterable[Item], *, total: int | None = None, what: str = "") -> Iterator[Item]:
    """Iterate, and show whoever watches the run how far it is.

    It is reported at the beginning, about ten times a second, and at the end; when the loop is left early,
    the item in hand does not count as done.

    Args:
        iterable: what is worked through.
        total: how many items there will be; by default its length, where it has one.
        what: what they are, as `"epochs"`.

    Raises:
        Invalid: `total` is no count, or `what` is not text.
    """
    if _journal is None:
        return iter(iterable)
    if total is None:
        try:
            total = len(iterable)  # type: ignore[arg-type]
        except TypeError:
            total = None
    else:
        total = whole(total, "the total of a progress")
    if not isinstance(what, str) or len(what) > MAX_NAME_CHARACTERS or (total is not None and total < 0):
        raise Invalid(
            f"progress cannot count {total!r} of {what!r}",
            hint=f'as in progress(batches, total=100, what="batches"), at most {MAX_NAME_CHARACTERS} letters',
        )
    return _counted(_journal, iter(iterable), total, what)


def _counted(journal: Journal, items: Iterator[Item], total: int | None, what: str) -> Iterator[Item]:
    done, clock = 0, time.monotonic

    def tell() -> None:
        told = {"progress": done, "total": total, "what": what, "at_us": _now_us()}
        journal.write(json.dumps(told).encode() + b"\n")

    tell()
    journal.loops.add(tell)
    due = clock() + _PROGRESS_EVERY_S
    try:
        for item in items:
            yield item
            done += 1
            # Looking every so many items would save little, and be blind when a fast loop turns slow.
            if clock() >= due:
                tell()
                due = clock() + _PROGRESS_EVERY_S
    finally:
        journal.loops.discard(tell)
        tell()


def _param_line(name: str, value: Any) -> bytes:
    from mlwright.sdk.codecs.plain import JsonCodec

    name = named(name, "a parameter")
    if not JsonCodec().matches(value):
        raise Invalid(
            f"the parameter {name!r} is {_a_type(type(value))}, which is not a JSON value",
            hint="give a number, text, boolean, None, or lists and dictionaries of these;"
            " for other values use log_artifact",
        )
    told = {"param": name, "value": value, "at_us": _now_us()}
    return json.dumps(told, default=lambda scalar: scalar.item()).encode() + b"\n"


def _artifact_line(name: str, path: Path, codec: str, kind: type, about: dict[str, Any]) -> bytes:
    told = {"artifact": name, "path": str(path), "codec": codec, "type": _type_name(kind), "about": about}
    return json.dumps(told | {"at_us": _now_us()}).encode() + b"\n"


def _copied(file: Path, name: str, place: Path) -> bytes:
    from shutil import copyfile

    copyfile(file, place)
    return _artifact_line(name, place, "file", type(file), {"name": file.name})


def _files_of(path: Path, name: str | None) -> dict[str, Path]:
    """The file, or each file of the folder, by the name it is logged as."""
    if name is None:
        name = path.name if path.name not in {"", ".."} else path.resolve().name
    name = _artifact_name(name)
    if path.is_file():
        return {name: path}
    if not path.is_dir():
        raise Invalid(
            f"there is no file {path}",
            hint="write it before it is logged; a relative path begins in the step's own working folder",
        )
    found = {}
    for root, folders, files in os.walk(path):
        folders.sort()
        for file in (Path(root, each) for each in sorted(files)):
            if file.is_file():
                found[_artifact_name(f"{name}/{file.relative_to(path).as_posix()}")] = file
    if not found:
        raise Invalid(f"the folder {path} has no files to log", hint="write them before it is logged")
    return found


def _artifact_name(name: Any) -> str:
    if not isinstance(name, str):
        raise Invalid(f"an artifact's name must be text, not {name!r}", hint='as in "plots/roc.png"')
    whole = str(PurePosixPath(name)) == name and name != "." and ".." not in name.split("/")
    if (
        not whole
        or name.startswith("/")
        or not name.isprintable()
        or len(name) > MAX_ARTIFACT_NAME_CHARACTERS
    ):
        raise Invalid(
            f"an artifact cannot be named {name!r}",
            hint='use a relative path as "plots/roc.png", printable, without `..`,'
            f" of at most {MAX_ARTIFACT_NAME_CHARACTERS} characters",
        )
    return name


def _encoded(value: Any, name: str, place: Path) -> Any:
    """The codec that has written a value; pickle never does: nobody would load it."""
    from mlwright.sdk.codecs import Unstorable, codecs_for

    refused: Unstorable | None = None
    for codec in codecs_for(value):
        try:
            codec.encode(value, place)
        except Unstorable as error:
            refused = refused or error
        else:
            return codec
    if refused is not None:
        raise refused
    raise Invalid(
        f"the artifact `{name}` is {_a_type(type(value))}, which no codec can store",
        hint="give a table, an array, a model, text, bytes, JSON values,"
        " or a Path to a file that you wrote; a figure goes to log_figure",
    )


def _refuse_no_mapping(values: Any, call: str) -> None:
    if not isinstance(values, Mapping):
        raise Invalid(
            f"{call} takes names with their values, not {_a_type(type(values))}",
            hint=f'as in {call}({{"name": 0.5}})',
        )


def _type_name(kind: type) -> str:
    from mlwright.sdk.types import type_name

    return type_name(kind)


def _a_type(kind: type) -> str:
    from mlwright.sdk.types import a_type

    return a_type(kind)


def _now_us() -> int:
    return time.time_ns() // 1000
