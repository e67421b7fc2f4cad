"""How long clients are waited for, and how many are."""

from __future__ import annotations

from msgspec import Struct


class Bounds(Struct, frozen=True):
    """How long a client is waited for, and how many are.

    Args:
        fresh_s: a connection that has not asked yet is closed after this.
        idle_s: likewise, one that has.
        head_s: a head is whole this long after its first byte.
        behind_s: how far a body, or the reading of an answer, may be behind `least_bytes_per_s`; and how long
            what comes after a last answer is read and thrown away, so that this gets through.
        connections: with more, the oldest is closed of those that have not asked yet, or of those between two
            requests, whichever are more.
        begun_bytes: what heads that are not whole, and requests that wait for the answer to the one before
            them, may hold in all.
        drain_s: how long requests that are being answered have when the process is told to end.
        linger_s: how long, then, a connection without a request is kept: a client that is about to ask gets
            its answer, and hears with it that the connection is closed.
    """

    fresh_s: float = 25.0
    idle_s: float = 25.0
    head_s: float = 10.0
    behind_s: float = 20.0
    least_bytes_per_s: int = 1 << 10
    connections: int = 8192
    begun_bytes: int = 16 << 20
    drain_s: float = 30.0
    linger_s: float = 0.0
