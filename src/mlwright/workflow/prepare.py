"""From a request to all that it means here and now: code, environments, graph, data. Nothing is recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import asdict

from mlwright.compute import Executor, Machine, Place, this_machine
from mlwright.environments import Environment, Lock
from mlwright.kernel import edges
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Invalid, NotFound
from mlwright.kernel.words import are_counted
from mlwright.versioning import Artifact, Snapshot, Version, artifact, parse_reference
from mlwright.workflow.fingerprint import Fingerprints
from mlwright.workflow.found import FoundPipeline
from mlwright.workflow.graph import Argument, Graph, read_graph, references_of, with_references
from mlwright.workflow.memory import Memory
from mlwright.workflow.orders import Ground, Orders
from mlwright.workflow.parameters import bind
from mlwright.workflow.request import Request
from mlwright.workflow.rooms import Rooms
from mlwright.workflow.scripts import bind_script, script_graph
from mlwright.workflow.tracer import Tracer
from mlwright.workflow.watch import Unwatched, Watcher

if TYPE_CHECKING:
    from mlwright.workflow.code import CodeIndex


class Prepared(Struct, frozen=True):
    """A request with all that it means here and now: nothing is recorded yet.

    Args:
        conversions: what answers instead of a model's own bytes, by the model's reference.
    """

    request: Request
    snapshot: Snapshot
    environments: Mapping[str, Environment]
    parameters: dict[str, Any]
    pins: dict[str, str]
    orders: Orders
    references: dict[str, Version]
    conversions: Mapping[str, Artifact] = {}


def slots_of(rooms: Rooms) -> int:
    """How many processors the steps of a run may take together."""
    return rooms.project.settings.workers or this_machine().cpus


def prepare(rooms: Rooms, request: Request, watcher: Watcher, executor: Executor | None = None) -> Prepared:
    """All that a request means.

    Args:
        executor: is warmed where something is likely to run.

    Raises:
        MlwrightError: what the request names is not there, or cannot be had.
    """
    return _Preparation(rooms, request, watcher, executor).prepared()


def draw_up(rooms: Rooms, request: Request, watcher: Watcher) -> Graph:
    """The graph of a request, from its code alone: nothing that it names need be there.

    What a gate compares with is evaluated beside it if it is there.

    Raises:
        MlwrightError: the pipeline cannot be traced.
    """
    return _Preparation(rooms, request, watcher, None).graph()


def check(rooms: Rooms, request: Request, snapshot: Snapshot, lock: Lock) -> dict[str, Any]:
    """Whether a request can be understood, as far as that is known without importing anything.

    Args:
        snapshot: the code.
        lock: its own environment.

    Returns:
        Its parameters: all of them where the pipeline is known, else what was given.

    Raises:
        NotFound: there is no such pipeline.
        Invalid: a parameter is unknown, missing or of the wrong type; or the seed is out of its bounds.
    """
    refuse_seed(request.seed)
    return _Preparation(rooms, request, Unwatched(), None).checked(snapshot, lock)


def refuse_seed(seed: int) -> None:
    """Refuse a seed that no run can have.

    Raises:
        Invalid: it is none.
    """
    if not 0 <= seed < 2**63:
        raise Invalid(f"the seed {seed} is not between 0 and 2^63 - 1")


def grounds_of(
    rooms: Rooms, snapshot: Snapshot, environments: Mapping[str, Environment], code: Path
) -> dict[str, Ground]:
    """Where the steps of a graph run, by the name of the environment, with their cache keys.

    Args:
        snapshot: the code, which is materialised in the folder `code`.
    """

    @cache
    def index() -> CodeIndex:
        from mlwright.workflow.code import CodeIndex  # parses, which a known snapshot needs no more

        files = {each.path: each.digest for each in rooms.snapshots.tree(snapshot).entries}
        others = {path: digest for path, digest in files.items() if not path.endswith(".py")}
        return CodeIndex(code, code / "src", files=others)

    memory = _memory(rooms, snapshot)
    return {
        name: Ground(environment.python, Fingerprints(index, environment, memory))
        for name, environment in environments.items()
    }


def _memory(rooms: Rooms, snapshot: Snapshot, **about: str) -> Memory:
    return Memory(rooms.workspace.local / "graphs", {"tree": snapshot.tree, **about})


class _Preparation(Struct):
    rooms: Rooms
    request: Request
    watcher: Watcher
    executor: Executor | None

    def prepared(self) -> Prepared:
        rooms, request = self.rooms, self.request
        refuse_seed(request.seed)
        own = self._environment("")
        before = self._made_with_before(own.lock)
        if not before:
            self._warm(own)
        snapshot = request.snapshot or rooms.snapshots.take(verify=request.verify)
        if snapshot.end not in before:
            self._warm(own)
        code = rooms.materialise(snapshot)
        parameters, graph = self._trace(snapshot, own, code)
        _refuse_impossible(graph, this_machine())
        others = sorted({node.environment for node in graph.nodes} - {""})
        if others and self.executor is not None and not self.executor.isolates:
            raise Invalid(
                f"a step runs in the environment `{others[0]}`, and one process cannot have two",
                hint="use worker processes: leave out --executor inline",
            )
        environments = {"": own, **{name: self._environment(name) for name in others}}
        pins = dict(request.pins or {})
        datasets = {name: self._pin_dataset(name, pins) for name in _dataset_references(graph)}
        if request.verify:
            for version in datasets.values():
                rooms.datasets.verify(version)
        references = {name: self._pin_model(name, pins) for name in references_of(graph)}
        present = {name: version for name, version in references.items() if version is not None}
        graph = _with_models(graph, present)
        models = {
            f"@{name}": artifact(rooms.database, version.artifact_id) for name, version in present.items()
        }
        grounds = grounds_of(rooms, snapshot, environments, code)
        orders = Orders(graph, code, grounds, datasets, models, parameters, request.cache, request.replay)
        return Prepared(request, snapshot, environments, parameters, pins, orders, present)

    def checked(self, snapshot: Snapshot, lock: Lock) -> dict[str, Any]:
        """The parameters, as far as they can be checked without importing anything."""
        request, code = self.request, self.rooms.materialise(snapshot)
        if request.kind != "pipeline":
            return bind_script(request.pipeline, request.kind, code, request.given)
        found, traced = self._found(snapshot, code), self._memory(snapshot, lock=lock.digest)
        known = Tracer(Place(Path(), code), found, traced, self.watcher).known_parameters()
        return dict(request.given) if known is None else bind(found.name, known, request.given)

    def graph(self) -> Graph:
        snapshot = self.request.snapshot or self.rooms.snapshots.take(verify=self.request.verify)
        _, graph = self._trace(snapshot, self._environment(""), self.rooms.materialise(snapshot))
        find = self.rooms.models.versions.find
        return _with_models(
            graph, [name for name in references_of(graph) if find(parse_reference(name, "model"))]
        )

    def _environment(self, name: str) -> Environment:
        """One of the run's environments, built if it is not there."""
        environments = self.rooms.environments
        if told := environments.changes.mend():
            self.watcher.preparing(told)
        lock = self.request.locks.get(name) or self._own_of_script(name) or environments.current(name)
        if not environments.built(lock):
            which = f"the environment `{name}`" if name else "the environment"
            self.watcher.preparing(f"installing {which}: {are_counted(lock.packages, 'package')} locked")
        return environments.build(lock)

    def _own_of_script(self, name: str) -> Lock | None:
        """The environment that a script brings."""
        if name or self.request.kind != "script":
            return None
        return self.rooms.environments.of_script(self.request.pipeline)

    def _warm(self, own: Environment) -> None:
        """Let a worker start while the rest is prepared."""
        if self.executor is not None and self.request.kind == "pipeline":
            self.executor.warm(own.python)

    def _made_with_before(self, lock: Lock) -> set[End]:
        """What the newest success was made with; nothing, if its environment or seed were others.

        All of it may be reused, if its code is this code.
        """
        newest = self.rooms.runs.newest_success(self.request.pipeline) if self.request.cache else None
        if newest is None or newest.seed != self.request.seed:
            return set()
        made_with = {edge.earlier for edge in edges.made_from(self.rooms.database, newest.end)}
        return made_with if lock.end in made_with else set()

    def _trace(self, snapshot: Snapshot, own: Environment, code: Path) -> tuple[dict[str, Any], Graph]:
        """The parameters as they are recorded, and the graph for them."""
        request = self.request
        if request.kind != "pipeline":
            parameters = bind_script(request.pipeline, request.kind, code, request.given)
            return parameters, script_graph(request.pipeline, request.kind, parameters, slots_of(self.rooms))
        found = self._found(snapshot, code)
        traced = self._memory(snapshot, lock=own.lock.digest)
        with Tracer(Place(own.python, code), found, traced, self.watcher) as tracer:
            parameters = bind(found.name, tracer.parameters(), request.given)
            return parameters, read_graph(found.name, tracer.nodes(parameters))

    def _found(self, snapshot: Snapshot, code: Path) -> FoundPipeline:
        asked = {"find": self.request.pipeline, "in": self.rooms.project.settings.pipelines}
        return FoundPipeline(**self._memory(snapshot).recall(asked, lambda: self._find(code)))

    def _find(self, code: Path) -> dict[str, Any]:
        from mlwright.workflow.discover import find  # parses, which a known snapshot needs no more

        return asdict(find(self.rooms.project, code, self.request.pipeline))

    def _memory(self, snapshot: Snapshot, **about: str) -> Memory:
        return _memory(self.rooms, snapshot, **about)

    def _pin_dataset(self, reference: str, pins: dict[str, str]) -> Version:
        version = self.rooms.datasets.versions.resolve(pins.get(reference) or reference)
        pins[reference] = version.reference
        return version

    def _pin_model(self, reference: str, pins: dict[str, str]) -> Version | None:
        """What a gate compares with; nothing, before there is a first version."""
        if reference in pins and not pins[reference]:
            return None
        wanted = pins.get(reference) or reference
        version = self.rooms.models.versions.find(parse_reference(wanted, "model"))
        if version is None and parse_reference(wanted, "model").alias is None:
            raise NotFound(f"there is no model `{wanted}` to compare with", hint="mlwright models list")
        pins[reference] = version.reference if version else ""
        return version


