"""Digests: BLAKE3 as everybody computes it, kinds apart, and one JSON text of a value."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.kernel.digest import (
    canonical,
    composite,
    digest_of,
    digest_of_blocks,
    digest_of_file,
    is_digest,
)

# Source: test_vectors.json of the BLAKE3 specification; input n is the bytes 0, 1, ..., 250, 0, 1, ...
VECTORS = {
    0: "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
    1: "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
    1023: "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11",
    1024: "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
    1025: "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
    102400: "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085",
}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(blacklist_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(blacklist_categories=["Cs"])), inner)
    ),
    max_leaves=10,
)


def vector(length: int) -> bytes:
    """An input of the specification's test vectors."""
    return bytes(number % 251 for number in range(length))


def turned(value: Any) -> Any:
    """The same value, its dictionaries filled the other way round."""
    if isinstance(value, dict):
        return {key: turned(item) for key, item in reversed(value.items())}
    return [turned(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("length", VECTORS)
def test_a_plain_digest_is_what_b3sum_prints(length: int, tmp_path: Path) -> None:
    """The specification's vectors, from memory and from a file."""
    file = tmp_path / "input"
    file.write_bytes(vector(length))

    assert digest_of(vector(length)) == digest_of_file(file) == VECTORS[length]


@pytest.mark.parametrize("size", [(1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 << 20])
def test_memory_and_file_agree_at_every_size(size: int, tmp_path: Path) -> None:
    """One thread, all threads and the memory map compute the same digest."""
    data = vector(251) * (size // 251 + 1)
    file = tmp_path / "input"
    file.write_bytes(data[:size])

    assert digest_of(data[:size]) == digest_of_file(file)
    assert digest_of(data[:size], "tree") == digest_of_file(file, "tree")


@given(blocks=st.lists(st.binary(max_size=300), max_size=8), kind=st.sampled_from([None, "tree"]))
def test_blocks_have_the_digest_of_all_of_them(blocks: list[bytes], kind: str | None) -> None:
    """However bytes are cut, their digest is the same, and each block is passed on once, in its order."""
    heard: list[object] = []

    digest = digest_of_blocks(blocks, kind, hear=heard.append)

    assert digest == digest_of(b"".join(blocks), kind)
    assert heard == blocks


def test_a_composite_is_derived_with_its_kind() -> None:
    """The mode `derive_key` under a fixed context: these digests are written into every workspace."""
    assert composite("tree", []) == digest_of(b"[]", "tree")
    assert composite("tree", []) == "d7b8f3a02ce0c87625dadd13ccf813262d5794b682ee650e5fad85c2d9a8c8fa"


@given(data=st.binary(max_size=50), kinds=st.lists(st.text(min_size=1, max_size=8), min_size=2, unique=True))
def test_no_kind_shares_a_digest_with_another(data: bytes, kinds: list[str]) -> None:
    """The same bytes have another name as an object and under each kind."""
    assert len({digest_of(data), *(digest_of(data, kind) for kind in kinds)}) == len(kinds) + 1


@given(JSON)
def test_the_canonical_text_is_json_of_the_value(value: Any) -> None:
    """Reading it gives the value back, and writing that gives the same bytes."""
    text = canonical(value)

    assert json.loads(text) == value
    assert canonical(json.loads(text)) == text


@given(JSON)
def test_the_canonical_text_does_not_know_the_order_of_keys(value: Any) -> None:
    """A dictionary filled in another order is the same value, and has the same digest."""
    assert canonical(turned(value)) == canonical(value)
    assert composite("lock", turned(value)) == composite("lock", value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, {"a": [math.nan]}])
def test_what_json_cannot_say_has_no_canonical_text(value: Any) -> None:
    """NaN and infinities are no JSON: they never reach a digest."""
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical(value)


@given(st.binary(max_size=20))
def test_digests_are_told_from_other_texts(data: bytes) -> None:
    """64 lowercase hexadecimal digits, and nothing else."""
    digest = digest_of(data)

    assert is_digest(digest)
    for text in [digest[1:], digest + "0", digest[:-1] + "g", digest[:-1] + "A", digest[:-1] + "\n", ""]:
        assert not is_digest(text)


def test_a_file_that_cannot_be_read_is_an_error() -> None:
    """A missing file and a folder raise OSError."""
    with tempfile.TemporaryDirectory() as folder:
        for path in (Path(folder), Path(folder) / "missing"):
            with pytest.raises(OSError, match=r"\[Errno|os error"):
                digest_of_file(path)
