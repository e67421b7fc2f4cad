"""What lies elsewhere is brought whole, goes on after an interruption, and says so in one message if not."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlwright.kernel.errors import Conflict, Invalid, MlwrightError, NotFound, Unavailable
from mlwright.storage import fetch
from mlwright.storage.bucket import PART_BYTES
from mlwright.storage.fetch import clean, is_url
from mlwright.storage.reach import Reach, is_public
from mlwright.storage.retrying import Transient
from tests.s3 import SECRET, Place
from tests.storage.faulty import FaultyProxy

DATA = os.urandom(3 * 2**20)
HERE = Reach(private=True, redirects=True)
"""The tests' own servers are on this machine."""
look, fetched = partial(fetch.look, reach=HERE), partial(fetch.fetched, reach=HERE)


class Web(ThreadingHTTPServer):
    """A web server with one file, ranges, and bad habits as asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.data, self.etag = DATA, '"first"'
        self.cut_at: list[int] = []
        self.statuses: list[int] = []
        self.asked: list[dict[str, str]] = []
        self.wrong_parts = 0

    def handle_error(self, *_: object) -> None:
        """Who has heard enough hangs up."""

    @property
    def url(self) -> str:
        """Of the file."""
        return f"http://127.0.0.1:{self.server_port}/data/table.bin"


class Handler(BaseHTTPRequestHandler):
    """Answers as the server is told."""

    protocol_version = "HTTP/1.1"
    server: Web

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Redirects, statuses, ranges, and answers that are cut off."""
        self.server.asked.append(dict(self.headers))
        if self.path.startswith("/to/"):
            self._head(302, Location=self.path.removeprefix("/to/"))
            return
        if self.path == "/missing" or self.server.statuses:
            self._head(404 if self.path == "/missing" else self.server.statuses.pop(0))
            return
        data, begin = self.server.data, 0
        wanted = self.headers.get("Range", "")
        if wanted and self.headers.get("If-Range") == self.server.etag:
            begin = int(wanted.removeprefix("bytes=").rstrip("-"))
            if self.server.wrong_parts:
                self.server.wrong_parts -= 1
                begin += 1000
            if begin >= len(data):
                self._head(416)
                return
        headers = {"ETag": self.server.etag} if self.server.etag else {}
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        self._head(206 if begin else 200, length=len(data) - begin, **headers)
        end = self.server.cut_at.pop(0) if self.server.cut_at else len(data)
        self.wfile.write(data[begin:end])
        self.close_connection = end < len(data)

    def _head(self, status: int, *, length: int = 0, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()


@pytest.fixture
def web() -> Iterator[Web]:
    """The server, running."""
    server = Web()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_of_the_web_is_brought(web: Web, tmp_path: Path) -> None:
    """Under its own name, with what the server said of it; nothing is left behind."""
    with fetched(f"{web.url}?page=3&token={SECRET}#part", tmp_path) as found:
        assert found.path.read_bytes() == DATA
        assert found.path.name == "table.bin"
        assert found.remote.url == f"{web.url}?page=3"
        assert (found.remote.size_bytes, found.remote.etag) == (len(DATA), '"first"')

    assert list(tmp_path.iterdir()) == []


def test_a_body_that_is_cut_off_goes_on_where_it_was(web: Web, tmp_path: Path) -> None:
    """The rest is asked for, if the server still has the same."""
    web.cut_at = [1_000_000, 2_000_000]

    with fetched(web.url, tmp_path) as found:
        assert found.path.read_bytes() == DATA

    begins = [headers.get("Range") for headers in web.asked]
    assert begins == [None, "bytes=1000000-", "bytes=2000000-"]


def test_what_has_changed_meanwhile_is_brought_anew(web: Web, tmp_path: Path) -> None:
    """No file is made of the beginning of one and the end of another."""
    web.cut_at = [1_000_000] * 20
    with pytest.raises(Transient), fetched(web.url, tmp_path):
        pass
    web.data, web.etag, web.cut_at = DATA[::-1], '"second"', []

    with fetched(web.url, tmp_path) as found:
        assert found.path.read_bytes() == DATA[::-1]
        assert found.remote.etag == '"second"'


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_strong_etag_it_begins_again(web: Web, tmp_path: Path, etag: str) -> None:
    """Nothing tells that the rest belongs to what is here."""
    web.etag, web.cut_at = etag, [1_000_000]

    with fetched(web.url, tmp_path) as found:
        assert found.path.read_bytes() == DATA

    assert [headers.get("Range") for headers in web.asked] == [None, None]


def test_a_second_try_of_another_process_goes_on(web: Web, tmp_path: Path) -> None:
    """What an interruption left is where the next one looks."""
    web.cut_at = [2_500_000] * 20
    with pytest.raises(Transient, match="was cut off"), fetched(web.url, tmp_path):
        pass
    web.cut_at, web.asked = [], []

    with fetched(web.url, tmp_path) as found:
        assert found.path.read_bytes() == DATA

    assert [headers.get("Range") for headers in web.asked] == ["bytes=2500000-"]


def test_a_rest_that_is_none_is_brought_anew(web: Web, tmp_path: Path) -> None:
    """Killed after the last byte, before the end: the server says that there is no more."""
    web.cut_at = [2_500_000] * 20
    with pytest.raises(Transient), fetched(web.url, tmp_path):
        pass
    (part,) = tmp_path.glob("*/part")
    part.write_bytes(DATA)
    web.cut_at = []

    with fetched(web.url, tmp_path) as found:
        assert found.path.read_bytes() == DATA


def test_another_part_than_was_asked_for_is_not_taken(web: Web, tmp_path: Path) -> None:
    """The file is brought anew, not put together of what does not fit."""
    web.cut_at, web.wrong_parts = [1_000_000], 1

    with fetched(web.url, tmp_path) as found:
        assert found.path.read_bytes() == DATA


def test_a_server_that_is_busy_is_asked_again(web: Web, tmp_path: Path) -> None:
    """503 and 429 pass."""
    web.statuses = [503, 429, 500]

    with fetched(web.url, tmp_path) as found:
        assert found.path.read_bytes() == DATA


def test_redirects_are_followed_and_counted(web: Web, tmp_path: Path) -> None:
    """Five are; a circle ends; what leads to files is refused."""
    root = f"http://127.0.0.1:{web.server_port}"
    with fetched(f"{root}/to/{web.url}", tmp_path) as found:
        assert found.path.read_bytes() == DATA

    with (
        pytest.raises(Unavailable, match="from one address to the next"),
        fetched(f"{root}/to/" * 7 + web.url, tmp_path),
    ):
        pass
    with pytest.raises(MlwrightError) as raised, fetched(f"{root}/to/file:///etc/passwd", tmp_path):
        pass
    assert raised.value.exit_code in {2, 6}


def test_a_redirect_is_followed_only_when_that_is_asked(web: Web) -> None:
    """Where it leads is told, and nothing is sent there."""
    url = f"http://127.0.0.1:{web.server_port}/to/{web.url}"

    with pytest.raises(Unavailable, match=r"leads to another address, on 127\.0\.0\.1") as raised:
        fetch.look(url, reach=Reach(private=True))

    assert "--follow" in (raised.value.hint or "")
    assert len(web.asked) == 1


PRIVATE = [
    *("127.0.0.1", "127.1", "0x7f.1", "0x7f000001", "2130706433", "0", "0.0.0.0", "localhost"),
    *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"),
    *(
        "169.254.169.254",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
    ),
    *("224.0.0.1", "255.255.255.255", "user:password@127.0.0.1"),
]


@pytest.mark.parametrize("host", PRIVATE)
@pytest.mark.parametrize("proxy", ["", "http://127.0.0.1:9"])
def test_private_addresses_are_not_fetched_from_unasked(
    web: Web, host: str, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However they are written, through a proxy or not: nothing is connected to, and no password is told."""
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("no_proxy", "")

    with pytest.raises(Invalid, match="nothing is fetched there unasked") as raised:
        fetch.look(f"http://{host}:{web.server_port}/data/table.bin")

    assert "--private" in (raised.value.hint or "") and "password" not in raised.value.render()
    assert web.asked == []


def test_a_name_that_leads_to_a_private_address_is_refused(web: Web) -> None:
    """Each of a name's addresses is looked at, and connected to without asking again."""
    answers = [["8.8.8.8", "127.0.0.1"], ["127.0.0.1"], ["127.0.0.1"]]

    def resolve(*_: Any) -> list[tuple[Any, ...]]:
        found = answers.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, web.server_port)) for each in found]

    url = f"http://data.example:{web.server_port}/data/table.bin"
    for _ in range(2):
        with pytest.raises(Invalid, match=r"data\.example is a machine of a private network"):
            fetch.look(url, reach=Reach(resolve=resolve))
    assert web.asked == []
    assert fetch.look(url, reach=Reach(private=True, resolve=resolve)).size_bytes == len(DATA)
    assert web.asked[0]["Host"] == f"data.example:{web.server_port}"
    assert answers == []


