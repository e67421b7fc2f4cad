"""How the doors speak to a terminal: the options every command has, plans, tables, JSON, errors."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO, cast

import click

from mlwright.kernel.errors import Cancelled, Invalid, MlwrightError, Unavailable, disk_full, is_disk_full
from mlwright.kernel.plain import plain
from mlwright.kernel.progress import SILENT, Progress
from mlwright.kernel.words import counted

if TYPE_CHECKING:
    from mlwright.app import Project
    from mlwright.kernel.plan import Plan

Function = Callable[..., Any]

_BAR_AFTER_S = 0.5
_BAR_EVERY_S = 0.05

HELP = {"help_option_names": ["-h", "--help"]}

_COMMON = (
    click.option("--debug", is_flag=True, help="Show tracebacks of mlwright itself."),
    click.option("--json", "as_json", is_flag=True, help="Answer in JSON."),
    click.option(
        "--project",
        "project_dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path(),
        metavar="DIR",
        help="The project's folder; by default the one you are in.",
    ),
)
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")


def command(
    name: str,
    *,
    example: str,
    changes: bool = False,
    project: bool = True,
    kind: type[click.Command] = click.Command,
) -> Callable[[Function], click.Command]:
    """A command with the options that all have: `--json`, `--project`, `--debug`, and `--dry-run`.

    The function is called with `project` (opened) and `as_json`; with `dry_run` when it changes something.

    Args:
        name: what the user types.
        example: one line that works.
        changes: whether it changes anything.
        project: False for a command that works outside a project: it is called with `base`, the folder that
            `--project` names.
        kind: of command, for one that reads its line in a way of its own.
    """

    def decorate(function: Function) -> click.Command:
        @functools.wraps(function)
        def door(*, project_dir: Path, debug: bool, **options: Any) -> None:
            if project:
                with opened(project_dir) as found:
                    function(project=found, **options)
            else:
                function(base=project_dir, **options)

        # Its own arguments and options first, in the order they are written; those that all have last.
        own = getattr(door, "__click_params__", [])
        door.__click_params__ = []  # type: ignore[attr-defined]
        for option in (*_COMMON, *([_DRY_RUN] if changes else [])):
            option(door)
        door.__click_params__ += own  # type: ignore[attr-defined]
        return click.command(name, kind, epilog=f"Example: {example}", context_settings=HELP)(door)

    return decorate


@contextmanager
def opened(folder: Path) -> Iterator[Project]:
    """The project that a folder lies in, or that the server at `MLWRIGHT_URL` answers for.

    A server is sent `MLWRIGHT_TOKEN`, or, if it is this project's own on this machine, the workspace's.
    With `--debug` it is told how often its bucket was asked.
    """
    if url := os.environ.get("MLWRIGHT_URL", ""):
        from mlwright.server.remote import RemoteProject
        from mlwright.server.running import own_token

        token = os.environ.get("MLWRIGHT_TOKEN", "") or own_token(folder, url)
        with RemoteProject(url, token) as remote:
            yield cast("Project", remote)
        return
    from mlwright.app import Project

    with Project.open(folder) as project:
        yield project
        bucket = project.rooms.workspace.bucket
        if bucket is not None and click.get_current_context().params["debug"]:
            click.echo(bucket.meter.told, err=True)


def say(text: str = "") -> None:
    """Print a line."""
    click.echo(text)


def say_json(value: Any) -> None:
    """Print a value of ours as JSON, indented."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value, enc_hook=plain), indent=2))


def say_json_line(value: Any) -> None:
    """Print a value of ours as one line of JSON: one of many that come one after the other."""
    import msgspec

    click.echo(msgspec.json.encode(value, enc_hook=plain))


def say_plan(plan: Plan, as_json: bool, *, done: bool = False) -> None:
    """Print what would change, or what has been done."""
    if as_json:
        say_json(plan)
        return
    say(plan.title if done else f"plan: {plan.title}")
    say_table([(change.action, change.subject, change.why) for change in plan.changes], indent="  ")


def say_table(rows: Iterable[Sequence[object]], head: Sequence[str] = (), indent: str = "") -> None:
    """Print rows in columns that line up; the last column is as long as it is."""
    texts = [[str(cell) for cell in row] for row in rows]
    if not texts:
        say(f"{indent}none")
        return
    if head:
        texts.insert(0, [name.upper() for name in head])
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        say((indent + "  ".join(cells)).rstrip())


