"""Interrupts that wait."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from mlwright.kernel.interrupts import Interrupts


class Terminated(Exception):
    """What SIGTERM raises here."""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """SIGTERM raises, SIGINT raises KeyboardInterrupt; afterwards both are as they were."""

    def terminated(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, terminated)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def come(number: signal.Signals) -> None:
    """A signal arrives here and now."""
    signal.raise_signal(number)


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_an_interrupt_waits_until_it_is_heard(number: signal.Signals, kind: type[BaseException]) -> None:
    """It raises what it would have raised, once, before anything else happens there."""
    steps = []

    with pytest.raises(kind), Interrupts() as interrupts:
        come(number)
        steps.append("went on")
        with interrupts.heard():
            steps.append("never")

    assert steps == ["went on"]


def test_an_interrupt_that_comes_where_it_is_heard_is_raised_there() -> None:
    """Before and after, nothing is raised."""
    steps = []

    with Interrupts() as interrupts:
        with interrupts.heard():
            steps.append("nothing waits")
        with pytest.raises(Terminated), interrupts.heard():
            come(signal.SIGTERM)
            steps.append("never")
        with interrupts.heard():
            steps.append("heard once")

    assert steps == ["nothing waits", "heard once"]


def test_an_interrupt_that_comes_after_one_moment_waits_for_the_next() -> None:
    """Having listened once is not to listen on; and what was raised does not come again."""
    steps = []

    with Interrupts() as interrupts:
        with interrupts.heard():
            pass
        come(signal.SIGTERM)
        steps.append("went on")
        with pytest.raises(Terminated), interrupts.heard():
            steps.append("never")
        with interrupts.heard():
            steps.append("heard once")

    assert steps == ["went on", "heard once"]


@pytest.mark.parametrize("heard", [False, True])
def test_a_second_interrupt_is_raised_at_once(heard: bool) -> None:
    """Whether the first one still waits or was heard."""
    steps = []

    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        come(signal.SIGTERM)
        if heard:
            with pytest.raises(Terminated), interrupts.heard():
                pass
        steps.append("went on")
        come(signal.SIGINT)
        steps.append("never")

    assert steps == ["went on"]


def test_what_still_waits_at_the_end_is_raised_there() -> None:
    """None is lost; unless an error is on its way, which is not replaced."""
    with pytest.raises(Terminated), Interrupts():
        come(signal.SIGTERM)

    with pytest.raises(LookupError), Interrupts():
        come(signal.SIGTERM)
        raise LookupError


def test_everything_is_as_before_afterwards() -> None:
    """Also when it was left by an interrupt."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    with pytest.raises(KeyboardInterrupt), Interrupts():
        come(signal.SIGINT)

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_signals_without_a_handler_are_left_alone() -> None:
    """What is ignored stays ignored, and what ends a process ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    with Interrupts() as interrupts:
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        come(signal.SIGINT)
        with interrupts.heard():
            pass

    assert handlers == [signal.SIG_IGN, signal.SIG_DFL]


def test_another_thread_is_not_concerned() -> None:
    """It can be entered there, and changes nothing."""
    done = []

    def enter() -> None:
        with Interrupts() as interrupts, interrupts.heard():
            done.append(os.getpid())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()

    assert done == [os.getpid()]
