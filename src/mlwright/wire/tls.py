"""What is shown for `https`."""

from __future__ import annotations

import ssl
from pathlib import Path

from msgspec import Struct

from mlwright.kernel.errors import Invalid


class Certificate(Struct, frozen=True):
    """What a server shows for `https`.

    Args:
        chain: the file of the certificate, with those that vouch for it.
        key: the file of its key.
    """

    chain: Path
    key: Path


def tls_of(certificate: Certificate) -> ssl.SSLContext:
    """What a certificate and its key are needed for.

    Raises:
        Invalid: they cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # Without a password OpenSSL asks the terminal.
        context.load_cert_chain(certificate.chain, certificate.key, password=lambda: "")
    except OSError as error:  # also of ssl: not those two, not of each other, encrypted
        raise Invalid(
            f"the certificate and its key cannot be used: {error.strerror or error}",
            where=str(certificate.chain),
            hint="PEM files, the key not encrypted: --tls-cert FILE --tls-key FILE",
        ) from error
    return context
