"""Door: `up`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlwright.terminal import command, say, say_json, say_plan

if TYPE_CHECKING:
    from mlwright.app import Project


@command("up", example="mlwright up --port 5000", changes=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=5000, show_default=True, help="0 for any free one."
)
def up(project: Project, host: str, port: int, as_json: bool, dry_run: bool) -> None:
    """Answer MLflow's clients on this workspace, until stopped."""
    from mlwright.server.listening import answer, plan_up

    if dry_run:
        say_plan(plan_up(project.rooms.workspace.root, host=host, port=port), as_json)
        return

    def tell(url: str) -> None:
        if as_json:
            say_json({"url": url, "MLFLOW_TRACKING_URI": url})
        else:
            say(f"mlwright answers at {url} (stop: Ctrl-C): export MLFLOW_TRACKING_URI={url}")

    answer(project, host=host, port=port, ready=tell)
    if not as_json:
        from mlwright.server.queue import left_words

        say(f"stopped{left_words(project.rooms)}")
