"""The scheduler against a simple model of it: random graphs, random failures, reports in random order.

`Execution` runs against a stand-in for an executor (`Shuffled`): it obeys the laws of the port, holds
everything in memory, executes nothing but a made-up function of the arguments it is sent, and reports what
runs in an order that Hypothesis draws. Whatever it is asked to do that a scheduler must not ask for, it
refuses. The model knows nothing of time or order: it says what each node comes to, and how often it is tried.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from mlwright.compute import Place, Report, Task
from mlwright.kernel import edges
from mlwright.kernel.database import all_migrations
from mlwright.kernel.digest import composite
from mlwright.kernel.ids import new_id
from mlwright.kernel.interrupts import Interrupts
from mlwright.kernel.settings import ProjectFolder, Settings
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.storage.memory import MemoryObjects
from mlwright.tracking import RunState
from mlwright.versioning.artifacts import artifact
from mlwright.workflow import execution as execution_module
from mlwright.workflow import open_rooms
from mlwright.workflow.durations import Durations
from mlwright.workflow.execution import Execution
from mlwright.workflow.fingerprint import Basis, Fingerprints
from mlwright.workflow.graph import Argument, Graph, Node
from mlwright.workflow.orders import Ground, Orders
from mlwright.workflow.rooms import Rooms
from mlwright.workflow.watch import Unwatched
from mlwright.workspace import Workspace
from tests.storage.conftest import over

FAILURES = ("failed", "died", "timed out")
AHEAD = 8

SOAK = os.environ.get("MLWRIGHT_SOAK") == "1"


@dataclass(frozen=True)
class Case:
    """A graph, and what becomes of its nodes when they are executed.

    Args:
        gives: what a node gives: `text`, `list` or `bool`.
        lengths: of the lists of nodes that give one.
        truths: what nodes give that give a truth.
        trouble: by node or item, how it ends before it succeeds, if it is tried often enough.
        brief: the steps that are known to take next to nothing.
    """

    nodes: tuple[Node, ...]
    gives: dict[str, str]
    lengths: dict[str, int]
    truths: dict[str, bool]
    trouble: dict[str, tuple[str, ...]]
    brief: frozenset[str]
    slots: int

    def value(self, name: str, output: str, arguments: dict[str, Any]) -> Any:
        """What a node or an item gives for these arguments."""
        node = base(name)
        mark = hashlib.sha256(json.dumps([name, output, arguments], sort_keys=True).encode()).hexdigest()[:12]
        match self.gives[node]:
            case "list":
                return [f"{mark}-{index}" for index in range(self.lengths[node])]
            case "bool":
                return self.truths[node]
        return mark


def base(name: str) -> str:
    """The node of an item, or the node itself."""
    return name.partition("[")[0]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A graph of up to ten nodes, each behind those it needs."""
    names = [f"n{index}" for index in range(draw(st.integers(2, 10)))]
    gives = {name: draw(st.sampled_from(["text", "list", "list", "bool"])) for name in names}
    nodes: list[Node] = []
    for name in names:
        nodes.append(draw(calls(name, nodes, gives)))
    items = [f"{name}[{index}]" for name in names for index in range(3)]
    troubled = draw(st.lists(st.sampled_from([*names, *names, *items]), max_size=6, unique=True))
    return Case(
        tuple(nodes),
        gives,
        lengths={name: draw(st.integers(0, 4)) for name in names if gives[name] == "list"},
        truths={name: draw(st.integers(0, 3)) > 0 for name in names if gives[name] == "bool"},
        trouble={
            name: tuple(draw(st.lists(st.sampled_from(FAILURES), min_size=1, max_size=2)))
            for name in troubled
        },
        brief=draw(st.frozensets(st.sampled_from([node.step for node in nodes]))),
        slots=draw(st.integers(1, 4)),
    )


