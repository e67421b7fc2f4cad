"""The command line. Names and short helps stand here, so that `--help` imports no room."""

from __future__ import annotations

import gc
import sys
from importlib import import_module

import click

import mlwright
from mlwright.terminal import HELP, run_command

_COMMANDS = {
    "init": ("mlwright.workspace.cli:init", "Make a new project."),
    "run": ("mlwright.workflow.cli:run", "Run a pipeline."),
    "serve": ("mlwright.serving.cli:serve", "Answer predictions of a model over HTTP."),
    "predict": ("mlwright.workflow.predict_cli:predict", "Predict over a dataset."),
    "up": ("mlwright.server.cli:up", "Answer MLflow's clients, REST and browsers on this workspace."),
    "login": ("mlwright.server.cli:login", "Print a link that lets a browser in."),
    "tokens": ("mlwright.server.tokens_cli:tokens", "Make, list and take back tokens."),
    "lineage": ("mlwright.versioning.cli:lineage", "Show what a thing was made from, or what came of it."),
    "gc": ("mlwright.workspace.cli:gc", "Free the room of what nothing names any more."),
    "events": ("mlwright.workspace.cli:events", "Show what happened in the workspace."),
    "pipelines": ("mlwright.workflow.cli:pipelines", "List and plan pipelines."),
    "runs": ("mlwright.workflow.runs_cli:runs", "List, show, continue and reproduce runs."),
    "artifacts": ("mlwright.versioning.cli:artifacts", "List, show and write out what steps made."),
    "datasets": ("mlwright.versioning.datasets_cli:datasets", "Version data."),
    "models": ("mlwright.versioning.models_cli:models", "Register, show, compare and export models."),
    "predictions": (
        "mlwright.versioning.predictions_cli:predictions",
        "Look at what models have answered.",
    ),
    "environments": (
        "mlwright.environments.cli:environments",
        "Change, lock, build, try and compare environments.",
    ),
    "workspace": ("mlwright.workspace.cli:workspace", "Show, verify, back up and restore the workspace."),
    "doctor": ("mlwright.workspace.cli:doctor", "Look whether all is well with machine and project."),
}


class LazyGroup(click.Group):
    """Imports the room of a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of the work."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        return getattr(import_module(module), name)  # type: ignore[no-any-return]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command, or the nearest name."""
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from mlwright.kernel.errors import Invalid, nearest

            raise Invalid(f"there is no command `{args[0]}`", hint=nearest(args[0], list(_COMMANDS)))
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, epilog="Example: mlwright init demo", context_settings=HELP)
@click.version_option(mlwright.__version__, prog_name="mlwright", message="%(prog)s %(version)s")
def root() -> None:
    """From a function on a laptop to a reproducible, monitored machine-learning service."""


def main() -> None:
    """The installed command."""
    gc.set_threshold(
        50_000, 50, 50
    )  # by default a list of 20,000 files is looked through for cycles 28 times
    sys.exit(run_command(root, sys.argv[1:]))
