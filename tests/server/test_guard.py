"""Which requests are looked at at all."""

from __future__ import annotations

from typing import Any

import pytest

from mlwright.kernel.errors import Invalid
from mlwright.server.guard import Guard, parse_url
from mlwright.server.problems import Refusal
from mlwright.wire.guard import parse_authority, parse_origin

PUBLIC = "https://mlwright.example.com"


def refusal(
    method: str = "POST",
    server: str = "127.0.0.1",
    url: str = "",
    scheme: str = "http",
    **headers: str | list[str],
) -> int | None:
    """The status with which a request is refused; None when it is not."""
    told: list[tuple[bytes, bytes]] = []
    for name, value in {"host": "127.0.0.1:5000", **headers}.items():
        values = [value] if isinstance(value, str) else value
        told += [(name.replace("_", "-").encode(), each.encode()) for each in values]
    scope: dict[str, Any] = {"method": method, "headers": told, "server": (server, 5000), "scheme": scheme}
    try:
        Guard(url).check(scope, dict(told))
    except Refusal as error:
        return error.http_status
    return None


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"])
@pytest.mark.parametrize(
    "host",
    [
        *(
            "10.evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "evil-localhost",
            "xlocalhost",
        ),
        *("null", "", " ", "*", "localhost.", "127.0.0.1.", "127.1", "0x7f.1", "2130706433", "0177.0.0.1"),
        *("user@localhost", "localhost@evil.example", "localhost:80@evil.example", "user:x@127.0.0.1"),
        *(
            "localhost:",
            "localhost:0",
            "localhost:65536",
            "localhost:+80",
            "localhost:8 0",
            "localhost:80:80",
        ),
        *("localhost, evil.example", "localhost evil.example", "localhost/evil", "localhost#", "localhost?x"),
        *("[::1", "::1", "[::1]evil", "[::1%25eth0]", "[::ffff:10.0.0.1]", "[127.0.0.1]", "[localhost]"),
        *("10.0.0.1", "0.0.0.0", "\uff4cocalhost", "localhost\\evil", "127。0。0。1", "mlwright.example.com"),
    ],
)
def test_a_host_that_is_not_this_machine_is_refused(method: str, host: str) -> None:
    """On loopback only loopback's own names are answered, by whatever method."""
    assert refusal(method, host=host) == 403


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:1", "127.0.0.1", "127.8.8.8:65535", "[::1]:5000", "[0:0::1]"]
)
def test_the_names_of_loopback_are_answered(host: str) -> None:
    """Whatever loopback name or port (of a tunnel) a client used, it is answered."""
    assert refusal(host=host) is None


def test_beyond_loopback_the_address_that_was_asked_is_the_name() -> None:
    """A server that listens on every address answers at the one that was asked, and no other."""
    answered = ["192.0.2.7", "192.0.2.7:5000"]
    refused = ["127.0.0.1", "localhost", "192.0.2.8", "192.0.2.7.evil.example", "evil.example"]

    assert [refusal(server="192.0.2.7", host=each) for each in answered] == [None, None]
    assert {refusal(server="192.0.2.7", host=each) for each in refused} == {403}
    assert refusal(server="::ffff:192.0.2.7", host="192.0.2.7") is None
    assert refusal(server="2001:db8::1", host="[2001:DB8:0::1]:5000") is None


def test_the_public_name_is_answered_and_no_other_like_it() -> None:
    """Behind a proxy, the setting `url` names the server."""
    like = [
        "xmlwright.example.com",
        "mlwright.example.com.evil.example",
        "mlwright.example.com.",
        "example.com",
    ]

    assert refusal(url=PUBLIC, host="MLwright.Example.com:443") is None
    assert {refusal(url=PUBLIC, host=each) for each in like} == {403}
    assert refusal(url=PUBLIC, server="192.0.2.7", host="mlwright.example.com") is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "origin",
    [
        *(
            "null",
            "",
            "http://",
            "http://evil.example",
            "http://127.0.0.1:5000.evil.example",
            "http://127.0.0.1",
        ),
        *(
            "https://127.0.0.1:5000",
            "file://",
            "ftp://127.0.0.1:5000",
            "HTTP//127.0.0.1:5000",
            "127.0.0.1:5000",
        ),
        *(
            "http://127.0.0.1:5000@evil.example",
            "http://x@127.0.0.1:5000",
            "http://127.0.0.1:5000/",
            "http://[::1",
        ),
        *("http://localhost:5000", "http://127.0.0.1:5001", "http://127.0.0.1:5000 http://127.0.0.1:5000"),
        *(
            "http://127.0.0.1:5000\\evil",
            "http://127.0.0.1:5000?",
            "http://127.0.0.1:5000#",
            "blob:http://127.0.0.1",
        ),
    ],
)
def test_a_page_of_another_origin_is_refused(method: str, origin: str) -> None:
    """Scheme, name and port of a page must be those that the request was sent to."""
    assert refusal(method, origin=origin) == 403


def test_our_own_pages_are_answered() -> None:
    """A page of this server may ask, also through a proxy that speaks https for it."""
    assert refusal(origin="http://127.0.0.1:5000") is None
    assert refusal(origin="HTTP://LOCALHOST:5000", host="localhost:5000") is None
    assert refusal(origin="http://localhost", host="localhost:80") is None
    assert refusal(origin="https://localhost", host="localhost", scheme="https") is None
    assert refusal(origin=PUBLIC, host="mlwright.example.com", url=PUBLIC) is None
    assert refusal(origin=PUBLIC, host="127.0.0.1:5000", url=PUBLIC) is None
    assert refusal(origin="http://mlwright.example.com:80", host="127.0.0.1:5000", url=PUBLIC) == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_a_browser_says_is_from_elsewhere_changes_nothing(site: str) -> None:
    """Changes are refused by what the browser itself says; a link from elsewhere may be followed."""
    assert [refusal(each, sec_fetch_site=site) for each in ("POST", "PUT", "DELETE", "PATCH")] == [403] * 4
    assert refusal("GET", sec_fetch_site=site) is None
    assert refusal("POST", sec_fetch_site="same-origin") is None


def test_addresses_are_compared_as_addresses() -> None:
    """However an address of IPv6 is written, it is one address; a name in Unicode is its name in ASCII."""
    assert parse_authority(b"[2001:DB8::0:1]") == parse_authority(b"[2001:db8:0:0:0:0:0:1]")
    assert parse_url("https://Bücher.example:8443/") == parse_origin(b"https://xn--bcher-kva.example:8443")


@pytest.mark.parametrize(
    "url",
    ["example.com", "ftp://example.com", "https://a@example.com", "https://", "https://a b", "https://a/b"],
)
def test_a_public_address_that_is_none_is_refused(url: str) -> None:
    """The setting `url` is a scheme, a name and perhaps a port."""
    with pytest.raises(Invalid, match="address of a server"):
        parse_url(url)
