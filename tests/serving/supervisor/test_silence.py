"""When a replica, or the thread in which its model computes, is said to hang."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from mlwright.serving.computing import Computing
from mlwright.serving.supervisor.silence import BEATS, Silence
from tests.processes import until

PUNCTUAL = st.floats(0.1, 1.9)


@given(st.lists(PUNCTUAL, min_size=BEATS, max_size=BEATS))
def test_ten_beats_without_an_answer_are_a_hang(beats: list[float]) -> None:
    """Nine are not, and from the third on others answer in its place."""
    silence, seen = Silence(), []
    for beat in beats:
        silence = silence.after(beat, answered=False)
        seen.append((silence.helped, silence.over))

    assert [helped for helped, _ in seen] == [False, False, *[True] * (BEATS - 2)]
    assert [over for _, over in seen] == [*[False] * (BEATS - 1), True]


@given(st.lists(st.tuples(st.floats(0.1, 100.0), st.booleans()), max_size=60))
def test_what_the_supervisor_missed_itself_does_not_count(beats: list[tuple[float, bool]]) -> None:
    """A machine that slept, or had too much to do, kept both from running; an answer ends all silence."""
    silence, expected = Silence(), 0
    for beat, answered in beats:
        silence = silence.after(beat, answered=answered)
        expected = 0 if answered else expected + (beat < 2.0)

        assert silence.beats == expected


def test_a_thread_that_comes_to_no_end_is_told_with_its_place() -> None:
    """What it does is named by its code; once it has ended nothing is wrong."""
    gate = threading.Event()
    thread = Computing(timeout_s=30.0)
    thread._most_s = 0.05

    def endless() -> None:
        gate.wait(30)

    working = thread.submit(endless)
    until(lambda: thread.stuck)

    assert "its model has been at one answer for 0 s" in thread.stuck
    assert "in endless" in thread.stuck
    gate.set()
    working.result(30)
    assert thread.stuck == ""
    thread.shutdown()
