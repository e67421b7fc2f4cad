"""Problem documents: why there is no prediction, for people and for programs.

Source: RFC 9457, Problem Details for HTTP APIs; status phrases of RFC 9110.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from mlwright.kernel.errors import MlwrightError

MEDIA_TYPE = "application/problem+json"
MAX_FAULTS = 20
"""How many faults one document names."""

_PHRASES = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    499: "Client Closed Request",
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class Fault(Struct, frozen=True):
    """One thing that is wrong with a request.

    Args:
        message: what its subject must or must not be, as `must be a number, not null`.
        row: counted from 0.
        field: a column, or a part of the request.
    """

    message: str
    row: int | None = None
    field: str | None = None

    @property
    def sentence(self) -> str:
        """`row 3: `age` must be a number, not null`."""
        match self.row, self.field:
            case None, None:
                return f"the request {self.message}"
            case None, field:
                return f"`{field}` {self.message}"
            case row, None:
                return f"row {row} {self.message}"
            case row, field:
                return f"row {row}: `{field}` {self.message}"

    def told(self) -> dict[str, Any]:
        """As the document has it, without what does not apply."""
        told = {"row": self.row, "field": self.field, "message": self.message}
        return {name: value for name, value in told.items() if value is not None}


class Problem(MlwrightError):
    """A request that gets no prediction.

    Args:
        status: of the HTTP answer.
        detail: what happened, in one sentence; made from the faults when there are some.
        faults: what is wrong and where; at most `MAX_FAULTS`.
        headers: that the answer must carry beside its own.
    """

    def __init__(
        self,
        status: int,
        detail: str = "",
        *,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or _summary(faults))
        self.http_status = status
        self.title = _PHRASES.get(status, "Error")
        self.faults = tuple(faults)
        self.headers = dict(headers or {})

    def document(self) -> bytes:
        """The body of the answer, as JSON."""
        told: dict[str, Any] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.http_status,
            "detail": self.message,
        }
        if self.faults:
            told["errors"] = [fault.told() for fault in self.faults]
        return json.dumps(told, separators=(",", ":")).encode()


def _summary(faults: Sequence[Fault]) -> str:
    first = faults[0].sentence
    if len(faults) == 1:
        return first
    return f"{first} (the first of {len(faults)}{' or more' if len(faults) >= MAX_FAULTS else ''} errors)"
