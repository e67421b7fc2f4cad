"""How long a slot rests after its replica has died: not at all the first time, then longer and longer."""

from __future__ import annotations

from msgspec import Struct

FIRST_S = 0.25
"""After the second death in a row; each further one doubles it."""
MOST_S = 30.0
"""For a replica that dies before it is ready: loading costs most of all."""
MOST_SERVED_S = 1.0
"""For one that had been ready: it does load, and is missed."""
WELL_S = 10.0
"""A replica that has served so long has forgotten the deaths before it."""


class Rest(Struct, frozen=True):
    """Of a slot.

    Args:
        deaths: in a row, none of them after a replica had served well for a while.
        until_s: no replica is started before, by the clock that `after` is given.
    """

    deaths: int = 0
    until_s: float = 0.0

    def after(self, now_s: float, served_s: float | None) -> Rest:
        """As it is when a replica has died now.

        Args:
            served_s: how long that had been ready; None if it never was.
        """
        deaths = 1 if served_s is not None and served_s >= WELL_S else self.deaths + 1
        most_s = MOST_S if served_s is None else MOST_SERVED_S
        pause_s = 0.0 if deaths == 1 else min(FIRST_S * 2.0 ** min(deaths - 2, 20), most_s)
        return Rest(deaths, now_s + pause_s)
