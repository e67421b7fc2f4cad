"""The laws of `mlwright.sdk.codecs.Codec`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mlwright.sdk.codecs import CODECS, Codec, codec_named, codecs_for
from mlwright.sdk.types import type_name

Make = Callable[[], Any]


def encoded(codec: Codec, value: Any, path: Path) -> bytes:
    """The bytes of a value; of a folder those of all its files, under their names."""
    codec.encode(value, path)
    if not path.is_dir():
        return path.read_bytes()
    files = {
        file.relative_to(path).as_posix(): [file.read_bytes().hex(), os.access(file, os.X_OK)]
        for file in path.rglob("*")
        if file.is_file()
    }
    return json.dumps(files, sort_keys=True).encode()


def digest_of_value(codec: Codec, value: Any, path: Path) -> str:
    """A short name of those bytes."""
    return hashlib.sha256(encoded(codec, value, path)).hexdigest()[:16]


class CodecExam:
    """Subclass, say which codec, which values and what is wrong, and you are examined.

    A value is given as a function that makes it, so that it can be made again, here and in other processes.
    """

    codec: ClassVar[Codec]
    values: ClassVar[Mapping[str, Make]]
    broken: ClassVar[Mapping[str, bytes]]
    """Bytes that `encode` never makes. Empty where any bytes are a value: law 4 has no sense there."""

    def same(self, one: Any, other: Any) -> None:
        """Assert that two values are equal, and of one type."""
        assert type(one) is type(other)
        assert one == other

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test for each value, and for each wrong text."""
        if "make" in metafunc.fixturenames:
            metafunc.parametrize("make", list(self.values.values()), ids=list(self.values))
        if "wrong" in metafunc.fixturenames:
            metafunc.parametrize("wrong", list(self.broken.values()), ids=list(self.broken))

    def test_a_value_comes_back(self, make: Make, tmp_path: Path) -> None:
        """Law 1: what was encoded is decoded as the type it had, with all that can be seen of it."""
        value = make()
        path = tmp_path / "encoded"

        self.codec.encode(value, path)
        path.chmod(0o755 if path.is_dir() else 0o444)
        decoded = self.codec.decode(path, type_name(type(value)), tmp_path)

        self.same(decoded, make())
        self.same(value, make())

    def test_equal_values_have_equal_bytes(self, make: Make, tmp_path: Path) -> None:
        """Law 2: the value, one made anew, and one that was decoded, give the same bytes."""
        value = make()
        first = encoded(self.codec, value, tmp_path / "first")

        decoded = self.codec.decode(tmp_path / "first", type_name(type(value)), tmp_path)

        assert encoded(self.codec, make(), tmp_path / "second") == first
        assert encoded(self.codec, decoded, tmp_path / "third") == first

    def test_bytes_are_the_same_in_any_process(
        self, make: Make, tmp_path: Path, elsewhere: list[dict[str, str]]
    ) -> None:
        """Law 2: another process, with other hashes, zone and folder, writes the same bytes."""
        name = next(name for name, each in self.values.items() if each is make)

        here = digest_of_value(self.codec, make(), tmp_path / "encoded")

        assert [digests[f"{self.codec.name}/{name}"] for digests in elsewhere] == [here] * len(elsewhere)

    def test_what_encode_did_not_make_is_refused(self, wrong: bytes, tmp_path: Path) -> None:
        """Law 4: other bytes raise; no value is answered for them."""
        path = tmp_path / "wrong"
        path.write_bytes(wrong)

        with pytest.raises(Exception) as raised:
            self.codec.decode(path, "", tmp_path)

        assert isinstance(raised.value, Exception)

    def test_a_value_in_memory_has_the_bytes_of_its_file(self, make: Make, tmp_path: Path) -> None:
        """Law 5: where there is a way without a file, it gives the same bytes, and the same value back."""
        dumps, loads = self.codec.dumps, self.codec.loads
        assert (dumps is None) == (loads is None)
        if dumps is None or loads is None:
            return  # it needs a file

        data = dumps(make())

        assert data == encoded(self.codec, make(), tmp_path / "encoded")
        self.same(loads(data), self.codec.decode(tmp_path / "encoded", type_name(type(make())), tmp_path))

    def test_what_dumps_did_not_make_is_refused(self, wrong: bytes) -> None:
        """Laws 4 and 5: other bytes raise without a file too."""
        if (loads := self.codec.loads) is None:
            return  # it needs a file

        with pytest.raises(Exception) as raised:
            loads(wrong)

        assert isinstance(raised.value, Exception)

    def test_the_codec_is_the_one_that_is_chosen(self, make: Make) -> None:
        """Of all codecs the first that takes such a value is this one, and it is found by its name."""
        assert next(codecs_for(make())) is self.codec
        assert codec_named(self.codec.name) is self.codec
        assert [codec.name for codec in CODECS].count(self.codec.name) == 1

    def test_a_value_is_described_in_json(self, make: Make) -> None:
        """What is told of a value can be recorded, and is told the same again."""
        described = self.codec.describe(make())

        assert next(codecs_for(described)).name == "json"
        assert described == self.codec.describe(make())
