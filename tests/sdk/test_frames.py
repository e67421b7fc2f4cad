"""Frames: messages over a stream, wherever it is cut."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mlwright.sdk.frames import Frame, FrameReader, receive

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FRAMES = st.builds(
    Frame,
    st.dictionaries(st.text(), VALUES, max_size=3),
    st.lists(st.binary(max_size=300), max_size=4).map(tuple),
)


@given(st.lists(FRAMES, max_size=5), st.data())
def test_frames_come_back_wherever_the_stream_is_cut(frames: list[Frame], data: st.DataObject) -> None:
    """Any frames, cut at any places, are the same frames in the same order, each as soon as it is whole."""
    stream = b"".join(frame.encode() for frame in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    ends = [len(b"".join(frame.encode() for frame in frames[: number + 1])) for number in range(len(frames))]
    reader, found = FrameReader(), []

    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += reader.feed(stream[begin:end])
        assert len(found) == sum(whole <= end for whole in ends)

    assert found == frames


@given(FRAMES)
def test_a_frame_byte_by_byte(frame: Frame) -> None:
    """Nothing is given before the last byte, and nothing is left after it."""
    reader = FrameReader()
    stream = frame.encode()

    early = [each for byte in stream[:-1] for each in reader.feed(bytes([byte]))]

    assert early == []
    assert reader.feed(stream[-1:]) == [frame]
    assert reader.feed(b"") == []


def exchange(*pieces: bytes) -> list[list[Frame] | None]:
    """What a receiver gives for bytes that are sent one after the other, until the sender is gone."""
    ours, theirs = socket.socketpair()
    sender = threading.Thread(target=lambda: ([theirs.sendall(piece) for piece in pieces], theirs.close()))
    sender.start()
    reader, found = FrameReader(), []
    with ours:
        while not found or found[-1] is not None:
            found.append(receive(ours, reader))
    sender.join()
    return found


def test_receiving_waits_for_a_whole_frame_and_says_when_nobody_is_left() -> None:
    """Frames larger than any buffer arrive whole; None is the end."""
    frame = Frame({"large": True}, (b"x" * 3_000_000, b"", b"y"))
    stream = frame.encode()

    found = exchange(stream[:5], stream[5:2_000_000], stream[2_000_000:])

    assert found == [[frame], None]


def test_half_a_frame_is_no_frame() -> None:
    """A sender that dies in the middle leaves the end, and nothing made of the half."""
    assert exchange(Frame({"a": 1}, (b"x" * 100,)).encode()[:-1]) == [None]


def test_a_head_may_hold_what_json_cannot() -> None:
    """A NaN of a step's own, and half of a character, pass between our processes."""
    head: dict[str, Any] = {"value": float("inf"), "text": "\ud800"}

    (frame,) = FrameReader().feed(Frame(head).encode())

    assert frame.head == head
    assert json.dumps(frame.head)