def test_a_public_server_leads_nowhere_private(web: Web) -> None:
    """Where redirects are followed, each address on the way is looked at."""
    root = f"http://127.0.0.1:{web.server_port}"
    looked_at: list[str] = []

    def resolve(host: str, *_: Any) -> list[tuple[Any, ...]]:
        looked_at.append(host)
        address = "127.0.0.1" if host == "127.0.0.1" else "10.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, web.server_port))]

    class Lenient(Reach, frozen=True):
        """The test's server stands for a public one."""

        def check(self, host: str, address: str) -> None:
            if address != "127.0.0.1":
                super().check(host, address)

    with pytest.raises(Invalid, match="inside is a machine of a private network"):
        fetch.look(f"{root}/to/http://inside/x", reach=Lenient(redirects=True, resolve=resolve))
    assert looked_at == ["127.0.0.1", "inside"]


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_public_addresses_are_public(address: str) -> None:
    """Also one that stands in another."""
    assert is_public(address)


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (404, NotFound, "there is nothing at"),
        (410, NotFound, "there is nothing at"),
        (401, Unavailable, "is denied: status 401"),
        (403, Unavailable, "is denied: status 403"),
        (418, Unavailable, "answers with status 418"),
    ],
)
def test_what_a_server_refuses_is_said_at_once(
    web: Web, tmp_path: Path, status: int, error: type[MlwrightError], message: str
) -> None:
    """One request, one message, and no secret of the URL in it."""
    web.statuses = [status]

    with pytest.raises(error, match=message) as raised, fetched(f"{web.url}?sig={SECRET}", tmp_path):
        pass

    assert raised.value.hint
    assert SECRET not in raised.value.render()
    assert len(web.asked) == 1


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("http://nowhere.invalid/x", Unavailable, "no such host"),
        ("http://127.0.0.1:1/x", Unavailable, "connection refused"),
        ("http:///x", Invalid, "no web address"),
    ],
)
def test_an_address_that_leads_nowhere_is_said(
    tmp_path: Path, url: str, error: type[MlwrightError], message: str
) -> None:
    """Name, port and form: each has its own words."""
    for use in (lambda: look(url), lambda: fetched(url, tmp_path).__enter__()):
        with pytest.raises(error, match=message):
            use()