@st.composite
def calls(draw: st.DrawFn, name: str, nodes: list[Node], gives: dict[str, str]) -> Node:
    """A node that takes what those before it give."""
    inputs = {key: draw(arguments(nodes)) for key in draw(st.sampled_from(["", "x", "x", "xy"]))}
    mapped = draw(st.sampled_from(["", "", "", "a", "a", "ab"]))
    inputs |= {key: draw(iterables(nodes, gives)) for key in mapped}
    optional = [key for key, each in inputs.items() if key not in mapped and taken(each)]
    return Node(
        name,
        "step",
        inputs,
        dict.fromkeys(draw(st.sampled_from([["result"], ["one", "two"]])), ""),
        step=f"steps:{name}",
        mapped=tuple(mapped),
        when=draw(conditions(nodes, gives)) if draw(st.integers(0, 5)) == 5 else None,
        fallbacks={key: Argument("value", value="instead") for key in optional if draw(st.booleans())},
        retries=draw(st.integers(0, 2)),
        cpus=draw(st.sampled_from([1, 1, 1, 2, 3, 6])),
    )


def outputs(nodes: Iterable[Node]) -> list[Argument]:
    """All that these give."""
    return [Argument("output", node=node.name, output=key) for node in nodes for key in node.outputs]


def arguments(nodes: Sequence[Node]) -> st.SearchStrategy[Argument]:
    """What a step may be given."""
    plain = st.integers(0, 9).map(lambda number: Argument("value", value=number))
    leaf = st.one_of(plain, *[st.sampled_from(outputs(nodes))] * 3) if nodes else plain
    if lists := outputs(node for node in nodes if node.mapped):
        leaf = st.one_of(leaf, st.sampled_from(lists), st.sampled_from(lists))
    return st.one_of(
        leaf,
        leaf,
        st.lists(leaf, max_size=3).map(lambda items: Argument("list", items=tuple(items))),
        st.dictionaries(st.sampled_from("ab"), leaf).map(lambda fields: Argument("dict", fields=fields)),
    )


def iterables(nodes: Sequence[Node], gives: dict[str, str]) -> st.SearchStrategy[Argument]:
    """What a step may be mapped over: mostly a list."""
    choices = [
        st.lists(st.integers(0, 3), max_size=4).map(lambda items: Argument("value", value=items)),
        st.lists(arguments(nodes), max_size=4).map(lambda items: Argument("list", items=tuple(items))),
    ]
    if lists := outputs(node for node in nodes if gives[node.name] == "list" or node.mapped):
        choices += [st.sampled_from(lists)] * 3
    if nodes:
        choices.append(st.sampled_from(outputs(nodes)))
    return st.one_of(choices)


def conditions(nodes: Sequence[Node], gives: dict[str, str]) -> st.SearchStrategy[Argument]:
    """What a step may be called on: mostly a truth."""
    choices: list[st.SearchStrategy[Argument]] = [st.just(Argument("value", value=False))]
    if truths := outputs(node for node in nodes if gives[node.name] == "bool" and not node.mapped):
        choices += [st.sampled_from(truths)] * 3
    if nodes:
        choices.append(st.sampled_from(outputs(nodes)))
    return st.one_of(choices)


def taken(argument: Argument) -> set[str]:
    """The nodes of which it takes an output."""
    return {part.node for part in argument.parts() if part.kind == "output"}


@dataclass
class Expected:
    """What the model says."""

    states: dict[str, list[str]] = field(default_factory=dict)
    """By node, or item: of each try, in their order."""
    values: dict[tuple[str, str], Any] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    """Those that failed themselves, and those behind them."""
    absent: set[str] = field(default_factory=set)
    """Those that were skipped though nothing failed."""

    @property
    def succeeded(self) -> set[str]:
        """The nodes and items that are executed and come to a good end."""
        return {name for name, states in self.states.items() if states[-1] == "succeeded"}


