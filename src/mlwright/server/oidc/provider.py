"""The provider: what it tells of itself, its keys, and the exchange of a code for who somebody is.

Nothing of what is sent or answered stands in a message. Each request has an end and a size; a redirect is
not followed, since what is sent is meant for the provider alone.

Source: OpenID Connect Discovery 1.0, 4; RFC 6749, 4.1 and 2.3.1; RFC 7517 (JWKS); RFC 9207 (`iss`).
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Coroutine
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus, urlencode, urlsplit

import msgspec
from msgspec import Struct

from mlwright.kernel.errors import Unavailable
from mlwright.kernel.version import VERSION
from mlwright.server.oidc import id_tokens
from mlwright.server.oidc.id_tokens import Claims, Signed
from mlwright.server.oidc.journeys import Journey
from mlwright.server.oidc.settings import Login, is_here, is_private_enough
from mlwright.server.problems import Refusal

WITHIN_S = 10.0
"""How long all that one login asks of the provider may take."""
MOST_BYTES = 1 << 20
_AT_ONCE = 16
_KNOWN_FOR_S = 3600.0
_KEYS_AGAIN_S = 5.0
"""A token with an unknown key has the keys asked for anew, no oftener than this."""
_WELL_KNOWN = "/.well-known/openid-configuration"
_CODE = re.compile(r"[a-z_]{1,50}")
T = TypeVar("T")


class Described(Struct, frozen=True):
    """What a provider tells of itself; the names are the standard's."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    id_token_signing_alg_values_supported: tuple[str, ...] = ("RS256",)
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class _Keys(Struct, frozen=True):
    keys: list[dict[str, Any]]


class _Given(Struct, frozen=True):
    id_token: str


class _Refused(Struct, frozen=True):
    error: str = ""


