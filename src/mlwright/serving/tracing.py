"""Traces of W3C: which request this one is a part of, read strictly, answered, and handed on.

What a predictor asks of others belongs to the same trace: `onward()` are the headers that say so.

Source: W3C, Trace Context (Level 1), sections 3.2, 3.3 and 4.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextvars import ContextVar
from random import getrandbits

from msgspec import Struct

_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_KEY = r"[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13}"
_MEMBER = re.compile(rf"({_KEY})=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e])")
_MEMBERS = 32
_LONGEST = 8192
"""Of `tracestate`, in characters; a longer one is not read."""
SAMPLED = 1
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_NOT_ZERO = 1 << 64 | 1
"""The last bit of each id, where both stand in one number: none may be zero."""


class Trace(Struct, frozen=True):
    """Where in a trace something happens.

    Args:
        trace_id: 32 hexadecimal digits.
        span_id: 16, of what happens here, or of who asks for it.
        flags: `SAMPLED` if who asks has it recorded.
        state: `tracestate`, of whatever systems it went through.
    """

    trace_id: str
    span_id: str
    flags: int = 0
    state: str = ""

    @property
    def parent(self) -> str:
        """As the header `traceparent` has it."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """That tell others of it."""
        told = [(b"traceparent", self.parent.encode())]
        if self.state:
            told.append((b"tracestate", self.state.encode()))
        return told


predicting: ContextVar[tuple[Trace, ...]] = ContextVar("predicting", default=())
"""Of the requests about which the model is asked now: more than one where they are asked together."""


def onward() -> dict[str, str]:
    """The headers with which a predictor tells whom it asks what trace that belongs to.

    Returns:
        None where nothing is predicted now, or for several requests together, which are of several traces.
    """
    traces = predicting.get()
    if len(traces) != 1:
        return {}
    return {name.decode(): value.decode() for name, value in traces[0].headers}


def parse(parents: Sequence[bytes], states: Sequence[bytes]) -> Trace | None:
    """The trace that a request says it is a part of.

    Args:
        parents: what it has as `traceparent`.
        states: as `tracestate`, which may be parted.

    Returns:
        None if it says none, or none that can be: then one begins here.
    """
    found = _PARENT.fullmatch(parents[0].strip(b" \t")) if len(parents) == 1 else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = (each.decode("latin-1") for each in found.groups(b""))
    if version == "ff" or (version == "00" and more) or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return Trace(trace_id, span_id, int(flags, 16) & SAMPLED, _state(b",".join(states).decode("latin-1")))


def begun(parent: Trace | None) -> Trace:
    """What happens here: a part of what asked for it, or the first of a trace that nobody records."""
    if parent is None:
        ids = f"{getrandbits(192) | _NOT_ZERO:048x}"
        return Trace(ids[:32], ids[32:])
    return Trace(parent.trace_id, f"{getrandbits(64) or 1:016x}", parent.flags, parent.state)


def _state(given: str) -> str:
    """`tracestate` if it is one; what breaks its rules is left out as a whole."""
    if not given or len(given) > _LONGEST:
        return ""
    members = [member for each in given.split(",") if (member := each.strip(" \t"))]
    keys = set()
    for member in members:
        found = _MEMBER.fullmatch(member)
        if found is None or found[1] in keys:
            return ""
        keys.add(found[1])
    return ",".join(members) if len(members) <= _MEMBERS else ""