def expected(case: Case) -> Expected:
    """What becomes of every node, one after the other."""
    made = Expected()
    for node in case.nodes:
        if node.needs & made.failed:
            made.states[node.name] = ["skipped"]
            made.failed.add(node.name)
            continue
        inputs = {
            key: node.fallbacks.get(key) if taken(each) & made.absent else each
            for key, each in node.inputs.items()
        }
        condition = True if node.when is None else meant(node.when, made)
        if None in inputs.values() or (node.when and taken(node.when) & made.absent) or condition is False:
            made.states[node.name] = ["skipped"]
            made.absent.add(node.name)
            continue
        given = {key: meant(each, made) for key, each in inputs.items()}  # type: ignore[arg-type]
        lists = [given[key] for key in node.mapped]
        sound = all(isinstance(each, list) for each in lists) and len(set(map(len, lists))) <= 1
        if condition is not True or not sound:
            made.states[node.name] = ["failed"]
            made.failed.add(node.name)
        elif node.mapped:
            for index, elements in enumerate(zip(*lists, strict=True)):
                item = {**given, **dict(zip(node.mapped, elements, strict=True))}
                tried(case, made, node, f"{node.name}[{index}]", item)
            items = [f"{node.name}[{index}]" for index in range(len(lists[0]))]
            if made.failed & set(items):
                made.failed.add(node.name)
            else:
                for output in node.outputs:
                    made.values[node.name, output] = [made.values[item, output] for item in items]
        else:
            tried(case, made, node, node.name, given)
    return made


def meant(argument: Argument, made: Expected) -> Any:
    """What an argument stands for."""
    match argument.kind:
        case "output":
            return made.values.get((argument.node, argument.output))
        case "list":
            return [meant(item, made) for item in argument.items]
        case "dict":
            return {key: meant(item, made) for key, item in argument.fields.items()}
    return argument.value


def tried(case: Case, made: Expected, node: Node, name: str, given: dict[str, Any]) -> None:
    """A node or an item is tried until it succeeds, or may not be tried again."""
    trouble = case.trouble.get(name, ())[: node.retries + 1]
    succeeds = len(trouble) <= node.retries
    made.states[name] = ["failed"] * len(trouble) + ["succeeded"] * succeeds
    if not succeeds:
        made.failed.add(name)
    for output in node.outputs:
        made.values[name, output] = case.value(name, output, given)


