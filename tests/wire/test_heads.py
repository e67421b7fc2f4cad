"""Heads of requests, and bodies in chunks: read, or refused, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.wire.heads import MOST_HEADERS, BadHead, Begin, Chunks, read_head

_PIECES = [
    b"GET / HTTP/1.1\r\n",
    b"POST /a?b=c HTTP/1.1\r\n",
    b"Host: localhost\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: h2c\r\nConnection: Upgrade\r\n",
    b"CONNECT a:1 HTTP/1.1\r\n",
    b"PRI * HTTP/2.0\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"%00",
]
heads = st.lists(st.one_of(st.sampled_from(_PIECES), st.binary(max_size=8)), max_size=8).map(b"".join)


@given(heads)
def test_any_bytes_are_a_head_or_none(raw: bytes) -> None:
    """Whatever comes is understood, or refused with a status of the client's fault."""
    try:
        head = read_head(raw + b"\r\n\r\n")
    except BadHead as error:
        assert 400 <= error.status < 500
    else:
        assert head.path.startswith("/")
        assert [name for name, _ in head.headers].count(b"host") <= 1


@given(heads, st.integers(1, 7))
def test_what_is_refused_early_would_be_refused_late(raw: bytes, step: int) -> None:
    """A head that is refused before it is whole is none when it is whole."""
    begin = Begin()
    try:
        for end in range(step, len(raw) + step, step):
            begin.look(raw[:end])
    except BadHead:
        with pytest.raises(BadHead):
            read_head(raw + b"\r\n\r\n")


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(1, 9))
def test_chunks_come_back_however_they_are_cut(pieces: list[bytes], step: int) -> None:
    """The bytes of a body in chunks are the same, wherever the network cut it."""
    raw = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in pieces) + b"0\r\n\r\n"
    chunks = Chunks()

    taken = b"".join(chunks.feed(raw[at : at + step]) for at in range(0, len(raw), step))

    assert taken == b"".join(pieces)
    assert (chunks.ended, chunks.more) == (True, False)


def test_what_stands_behind_the_last_chunk_is_noticed() -> None:
    """Bytes behind a body in chunks are not taken for a part of it."""
    chunks = Chunks()

    assert chunks.feed(b"1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n") == b"a"
    assert (chunks.ended, chunks.more) == (True, True)


def test_as_many_headers_as_allowed() -> None:
    """The bound on headers is exact."""
    head = b"GET / HTTP/1.1\r\nhost: h\r\n%b\r\n"

    assert len(read_head(head % (b"a: b\r\n" * (MOST_HEADERS - 1))).headers) == MOST_HEADERS
    with pytest.raises(BadHead) as refused:
        read_head(head % (b"a: b\r\n" * MOST_HEADERS))
    assert refused.value.status == 431


@pytest.mark.parametrize("told", ["close", "Close", "keep-alive, close"])
def test_a_client_that_asks_no_more_is_heard(told: str) -> None:
    """Whoever reads to the end of the connection is not kept waiting."""
    head = read_head(f"GET / HTTP/1.1\r\nhost: here\r\nconnection: {told}\r\n\r\n".encode())
    other = read_head(b"GET / HTTP/1.1\r\nhost: here\r\nconnection: keep-alive\r\n\r\n")

    assert not head.keeps
    assert other.keeps


@pytest.mark.parametrize(
    "name",
    [
        *("host", "origin", "sec-fetch-site", "authorization", "cookie", "content-type", "content-encoding"),
        *("content-length", "expect", "range", "transfer-encoding"),
    ],
)
def test_a_header_that_decides_stands_once(name: str) -> None:
    """Of two, one reader could believe the first and another one the second."""
    told = {"host": "here", "content-length": "2", "transfer-encoding": "chunked"}.get(name, "100-continue")
    host = b"" if name == "host" else b"host: here\r\n"
    line = f"{name}: {told}\r\n".encode()

    read_head(b"POST / HTTP/1.1\r\n" + host + line + b"accept: a/b\r\naccept: c/d\r\n\r\n")
    with pytest.raises(BadHead) as refused:
        read_head(b"POST / HTTP/1.1\r\n" + host + line * 2 + b"\r\n")

    assert refused.value.status == 400


def test_what_is_remembered_of_a_head_cannot_be_changed() -> None:
    """Of the same bytes all get the same head: nobody can write into another's."""
    raw = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"

    assert read_head(raw).headers == ((b"host", b"here"),)
    assert isinstance(hash(read_head(raw).headers), int)