def test_a_server_without_tls_is_said(web: Web, tmp_path: Path) -> None:
    """https to a server that speaks http."""
    with pytest.raises(Unavailable, match="no certificate that is trusted"):
        look(web.url.replace("http:", "https:"))


def test_looking_reads_no_body(web: Web) -> None:
    """What a dry run asks for is the size and the ETag."""
    remote = look(web.url)

    assert (remote.size_bytes, remote.etag, remote.files) == (len(DATA), '"first"', 1)


def test_two_that_fetch_the_same_do_not_meet(web: Web, tmp_path: Path) -> None:
    """The second is told."""
    with fetched(web.url, tmp_path), pytest.raises(Conflict, match="by another process"):
        fetched(web.url, tmp_path).__enter__()


@pytest.mark.parametrize(
    ("text", "answer"),
    [("https://a/b", True), ("S3://a/b", True), ("data/x.csv", False), ("C:\\x", False), ("a:b", False)],
)
def test_a_url_is_known_by_its_form(text: str, answer: bool) -> None:
    """What has no `//` is a path."""
    assert is_url(text) is answer


@pytest.mark.parametrize("text", ["ftp://host/x", "file:///etc/passwd", "gs://bucket/x"])
def test_other_addresses_are_refused(text: str) -> None:
    """With what can be fetched from."""
    with pytest.raises(Invalid, match="nothing can be fetched from"):
        is_url(text)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@host:8/a?x=1#f", "https://host:8/a?x=1"),
        (
            "https://b.s3.amazonaws.com/k?X-Amz-Signature=ab&X-Amz-Credential=c&v=2",
            "https://b.s3.amazonaws.com/k?v=2",
        ),
        ("s3://bucket/key?region=eu", "s3://bucket/key?region=eu"),
    ],
)
def test_what_is_shown_of_a_url_holds_no_secret(url: str, shown: str) -> None:
    """Neither user nor password nor signature."""
    assert clean(url) == shown