class Shuffled:
    """An executor in memory, which holds the laws of the port; see the module.

    Args:
        case: what the tasks give, and how they fail.
        model: what it comes to.
        rng: decides which of the tasks that run are reported, and when.
        done: what need not be executed any more.
    """

    isolates = True

    def __init__(self, case: Case, model: Expected, rng: random.Random, done: Iterable[str] = ()) -> None:
        self._case = case
        self._model = model
        self._rng = rng
        self._nodes = {node.name: node for node in case.nodes}
        self._waiting: deque[Task] = deque()
        self._workers: dict[str, deque[Task]] = {}
        self._names = map("w{}".format, itertools.count(1))
        self.tries: Counter[str] = Counter()
        self.done = set(done)

    def warm(self, place: Place) -> None:
        """Nothing: the process is there."""

    def has_room(self, place: Place, *, brief: bool = False) -> bool:
        """Whether a task would begin at once, or be sent ahead behind brief ones."""
        return not self._waiting and (self._fits(place) or (brief and self._ahead(place) is not None))

    def submit(self, task: Task) -> None:
        """Take a task, and look at whether it may be asked for now."""
        name = task.frame.head["node"]
        node = self._nodes[base(name)]
        assert self.has_room(task.place, brief=task.brief), f"{name} was submitted without room"
        assert task.id not in {each.id for each in self._tasks()}, "one id, two tasks"
        assert name not in {each.frame.head["node"] for each in self._tasks()}, f"{name} runs already"
        assert name not in self.done, f"{name} was done before"
        assert self.tries[name] < len(self._model.states.get(name, [])), f"{name} is tried too often"
        assert task.place.cpus == node.cpus
        missing = {each for each in self._model.succeeded - self.done if base(each) in node.needs}
        assert not missing, f"{name} begins before {missing}"
        self._waiting.append(task)
        self._start()

    def wait(self, timeout_s: float | None = None) -> list[Report]:
        """Reports of some of those that run; now and then of none."""
        running = [name for name, tasks in self._workers.items() if tasks]
        if not running or (timeout_s is not None and self._rng.random() < 0.2):
            return []
        chosen = self._rng.sample(running, self._rng.randint(1, len(running)))
        reports = [self._end(worker) for worker in chosen]
        self._start()
        return reports

    def worker_of(self, task: str) -> str:
        """The name of the worker that runs a task now; empty when none does yet."""
        return next((name for name, tasks in self._workers.items() if tasks and tasks[0].id == task), "")

    def close(self) -> None:
        """Forget everything."""
        self._waiting.clear()
        self._workers.clear()

    def _tasks(self) -> Iterator[Task]:
        yield from self._waiting
        for tasks in self._workers.values():
            yield from tasks

    def _fits(self, place: Place) -> bool:
        busy = [tasks[0].place.cpus for tasks in self._workers.values() if tasks]
        return not busy or sum(busy) + place.cpus <= self._case.slots

    def _ahead(self, place: Place) -> str | None:
        for name, tasks in self._workers.items():
            if 0 < len(tasks) < AHEAD and tasks[-1].brief and tasks[0].place == place:
                return name
        return None

    def _start(self) -> None:
        while self._waiting:
            task = self._waiting[0]
            if self._fits(task.place):
                worker: str | None = next(self._names)
            else:
                worker = self._ahead(task.place) if task.brief else None
            if worker is None:
                return
            self._workers.setdefault(worker, deque()).append(self._waiting.popleft())
            busy = [tasks[0].place.cpus for tasks in self._workers.values() if tasks]
            assert sum(busy) <= self._case.slots or len(busy) == 1, "more processors than there are"

    def _end(self, worker: str) -> Report:
        """The task that runs ends as it is to; when it dies, what was sent ahead behind it waits again."""
        tasks = self._workers[worker]
        task = tasks.popleft()
        name = task.frame.head["node"]
        self.tries[name] += 1
        trouble = self._case.trouble.get(name, ())
        ran_s = 0.001
        if self.tries[name] > len(trouble):
            self.done.add(name)
            return self._success(task, worker, ran_s)
        state = trouble[self.tries[name] - 1]
        if state == "failed":
            error = {"type": "ValueError", "message": f"the trouble of {name}"}
            return Report(task.id, "failed", {"error": error}, (), ran_s, worker)
        self._waiting.extendleft(reversed(self._workers.pop(worker)))
        return Report(task.id, state, {"cause": f"the end of {name}", "words": ""}, (), ran_s, worker)  # type: ignore[arg-type]

    def _success(self, task: Task, worker: str, ran_s: float) -> Report:
        name, parts = task.frame.head["node"], task.frame.parts
        sent = task.frame.head["arguments"].items()
        given = {key: self._decode(each, parts) for key, each in sent}
        told, made = [], []
        for at, output in enumerate(self._nodes[base(name)].outputs):
            told.append({"name": output, "codec": "json", "type": "object", "about": {}, "part": at})
            made.append(json.dumps(self._case.value(name, output, given)).encode())
        return Report(task.id, "done", {"outputs": told}, tuple(made), ran_s, worker)

    def _decode(self, argument: dict[str, Any], parts: tuple[bytes, ...]) -> Any:
        match argument["kind"]:
            case "value":
                return argument["value"]
            case "list":
                return [self._decode(item, parts) for item in argument["items"]]
            case "dict":
                return {key: self._decode(item, parts) for key, item in argument["fields"].items()}
        return json.loads(parts[argument["part"]])