def show_size(size_bytes: float) -> str:
    """`12.3 KiB`."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size_bytes < 1024 or unit == "GiB":
            return counted(round(size_bytes), "byte") if unit == "bytes" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    raise AssertionError


def interactive() -> bool:
    """Whether somebody watches: a terminal, and not a CI job."""
    return _is_watched(sys.stdout)


@contextmanager
def progress() -> Iterator[Progress]:
    """What shows work on many bytes: a bar on standard error, when somebody watches there."""
    if not _is_watched(sys.stderr):
        yield SILENT
        return
    bar = ProgressBar()
    try:
        yield bar
    finally:
        bar.end()


def _is_watched(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("CI", "").lower() not in {"1", "true"}


class ProgressBar(Progress):
    """Bytes, rate and time left, for work that takes longer than half a second."""

    def __init__(self) -> None:
        self._shown: Any = None
        self._due_s = 0.0
        self._what, self._total, self._done = "", None, 0  # type: tuple[str, int | None, int]
        self._lock = threading.Lock()

    def begin(self, what: str, total_bytes: int | None = None) -> None:
        """Wait half a second before anything is shown."""
        self.end()
        with self._lock:
            self._what, self._total, self._done = what, total_bytes, 0
            self._due_s = time.monotonic() + _BAR_AFTER_S

    def advance(self, done_bytes: int) -> None:
        """Move the bar; twenty times a second at most."""
        with self._lock:
            self._done += done_bytes
            if not self._due_s or time.monotonic() < self._due_s:
                return
            self._due_s = time.monotonic() + _BAR_EVERY_S
            if self._shown is None:
                self._shown = _bar(self._what, self._total)
                self._shown.start()
            self._shown.update(self._shown.task_ids[0], completed=self._done)

    def end(self) -> None:
        """Take the bar away: what the command says stands alone."""
        with self._lock:
            self._due_s = 0.0
            if self._shown is not None:
                self._shown.stop()
                self._shown = None


def _bar(what: str, total_bytes: int | None) -> Any:
    from rich import progress as rich  # 60 ms that only long work pays
    from rich.console import Console

    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.DownloadColumn(binary_units=True),
        rich.TransferSpeedColumn(),
        rich.TimeRemainingColumn(),
    )
    bar = rich.Progress(*columns, console=Console(stderr=True), transient=True)
    bar.add_task(what, total=total_bytes)
    return bar


def run_command(root: click.Command, arguments: list[str]) -> int:
    """Run a command line; every failure becomes one message on standard error and an exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup` wants it to go on
        signal.signal(signal.SIGHUP, _terminated)
    try:
        for argument in arguments:
            if not argument.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in argument):
                raise Invalid(f"the argument {argument!r} is not text in this terminal's encoding")
        # Outside its standalone mode click answers the status of an `Exit`, else what a door answers.
        status = root.main(arguments, prog_name="mlwright", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:
        return _failed(error, arguments)
    return status if isinstance(status, int) else 0


def _failed(error: BaseException, arguments: list[str]) -> int:
    """Say what went wrong; returns the exit code."""
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader is gone: nothing is left to flush to
        return 0
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message())
        return error.exit_code
    if "--debug" in arguments:
        traceback.print_exception(error)
    told = _in_our_words(error)
    click.echo(told.render(), err=True)
    return told.exit_code


def _in_our_words(error: BaseException) -> MlwrightError:
    match error:
        case MlwrightError():
            return error
        case click.UsageError(ctx=click.Context(command_path=path)):
            return Invalid(error.format_message().rstrip("."), hint=f"{path} --help")
        case click.ClickException():
            return Invalid(error.format_message().rstrip("."), hint="mlwright --help")
        case KeyboardInterrupt() | click.Abort():
            return Cancelled("interrupted", signal_number=signal.SIGINT)
        case OSError() if is_disk_full(error):
            return disk_full(Path(error.filename or Path.cwd()))
        case OSError():
            return Unavailable(f"the system refused: {error.strerror or error}", where=error.filename)
    return MlwrightError(
        f"mlwright itself failed: {type(error).__name__}: {error}",
        hint="run it again with --debug, and report what it shows",
    )


def _terminated(number: int, frame: FrameType | None) -> None:
    raise Cancelled("stopped by a signal", signal_number=number)
