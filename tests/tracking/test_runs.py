"""Runs: one table of moves, ids that may be shortened, and owners that die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mlwright.kernel import leases
from mlwright.kernel.database import Database
from mlwright.kernel.errors import Conflict, Invalid, NotFound
from mlwright.kernel.ids import RunId
from mlwright.kernel.settings import find_project
from mlwright.tracking import Run, Runs, RunState
from mlwright.tracking.runs import MOVES
from mlwright.workspace import open_workspace
from tests.happened import happened
from tests.tracking.conftest import begin

TERMINAL = sorted(MOVES[RunState.RUNNING])


def test_the_moves_are_closed() -> None:
    """Every state has its moves; what goes on may end in every way, what waits may begin or end, no more."""
    assert set(MOVES) == set(RunState)
    assert {state for state, moves in MOVES.items() if not moves} == {each for each in RunState if each.ended}
    assert MOVES[RunState.RUNNING] == {each for each in RunState if each.ended}
    assert MOVES[RunState.SCHEDULED] == {RunState.RUNNING, RunState.FAILED, RunState.CANCELLED}


@pytest.mark.parametrize("second", TERMINAL)
@pytest.mark.parametrize("first", TERMINAL)
def test_a_terminal_state_never_changes(
    first: RunState, second: RunState, database: Database, runs: Runs
) -> None:
    """A run that has ended is not ended again, and nothing of its record changes."""
    run, lease = begin(database)
    with database.transaction() as tx:
        runs.finish(tx, run, first, lease, {"message": "first"})
    ended = runs.get(run.id)

    with pytest.raises(Conflict, match="has ended already"), database.transaction() as tx:
        runs.finish(tx, run, second, lease, {"message": "second"})

    assert runs.get(run.id) == ended
    assert (ended.state, ended.error) == (first, {"message": "first"})


@pytest.mark.parametrize("state", TERMINAL)
def test_ending_frees_the_lease_and_is_an_event(state: RunState, database: Database, runs: Runs) -> None:
    """When a run ends, nobody owns it any more, and begin and end are events."""
    run, lease = begin(database)

    with database.transaction() as tx:
        runs.finish(tx, run, state, lease)

    assert leases.owner(database, f"run {run.id}") is None
    assert [event.verb for event in happened(database)] == [
        "experiment.created",
        "run.started",
        f"run.{state}",
    ]
    ended = runs.get(run.id)
    assert ended.finished_us is not None
    assert ended.seconds == (ended.finished_us - ended.created_us) / 1e6


class Life(RuleBasedStateMachine):
    """Runs begin, end, are looked at and lose their owners, in any order."""

    make: Callable[[], Database]

    def __init__(self) -> None:
        super().__init__()
        self.database = self.make()
        self.runs = Runs(self.database)
        self.expected: dict[RunId, RunState] = {}
        self.owned: list[tuple[Run, leases.Lease]] = []

    @rule()
    def begin(self) -> None:
        self.owned.append(begin(self.database))
        self.expected[self.owned[-1][0].id] = RunState.RUNNING

    @precondition(lambda self: self.owned)
    @rule(state=st.sampled_from(TERMINAL), data=st.data())
    def finish(self, state: RunState, data: st.DataObject) -> None:
        run, lease = data.draw(st.sampled_from(self.owned))
        was = self.expected[run.id]
        try:
            with self.database.transaction() as tx:
                self.runs.finish(tx, run, state, lease)
        except Conflict:
            assert was is not RunState.RUNNING
        else:
            assert was is RunState.RUNNING
            self.expected[run.id] = state

    @precondition(lambda self: self.owned)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        """The owner's process is gone; the next look says so."""
        run, _ = data.draw(st.sampled_from(self.owned))
        with self.database.transaction() as tx:
            tx.execute("UPDATE lease SET started = 'long ago' WHERE subject = :of", of=f"run {run.id}")
        if self.expected[run.id] is RunState.RUNNING:
            self.expected[run.id] = RunState.LOST

    @invariant()
    def states_are_as_expected(self) -> None:
        assert {run.id: run.state for run in self.runs.list(limit=1000)} == self.expected


