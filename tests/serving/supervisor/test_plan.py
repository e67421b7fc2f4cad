"""What a supervisor would do next, as values."""

from __future__ import annotations

from collections.abc import Callable, Collection

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mlwright.serving.supervisor.phases import LIVE, Phase
from mlwright.serving.supervisor.plan import (
    Drain,
    Listen,
    Move,
    Observed,
    Seen,
    Settle,
    Start,
    Steer,
    Target,
    Unlisten,
    plan,
)


def seen(number: int, slot: int, revision: int, phase: Phase, *listens: int, **more: bool) -> Seen:
    """A replica that listens to these slots."""
    return Seen(number, slot, revision, phase, frozenset(listens), frozenset(listens), **more)


def observed(sockets: int, *replicas: Seen, resting: Collection[int] = (), steered: int = 0) -> Observed:
    """What is there, with so many sockets."""
    return Observed(frozenset(range(sockets)), replicas, steered, frozenset(resting))


def test_all_begin_at_once() -> None:
    """A first revision is started in every slot."""
    assert plan(Target(2, 1), observed(2)) == [Start(0, 1), Start(1, 1)]


def test_what_is_as_it_should_be_is_left_alone() -> None:
    """Where every slot is served nothing is done."""
    found = observed(2, seen(1, 0, 1, Phase.SERVING, 0), seen(2, 1, 1, Phase.SERVING, 1))

    assert plan(Target(2, 1), found) == []


def test_the_first_that_is_ready_helps_out() -> None:
    """A replica gets the socket of its slot when it is ready, and those nobody serves yet once it serves."""
    ready = observed(2, seen(1, 0, 1, Phase.READY), seen(2, 1, 1, Phase.STARTING))
    serving = observed(2, seen(1, 0, 1, Phase.SERVING, 0), seen(2, 1, 1, Phase.STARTING))

    assert plan(Target(2, 1), ready) == [Listen(1, 0)]
    assert plan(Target(2, 1), serving) == [Listen(1, 1)]


def test_a_slot_without_a_replica_is_served_by_the_one_with_the_fewest() -> None:
    """Of a slot that rests, the socket goes to the replica that has fewest."""
    found = observed(4, seen(1, 0, 1, Phase.SERVING, 0, 3), seen(2, 1, 1, Phase.SERVING, 1), resting={2})

    assert plan(Target(3, 1), replace(found, steered=3)) == [Listen(2, 2)]


def test_a_socket_is_taken_back_when_its_own_replica_listens() -> None:
    """Both listen for a moment, and then the helper no more."""
    helper = seen(1, 0, 1, Phase.SERVING, 0, 1)
    asked = replace(seen(3, 1, 1, Phase.READY), given=frozenset({1}))
    listening = seen(3, 1, 1, Phase.SERVING, 1)

    assert plan(Target(2, 1), observed(2, helper, asked)) == []
    assert plan(Target(2, 1), observed(2, helper, listening)) == [Unlisten(1, 1)]


def test_a_new_revision_comes_slot_by_slot() -> None:
    """The new one starts beside the old one, takes its socket, the old one drains; then the next slot."""
    target = Target(2, 2, previous=1)
    old = [seen(1, 0, 1, Phase.SERVING, 0), seen(2, 1, 1, Phase.SERVING, 1)]
    steps: list[tuple[list[Seen], list[Move]]] = [
        (old, [Start(0, 2)]),
        ([*old, seen(3, 0, 2, Phase.STARTING)], []),
        ([*old, seen(3, 0, 2, Phase.READY)], [Listen(3, 0)]),
        ([*old, seen(3, 0, 2, Phase.SERVING, 0)], [Start(1, 2), Drain(1)]),
        ([old[1], seen(3, 0, 2, Phase.SERVING, 0), seen(4, 1, 2, Phase.READY)], [Listen(4, 1)]),
        ([old[1], seen(3, 0, 2, Phase.SERVING, 0), seen(4, 1, 2, Phase.SERVING, 1)], [Drain(2), Settle()]),
    ]

    assert [plan(target, observed(2, *replicas)) for replicas, _ in steps] == [moves for _, moves in steps]


def test_an_old_one_that_dies_on_the_way_is_replaced_by_an_old_one() -> None:
    """Until the new revision has proven itself, the one before it is what a slot must have."""
    found = observed(2, seen(1, 0, 1, Phase.SERVING, 0, 1), seen(3, 0, 2, Phase.STARTING))

    assert plan(Target(2, 2, previous=1), found) == [Start(1, 1)]


