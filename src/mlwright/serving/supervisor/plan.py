"""What to do next: the difference between what is wanted and what is there, as a pure function.

It is asked again after every change, and so says only what can be done now. Slots are numbered from 0; a
socket, once made, is never closed while anything is served, since closing one resets whoever waits in its
queue: of a slot that is not wanted any more it goes on to be served by a replica of another slot.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from mlwright.serving.supervisor.phases import LIVE, Phase


class Target(Struct, frozen=True):
    """What is wanted.

    Args:
        slots: how many replicas; 0 to end all.
        revision: what they answer with.
        previous: what answered before, until all slots answer with `revision`; 0 when there is none.
    """

    slots: int
    revision: int
    previous: int = 0


class Seen(Struct, frozen=True):
    """A replica as it was found.

    Args:
        id: its number; a later one has a higher one.
        slot: the slot it was made for.
        given: the slots whose sockets it was given.
        listens: those of which it has said that it listens.
        leaves: whether it asks to be replaced.
        silent: whether it does not answer its supervisor just now: others take connections in its place too.
    """

    id: int
    slot: int
    revision: int
    phase: Phase
    given: frozenset[int] = frozenset()
    listens: frozenset[int] = frozenset()
    leaves: bool = False
    silent: bool = False


class Observed(Struct, frozen=True):
    """What is there.

    Args:
        sockets: the slots that have one: at least those that are wanted.
        steered: among how many slots new connections are shared out; 0 for all.
        resting: slots in which no replica is started just now, because the last ones have died.
    """

    sockets: frozenset[int]
    replicas: tuple[Seen, ...]
    steered: int = 0
    resting: frozenset[int] = frozenset()


class Steer(Struct, frozen=True):
    """Share new connections out among the first so many slots."""

    slots: int


class Start(Struct, frozen=True):
    """Start a replica."""

    slot: int
    revision: int


class Listen(Struct, frozen=True):
    """Give a replica the socket of a slot."""

    replica: int
    slot: int


class Unlisten(Struct, frozen=True):
    """Take the socket of a slot back from a replica."""

    replica: int
    slot: int


class Drain(Struct, frozen=True):
    """Let a replica answer what it has, and end."""

    replica: int


class Settle(Struct, frozen=True):
    """All slots answer with the wanted revision: the previous one is of no use any more."""


Move = Steer | Start | Listen | Unlisten | Drain | Settle


def plan(target: Target, observed: Observed) -> list[Move]:
    """What can be done now.

    Args:
        target: what is wanted.
        observed: what is there.

    Returns:
        Nothing, when all is as it should be or has to be waited for.
    """
    slots = range(target.slots)
    live = [each for each in observed.replicas if each.phase in LIVE]
    moves: list[Move] = []
    if target.slots and (observed.steered or len(observed.sockets) > target.slots):
        moves += [Steer(target.slots)] if observed.steered != target.slots else []
    kept, starts = _kept(target, observed, [each for each in live if not each.leaves])
    moves += starts
    heard = [each for each in kept if not each.silent]
    moves += _handed(observed, heard)
    moves += [
        Drain(each.id) for each in live if each not in kept and (not target.slots or _free(each, heard))
    ]
    if target.previous and all(_settled(slot, target.revision, live) for slot in slots):
        moves.append(Settle())
    return moves


def _kept(target: Target, observed: Observed, live: list[Seen]) -> tuple[list[Seen], list[Move]]:
    """The replicas that are still of use, and those that are missing.

    A slot is answered by one of the wanted revision. On the way there, by one of the previous revision until
    one of the wanted one does; slot by slot, the first one first.
    """
    kept: list[Seen] = []
    starts: list[Move] = []
    turn_taken = False
    for slot in range(target.slots):
        settled = _settled(slot, target.revision, live)
        turn = not turn_taken
        if target.previous and not settled:
            old = _best(slot, target.previous, live)
            if old is not None:
                kept.append(old)
            elif slot not in observed.resting:
                starts.append(Start(slot, target.previous))
            turn_taken = True
        new = _best(slot, target.revision, live)
        if new is not None:
            kept.append(new)
        elif turn if target.previous else slot not in observed.resting:
            starts.append(Start(slot, target.revision))
    return kept, starts


def _handed(observed: Observed, heard: list[Seen]) -> list[Move]:
    """Which sockets change hands.

    Each is served by its own replica. While that is not there, or not heard of, by another one, which gives
    it back then.
    """
    moves: list[Move] = []
    burden = {each.id: len(each.given) for each in heard if each.phase is Phase.SERVING}
    for slot in sorted(observed.sockets):
        own = [each for each in heard if each.slot == slot and each.phase in {Phase.READY, Phase.SERVING}]
        moves += [Listen(each.id, slot) for each in own if slot not in each.given]
        others = [each for each in heard if each.slot != slot and slot in each.given]
        if any(slot in each.listens for each in own):
            moves += [Unlisten(each.id, slot) for each in others]
        elif not own and not others and burden:
            helper = min(burden, key=lambda number: (burden[number], number))
            burden[helper] += 1
            moves.append(Listen(helper, slot))
    return moves


def _free(going: Seen, heard: list[Seen]) -> bool:
    """Whether one that goes leaves nobody waiting: another listens to all that it listens to."""
    return all(any(slot in each.listens for each in heard) for slot in going.given)


def _settled(slot: int, revision: int, live: Iterable[Seen]) -> bool:
    """Whether a slot is answered by a revision."""
    return any(each.slot == slot and each.revision == revision and slot in each.listens for each in live)


_ORDER = (Phase.SERVING, Phase.READY, Phase.STARTING)


def _best(slot: int, revision: int, live: Iterable[Seen]) -> Seen | None:
    """The replica of a slot that is furthest, of those the oldest."""
    found = [each for each in live if each.slot == slot and each.revision == revision]
    return min(found, key=lambda each: (_ORDER.index(each.phase), each.id), default=None)