def test_no_order_of_events_changes_what_has_ended(make_database: Callable[[], Database]) -> None:
    """Whatever begins, ends, dies and is looked at in whatever order: an ended run stays as it ended."""

    class Here(Life):
        make = staticmethod(make_database)

    run_state_machine_as_test(Here, settings=settings(max_examples=25, stateful_step_count=25))


OWN = """
import sys
from pathlib import Path
from mlwright.kernel.settings import find_project
from mlwright.tracking import Runs
from mlwright.workspace import open_workspace

workspace = open_workspace(find_project(Path(sys.argv[1])))
with workspace.database.transaction() as tx:
    run, _ = Runs(workspace.database).begin(
        tx, project="small", pipeline="p", seed=0, parameters={}, pins={}
    )
print(run.id, flush=True)
sys.stdin.read()
"""


def test_a_killed_owner_leaves_a_lost_run(tmp_path: Path) -> None:
    """After `kill -9` of its process, the next look declares the run lost, frees it, and writes the event."""
    (tmp_path / "pyproject.toml").write_text("[tool.mlwright]\n")
    workspace = open_workspace(find_project(tmp_path))
    runs = Runs(workspace.database)
    owner = subprocess.Popen(
        [sys.executable, "-c", OWN, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    identity = owner.stdout.readline().strip()
    (living,) = runs.list()

    os.kill(owner.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while leases.process_start(owner.pid):
        assert time.monotonic() < deadline
    (lost,) = runs.list()

    owner.communicate()
    assert (living.id, living.state) == (identity, RunState.RUNNING)
    assert lost.state is RunState.LOST
    assert lost.error is not None
    assert "ended without a word" in lost.error["message"]
    assert "mlwright runs resume" in lost.error["hint"]
    assert leases.owner(workspace.database, f"run {identity}") is None
    assert [event.verb for event in happened(workspace.database)] == [
        "experiment.created",
        "run.started",
        "run.lost",
    ]
    assert runs.list() == [lost]
    workspace.close()


def test_a_live_owner_is_never_buried(database: Database, runs: Runs) -> None:
    """A run whose process lives stays running, however often one looks."""
    run, lease = begin(database)

    for _ in range(3):
        runs.bury_lost()

    assert runs.get(run.id).state is RunState.RUNNING
    assert leases.owner(database, f"run {run.id}") == lease


@pytest.mark.parametrize(
    ("column", "value", "state"),
    [
        ("host", "another-host", RunState.RUNNING),
        ("boot", "another-boot", RunState.RUNNING),
        ("space", "another container", RunState.RUNNING),
        ("started", "1", RunState.LOST),
        ("pid", 2**22 + 1, RunState.LOST),
    ],
)
def test_who_counts_as_gone(
    column: str, value: object, state: RunState, database: Database, runs: Runs
) -> None:
    """A reused process id and a process that is gone lose the run; who cannot be looked at is believed."""
    run, _ = begin(database)
    with database.transaction() as tx:
        tx.execute(f"UPDATE lease SET {column} = :value", value=value)

    found = runs.get(run.id)

    assert found.state is state


def test_a_run_that_was_declared_lost_cannot_be_finished(database: Database, runs: Runs) -> None:
    """An owner that was declared lost and comes back may not end the run."""
    run, lease = begin(database)
    with database.transaction() as tx:
        tx.execute("UPDATE lease SET started = 'long ago'")
    runs.bury_lost()

    with pytest.raises(Conflict), database.transaction() as tx:
        runs.finish(tx, run, RunState.SUCCEEDED, lease)

    assert runs.get(run.id).state is RunState.LOST


def test_a_run_is_found_by_any_unique_beginning(database: Database, runs: Runs) -> None:
    """The id, any beginning that fits it alone, in any case, and `latest` mean the run."""
    run, _ = begin(database)

    found = [runs.get(text).id for text in (run.id, run.id[:10], run.id[:4].lower(), "latest")]

    assert found == [run.id] * 4


def test_latest_is_the_newest(database: Database, runs: Runs) -> None:
    """`latest` is the run that began last, ended or not."""
    begin(database)
    second, _ = begin(database)

    found = runs.get("latest")

    assert found.id == second.id


def test_a_beginning_that_fits_several_names_them(database: Database, runs: Runs) -> None:
    """A beginning that fits several runs is answered with their ids."""
    ids = [begin(database)[0].id for _ in range(3)]

    with pytest.raises(Invalid, match="fits several runs") as refusal:
        runs.get(ids[0][:2])

    assert all(identity in refusal.value.message for identity in ids)
    assert refusal.value.hint == "type more of the id"


@pytest.mark.parametrize("reference", ["", "0", "ZZZZ", "%", "_", "'", "\x00", "latest "])
def test_what_fits_no_run_is_not_found(reference: str, database: Database, runs: Runs) -> None:
    """A beginning that fits nothing, nothing at all and SQL's own signs are not found; NUL may be refused."""
    if reference != "0":
        begin(database)

    with pytest.raises((NotFound, Invalid), match=r"there is no run|NUL"):
        runs.get(reference)


def test_a_number_counts_back_from_the_latest(database: Database, runs: Runs) -> None:
    """`latest~1` is the run that began before the newest, and so on; how many there are is told."""
    first, second, third = (begin(database)[0] for _ in range(3))

    found = [runs.get(f"latest~{back}").id for back in range(3)]

    assert found == [third.id, second.id, first.id]
    with pytest.raises(NotFound, match="there is no run 'latest~3': there are 3"):
        runs.get("latest~3")


@pytest.mark.parametrize("reference", ["latest~", "latest~-1", "latest~x", "latest~1~1", "latest~1 ", "~1"])
def test_what_does_not_count_back_is_no_run(database: Database, runs: Runs, reference: str) -> None:
    """Only a whole number stands behind the tilde."""
    for _ in range(2):
        begin(database)

    with pytest.raises(NotFound, match="there is no run"):
        runs.get(reference)


def test_there_is_no_latest_of_none(runs: Runs) -> None:
    """Without a run, `latest` is not found."""
    with pytest.raises(NotFound, match="there is no run 'latest'"):
        runs.get("latest")


def test_the_list_is_newest_first_and_filtered(database: Database, runs: Runs) -> None:
    """The list is newest first, of one pipeline or state, and no longer than asked for."""
    made = [begin(database, pipeline="odd" if index % 2 else "even") for index in range(5)]
    with database.transaction() as tx:
        runs.finish(tx, made[3][0], RunState.FAILED, made[3][1])

    found = {
        "all": runs.list(),
        "two": runs.list(limit=2),
        "odd": runs.list(pipeline="odd"),
        "failed": runs.list(state="failed"),
        "none": runs.list(pipeline="even", state="failed"),
    }

    numbers = {run.id: index for index, (run, _) in enumerate(made)}
    assert {name: [numbers[run.id] for run in listed] for name, listed in found.items()} == {
        "all": [4, 3, 2, 1, 0],
        "two": [4, 3],
        "odd": [3, 1],
        "failed": [3],
        "none": [],
    }


def test_an_unknown_state_is_answered_with_those_there_are(runs: Runs) -> None:
    """A state that does not exist is refused, and the hint lists them."""
    with pytest.raises(Invalid, match="there is no run state 'done'") as refusal:
        runs.list(state="done")

    assert refusal.value.hint == "one of running, succeeded, failed, cancelled, lost, scheduled"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@example({"a": "\0"})
@given(st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]*", fullmatch=True), json_values, max_size=4))
def test_parameters_come_back_as_they_went_in(shared: Database, parameters: dict[str, object]) -> None:
    """Parameters of any JSON value, NaN and integers of any size are read back as they were."""
    run, _ = begin(shared, **parameters)

    found = Runs(shared).parameters(run.id)
    assert repr(found) == repr(dict(sorted(parameters.items())))


def test_pins_and_seed_come_back(database: Database, runs: Runs) -> None:
    """What moving references meant, and the seed, are read back; an empty pin stays empty."""
    pins = {"patients@latest": "patients@3", "diagnosis@champion": ""}
    with database.transaction() as tx:
        run, _ = runs.begin(tx, project="small", pipeline="p", seed=-(2**63), parameters={}, pins=pins)

    found = runs.get(run.id)

    assert (found.pins, found.seed, found.project) == (pins, -(2**63), "small")
