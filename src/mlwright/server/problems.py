"""Problem documents: why a request was not done, for people and for programs.

Beside what the standard has, a document says which of our errors it is, where, and what to do next: the
command line tells what a server refused as it tells its own errors.

Source: RFC 9457, Problem Details for HTTP APIs.
"""

from __future__ import annotations

import sys
import traceback
from http import HTTPStatus

import msgspec
from msgspec import Struct

from mlwright.kernel import errors
from mlwright.kernel.errors import MlwrightError, Unavailable

MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_S = 1


class Problem(Struct, frozen=True, omit_defaults=True):
    """A problem document.

    Args:
        type: always `about:blank`: the status says what kind of problem it is.
        title: of that kind.
        status: of the HTTP answer.
        detail: what happened, in one sentence.
        error: the name of the error, as in Python.
        exit_code: that the command line ends with.
        where: the place: a reference, a field of the request.
        hint: what to do next.
    """

    title: str
    status: int
    detail: str
    error: str = ""
    exit_code: int = 1
    where: str | None = None
    hint: str | None = None
    type: str = "about:blank"


class Refusal(MlwrightError):
    """A request that is refused for how it is made, with the status that HTTP has for it.

    Args:
        status: of the HTTP answer.
        message: what is wrong.
        hint: what to do.
        headers: of the answer, beside its own.
    """

    exit_code = 2

    def __init__(
        self, status: int, message: str, *, hint: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.http_status = status
        self.title = HTTPStatus(status).phrase
        self.headers = headers or {}


def problem_of(error: Exception) -> Problem:
    """What is told of a failure; of our own mistakes no more than that it is one."""
    if not isinstance(error, MlwrightError):
        return Problem("Internal Server Error", 500, "the server failed, which is its own mistake")
    return Problem(
        error.title,
        error.http_status,
        error.message,
        type(error).__name__,
        error.exit_code,
        error.where,
        error.hint,
    )


def told(error: Exception) -> tuple[bytes, int, dict[str, str], str]:
    """The answer to a request that failed: body, status, headers, media type."""
    problem = problem_of(error)
    if problem.status == 500:
        traceback.print_exception(error, file=sys.stderr)
    headers = dict(error.headers) if isinstance(error, Refusal) else {}
    if problem.status == 503:
        headers["retry-after"] = str(_RETRY_AFTER_S)
    return msgspec.json.encode(problem), problem.status, headers, MEDIA_TYPE


def error_of(problem: Problem) -> MlwrightError:
    """The error that a document tells of, as the server raised it."""
    known = getattr(errors, problem.error, None)
    if isinstance(known, type) and issubclass(known, MlwrightError) and known is not errors.Cancelled:
        return known(problem.detail, where=problem.where, hint=problem.hint)
    if problem.status >= 500:
        return Unavailable(problem.detail, where=problem.where, hint=problem.hint)
    refused = Refusal(problem.status, problem.detail, hint=problem.hint)
    refused.exit_code = problem.exit_code
    return refused
