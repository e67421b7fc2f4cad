"""Runs that wait: nobody else has what one has claimed, and what was accepted is begun once."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlwright.kernel import leases
from mlwright.kernel.clock import boot_id
from mlwright.kernel.database import Database
from mlwright.kernel.errors import Conflict
from mlwright.kernel.ids import RunId
from mlwright.kernel.leases import Lease, process_space
from mlwright.tracking import Run, Runs, RunState, waiting
from tests.happened import happened


def accept(database: Database, project: str = "small") -> Run:
    """A run is accepted."""
    with database.transaction() as tx:
        return waiting.accept(tx, project=project, pipeline="p", seed=0, parameters={"x": 1}, pins={})


def begin(database: Database, run: Run) -> tuple[Run, Lease]:
    """A run that was taken over begins."""
    with database.transaction() as tx:
        return waiting.start(tx, run, parameters={"x": 1, "y": 2}, pins={}, machine={}, about={"a": 1})


def kill(database: Database, subject: str, *, boot: str = "", space: str = "") -> None:
    """Whoever owns this is gone; of another boot or space, with the whole machine or container."""
    with database.transaction() as tx:
        tx.execute(
            "UPDATE lease SET started = '1', boot = :boot, space = :space, awake_us = 0, beat_us = 0"
            " WHERE subject = :subject",
            subject=subject,
            boot=boot or boot_id(),
            space=space or process_space(),
        )


def claimed(database: Database) -> tuple[str, Lease]:
    """The oldest run, claimed."""
    found = waiting.claim(database, "small", 100)
    assert found is not None
    return found


def test_each_run_is_claimed_once(database: Database) -> None:
    """Who claims at the same time gets other runs, the oldest first, and nobody one of another project."""
    runs = [accept(database).id for _ in range(24)]
    accept(database, project="other")

    def claim_all() -> list[RunId]:
        found = []
        while (each := waiting.claim(database, "small", 100)) is not None:
            found.append(each[0])
        return found

    with ThreadPoolExecutor(4) as threads:
        lists = [each.result() for each in [threads.submit(claim_all) for _ in range(4)]]

    assert Counter(run for each in lists for run in each) == Counter(runs)
    assert all(each == sorted(each, key=runs.index) for each in lists)


def test_no_more_are_claimed_than_may_run(database: Database) -> None:
    """What is being started, or goes on, counts; what has ended does not."""
    runs = Runs(database)
    first, second = accept(database), accept(database)
    _, claim = waiting.claim(database, "small", 1) or pytest.fail("nothing was claimed")
    while_started = waiting.claim(database, "small", 1)

    lease = waiting.take_over(database, first.id, claim.token)
    assert lease is not None
    while_prepared = waiting.claim(database, "small", 1)
    begun, lease = begin(database, first)
    while_running = waiting.claim(database, "small", 1)
    with database.transaction() as tx:
        runs.finish(tx, begun, RunState.SUCCEEDED, lease)

    assert (while_started, while_prepared, while_running) == (None, None, None)
    assert claimed(database)[0] == second.id


def test_a_claim_that_was_given_to_another_is_worth_nothing(database: Database) -> None:
    """A process that comes late, after its server died and another claimed the run, does not get it."""
    run = accept(database)
    _, old = claimed(database)
    kill(database, old.subject)
    _, new = claimed(database)

    late = waiting.take_over(database, run.id, old.token)
    first = waiting.take_over(database, run.id, new.token)
    second = waiting.take_over(database, run.id, new.token)

    assert (late, second) == (None, None)
    assert first is not None
    assert first.subject == f"run {run.id}"


def test_a_process_that_died_before_its_run_began_is_found(database: Database) -> None:
    """Its run is failed by whoever looks, once, while who started it lives."""
    run = accept(database)
    _, claim = claimed(database)
    waiting.take_over(database, run.id, claim.token)
    alive = waiting.fail(database, run.id, {"message": "it lives"})
    kill(database, f"run {run.id}")

    seen = waiting.look(database, "small")
    told = [waiting.fail(database, run.id, {"message": "gone"}) for _ in range(2)]

    assert (seen.dead, seen.free, seen.busy) == ((run.id,), (), 0)
    assert (alive, told) == (False, [True, False])
    failed = Runs(database).get(run.id)
    assert (failed.state, failed.error) == (RunState.FAILED, {"message": "gone"})
    assert leases.owners(database) == {}


@pytest.mark.parametrize("place", [{}, {"boot": "another"}, {"space": "another"}])
def test_a_process_that_died_with_who_started_it_is_not_to_blame(
    database: Database, place: dict[str, str]
) -> None:
    """Whether server, container or machine ended with it: its run is begun again, by a new process alone."""
    run = accept(database)
    _, old = claimed(database)
    lease = waiting.take_over(database, run.id, old.token)
    assert lease is not None
    for subject in (f"run {run.id}", f"start {run.id}"):
        kill(database, subject, **place)

    seen = waiting.look(database, "small")
    found, new = claimed(database)
    waiting.give_back(database, run.id, lease)  # it was only stopped, and comes too late

    assert seen == waiting.Waiting((run.id,), (), 0)
    assert found == run.id
    assert leases.owners(database) == {new.subject: new}
    assert waiting.take_over(database, run.id, new.token) is not None


def test_a_run_that_was_given_back_is_started_again(database: Database) -> None:
    """It may be claimed at once, though the server that had claimed it lives, and has not failed."""
    run = accept(database)
    _, claim = claimed(database)
    lease = waiting.take_over(database, run.id, claim.token)
    assert lease is not None

    waiting.give_back(database, run.id, lease)
    late = waiting.fail(database, run.id, {"message": "its process has ended"}, claim)

    assert not late
    assert waiting.look(database, "small").free == (run.id,)
    assert claimed(database)[0] == run.id


def test_a_run_that_waits_is_cancelled_at_once(database: Database) -> None:
    """It has ended then, nobody can claim it, and the process that has it already cannot begin it."""
    first, second = accept(database), accept(database)
    _, claim = claimed(database)
    waiting.take_over(database, first.id, claim.token)
    runs = Runs(database)

    for run in (first, second):
        runs.cancel(run)

    assert [runs.get(run.id).state for run in (first, second)] == [RunState.CANCELLED] * 2
    assert waiting.look(database, "small") == waiting.Waiting((), (), 0)
    with pytest.raises(Conflict, match="waits no longer"):
        begin(database, first)


def test_a_run_is_the_same_from_its_acceptance_on(database: Database) -> None:
    """It keeps its id and its moment, says when it began, and every step of it is an event."""
    run = accept(database)
    _, claim = claimed(database)
    waiting.take_over(database, run.id, claim.token)
    runs = Runs(database)

    begun, lease = begin(database, run)
    with database.transaction() as tx:
        runs.finish(tx, begun, RunState.SUCCEEDED, lease)

    ended = runs.get(run.id)
    assert (ended.created_us, ended.about) == (run.created_us, {"a": 1})
    assert run.started_us is None
    assert ended.started_us is not None
    assert ended.seconds == ((ended.finished_us or 0) - ended.started_us) / 1e6
    assert runs.parameters(run.id) == {"x": 1, "y": 2}
    verbs = [each.verb for each in happened(database) if each.subject == run.end]
    assert verbs == ["run.scheduled", "run.started", "run.succeeded"]
    assert leases.living(database) == []


def test_a_claim_that_nobody_heard_of_is_let_go(database: Database) -> None:
    """When the answer to a claim was lost, whoever made it claims the run again; others are left alone."""
    known, unheard, others = (accept(database).id for _ in range(3))
    (_, kept), (_, lost), (_, foreign) = (claimed(database) for _ in range(3))
    with database.transaction() as tx:
        tx.execute("UPDATE lease SET boot = 'another' WHERE subject = :subject", subject=foreign.subject)

    waiting.drop_claims(database, [kept])

    assert waiting.look(database, "small").free == (unheard,)
    assert leases.owner(database, kept.subject) == kept
    assert claimed(database)[1].token > lost.token
    assert {known, others}.isdisjoint(waiting.look(database, "small").free)