def _with_models(graph: Graph, references: Iterable[str]) -> Graph:
    """The graph in which these references are evaluated too, each standing for its model."""
    return with_references(
        graph, {name: Argument("output", node=f"@{name}", output="model") for name in references}
    )


def _refuse_impossible(graph: Graph, machine: Machine) -> None:
    """What this machine cannot give. A step that asks for more processors than there are runs alone.

    Raises:
        Invalid: a step asks for more memory or GPUs than there are.
    """
    for node in graph.nodes:
        where = node.step.partition(":")[0].replace(".", "/") + f".py:{node.line}"
        if node.gpus > len(machine.gpus):
            raise Invalid(
                f"step `{node.name}` asks for GPUs: {node.gpus}, and this machine has {len(machine.gpus)}",
                where=where,
                hint="run it where there are, or lower `gpus` in its resources",
            )
        if node.memory_bytes is not None and node.memory_bytes > machine.memory_bytes:
            asked, there = (round(each / 2**30, 1) for each in (node.memory_bytes, machine.memory_bytes))
            raise Invalid(
                f"step `{node.name}` asks for {asked:g} GiB of memory, and this machine has {there:g} GiB",
                where=where,
                hint="run it where there is, or lower `memory` in its resources",
            )


def _dataset_references(graph: Graph) -> list[str]:
    return sorted({part.value for node in graph.nodes for part in node.parts() if part.kind == "dataset"})
