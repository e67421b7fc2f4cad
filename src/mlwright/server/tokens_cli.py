"""Doors: `tokens`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlwright.terminal import HELP, command, say, say_json, say_plan, say_table

if TYPE_CHECKING:
    from mlwright.app import Project
    from mlwright.server.tokens import Token

_ROLES = ("viewer", "contributor", "deployer", "admin")


@click.group(epilog="Example: mlwright tokens list", context_settings=HELP)
def tokens() -> None:
    """Make, list and take back what people and programs prove with who they are."""


@tokens.add_command
@command("create", example="mlwright tokens create ci --role contributor --expires 90d", changes=True)
@click.argument("name")
@click.option("--role", type=click.Choice(_ROLES), required=True, help="What it may; each role more.")
@click.option("--expires", metavar="TIME", help="When it ends: 12h, 30d. Without, it has no end.")
def create(project: Project, name: str, role: str, expires: str | None, as_json: bool, dry_run: bool) -> None:
    """Make a token and print its secret, this once."""
    from mlwright.server.permissions import Role
    from mlwright.server.remote import RemoteProject
    from mlwright.server.tokens_api import create_token, plan_create

    if dry_run:
        here = not isinstance(project, RemoteProject)
        say_plan(plan_create(_all(project), name, Role(role), expires, here=here), as_json)
        return
    made = create_token(project, name=name, role=Role(role), expires=expires)
    if as_json:
        say_json(made)
        return
    say(f"token {made.token.name} ({_short(made.token)}), {made.token.role}, {_until(made.token)}")
    say(f"  {made.secret}")
    say(
        "it is shown this once. The command line sends MLWRIGHT_TOKEN, MLflow's clients MLFLOW_TRACKING_TOKEN"
    )


@tokens.add_command
@command("list", example="mlwright tokens list")
@click.option("--all", "every", is_flag=True, help="Also those that have ended.")
def list_all(project: Project, every: bool, as_json: bool) -> None:
    """List tokens, sessions of browsers and links: who, what they may, since when, until when."""
    from mlwright.kernel.clock import now_us, show

    found = _all(project, every=every)
    if as_json:
        say_json(found)
        return
    now = now_us()
    say_table(
        [
            (
                _short(each),
                each.kind,
                each.name,
                each.role,
                show(each.created_us),
                _until(each) if each.lives(now) else "ended",
                "never" if each.used_us is None else show(each.used_us),
            )
            for each in found
        ],
        ["id", "kind", "name", "role", "made", "ends", "used"] if found else (),
    )


@tokens.add_command
@command("revoke", example="mlwright tokens revoke ci", changes=True)
@click.argument("token", metavar="NAME|ID")
def revoke(project: Project, token: str, as_json: bool, dry_run: bool) -> None:
    """Take back a token or a session, at once; by a name all that goes by it."""
    from mlwright.server.tokens_api import plan_revoke, revoke_token

    if dry_run:
        say_plan(plan_revoke(_all(project, every=True), token), as_json)
        return
    taken = revoke_token(project, token)
    if as_json:
        say_json(taken)
        return
    for each in taken:
        say(f"took back the {each.kind} {_short(each)} of {each.name}")


def _all(project: Project, *, every: bool = False) -> list[Token]:
    from mlwright.kernel.pages import all_pages
    from mlwright.server.tokens_api import list_tokens

    return all_pages(lambda limit, token: list_tokens(project, every=every, limit=limit, token=token))


def _short(token: Token) -> str:
    from mlwright.kernel.ids import short

    return short(token.id)


def _until(token: Token) -> str:
    from mlwright.kernel.clock import show

    return "without an end" if token.expires_us is None else f"until {show(token.expires_us)}"
