"""The token in which a provider says who somebody is: the one place that speaks to PyJWT.

Source: OpenID Connect Core 1.0, 2 and 3.1.3.7 (ID token); RFC 8725 (best practices for JWT).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from mlwright.server.oidc.settings import EMAIL, Login
from mlwright.server.problems import Refusal

ALGORITHMS = {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}
"""Signatures that are believed, each with its kind of key: never `none`, and none that is made with a secret,
for which the provider's public key could be taken."""
_PUBLIC = ("kty", "n", "e", "crv", "x", "y")
_LEEWAY_S = 60
_LONGEST = 64 << 10
_NEEDED = ["iss", "sub", "aud", "exp", "iat"]
_MOST_GROUPS = 10_000


class Signed(Struct, frozen=True):
    """What a token says of its own signature, before it is believed."""

    algorithm: str
    key_id: str | None


class Claims(Struct, frozen=True):
    """What a provider says of somebody.

    Args:
        subject: how the provider knows them, for ever.
        name: how they call themselves there.
        email: their address; empty without one.
        verified: whether the provider knows that it is theirs.
        groups: those of their groups that a role hangs on.
    """

    subject: str
    name: str
    email: str
    verified: bool
    groups: tuple[str, ...]

    @property
    def proven_email(self) -> str:
        """The address, if it is known to be theirs."""
        return self.email if self.verified else ""


def signed(token: str, announced: Iterable[str]) -> Signed:
    """How a token is signed.

    Args:
        token: from the provider.
        announced: the algorithms that the provider says it uses.

    Raises:
        Refusal: it is no token, or is signed in a way that is not believed.
    """
    import jwt

    if len(token) > _LONGEST:
        raise refused("is too long")
    try:
        head = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError):
        raise refused("cannot be read") from None
    algorithm, key_id = head.get("alg"), head.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS or algorithm not in announced:
        raise refused("is signed in a way that is not believed")
    return Signed(algorithm, key_id if isinstance(key_id, str) else None)


def fitting(keys: Sequence[Mapping[str, Any]], how: Signed) -> Mapping[str, Any] | None:
    """The provider's key that a token was signed with; None if it is not among these."""
    found = [
        each
        for each in keys
        if each.get("kty") == ALGORITHMS[how.algorithm]
        and each.get("use", "sig") == "sig"
        and each.get("alg", how.algorithm) == how.algorithm
        and (how.key_id is None or each.get("kid") == how.key_id)
    ]
    return found[0] if len(found) == 1 else None


def believed(token: str, key: Mapping[str, Any], how: Signed, login: Login, nonce: str) -> Claims:
    """What a token says, once all of it is found right.

    Args:
        token: from the provider.
        key: of the provider, that fits.
        how: it is signed.
        login: for whom it must be.
        nonce: of the login under way.

    Raises:
        Refusal: the signature is not the key's; it is of another provider, client or login; it is too
            old, or not valid yet; it does not say what it must.
    """
    import jwt

    try:
        public = jwt.PyJWK({name: key[name] for name in _PUBLIC if name in key}, how.algorithm)
        told: dict[str, Any] = jwt.decode(
            token,
            public.key,
            algorithms=[how.algorithm],
            audience=login.client_id,
            issuer=login.issuer,
            leeway=_LEEWAY_S,
            options={"require": _NEEDED, "enforce_minimum_key_length": True},
        )
    except Exception as error:  # whatever the library stumbles over: both are others' work
        # What it says may repeat a part of the token.
        raise refused(_REASONS.get(type(error).__name__, "is not signed by its provider")) from None
    _check_party(told, login.client_id)
    said = told.get("nonce")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
        raise refused("is of another login")
    return _claims(told, login)


_REASONS = {
    "ExpiredSignatureError": "has expired",
    "ImmatureSignatureError": "is not valid yet: one of the two clocks is wrong",
    "InvalidAudienceError": "is for another client",
    "InvalidIssuerError": "is of another provider",
    "InvalidIssuedAtError": "does not say when it was made",
    "InvalidSubjectError": "does not say who it is of",
    "MissingRequiredClaimError": "does not say all that it must",
}


def _check_party(told: Mapping[str, Any], client: str) -> None:
    """Refuse what was made for another client, with us among those who may read it."""
    party, audience = told.get("azp"), told["aud"]
    alone = isinstance(audience, str) or len(audience) == 1
    if party != client and (party is not None or not alone):
        raise refused("is for another client")


def _claims(told: Mapping[str, Any], login: Login) -> Claims:
    subject, email = told["sub"], told.get("email")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not subject.isprintable():
        raise refused("does not say who it is of")
    groups = told.get("groups")
    named = groups[:_MOST_GROUPS] if isinstance(groups, list) else [groups]
    # Some letters that are not ASCII have small ones that are: the Kelvin sign is none of ours.
    address = email if isinstance(email, str) and email.isascii() and EMAIL.fullmatch(email.lower()) else ""
    name = told.get("name")
    return Claims(
        subject,
        "".join(each for each in name[:200] if each.isprintable()) if isinstance(name, str) else "",
        address,
        told.get("email_verified") is True,
        login.groups_among(each for each in named if isinstance(each, str)),
    )


def refused(why: str) -> Refusal:
    """What is told of a token that is not believed.

    Args:
        why: `has expired`.
    """
    return Refusal(403, f"what the provider says of who you are cannot be believed: it {why}")
