"""How a browser goes to the provider, and how it comes back."""

from __future__ import annotations

import hmac
import re

from starlette.responses import RedirectResponse, Response

from mlwright.kernel.errors import MlwrightError, NotFound
from mlwright.server.call import Call
from mlwright.server.login import (
    LOGIN_WITH,
    fields,
    login_page,
    looks_ahead,
    page_alone,
    path_of_ours,
    with_session,
)
from mlwright.server.oidc.id_tokens import Claims
from mlwright.server.oidc.journeys import LASTS_S, Journey
from mlwright.server.oidc.provider import Provider
from mlwright.server.people import admit
from mlwright.server.permissions import Permission
from mlwright.server.problems import Refusal
from mlwright.server.routes import Route

BACK = f"{LOGIN_WITH}/callback"
"""Where a provider sends browsers: what is registered there, behind our address."""
_LONGEST_CODE = 4096
_ERROR = re.compile(r"[a-z_]{1,50}")


async def _go(call: Call) -> Response:
    """Send a browser to the provider."""
    provider = _provider(call)
    target = path_of_ours(fields(call.query).get("next", "/"))
    if looks_ahead(call):
        return Response(None, 204)
    journey = call.tracker.journeys.begin(_here(call) + BACK, target)
    try:
        address = await provider.address(journey)
    except MlwrightError as error:
        return login_page(call, error.message, target, error.http_status)
    answer = RedirectResponse(address, 303, headers={"cache-control": "no-store"})
    answer.set_cookie(
        _cookie(call),
        call.tracker.journeys.sealed(journey),
        max_age=LASTS_S,
        path=LOGIN_WITH,
        httponly=True,
        samesite="lax",  # the provider's page sends the browser back
        secure=call.tracker.guard.is_secure(call.request.scope, call.headers),
    )
    return answer


async def _back(call: Call) -> Response:
    """Let a browser in whom the provider knows, and the settings name."""
    provider = _provider(call)
    if looks_ahead(call):  # a code is good once
        return Response(None, 204)
    journey = _journey(call)
    try:
        if journey is None:
            raise Refusal(403, "this login was begun too long ago, or in another browser: begin again")
        answer = await _admitted(call, provider, journey)
    except MlwrightError as error:
        target = "/" if journey is None else journey.target
        answer = login_page(call, error.message, target, error.http_status)
    answer.delete_cookie(_cookie(call), path=LOGIN_WITH, httponly=True, samesite="lax")
    return answer


ROUTES = (
    Route("GET", LOGIN_WITH, _go, Permission.ANYONE),
    Route("GET", BACK, _back, Permission.ANYONE),
)
"""There and back."""


async def _admitted(call: Call, provider: Provider, journey: Journey) -> Response:
    asked = fields(call.query)
    if (told := asked.get("error")) is not None:
        why = f": {told}" if _ERROR.fullmatch(told) else ""
        raise Refusal(403, f"{provider.login.host} did not let you in{why}")
    code = asked.get("code", "")
    if not 0 < len(code) <= _LONGEST_CODE:
        raise Refusal(400, "the provider's answer has no code")
    claims = await provider.who(journey, code, asked.get("iss"))
    role = provider.login.role_of(claims.proven_email, claims.groups)
    if role is None:
        raise _stranger(provider, claims)
    issued = await call.write(lambda tx: admit(tx, provider.login, claims, role))
    # Not a redirect: the browser comes from the provider's page, and would not send the new cookie along.
    page = page_alone(call, "admitted", {"target": journey.target})
    page.headers["referrer-policy"] = "no-referrer"
    return with_session(call, page, issued)


def _provider(call: Call) -> Provider:
    if call.tracker.provider is None:
        raise NotFound("nobody logs in at a provider here", hint="the setting `login`, in docs/people.md")
    return call.tracker.provider


def _journey(call: Call) -> Journey | None:
    """The login that a browser began which comes back; None if it is of another, or none."""
    cookie = call.tracker.identities.cookie_of(call.headers, _cookie(call))
    journey = None if cookie is None else call.tracker.journeys.opened(cookie)
    state = fields(call.query).get("state", "")
    if journey is None or not hmac.compare_digest(state.encode(), journey.state.encode()):
        return None
    return journey


def _stranger(provider: Provider, claims: Claims) -> Refusal:
    """What is told to whom the provider knows and the settings do not name."""
    if claims.email and not claims.verified:
        return Refusal(403, f"{provider.login.host} has not verified that {claims.email} is yours")
    called = claims.email or "who you are there"
    return Refusal(403, f"{called} is not among those who may come in: an admin of this server names them")


def _cookie(call: Call) -> str:
    return f"{call.tracker.identities.admission.cookie}_login"


def _here(call: Call) -> str:
    """The address by which browsers reach us; without a public one that by which this one did."""
    if public := call.tracker.identities.admission.url:
        return public.rstrip("/")
    return f"{call.request.scope['scheme']}://{call.headers[b'host'].decode('latin-1')}"
