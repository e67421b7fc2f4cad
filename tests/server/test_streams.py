"""Answers that go on: who may follow them, how many at once, and when they end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from http.client import HTTPResponse

import pytest

from mlwright.server.streams import MOST_OF_ONE
from tests.conftest import mlwright
from tests.processes import until
from tests.server.conftest import Up
from tests.server.test_tokens import API, ask, bearer, let_in, made, root_of

Start = Callable[..., Up]
FOLLOW = f"{API}/events/follow"


def follow(up: Up, stack: ExitStack, **headers: str) -> HTTPResponse:
    """The head of a stream, on a connection of its own."""
    connection = stack.enter_context(closing(up.connect()))
    connection.request("GET", FOLLOW, headers=headers)
    return stack.enter_context(connection.getresponse())


@pytest.mark.parametrize("by", ["revoked", "expired", "session"])
def test_a_stream_ends_with_what_it_was_asked_with(start: Start, by: str) -> None:
    """A token is taken back or expires, or a session ends: the stream that goes on says so and ends."""
    up = start()
    project = root_of(up)
    headers = bearer(made(project, "ana", "viewer", *(["--expires", "2s"] if by == "expired" else [])))
    if by == "session":
        headers = let_in(up, up.login)

    with ExitStack() as stack:
        stream = follow(up, stack, **headers)
        begun = stream.readline()
        if by == "revoked":
            mlwright("tokens", "revoke", "ana", cwd=project)
        if by == "session":
            up.ask("POST", "/logout", "", {**headers, "origin": up.url})
        told = stream.read().decode()

    assert (stream.status, begun[:5]) == (200, b"data:")
    last = told.rstrip("\n").rpartition("\n\n")[2]
    assert last.startswith("event: error\ndata: {") and '"status":401' in last


def test_nobody_shuts_out_who_has_a_token(start: Start) -> None:
    """So many streams of one name go on at once, of all without a token as well; others have their places."""
    up = start()
    secret = made(root_of(up), "ana")

    with ExitStack() as stack:
        anonymous = [follow(up, stack) for _ in range(MOST_OF_ONE + 1)]
        known = follow(up, stack, **bearer(secret))
        statuses = [each.status for each in anonymous]
        refused = anonymous[-1].read()

    assert statuses == [200] * MOST_OF_ONE + [503]
    assert b"streams of anonymous go on already" in refused
    assert known.status == 200
    until(lambda: begins(up))


def begins(up: Up) -> bool:
    """Whether there is a place again."""
    with ExitStack() as stack:
        return follow(up, stack).status == 200


def test_what_only_asks_for_the_head_begins_no_stream(start: Start) -> None:
    """HEAD of a stream is answered at once, takes no place, and leaves the connection to be used."""
    up = start()

    heads = [up.ask("HEAD", FOLLOW) for _ in range(MOST_OF_ONE + 1)]

    assert {each.status for each in heads} == {200}
    assert heads[0].headers["content-type"].startswith("text/event-stream")
    assert "content-length" not in heads[0].headers
    assert ask(up, "GET", "/version").status == 200
