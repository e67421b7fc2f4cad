"""Where a bucket is: `s3://bucket/prefix?endpoint=...&region=...&addressing=...`."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct

from mlwright.kernel.errors import Invalid

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
_SETTINGS = ("endpoint", "region", "addressing")


class Address(Struct, frozen=True):
    """A bucket and a prefix in it.

    Args:
        prefix: without slashes at its ends; may be empty.
        endpoint: of a server that is not Amazon's; empty for `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` or the
            profile's, and else Amazon's.
        region: empty for `AWS_REGION`, `AWS_DEFAULT_REGION` or the profile's.
        addressing: `path`, `virtual`, or empty for the usual one.
    """

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    addressing: str = ""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def below(self, name: str) -> Address:
        """The same bucket, deeper."""
        prefix = f"{self.prefix}/{name}".strip("/")
        return Address(self.bucket, prefix, self.endpoint, self.region, self.addressing)


def parse_address(url: str) -> Address:
    """Read the address of a bucket.

    Raises:
        Invalid: it is none, or holds credentials; these are not repeated in the message.
    """
    try:
        parts = urlsplit(url)
        settings = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise Invalid("the S3 address cannot be read", hint="write s3://BUCKET/PREFIX") from None
    if parts.scheme != "s3":
        raise Invalid(f"{parts.scheme or 'this'} is no S3 address", hint="write s3://BUCKET/PREFIX")
    if "@" in parts.netloc or any("key" in name.lower() or "secret" in name.lower() for name in settings):
        raise Invalid(
            "an S3 address holds no credentials",
            hint="write s3://BUCKET/PREFIX, and give them by AWS_PROFILE, or by AWS_ACCESS_KEY_ID and"
            " AWS_SECRET_ACCESS_KEY",
        )
    if not _BUCKET.fullmatch(parts.netloc):
        raise Invalid(f"{parts.netloc!r} cannot be a bucket", hint="write s3://BUCKET/PREFIX")
    if unknown := sorted(set(settings) - set(_SETTINGS)):
        raise Invalid(
            f"an S3 address has no setting `{unknown[0]}`", hint=f"it may have {', '.join(_SETTINGS)}"
        )
    address = Address(parts.netloc, parts.path.strip("/"), **settings)
    if parts.fragment or any(part in {"", ".", ".."} for part in address.prefix.split("/") if address.prefix):
        raise Invalid(f"{address} has no plain path", hint="write s3://BUCKET/PREFIX")
    if address.addressing not in {"", "path", "virtual"}:
        raise Invalid(f"addressing cannot be {address.addressing!r}", hint="it is `path` or `virtual`")
    endpoint = urlsplit(address.endpoint)
    if address.endpoint and (endpoint.scheme not in {"http", "https"} or "@" in endpoint.netloc):
        raise Invalid("the endpoint is no plain web address", hint="write endpoint=https://HOST:PORT")
    return address
