"""How a client is told that its request is refused before the application has seen it.

Source: RFC 9457, Problem Details for HTTP APIs.
"""

from __future__ import annotations

import http
from collections.abc import Callable

import msgspec

Refuse = Callable[[int, str], tuple[bytes, bytes]]
"""Writes a refusal: of its status, and why in one sentence, the media type and the body of the answer."""


def problem(status: int, why: str) -> tuple[bytes, bytes]:
    """A refusal as a problem document."""
    title = http.HTTPStatus(status).phrase
    told = {"type": "about:blank", "title": title, "status": status, "detail": why}
    return b"application/problem+json", msgspec.json.encode(told)