class Keys(Fingerprints):
    """Fingerprints of steps that have no code: those of one case are no other's."""

    def __init__(self) -> None:
        self._case = new_id()

    def _basis(self, node: Node) -> Basis:
        return Basis(composite("basis", [self._case, node.step]), node.step, {})


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Rooms:
    """A workspace in memory."""
    root = tmp_path_factory.mktemp("model")
    database = SqliteDatabase(":memory:")
    database.migrate(all_migrations())
    workspace = Workspace(new_id(), database, over(MemoryObjects(), database), root / "local")
    return open_rooms(ProjectFolder(root, "model", Settings()), workspace)


def execute(rooms: Rooms, case: Case, keys: Keys, executor: Shuffled) -> tuple[str, bool]:
    """Execute a case; the run's id, and whether it failed."""
    orders = Orders(
        graph=Graph("model", case.nodes),
        code=Path("/nowhere"),
        grounds={"": Ground(Path("/nowhere/python"), keys)},
        datasets={},
        models={},
        parameters={},
        cache=True,
        replay=False,
    )
    with rooms.database.transaction() as tx:
        run, lease = rooms.runs.begin(tx, project="model", pipeline="model", seed=0, parameters={}, pins={})
    known = Durations(dict.fromkeys(case.brief, 0.0001))
    execution = Execution(rooms, executor, run, lease, orders, known, Unwatched())
    with mock.patch.object(execution_module, "_FIRST_PAUSE_S", 0.0):
        error = execution.go(Interrupts())
    execution.end(RunState.FAILED if error else RunState.SUCCEEDED, error)
    return run.id, error is not None


def recorded(rooms: Rooms, run: str) -> dict[str, list[str]]:
    """The states of each node's tries, by their numbers."""
    found: dict[str, list[str]] = {}
    for attempt in sorted(rooms.attempts.of_run(run), key=lambda each: each.number):  # type: ignore[arg-type]
        found.setdefault(attempt.node, []).append(attempt.state.value)
        assert attempt.number == len(found[attempt.node])
    return found


def values(rooms: Rooms, run: str) -> dict[tuple[str, str], Any]:
    """What is recorded of the outputs of a run's successes."""
    found = {}
    for attempt in rooms.attempts.of_run(run):  # type: ignore[arg-type]
        for edge in edges.made_into(rooms.database, attempt.end):
            made = artifact(rooms.database, edge.later.id)
            found[attempt.node, edge.role.removeprefix("output:")] = json.loads(
                rooms.objects.get(made.digest)
            )
    return found


@settings(
    max_examples=500 if SOAK else 80,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)
@given(case=cases(), rng=st.randoms(use_true_random=False))
def test_every_graph_comes_to_what_a_simple_model_says(rooms: Rooms, case: Case, rng: random.Random) -> None:
    """In whatever order reports come: each node is tried as often as it may be, and nothing is lost.

    Then the same once more, without trouble: what has succeeded is reused, all else is executed.
    """
    model, keys = expected(case), Keys()
    executor = Shuffled(case, model, rng)
    for states in {" ".join(states) for states in model.states.values()}:
        event(states)
    for name in ("absent", "failed", "succeeded"):
        event(f"{name}: {min(3, len(getattr(model, name)))}")

    run, failed = execute(rooms, case, keys, executor)

    assert recorded(rooms, run) == model.states
    assert executor.done == model.succeeded
    assert values(rooms, run) == {
        key: made for key, made in model.values.items() if key[0] in model.succeeded
    }
    assert failed == bool(model.failed)

    calm = replace(case, trouble={})
    better, before = expected(calm), model.succeeded
    executor = Shuffled(calm, better, rng, done=before)

    run, failed = execute(rooms, calm, keys, executor)

    assert recorded(rooms, run) == {
        name: ["reused"] if name in before else states for name, states in better.states.items()
    }
    assert executor.done == better.succeeded
    assert sum(executor.tries.values()) == len(better.succeeded - before)
    assert failed == bool(better.failed)
