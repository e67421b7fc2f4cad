"""What a server of objects, or the way to it, refuses: told in our words, and nothing secret among them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mlwright.kernel.errors import MlwrightError, NotFound, Unavailable
from mlwright.storage.address import Address
from mlwright.storage.retrying import Transient

_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_AGAIN = "run the same command again: what was done is kept"

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
_UNKNOWN_KEY = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidClientTokenId"}
_ELSEWHERE = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_SPOILED = {
    "BadDigest",
    "XAmzContentSHA256Mismatch",
    "IncompleteBody",
    "InvalidDigest",
    "XAmzContentChecksumMismatch",
}


def in_our_words(error: Exception, address: Address, where: str) -> MlwrightError:
    """One message for what obstore raised.

    Args:
        error: of obstore.
        address: what was asked.
        where: the key, for the message.
    """
    text = str(error)
    code = _first(_CODE.findall(text))
    status = _first(_STATUS.findall(text))
    if code in _EXPIRED:
        return Unavailable(
            f"the credentials for {address} have expired",
            hint="sign in anew (with AWS: aws sso login), then run the same command again",
        )
    if code in _UNKNOWN_KEY:
        return Unavailable(
            f"{address} refuses the credentials: {code}",
            hint="check AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    if code == "RequestTimeTooSkewed":
        return Unavailable(
            f"{address} refuses: the clock here is wrong", hint="set the clock of this machine"
        )
    if code == "NoSuchBucket":
        return Unavailable(
            f"there is no bucket {address.bucket}", hint="check the name, the region and AWS_ENDPOINT_URL"
        )
    if code in _ELSEWHERE or status in {"301", "307"}:
        return Unavailable(
            f"the bucket {address.bucket} is in another region", hint="name it: AWS_REGION=REGION"
        )
    if code in _SPOILED:
        return Transient(f"bytes did not reach {address} as they were sent", where=where, hint=_AGAIN)
    if "169.254.169.254" in text or "169.254.170.2" in text or "credential provider" in text:
        return Unavailable(
            f"there are no credentials for {address}",
            hint="give them by AWS_PROFILE, or by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    if status in {"401", "403"}:
        return Unavailable(
            f"access to {address} is denied{_reason(code)}",
            hint="the credentials need to list, read, write and delete there",
        )
    if isinstance(error, FileNotFoundError):
        return NotFound(f"there is nothing at {where}")
    if status:
        return Unavailable(f"{address} answers with status {status}{_reason(code)}", hint=_AGAIN)
    return _of_network(text, address, where)


def _of_network(text: str, address: Address, where: str) -> Unavailable:
    if "kind: Connect" in text:
        return Unavailable(
            f"{address} cannot be reached: {_why_not(text)}",
            hint="check the network and AWS_ENDPOINT_URL, then run the same command again",
        )
    if "TimedOut" in text:
        return Unavailable(f"{address} does not answer", hint=_AGAIN)
    if any(sign in text for sign in ("kind: Interrupted", "kind: Body", "kind: Decode", "UnexpectedEof")):
        return Transient(f"what {address} sent was cut off", where=where, hint=_AGAIN)
    if "Precondition" in text:
        return Transient(f"{where} was changed while it was read", hint=_AGAIN)
    return Unavailable(f"{address} failed: {_plain(text)}", where=where, hint=_AGAIN)


def _why_not(text: str) -> str:
    if "dns error" in text:
        return "no such host"
    if "certificate" in text.lower() or "InvalidMessage" in text:
        return "no TLS connection"
    if "ConnectionRefused" in text:
        return "the connection is refused"
    return "no connection"


def _plain(text: str) -> str:
    """The first line of what obstore says, without addresses: they may hold what is secret."""
    return re.sub(r"https?://\S+", "the server", text.splitlines()[0] if text else "no reason given")[:200]


def _reason(code: str) -> str:
    return f" ({code})" if code else ""


def _first(found: Iterable[str]) -> str:
    return next(iter(found), "")