def test_a_revision_that_is_given_up_goes_when_others_serve_its_slots() -> None:
    """The socket of a slot that had moved already is handed over first; its replica drains then."""
    old, new = seen(2, 1, 1, Phase.SERVING, 1), seen(3, 0, 2, Phase.SERVING, 0)
    helping = seen(2, 1, 1, Phase.SERVING, 0, 1)

    assert plan(Target(2, 1), observed(2, old, new)) == [Start(0, 1), Listen(2, 0)]
    assert Drain(3) in plan(Target(2, 1), observed(2, helping, new))


def test_a_slot_that_goes_is_served_on_by_another() -> None:
    """Its socket is never closed: a living replica gets it, and only then its own one drains."""
    first, second = seen(1, 0, 1, Phase.SERVING, 0), seen(2, 1, 1, Phase.SERVING, 1)
    helping = seen(1, 0, 1, Phase.SERVING, 0, 1)

    assert plan(Target(1, 1), observed(2, first, second)) == [Steer(1), Listen(1, 1)]
    assert plan(Target(1, 1), observed(2, helping, second, steered=1)) == [Drain(2)]
    assert plan(Target(1, 1), observed(2, helping, steered=1)) == []


def test_one_that_asks_to_leave_is_replaced_first() -> None:
    """A replica that was told to end by others drains when a new one serves its slot."""
    leaving = seen(1, 0, 1, Phase.SERVING, 0, leaves=True)
    new = seen(2, 0, 1, Phase.SERVING, 0)

    assert plan(Target(1, 1), observed(1, leaving)) == [Start(0, 1)]
    assert plan(Target(1, 1), observed(1, leaving, new)) == [Drain(1)]


def test_the_end_drains_all() -> None:
    """Where nothing is wanted any more, nobody waits for anybody."""
    found = observed(0, seen(1, 0, 1, Phase.SERVING, 0), seen(2, 1, 1, Phase.STARTING))

    assert plan(Target(0, 1), found) == [Drain(1), Drain(2)]


@given(st.data())
def test_whatever_happens_no_socket_is_left_and_all_is_well_in_the_end(data: st.DataObject) -> None:
    """From any start, with deaths on the way: who was served is served on, and the target is reached."""
    slots = data.draw(st.integers(1, 3))
    target = Target(slots, 2, previous=data.draw(st.sampled_from([0, 1])))
    sockets = data.draw(st.integers(slots, 4))
    world = World(sockets, target)
    for slot in range(sockets):
        if data.draw(st.booleans()):
            world.replicas.append(
                seen(world.number(), slot, data.draw(st.integers(1, 2)), Phase.SERVING, slot)
            )
    deaths = data.draw(st.lists(st.integers(0, 20), max_size=3))

    for step in range(60):
        served = world.served()
        dies = step in deaths and bool(world.replicas)
        if dies:
            world.replicas.remove(data.draw(st.sampled_from(world.replicas)))
            served &= world.served()
        world.step()
        assert served <= world.served()

    assert plan(world.target, world.observed()) == []
    assert world.served() == set(range(sockets))
    assert sorted((each.slot, each.revision) for each in world.replicas) == [
        (each, 2) for each in range(slots)
    ]


class World:
    """Does what is planned, at once, and lets replicas become ready one after the other."""

    def __init__(self, sockets: int, target: Target) -> None:
        self.sockets = sockets
        self.target = target
        self.replicas: list[Seen] = []
        self.steered = 0
        self._numbers = 0

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    def observed(self) -> Observed:
        return observed(self.sockets, *self.replicas, steered=self.steered)

    def served(self) -> set[int]:
        return {slot for each in self.replicas if each.phase in LIVE for slot in each.listens}

    def step(self) -> None:
        for index, each in enumerate(self.replicas):
            if each.phase is Phase.STARTING:
                self.replicas[index] = replace(each, phase=Phase.READY)
                break
        for move in plan(self.target, self.observed()):
            self._do(move)

    def _do(self, move: Move) -> None:
        match move:
            case Start(slot, revision):
                self.replicas.append(Seen(self.number(), slot, revision, Phase.STARTING))
            case Steer(slots):
                self.steered = slots
            case Settle():
                self.target = replace(self.target, previous=0)
            case Drain(number):
                self.replicas = [each for each in self.replicas if each.id != number]
            case Listen(number, slot):
                self._change(number, lambda listens: listens | {slot})
            case Unlisten(number, slot):
                self._change(number, lambda listens: listens - {slot})

    def _change(self, number: int, change: Callable[[frozenset[int]], frozenset[int]]) -> None:
        index = next(i for i, each in enumerate(self.replicas) if each.id == number)
        each = self.replicas[index]
        listens = change(each.listens)
        phase = Phase.SERVING if each.phase is Phase.READY else each.phase
        self.replicas[index] = replace(each, given=listens, listens=listens, phase=phase)
