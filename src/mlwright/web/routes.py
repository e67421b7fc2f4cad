"""Doors: the pages of all rooms, what stands still, and errors for whoever reads pages."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Scope

from mlwright.kernel.digest import digest_of
from mlwright.server.api import OPERATIONS
from mlwright.server.call import Call
from mlwright.server.permissions import Permission
from mlwright.server.problems import problem_of, told
from mlwright.server.routes import Route
from mlwright.web import assets
from mlwright.web.asking import answers, query_of
from mlwright.web.declared import Page, find_pages
from mlwright.web.reader import Reader, reader_of
from mlwright.web.rendering import rendered, rendered_error

_TAG_LETTERS = 32
_WORTH_COMPRESSING = 1024

PAGES = find_pages(OPERATIONS)
"""The pages of all rooms."""


async def _answer(page: Page, call: Call) -> Response:
    query = query_of(page, call.query)
    reader = reader_of(call.headers, call.identity)
    return await call.tracker.threads.run(_shown, page, call, query, reader)


def _shown(page: Page, call: Call, query: Any, reader: Reader) -> Response:
    """Ask, render and compress, all in one thread."""
    told = {**call.names, **answers(page, call.tracker.project, call.names, query)}
    return _sent(rendered(page, PAGES, reader, call.path, told, query), 200, reader, call.headers)


def error_page(error: Exception, scope: Scope) -> Response | None:
    """A failure as a page, for a browser that asks for one; None for everybody else."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    if scope["path"].startswith("/api/") or b"text/html" not in headers.get(b"accept", b""):
        return None
    _, status, more, _ = told(error)
    reader = reader_of(headers)
    problem = msgspec.structs.asdict(problem_of(error))
    answer = _sent(rendered_error(problem, PAGES, reader, scope["path"]), status, reader, headers)
    answer.headers.update(more)
    return answer


def _sent(body: bytes, status: int, reader: Reader, headers: Mapping[bytes, bytes]) -> Response:
    told = {
        "cache-control": "private, no-cache",
        "content-language": reader.language,
        "vary": "accept-encoding, accept-language, cookie",
    }
    if status == 200:
        told["etag"] = tag = f'W/"{digest_of(body)[:_TAG_LETTERS]}"'
        if tag in headers.get(b"if-none-match", b"").decode("latin-1"):
            return Response(None, 304, told)
    if len(body) >= _WORTH_COMPRESSING and b"gzip" in headers.get(b"accept-encoding", b""):
        told["content-encoding"] = "gzip"
        body = gzip.compress(body, 5, mtime=0)
    return Response(body, status, told, "text/html; charset=utf-8")


ROUTES = (
    *(Route("GET", page.path, partial(_answer, page), Permission.READ) for page in PAGES),
    Route("GET", "/static/{version}/{name:path}", assets.send, Permission.ANYONE),
)
"""The pages."""
