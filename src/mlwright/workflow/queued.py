"""The process of a run that has waited: `python -m mlwright.workflow.queued PROJECT RUN CLAIM`.

It takes the run over, prepares and executes it, and records whatever becomes of it. What the engine itself
has to say goes to its standard output: a file of the local state, which stays if the run could not begin.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import click

from mlwright.kernel import leases
from mlwright.kernel.errors import Cancelled, MlwrightError
from mlwright.kernel.events import acting_as
from mlwright.kernel.ids import RunId, short
from mlwright.kernel.leases import Lease
from mlwright.kernel.settings import find_project
from mlwright.tracking import Run, RunState, waiting
from mlwright.workflow.accept import accepted
from mlwright.workflow.pipelines import Pipelines
from mlwright.workflow.rooms import Rooms, open_rooms
from mlwright.workflow.screen import Lines
from mlwright.workspace import open_workspace

_FOLDER = "queue"
_TOLD_LINES, _TOLD_LETTERS = 12, 2_000


def command_of(root: Path, run: RunId, claim: Lease) -> list[str]:
    """The command line of a run's process."""
    module = "mlwright.workflow.queued"
    return [sys.executable, "-P", "-m", module, str(root), run, str(claim.token)]


def words_of(local: Path, run: RunId) -> Path:
    """Where the engine's own words go."""
    return local / _FOLDER / f"{run}.log"


def last_words(file: Path) -> str:
    """The last lines of them; empty if there are none."""
    try:
        with file.open("rb") as words:
            words.seek(max(0, words.seek(0, os.SEEK_END) - _TOLD_LETTERS))
            text = words.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.strip().splitlines()[-_TOLD_LINES:])


def main(arguments: Sequence[str]) -> int:
    """Execute one run; returns the exit status."""
    folder, identity, token = arguments
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminated)
    try:
        return _taken_over(Path(folder), RunId(identity), int(token))
    except MlwrightError as error:
        click.echo(error.render())
        return error.exit_code


def _taken_over(folder: Path, identity: RunId, token: int) -> int:
    project = find_project(folder)
    rooms = open_rooms(project, open_workspace(project))
    try:
        lease = waiting.take_over(rooms.database, identity, token)
        if lease is None:
            click.echo(f"run {short(identity)} waits no longer, or another process has it")
            return 0
        return _execute(rooms, rooms.runs.recorded(identity), lease)
    finally:
        rooms.workspace.close()


def _execute(rooms: Rooms, run: Run, lease: Lease) -> int:
    try:
        with acting_as(run.about["request"]["by"]), leases.kept(rooms.database, lease):
            done, error = Pipelines(rooms).run(accepted(rooms, run), Lines())
    except (Cancelled, KeyboardInterrupt) as interrupt:
        waiting.give_back(rooms.database, run.id, lease)  # if it has not begun, whoever comes next begins it
        if rooms.runs.recorded(run.id).state is RunState.CANCELLED:
            words_of(rooms.workspace.local, run.id).unlink(missing_ok=True)
        return interrupt.exit_code if isinstance(interrupt, Cancelled) else 128 + signal.SIGINT
    except MlwrightError as error:
        click.echo(error.render())
        waiting.fail(rooms.database, run.id, told(error), lease)
        return error.exit_code
    except Exception as error:
        traceback.print_exc(file=sys.stdout)
        ours = MlwrightError(
            f"mlwright itself failed: {type(error).__name__}: {error}",
            where=str(words_of(rooms.workspace.local, run.id)),
            hint="report what is there",
        )
        waiting.fail(rooms.database, run.id, told(ours), lease)
        return ours.exit_code
    click.echo(f"run {short(done.id)} {done.state}")
    words_of(rooms.workspace.local, run.id).unlink(missing_ok=True)
    return 0 if error is None else error.exit_code


def told(error: MlwrightError) -> dict[str, object]:
    """What is recorded of why a run could not begin; whoever follows it ends with that status."""
    return {
        "message": error.message,
        "where": error.where,
        "hint": error.hint,
        "exit_code": error.exit_code,
    }


def _terminated(number: int, frame: FrameType | None) -> None:
    raise Cancelled("stopped by a signal", signal_number=number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
