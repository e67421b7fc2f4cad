"""Who asks: by a token, by the session of a browser, or nobody; and whether they may."""

from __future__ import annotations

import asyncio
import hmac
from base64 import b64decode
from binascii import Error as NoBase64
from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace

from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Source
from mlwright.kernel.digest import Digest
from mlwright.server.commits import Commits
from mlwright.server.oidc.settings import Login
from mlwright.server.people import person
from mlwright.server.permissions import Permission, Role
from mlwright.server.problems import Refusal
from mlwright.server.readers import Readers
from mlwright.server.tokens import (
    ANONYMOUS,
    LONGEST_SECRET,
    TOUCH_US,
    Token,
    TokenKind,
    digest_of_secret,
    find,
    known,
    touch,
)
from mlwright.wire.guard import SAFE

_MOST_COOKIES = 8 << 10
_HOW = "mlwright tokens create NAME --role ROLE, and send it as a bearer token (MLWRIGHT_TOKEN does)"


class Identity(Struct, frozen=True):
    """Who asks.

    Args:
        name: the actor of what they do.
        role: what they may; None for nobody.
        token_id: of what they are known by; empty for nobody, and for the workspace's own token.
        browser: whether they are known by the session of a browser.
    """

    name: str
    role: Role | None = None
    token_id: str = ""
    browser: bool = False


NOBODY = Identity(ANONYMOUS)


class Admission(Struct, frozen=True):
    """On what terms a server answers.

    Args:
        owner: who acts by the workspace's own token.
        own_digest: of that token.
        exposed: others than this machine may reach it: every request needs an identity.
        tokenless: on this machine, MLflow's clients may write without a token.
        cookie: the name of the session's cookie: a browser sends it to every server of a machine.
        url: the public address, if there is one.
        login: where people log in, and what they may, if they do.
    """

    owner: str
    own_digest: Digest
    exposed: bool
    tokenless: bool
    cookie: str
    url: str = ""
    login: Login | None = None


class Identities:
    """Knows who asks. Each secret is looked up anew, so that one that is taken back is refused at once.

    They are looked up in a thread of their own: whoever sends wrong ones waits for that, and nobody else.

    Args:
        admission: on what terms.
        readers: of that thread.
        commits: where it is written when a secret was used last.
    """

    def __init__(self, admission: Admission, readers: Readers, commits: Commits) -> None:
        self.admission = admission
        self._readers = readers
        self._commits = commits
        self._touching: set[asyncio.Task[None]] = set()

    async def who(self, headers: dict[bytes, bytes], method: str) -> Identity:
        """Who asks, by what the headers of a request tell.

        Raises:
            Refusal: with a token that is worth nothing; or a change by a session, without the page it is of.
        """
        if (told := headers.get(b"authorization")) is not None:
            return await self._bearer(told)
        secret = self.session_of(headers)
        token = None if secret is None else await self._found(secret, TokenKind.SESSION)
        if token is None:
            return NOBODY
        # A browser names the page of every change; what does not may have been made to send the cookie.
        if method not in SAFE and b"origin" not in headers:
            raise Refusal(403, "a change by a session must name its page: the header Origin is missing")
        return Identity(token.name, token.role, token.id, browser=True)

    def session_of(self, headers: dict[bytes, bytes]) -> str | None:
        """The secret of a session that a request has; None without one."""
        return self.cookie_of(headers, self.admission.cookie)

    @staticmethod
    def cookie_of(headers: dict[bytes, bytes], named: str) -> str | None:
        """The value of a cookie that a request has; None without it."""
        told, wanted = headers.get(b"cookie", b""), named.encode()
        if wanted not in told or len(told) > _MOST_COOKIES:
            return None
        for each in told.split(b";"):
            name, _, value = each.strip().partition(b"=")
            if name == wanted:
                return value.decode("latin-1")
        return None

    async def knows(self, secret: str, kind: TokenKind) -> bool:
        """Whether a secret of this kind is worth something now."""
        return await self._readers.read(lambda source: find(source, secret, kind)) is not None

    def check(self, identity: Identity, permission: Permission, *, tokenless: bool = False) -> None:
        """Refuse what somebody may not.

        Args:
            identity: of who asks.
            permission: that is needed.
            tokenless: the route is one that MLflow's clients may ask without a token.

        Raises:
            Refusal: they are nobody (401), or may less (403).
        """
        if identity.role is not None:
            if not identity.role.may(permission):
                who = f"{identity.name} is a {identity.role}"
                raise Refusal(403, f"this needs the permission `{permission}`, and {who}")
        elif not self._nobody_may(permission, tokenless):
            raise Refusal(
                401,
                f"this needs the permission `{permission}`, and the request has no token",
                hint=_HOW,
                headers={"www-authenticate": "Bearer"},
            )

    async def check_again(self, identity: Identity, permission: Permission) -> None:
        """Refuse to go on with what somebody may no longer, though they might when they asked.

        Raises:
            Refusal: what they are known by is worth nothing any more (401), or may less (403).
        """
        if not identity.token_id:
            return
        token = await self._readers.read(
            lambda source: self._as_set(source, known(source, identity.token_id))
        )
        if token is None:
            raise Refusal(401, "what this was asked with was taken back, or has expired", hint=_HOW)
        self.check(replace(identity, role=token.role), permission)

    def close(self) -> None:
        """Let go of the thread."""
        self._readers.close()

    def _nobody_may(self, permission: Permission, tokenless: bool) -> bool:
        if permission is Permission.ANYONE:
            return True
        if self.admission.exposed:
            return False
        return permission is Permission.READ or (tokenless and self.admission.tokenless)

    async def _bearer(self, told: bytes) -> Identity:
        secret = _secret_of(told)
        own = self.admission.own_digest
        if secret is not None and hmac.compare_digest(digest_of_secret(secret), own):
            return Identity(self.admission.owner, Role.ADMIN)
        token = None if secret is None else await self._found(secret, TokenKind.TOKEN)
        if token is None:
            raise Refusal(
                401,
                "the token is unknown here, has expired, or was taken back",
                hint="mlwright tokens list shows those that are in use",
                headers={"www-authenticate": 'Bearer error="invalid_token"'},
            )
        return Identity(token.name, token.role, token.id)

    async def _found(self, secret: str, kind: TokenKind) -> Token | None:
        def look(source: Source) -> Token | None:
            return self._as_set(source, find(source, secret, kind))

        token = await self._readers.read(look)
        if token is not None and now_us() - (token.used_us or 0) > TOUCH_US and not self._touching:
            task = asyncio.create_task(self._touch(token.id))
            self._touching.add(task)
            task.add_done_callback(self._touching.discard)
        return token

    def _as_set(self, source: Source, token: Token | None) -> Token | None:
        """A token with the role that the settings give now who has logged in at a provider."""
        if token is None or token.person_id is None:
            return token
        role = person(source, token.person_id).role_by(self.admission.login)
        return None if role is None else replace(token, role=role)

    async def _touch(self, identity: str) -> None:
        """Write down that a secret was used; if that cannot be written now, the next request tries."""
        with suppress(Exception):  # whatever is wrong with the records is told by what needs them
            await self._commits.write(lambda tx: touch(tx, identity))


def _secret_of(told: bytes) -> str | None:
    """The secret in an `Authorization` header: as a bearer token, or as the password of anybody."""
    scheme, _, rest = told[: 4 * LONGEST_SECRET + 1000].decode("latin-1").strip().partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            return b64decode(rest.strip(), validate=True).decode().partition(":")[2]
        except (NoBase64, ValueError):
            return None
    return None
