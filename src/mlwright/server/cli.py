"""Doors: `up` and `login`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlwright.terminal import command, say, say_json, say_plan

if TYPE_CHECKING:
    from mlwright.app import Project
    from mlwright.server.listening import Up
    from mlwright.wire.tls import Certificate

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@command("up", example="mlwright up --port 5000", changes=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=5000, show_default=True, help="0 for any free one."
)
@click.option("--tls-cert", type=_FILE, metavar="FILE", help="Answer by https with this certificate (PEM).")
@click.option("--tls-key", type=_FILE, metavar="FILE", help="The certificate's key (PEM).")
def up(
    project: Project,
    host: str,
    port: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Answer MLflow's clients, the REST API and browsers on this workspace, until stopped."""
    from mlwright.server.listening import answer, plan_up

    certificate = _certificate(tls_cert, tls_key)
    if dry_run:
        say_plan(plan_up(project, host=host, port=port, certificate=certificate), as_json)
        return

    def tell(found: Up) -> None:
        if as_json:
            say_json({"url": found.url, "MLFLOW_TRACKING_URI": found.url, "login": found.login})
            return
        say(f"mlwright answers at {found.url} (stop: Ctrl-C): export MLFLOW_TRACKING_URI={found.url}")
        say(f"log in with a browser, once, within 10 minutes: {found.login}")
        if found.exposed and not found.encrypted:
            say("others can read the tokens on their way here: use --tls-cert and --tls-key, or a proxy")

    answer(project, host=host, port=port, ready=tell, certificate=certificate)
    if not as_json:
        from mlwright.server.queue import left_words

        say(f"stopped{left_words(project.rooms)}")


@command("login", example="mlwright login", changes=True)
def login(project: Project, as_json: bool, dry_run: bool) -> None:
    """Print a link that lets a browser in, once, within 10 minutes."""
    from mlwright.server.tokens_api import create_link, plan_link

    if dry_run:
        say_plan(plan_link(), as_json)
        return
    url = _server_of(project)
    link = f"{url}/login?key={create_link(project).secret}"
    if as_json:
        say_json({"login": link})
    else:
        say(f"log in with a browser, once, within 10 minutes: {link}")


def _server_of(project: Project) -> str:
    """The address of the server that a browser will ask."""
    from mlwright.server.remote import RemoteProject
    from mlwright.server.running import public_url

    return project.url if isinstance(project, RemoteProject) else public_url(project)


def _certificate(chain: Path | None, key: Path | None) -> Certificate | None:
    from mlwright.kernel.errors import Invalid
    from mlwright.wire.tls import Certificate

    if (chain is None) is not (key is None):
        raise Invalid("a certificate needs its key", hint="--tls-cert FILE --tls-key FILE")
    return None if chain is None or key is None else Certificate(chain.resolve(), key.resolve())
