"""The table of routes."""

from __future__ import annotations

from typing import Any

import pytest

from mlwright.server.app import ROUTES
from mlwright.server.permissions import Permission
from mlwright.server.routes import Route, Table


async def answer(_: Any) -> None:
    """Nothing."""


def route(path: str, method: str = "GET") -> Route:
    return Route(method, path, answer, Permission.READ)


def test_a_route_without_a_permission_cannot_be_made() -> None:
    """Whoever adds a route says what it does to the workspace."""
    with pytest.raises(TypeError, match="permission"):
        Route("GET", "/a", answer)  # type: ignore[call-arg]


READING = {
    "/api/v1/pipelines/{pipeline}/plan",
    "experiments/search",
    "logged-models/search",
    "registered-models/get-latest-versions",
    "runs/search",
}
"""What is asked with `POST` and changes nothing."""


def test_what_changes_anything_is_declared_so() -> None:
    """Only `GET`, and questions that are too long for it, are declared as reading."""
    reading = {each.path for each in ROUTES if each.permission is Permission.READ and each.method != "GET"}

    assert {path.rpartition("mlflow/")[2] for path in reading} == READING


def test_a_path_has_one_handler_for_a_method() -> None:
    """Two routes cannot answer the same."""
    with pytest.raises(AssertionError, match="GET /a"):
        Table([route("/a"), route("/a")])


def test_paths_with_variables_are_found_by_their_parts() -> None:
    """A variable takes one part; one declared as a path takes all that is left, even nothing."""
    table = Table(
        [route("/m/{id}"), route("/m/{id}/tags/{key}", "DELETE"), route("/f/{path:path}"), route("/m/x")]
    )

    assert table.find("/m/7")[1] == {"id": "7"}
    assert table.find("/m/7/tags/a.b")[1] == {"id": "7", "key": "a.b"}
    assert table.find("/f/a/b/../c")[1] == {"path": "a/b/../c"}
    assert table.find("/f/")[1] == {"path": ""}
    assert table.find("/m/x")[1] == {}
    assert [table.find(path)[0] for path in ("/m/", "/m/7/", "/m", "/mx7", "/f")] == [{}] * 5


def test_two_paths_differ_in_more_than_the_names_of_their_variables() -> None:
    """Which of them were meant could not be told."""
    with pytest.raises(AssertionError, match="only in the names"):
        Table([route("/m/{id}/tags"), route("/m/{name}/tags", "PUT")])
