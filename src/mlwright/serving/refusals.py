"""Problems in the form of the protocol that was asked."""

from __future__ import annotations

from mlwright.serving.problems import MEDIA_TYPE, Problem
from mlwright.serving.protocols import invocations, v2
from mlwright.serving.request import Reply


def told_to(path: str, problem: Problem) -> Reply:
    """The reply to a request.

    Args:
        path: that was asked.
    """
    if v2.is_below(path):
        return v2.told(problem)
    return invocations.told(problem) if path == invocations.PATH else told(problem)


def told(problem: Problem) -> Reply:
    """A problem as its document."""
    headers = tuple((name.encode(), value.encode("latin-1")) for name, value in problem.headers.items())
    return Reply(problem.document(), problem.http_status, MEDIA_TYPE, headers)


def failed() -> Problem:
    """Where it is our own mistake."""
    return Problem(500, "the server failed, which is its own mistake")
