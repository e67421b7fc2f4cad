"""What is told of failures, in MLflow's words: an `error_code`, a message, a status.

Source: MLflow 3.17, `mlflow.exceptions`: which code goes with which status. Its clients ask again after 408,
429 and 5xx other than 501, so that no request that is itself wrong has one of these. 503 is for what soon
helps itself; damaged bytes and our own mistakes are 500, though asking again seldom helps there. What may be
done already is 409, after which nobody asks again by itself: that could do it twice.
"""

from __future__ import annotations

import sys
import traceback
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from mlwright.kernel.errors import (
    Busy,
    Conflict,
    Corrupt,
    DiskFull,
    FateUnknown,
    Incompatible,
    Invalid,
    MlwrightError,
    NotFound,
    Unavailable,
)
from mlwright.server.bodies import TooLarge
from mlwright.server.problems import Refusal

INVALID = "INVALID_PARAMETER_VALUE"
MISSING = "RESOURCE_DOES_NOT_EXIST"
TAKEN = "RESOURCE_ALREADY_EXISTS"
_RETRY_AFTER = {"retry-after": "1"}
_CODES = {408: "TEMPORARILY_UNAVAILABLE", 500: "INTERNAL_ERROR"}
"""Of what is refused before its path is known, by its status; of any other, that a value is wrong."""


class Refused(MlwrightError):
    """A request that is answered with an error of MLflow's.

    Args:
        status: of the HTTP answer.
        error_code: as MLflow names it.
        message: what happened.
    """

    def __init__(self, status: int, error_code: str, message: str) -> None:
        super().__init__(message)
        self.http_status = status
        self.error_code = error_code


def invalid(message: str) -> Refused:
    """The refusal of a value that a request has."""
    return Refused(400, INVALID, message)


def invalid_value(name: str, value: object, why: str) -> Refused:
    """The refusal of a value, which is shown, cut where it is long."""
    shown = msgspec.json.encode(value[:100] if isinstance(value, str) else value).decode()
    return invalid(f"Invalid value {shown} for parameter '{name}' supplied: {why}")


def missing_value(name: str) -> Refused:
    """The refusal of a request without what it must have."""
    return invalid(f"Missing value for required parameter '{name}'.")


def told(error: Exception) -> Response:
    """The answer to a request that failed."""
    status, code = _status_and_code(error)
    message = (
        error.message if isinstance(error, MlwrightError) else "the server failed, which is its own mistake"
    )
    if isinstance(error, MlwrightError) and error.hint:
        message = f"{message} ({error.hint})"
    if code == "INTERNAL_ERROR":
        traceback.print_exception(error, file=sys.stderr)
    body = msgspec.json.encode({"error_code": code, "message": message})
    headers = _RETRY_AFTER if status == 503 else error.headers if isinstance(error, Refusal) else None
    return Response(body, status, headers, "application/json")


def problem_and_error(status: int, why: str) -> tuple[bytes, bytes]:
    """A refusal before the path is known: a problem document, which MLflow's clients can read as well."""
    title, code = HTTPStatus(status).phrase, _CODES.get(status, INVALID)
    both = {"status": status, "title": title, "detail": why, "error_code": code, "message": why}
    return b"application/json", msgspec.json.encode(both)


def _status_and_code(error: Exception) -> tuple[int, str]:
    match error:
        case Refused():
            return error.http_status, error.error_code
        case Refusal(http_status=401):
            return 401, "UNAUTHENTICATED"
        case Refusal(http_status=403):
            return 403, "PERMISSION_DENIED"
        case Refusal():
            return error.http_status, INVALID
        case TooLarge():
            return 413, INVALID
        case NotFound():
            return 404, MISSING
        case DiskFull():
            return 413, "RESOURCE_EXHAUSTED"
        case FateUnknown():
            return 409, "ABORTED"
        case Unavailable() | Busy():
            return 503, "TEMPORARILY_UNAVAILABLE"
        case Invalid() | Conflict() | Incompatible():
            return 400, INVALID
        case Corrupt():
            return 500, "DATA_LOSS"
    return 500, "INTERNAL_ERROR"
