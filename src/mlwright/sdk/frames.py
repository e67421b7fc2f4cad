"""Messages between the engine and a worker: a JSON head and binary parts, over a stream socket.

Layout, big endian: u32 length of the head, u32 number of parts, u64 length of each part, head, parts.
"""

from __future__ import annotations

import json
import socket
import struct
from dataclasses import dataclass, field
from typing import Any

CUT_OFF = 119
"""The exit status of a worker whose step has closed the connection."""

_FIXED = struct.Struct(">II")
_ENCODER = json.JSONEncoder(separators=(",", ":"), check_circular=False)


@dataclass(frozen=True, slots=True)
class Frame:
    """One message. `head` is any JSON value; `parts` travel as they are."""

    head: dict[str, Any]
    parts: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        """The bytes on the wire."""
        head = _ENCODER.encode(self.head).encode()
        lengths = struct.pack(f">{len(self.parts)}Q", *map(len, self.parts))
        return b"".join((_FIXED.pack(len(head), len(self.parts)), lengths, head, *self.parts))


@dataclass(slots=True)
class FrameReader:
    """Cuts a byte stream into frames; feed it whatever arrives."""

    _buffer: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes in, give the frames that are complete."""
        self._buffer += data
        frames = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        return frames

    def _next(self) -> Frame | None:
        if len(self._buffer) < _FIXED.size:
            return None
        head_bytes, count = _FIXED.unpack_from(self._buffer)
        start = _FIXED.size + 8 * count
        if len(self._buffer) < start:
            return None
        lengths = struct.unpack_from(f">{count}Q", self._buffer, _FIXED.size)
        end = start + head_bytes + sum(lengths)
        if len(self._buffer) < end:
            return None
        head = json.loads(self._buffer[start : start + head_bytes].decode())
        parts, at = [], start + head_bytes
        for length in lengths:
            parts.append(bytes(self._buffer[at : at + length]))
            at += length
        del self._buffer[:end]
        return Frame(head, tuple(parts))


def receive(stream: socket.socket, reader: FrameReader) -> list[Frame] | None:
    """Wait for at least one whole frame; None when the other side is gone."""
    while True:
        try:
            data = stream.recv(1 << 16)
        except ConnectionResetError:
            return None
        if not data:
            return None
        if frames := reader.feed(data):
            return frames
