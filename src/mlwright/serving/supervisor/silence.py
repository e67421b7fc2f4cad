"""How long a replica has not answered, in beats for which the supervisor itself was on time.

A machine that slept, or has too much to do, keeps both from running: what the supervisor has missed itself
says nothing about the replica.
"""

from __future__ import annotations

from msgspec import Struct

BEATS = 10
"""So many without an answer, and a replica hangs."""
_HELPED = 3
"""So many, and others answer in its place, in case that it does not come back."""
_LATE = 2.0
"""A beat that took so many times as long as it should does not count."""


class Silence(Struct, frozen=True):
    """Of a replica.

    Args:
        beats: without an answer, since the last one.
    """

    beats: int = 0

    def after(self, beat: float, *, answered: bool) -> Silence:
        """As it is one beat later.

        Args:
            beat: how long it took, 1 being as long as it should.
            answered: whether the replica has answered meanwhile.
        """
        if answered:
            return Silence()
        return Silence(self.beats + 1) if beat < _LATE else self

    @property
    def helped(self) -> bool:
        """Whether others should answer in its place."""
        return self.beats >= _HELPED

    @property
    def over(self) -> bool:
        """Whether it is waited for no more."""
        return self.beats >= BEATS
