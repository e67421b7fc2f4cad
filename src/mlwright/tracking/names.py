"""Names for runs whose clients gave them none."""

from __future__ import annotations

import secrets

_KINDS = (
    *("amber", "brisk", "calm", "clear", "copper", "dappled", "early", "gentle", "golden", "hidden", "keen"),
    *("late", "mellow", "nimble", "northern", "patient", "quiet", "rapid", "silver", "steady", "sunlit"),
    *("tidal", "upland", "vivid", "warm", "western", "wild", "winter"),
)
_THINGS = (
    *("alder", "badger", "beech", "brook", "cedar", "comet", "crane", "dune", "elm", "falcon", "fjord"),
    *("glacier", "harbour", "heron", "juniper", "lantern", "linden", "meadow", "otter", "pebble", "plover"),
    *("reef", "river", "robin", "spruce", "summit", "thistle", "willow"),
)


def random_name() -> str:
    """A name that is easy to say: `quiet-otter-417`."""
    return f"{secrets.choice(_KINDS)}-{secrets.choice(_THINGS)}-{secrets.randbelow(1000)}"
