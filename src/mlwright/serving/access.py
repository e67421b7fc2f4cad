"""Who may ask a replica for predictions: whoever reaches it, or who shows a token."""

from __future__ import annotations

import hashlib
import hmac

from msgspec import Struct

from mlwright.kernel.errors import Invalid
from mlwright.kernel.secrets import read_secret
from mlwright.serving.problems import Problem
from mlwright.serving.request import Request

_LEAST = 20
_ANYBODY = "/health/", "/v2/health/"
"""What probes ask, which have no token."""


class Access(Struct, frozen=True):
    """The terms on which a replica answers.

    Args:
        digest: SHA-256 of the token that every request must show, in hexadecimal digits; empty for none. The
            token itself is kept nowhere.
        anybody: also on an address that others can reach, whoever asks is answered.
    """

    digest: str = ""
    anybody: bool = False

    def check(self, request: Request) -> None:
        """Look at a request.

        Raises:
            Problem: 401, it does not show the token.
        """
        if not self.digest or request.path.startswith(_ANYBODY):
            return
        kind, _, token = request.header(b"authorization").partition(" ")
        shown = hashlib.sha256(token.strip().encode("latin-1")).hexdigest()
        if kind.lower() != "bearer" or not hmac.compare_digest(shown, self.digest):
            said = "a token is needed: send the header `Authorization: Bearer TOKEN`"
            raise Problem(401, said, headers={"www-authenticate": "Bearer"})


def access_by(token: str, *, anybody: bool = False) -> Access:
    """The terms on which a token opens.

    Args:
        token: where it is, `env:NAME` or `file:PATH`; empty to ask for none.
        anybody: as of `Access`.

    Raises:
        Invalid: it is no reference, or the token is short enough to be guessed, or no header can hold it.
        NotFound: it is not there.
    """
    if not token:
        return Access(anybody=anybody)
    secret = read_secret(token, "the token for predictions")
    if len(secret) < _LEAST or not (secret.isascii() and secret.isprintable()) or " " in secret:
        raise Invalid(
            f"the token for predictions must be of {_LEAST} letters and digits at least",
            hint='python -c "import secrets; print(secrets.token_urlsafe())"',
        )
    return Access(hashlib.sha256(secret.encode()).hexdigest(), anybody)
