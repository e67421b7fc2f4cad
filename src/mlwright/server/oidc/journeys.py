"""A login under way: what a browser takes along to the provider and back, so that no other can end it.

It is in a cookie of that browser, signed with a key of the running server: the server keeps nothing, and who
begins a thousand logins costs nothing.

Source: RFC 7636 (PKCE); OpenID Connect Core 1.0, 3.1.2.1 and 15.5.2 (state, nonce).
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NoBase64
from hashlib import sha256

import msgspec
from msgspec import Struct

from mlwright.kernel.clock import now_us

LASTS_S = 600
"""How long somebody may take at the provider."""
_RANDOM_BYTES = 32
_LONGEST = 4096
_LONGEST_TARGET = 1000


class Journey(Struct, frozen=True):
    """A login under way.

    Args:
        state: that the provider gives back: the browser that comes is the one that went.
        nonce: that the provider signs: the token is of this login.
        verifier: that the provider is shown with the code: who asks is who began.
        back: the address to which the provider sends the browser.
        target: the path on which the browser goes on.
        ends_us: when it is too late.
    """

    state: str
    nonce: str
    verifier: str
    back: str
    target: str
    ends_us: int

    @property
    def challenge(self) -> str:
        """What the provider is told of the verifier before (S256)."""
        return _text(sha256(self.verifier.encode()).digest())


class Journeys:
    """Signs what a browser takes along, and knows it again. A restart of the server ends those under way."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(_RANDOM_BYTES)

    def begin(self, back: str, target: str) -> Journey:
        """A new one.

        Args:
            back: the address to which the provider sends the browser.
            target: the path on which it goes on; a very long one is forgotten.
        """
        state, nonce, verifier = (secrets.token_urlsafe(_RANDOM_BYTES) for _ in range(3))
        target = target if len(target) <= _LONGEST_TARGET else "/"
        return Journey(state, nonce, verifier, back, target, now_us() + LASTS_S * 1_000_000)

    def sealed(self, journey: Journey) -> str:
        """The value of the cookie."""
        told = _text(msgspec.json.encode(journey))
        return f"{told}.{_text(self._seal(told))}"

    def opened(self, text: str) -> Journey | None:
        """What a cookie says; None for one that is too old, not ours, or was changed."""
        told, _, seal = text.partition(".")
        if len(text) > _LONGEST or not text.isascii():
            return None
        try:
            if not hmac.compare_digest(_bytes(seal), self._seal(told)):
                return None
            journey = msgspec.json.decode(_bytes(told), type=Journey)
        except (NoBase64, ValueError, msgspec.MsgspecError):
            return None
        return journey if now_us() < journey.ends_us else None

    def _seal(self, told: str) -> bytes:
        return hmac.digest(self._key, told.encode(), "sha256")


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