def put_all(s3: Place, files: dict[str, bytes]) -> None:
    """Write keys."""
    for key, data in files.items():
        bucket = s3.bucket()
        if len(data) > PART_BYTES:
            bucket.write_parts(
                key, [data[i : i + PART_BYTES] for i in range(0, len(data), PART_BYTES)], PART_BYTES
            )
        else:
            bucket.write(key, data)


@pytest.mark.parametrize("name", ["table.csv", "deep/large.bin"])
def test_a_key_of_a_bucket_is_brought(s3: Place, tmp_path: Path, name: str) -> None:
    """One file under its own name, with the ETag that the bucket says."""
    data = os.urandom(100 if name == "table.csv" else 2 * PART_BYTES + 5)
    put_all(s3, {name: data})

    with fetched(f"{s3.url}/{name}", tmp_path) as found:
        assert found.path.read_bytes() == data
        assert found.path.name == name.rpartition("/")[2]
        assert found.remote.size_bytes == len(data)
        assert found.remote.etag == look(f"{s3.url}/{name}").etag != ""


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_folder_of_a_bucket_is_brought(s3: Place, tmp_path: Path, slash: str) -> None:
    """With all that is below, and with a digest of all ETags."""
    files = {f"images/{number % 3}/{number}.bin": os.urandom(1000 + number) for number in range(40)}
    put_all(s3, files)

    with fetched(f"{s3.url}/images{slash}", tmp_path) as found:
        brought = {
            f"images/{path.relative_to(found.path).as_posix()}": path.read_bytes()
            for path in found.path.rglob("*")
            if path.is_file()
        }
        assert brought == files
        assert (found.remote.files, found.remote.size_bytes) == (40, sum(map(len, files.values())))
        assert found.remote.etag.startswith("b3:")


def test_a_key_that_is_not_there_is_said(s3: Place, tmp_path: Path) -> None:
    """Neither a key nor a folder."""
    with pytest.raises(NotFound, match="there is nothing at"), fetched(f"{s3.url}/nothing", tmp_path):
        pass


def test_a_bucket_on_a_bad_day_is_brought_all_the_same(
    s3: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors and cut-off bodies; what was brought before is not asked for again."""
    files = {f"f/{number}": os.urandom(50_000) for number in range(30)}
    put_all(s3, files)
    with FaultyProxy(s3.server.port, share=0.3, faults=["500", "503", "truncate"], seed=5) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)

        with fetched(f"{s3.url}/f/", tmp_path) as found:
            assert {f"f/{path.name}": path.read_bytes() for path in found.path.iterdir()} == files

    assert proxy.met
