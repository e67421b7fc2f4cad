"""How long a slot rests."""

from __future__ import annotations

from mlwright.serving.supervisor.rest import Rest


def pauses(served_s: float | None, deaths: int) -> list[float]:
    """The pauses after so many deaths in a row, a hundred seconds apart."""
    rest, found = Rest(), []
    for now in range(0, 100 * deaths, 100):
        rest = rest.after(now, served_s)
        found.append(rest.until_s - now)
    return found


def test_the_first_death_is_followed_by_a_start_at_once_and_then_the_pauses_double() -> None:
    """A replica that cannot be loaded is tried again ever more rarely, up to a bound."""
    assert pauses(None, 10) == [0, 0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]


def test_one_that_had_been_ready_is_missed() -> None:
    """A slot whose replicas do load rests for a second at most."""
    assert pauses(1.0, 6) == [0, 0.25, 0.5, 1, 1, 1]


def test_one_that_was_well_for_a_while_has_forgotten() -> None:
    """A death after ten seconds of service is a first one again."""
    assert pauses(10.0, 3) == [0, 0, 0]
