"""How a browser is let in, by a link or a token, and how it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from starlette.responses import HTMLResponse, RedirectResponse, Response

from mlwright.kernel.database import Transaction
from mlwright.kernel.errors import Invalid
from mlwright.server.call import Call
from mlwright.server.permissions import Permission
from mlwright.server.problems import Refusal
from mlwright.server.routes import Route
from mlwright.server.tokens import (
    LONGEST_SECRET,
    SESSION_US,
    Issued,
    TokenKind,
    begin_session,
    find,
    revoke,
)
from mlwright.web.reader import reader_of
from mlwright.web.rendering import rendered_alone

LOGIN, LOGIN_WITH, LOGOUT = "/login", "/login/oidc", "/logout"
_FORM = b"application/x-www-form-urlencoded"
_FORM_BYTES = 4096
_MOST_FIELDS = 10
_NOBODY = "You are not logged in."
_USED = "This link is too old, or was used already."
_UNKNOWN = "The token is unknown here, has expired, or was taken back."
SAID = (_NOBODY, _USED, _UNKNOWN)
"""What the login page says, in English; the catalogues have it in other languages."""


def path_of_ours(text: str) -> str:
    """A path on this server to which a browser may be sent.

    Raises:
        Invalid: it leads, or may be read to lead, elsewhere.
    """
    parts = urlsplit(text) if text.isascii() and text.isprintable() else None
    # Browsers read a backslash as a slash, and two slashes as the beginning of another host.
    if parts is None or parts.scheme or parts.netloc or not text.startswith("/") or text[1:2] in {"/", "\\"}:
        raise Invalid("`next` is no path of this server", where="next", hint="write /runs")
    return text


def login_path(wanted: str) -> str:
    """Where who is nobody is sent from a page."""
    return f"{LOGIN}?next={quote(wanted, safe='/')}"


def looks_ahead(call: Call) -> bool:
    """Whether a request only looks ahead: it must not use up what is good once."""
    return call.method == "HEAD" or b"sec-purpose" in call.headers


async def _login(call: Call) -> Response:
    """Let a browser in that comes with a link, or show how."""
    asked = fields(call.query)
    target = path_of_ours(asked.get("next", "/"))
    key = asked.get("key")
    if key is None:
        return login_page(call, _NOBODY, target)
    if looks_ahead(call):
        return Response(None, 204)
    issued = await _begin(call, key, TokenKind.LINK)
    if issued is None:
        return login_page(call, _USED, target, 403)
    return with_session(call, _to(target), issued)


async def _login_by_token(call: Call) -> Response:
    """Let a browser in by a token that somebody typed."""
    if b"origin" not in call.headers:
        raise Refusal(403, "a change by a page must name it: the header Origin is missing")
    if call.headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != _FORM:
        raise Refusal(415, "the body must be a form", hint=f"content-type: {_FORM.decode()}")
    target = path_of_ours(fields(call.query).get("next", "/"))
    secret = fields(bytes(await call.body())).get("token", "").strip()
    issued = await _begin(call, secret, TokenKind.TOKEN)
    if issued is None:
        return login_page(call, _UNKNOWN, target, 403)
    return with_session(call, _to(target), issued)


async def _logout(call: Call) -> Response:
    """End the session of a browser."""
    identities = call.tracker.identities
    secret = identities.session_of(call.headers)
    if secret is not None:

        def end(tx: Transaction) -> None:
            if (found := find(tx, secret, TokenKind.SESSION)) is not None:
                revoke(tx, found.id)

        await call.write(end)
    answer = RedirectResponse(LOGIN, 303)
    answer.delete_cookie(identities.admission.cookie, httponly=True, samesite="strict")
    return answer


ROUTES = (
    Route("GET", LOGIN, _login, Permission.ANYONE),
    Route("POST", LOGIN, _login_by_token, Permission.ANYONE, body_bytes=_FORM_BYTES),
    Route("POST", LOGOUT, _logout, Permission.ANYONE),
)
"""Coming and going."""


async def _begin(call: Call, secret: str, kind: TokenKind) -> Issued | None:
    if len(secret) > LONGEST_SECRET:
        return None
    # Looked at first, so that what is wrong costs no commit.
    if not await call.tracker.identities.knows(secret, kind):
        return None
    return await call.write(lambda tx: begin_session(tx, secret, kind))


def with_session(call: Call, answer: Response, issued: Issued) -> Response:
    """An answer that gives a browser its session.

    Args:
        call: of the browser.
        answer: to it.
        issued: the session.
    """
    answer.set_cookie(
        call.tracker.identities.admission.cookie,
        issued.secret,
        max_age=SESSION_US // 1_000_000,
        httponly=True,
        samesite="strict",
        secure=call.tracker.guard.is_secure(call.request.scope, call.headers),
    )
    return answer


def login_page(call: Call, said: str, target: str, status: int = 200) -> Response:
    """The page on which somebody logs in.

    Args:
        call: of their browser.
        said: what is told above; one of `SAID`, or a provider's word.
        target: the path on which they go on.
        status: of the answer.
    """
    login = call.tracker.identities.admission.login
    told = {
        "said": said,
        "host": "" if login is None else login.host,
        "provider": f"{LOGIN_WITH}?next={quote(target, safe='/')}",
        "action": login_path(target),
        "longest": LONGEST_SECRET,
    }
    return page_alone(call, "login", told, status)


def page_alone(call: Call, name: str, told: Mapping[str, Any], status: int = 200) -> Response:
    """A page outside the shell, in the reader's language, which nobody keeps.

    Args:
        call: of their browser.
        name: of its template.
        told: the variables of that.
        status: of the answer.
    """
    reader = reader_of(call.headers)
    headers = {"cache-control": "no-store", "content-language": reader.language}
    return HTMLResponse(rendered_alone(name, reader, told), status, headers)


def _to(target: str) -> Response:
    return RedirectResponse(target, 303, headers={"cache-control": "no-store"})


def fields(text: bytes) -> dict[str, str]:
    """The fields of a query or a form; of one that is given twice the first."""
    try:
        found = parse_qs(text.decode("ascii"), errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Refusal(400, "the fields cannot be read") from None
    return {name: values[0] for name, values in found.items()}
