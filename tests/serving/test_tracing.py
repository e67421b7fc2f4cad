"""Traces of W3C."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.serving import ReplicaSpec, Server
from mlwright.serving.tracing import Trace, begun, parse
from tests.serving.conftest import post

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


def digits(number: int) -> st.SearchStrategy[str]:
    return st.integers(1, 16**number - 1).map(lambda value: f"{value:0{number}x}")


@given(digits(32), digits(16), st.integers(0, 1))
def test_what_is_told_is_read_again(trace_id: str, span_id: str, flags: int) -> None:
    """The header of any trace is read as that trace."""
    trace = Trace(trace_id, span_id, flags, "a=1,b@c=2")

    headers = dict(trace.headers)

    assert parse([headers[b"traceparent"]], [headers[b"tracestate"]]) == trace


@pytest.mark.parametrize(
    "parents",
    [
        [],
        [PARENT.encode(), PARENT.encode()],
        [PARENT.upper().encode()],
        [PARENT[:-1].encode()],
        [f"{PARENT}-more".encode()],
        [f"ff-{TRACE}-{SPAN}-01".encode()],
        [f"00-{'0' * 32}-{SPAN}-01".encode()],
        [f"00-{TRACE}-{'0' * 16}-01".encode()],
        [f"00-{TRACE}-{SPAN}-0g".encode()],
        [f"01-{TRACE}-{SPAN}-01more".encode()],
        ["00-४bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01".encode()],
        [b""],
    ],
)
def test_what_is_no_trace_is_none(parents: list[bytes]) -> None:
    """Whatever breaks the rules is as if it were not there."""
    assert parse(parents, [b"a=1"]) is None


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    """What is behind the flags of a later version is left to those who know it."""
    assert parse([f"cc-{TRACE}-{SPAN}-03-what-the-future-brings".encode()], []) == Trace(TRACE, SPAN, 1)


@pytest.mark.parametrize(
    ("states", "state"),
    [
        ([b"a=1", b" b=2 , ,c=3"], "a=1,b=2,c=3"),
        ([b"tenant@system=x y"], "tenant@system=x y"),
        ([b"a=1,a=2"], ""),
        ([b"A=1"], ""),
        ([b"a="], ""),
        ([b"a=1=2"], ""),
        ([b"a=\xff"], ""),
        ([b",".join(b"k%d=1" % number for number in range(33))], ""),
        ([b"a=" + b"x" * 9000], ""),
    ],
)
def test_a_state_is_handed_on_whole_or_not(states: list[bytes], state: str) -> None:
    """What others wrote comes through as it was, unless it breaks the rules; the trace is kept anyway."""
    assert parse([PARENT.encode()], states) == Trace(TRACE, SPAN, 1, state)


def test_what_happens_here_is_a_part_of_what_asked_for_it() -> None:
    """The trace stays, the span is a new one; without a trace one begins that nobody records."""
    parent = Trace(TRACE, SPAN, 1, "a=1")

    part, first = begun(parent), begun(None)

    assert (part.trace_id, part.flags, part.state) == (TRACE, 1, "a=1")
    assert part.span_id != SPAN
    assert first.flags == 0
    assert parse([first.parent.encode()], []) == first


def test_a_prediction_is_answered_with_its_trace(served: Server, spec: ReplicaSpec) -> None:
    """Also a refused one; who sends none, or a wrong one, gets a new trace."""
    row = spec.models[0].signature.example.input
    given_trace = {"traceparent": PARENT, "tracestate": "a=1"}

    answered = post(served.url, {"rows": [row]}, **given_trace)
    refused = post(served.url, {"rows": 1}, **given_trace)
    alone = post(served.url, {"rows": [row]}, traceparent="nonsense")

    assert (answered.status, refused.status, alone.status) == (200, 422, 200)
    for told in (answered, refused):
        assert told.headers["traceparent"].split("-")[1] == TRACE
        assert told.headers["traceparent"].split("-")[2] != SPAN
        assert told.headers["tracestate"] == "a=1"
    assert TRACE not in alone.headers["traceparent"]
    assert parse([alone.headers["traceparent"].encode()], []) is not None