class Provider:
    """Where people log in.

    Args:
        login: the setting.
    """

    def __init__(self, login: Login) -> None:
        self.login = login
        self._here = is_here(login.issuer)
        self._trusted: ssl.SSLContext | None = None
        self._described: Described | None = None
        self._described_s = 0.0
        self._keys: list[dict[str, Any]] = []
        self._keys_s = float("-inf")
        self._looking = asyncio.Lock()
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def address(self, journey: Journey) -> str:
        """Where a browser is sent to log in.

        Raises:
            Unavailable: the provider cannot be asked, or does not tell what it must.
        """
        described = await self._within(self._describe())
        asked = {
            "response_type": "code",
            "client_id": self.login.client_id,
            "redirect_uri": journey.back,
            "scope": " ".join(self.login.scopes),
            "state": journey.state,
            "nonce": journey.nonce,
            "code_challenge": journey.challenge,
            "code_challenge_method": "S256",
        }
        joint = "&" if urlsplit(described.authorization_endpoint).query else "?"
        return f"{described.authorization_endpoint}{joint}{urlencode(asked, quote_via=quote)}"

    async def who(self, journey: Journey, code: str, issuer: str | None) -> Claims:
        """Who a browser is of that comes back.

        Args:
            journey: the login under way.
            code: that the provider gave it.
            issuer: who says so, if that is told.

        Raises:
            Refusal: what the provider says cannot be believed, or it does not know the code.
            Unavailable: the provider cannot be asked, or does not tell what it must.
        """
        return await self._within(self._exchanged(journey, code, issuer))

    async def _exchanged(self, journey: Journey, code: str, issuer: str | None) -> Claims:
        described = await self._describe()
        if issuer is not None or described.authorization_response_iss_parameter_supported:
            self.check_issuer(issuer)
        token = await self._token(described, journey, code)
        how = id_tokens.signed(token, described.id_token_signing_alg_values_supported)
        key = await self._key(described, how)
        return id_tokens.believed(token, key, how, self.login, journey.nonce)

    def check_issuer(self, told: str | None) -> None:
        """Refuse a browser that was sent by another provider.

        Raises:
            Refusal: it says so.
        """
        if told != self.login.issuer:
            raise Refusal(403, f"this login is not of {self.login.host}")

    async def _describe(self) -> Described:
        """What the provider tells of itself, of the last hour."""
        async with self._looking:
            if self._described is None or time.monotonic() - self._described_s > _KNOWN_FOR_S:
                found = await self._asked("GET", self.login.issuer.rstrip("/") + _WELL_KNOWN, Described)
                self._check(found)
                self._described, self._described_s = found, time.monotonic()
            return self._described

    def _check(self, told: Described) -> None:
        """Refuse a provider that calls itself something else, or wants to be asked where others listen."""
        if told.issuer != self.login.issuer:
            raise self._unavailable("calls itself another name than the setting `issuer`, to the letter")
        for each in (told.authorization_endpoint, told.token_endpoint, told.jwks_uri):
            if not is_private_enough(each, loopback=self._here):
                raise self._unavailable("has an address that is not https")

    async def _token(self, described: Described, journey: Journey, code: str) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": journey.back,
            "code_verifier": journey.verifier,
        }
        secret, auth = self.login.secret(), None
        methods = described.token_endpoint_auth_methods_supported
        if secret is not None and ("client_secret_basic" in methods or "client_secret_post" not in methods):
            auth = (quote_plus(self.login.client_id), quote_plus(secret))
        else:
            form["client_id"] = self.login.client_id
            if secret is not None:
                form["client_secret"] = secret
        given = await self._asked("POST", described.token_endpoint, _Given, form=form, auth=auth)
        return given.id_token

    async def _key(self, described: Described, how: Signed) -> Any:
        """The provider's key of a token; one that is not known may be new."""
        async with self._looking:
            age_s = time.monotonic() - self._keys_s
            found = id_tokens.fitting(self._keys, how) if age_s < _KNOWN_FOR_S else None
            if found is None and age_s > _KEYS_AGAIN_S:
                self._keys = (await self._asked("GET", described.jwks_uri, _Keys)).keys
                self._keys_s = time.monotonic()
                found = id_tokens.fitting(self._keys, how)
        if found is None:
            raise id_tokens.refused("is signed with a key that the provider does not show")
        return found

    async def _within(self, asking: Coroutine[Any, Any, T]) -> T:
        """Let few ask at once, and none for long."""
        try:
            async with asyncio.timeout(WITHIN_S), self._places:
                return await asking
        except TimeoutError:
            raise self._unavailable("does not answer in time") from None
        finally:
            asking.close()

    async def _asked(
        self,
        method: str,
        url: str,
        kind: type[T],
        form: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> T:
        """What the provider answers."""
        import httpx2

        if self._trusted is None:  # it reads hundreds of certificates
            self._trusted = await asyncio.to_thread(_trusted)
        headers = {
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": f"mlwright/{VERSION}",
        }
        try:
            async with (
                httpx2.AsyncClient(
                    verify=self._trusted, trust_env=not self._here, timeout=WITHIN_S
                ) as client,
                client.stream(method, url, data=form, auth=auth, headers=headers) as answer,
            ):
                body = await self._body(answer)
                status, encoding = answer.status_code, answer.headers.get("content-encoding", "identity")
        except httpx2.TimeoutException:
            raise self._unavailable("does not answer in time") from None
        except (httpx2.HTTPError, httpx2.InvalidURL):
            raise self._unavailable("cannot be reached") from None
        if status != 200 or encoding != "identity":
            raise self._not_given(status, body, with_code=form is not None)
        return self._decoded(body, kind)

    async def _body(self, answer: Any) -> bytes:
        body = bytearray()
        async for piece in answer.aiter_raw():
            body += piece
            if len(body) > MOST_BYTES:
                raise self._unavailable(f"answers with more than {MOST_BYTES >> 20} MiB")
        return bytes(body)

    def _decoded(self, body: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise self._unavailable("does not tell what it must") from None

    def _not_given(self, status: int, body: bytes, *, with_code: bool) -> Exception:
        """Why there is no answer; of what a provider says only the standard's code is repeated."""
        if 300 <= status < 400:
            return self._unavailable("sends to another address, which is not followed")
        why = f"answers with status {status}"
        if not with_code:
            return self._unavailable(why)
        try:
            code = msgspec.json.decode(body, type=_Refused).error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            code = ""
        if code == "invalid_grant":
            return Refusal(403, f"{self.login.host} does not know this login any more: begin again")
        return self._unavailable(f"{why}: {code}" if _CODE.fullmatch(code) else why)

    def _unavailable(self, why: str) -> Unavailable:
        return Unavailable(f"{self.login.host}, where people log in, {why}")


def _trusted() -> ssl.SSLContext:
    """The authorities of certificates; the libraries are read here too, beside the event loop."""
    import httpx2
    import jwt  # noqa: F401

    return httpx2.create_ssl_context()
