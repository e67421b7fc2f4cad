"""Models evaluated beside each other: by the step that evaluated one of them, on the same data.

The graph of the run that made the first model is cut down to what its evaluating step needs, and that step
is called once for each model, as a gate's `not_worse_than` does: ordinary steps, cached, run in parallel,
recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mlwright.compute import Executor
from mlwright.environments import Environment, Lock
from mlwright.kernel import edges
from mlwright.kernel.errors import Invalid, NotFound
from mlwright.kernel.ids import short
from mlwright.sdk.signature import SIGNATURE_STEP
from mlwright.tracking import Run
from mlwright.versioning import ModelDetail, Snapshot, Version
from mlwright.workflow.aside import locks_of
from mlwright.workflow.graph import JUDGEMENTS, Argument, Graph, Node
from mlwright.workflow.judge import read_value
from mlwright.workflow.orders import Orders
from mlwright.workflow.pipelines import Pipelines
from mlwright.workflow.prepare import Prepared, draw_up, grounds_of
from mlwright.workflow.request import Request
from mlwright.workflow.rooms import Rooms
from mlwright.workflow.step_models import as_scores
from mlwright.workflow.watch import Watcher


class Evaluated(Struct, frozen=True):
    """What models were given on the same data.

    Args:
        run: the id of the run that evaluated them.
        data: the dataset version.
        step: that evaluated, as `module:function`.
        by: the version whose run gave the step its code.
        scores: of each version, numbers by name; empty for what is none.
        outputs: of each version, the digest of what the step gave.
    """

    run: str
    data: str
    step: str
    by: str
    scores: dict[str, dict[str, float]]
    outputs: dict[str, str]


class _Plan(Struct, frozen=True):
    """What is to be run: the graph, and what its names mean."""

    request: Request
    run: Run
    snapshot: Snapshot
    graph: Graph
    step: Node
    output: str
    datasets: Mapping[str, Version]
    locks: Mapping[str, Lock]
    by: str


def evaluate(rooms: Rooms, models: Sequence[ModelDetail], on: str, watcher: Watcher) -> Evaluated:
    """Evaluate models on a dataset.

    Args:
        models: the step is that of the first one that a run made; each is loaded in its own environment.
        on: a dataset's reference.

    Raises:
        NotFound: there is no such dataset.
        Invalid: no step evaluated any of them, or its data come from elsewhere.
        Incompatible: a model is a pickle that no run of this workspace made.
        WorkFailed: the step failed.
    """
    for each in models:
        each.artifact.refuse_foreign_pickle(each.version.reference)
    plan = _planned(rooms, models, rooms.datasets.versions.resolve(on), watcher)

    def prepared(executor: Executor) -> Prepared:
        return _prepared(rooms, plan, models, watcher)

    run, error = Pipelines(rooms).run_prepared(prepared, watcher)
    if error is not None:
        raise error
    return _read(rooms, plan, models, run)


def _planned(rooms: Rooms, models: Sequence[ModelDetail], data: Version, watcher: Watcher) -> _Plan:
    first = _one_with_a_run(rooms, models)
    run = rooms.runs.get(first.run)
    made_with = {edge.role: edge.earlier for edge in edges.made_from(rooms.database, run.end)}
    snapshot = rooms.snapshots.get(made_with["code"].id)
    locks = locks_of(rooms, run)
    parameters = rooms.runs.parameters(run.id)
    traced = Request(run.pipeline, parameters, run.seed, pins=run.pins, snapshot=snapshot, locks=locks)
    graph = draw_up(rooms, traced, watcher)
    node, output, slot = _evaluating(graph, first)
    wanted = _needed(graph, node, slot)
    datasets = _datasets(rooms, wanted, run, data)
    twins = []
    for each in models:
        name, reference = f"{node.name}[{each.version.reference}]", each.version.reference
        own = _lock_for(rooms, each, node.environment)
        environment = node.environment
        if own.digest != locks[node.environment].digest:
            environment = f"of {reference}"
            locks[environment] = own
        model = Argument("output", node=f"@{reference}", output="model")
        twins.append(
            replace(node, name=name, inputs={**node.inputs, slot: model}, environment=environment, when=None)
        )
    used = {each.environment for each in (*wanted, *twins)} | {""}
    title = " with ".join(each.version.reference for each in models)
    return _Plan(
        request=replace(traced, pipeline=title, compares=True),
        run=run,
        snapshot=snapshot,
        graph=Graph(title, (*wanted, *twins)),
        step=node,
        output=output,
        datasets=datasets,
        locks={name: lock for name, lock in locks.items() if name in used},
        by=first.version.reference,
    )


def _prepared(rooms: Rooms, plan: _Plan, models: Sequence[ModelDetail], watcher: Watcher) -> Prepared:
    environments: dict[str, Environment] = {}
    for name, lock in plan.locks.items():
        if not rooms.environments.built(lock):
            watcher.preparing(f"installing the environment {name or plan.by}")
        environments[name] = rooms.environments.build(lock)
    code = rooms.materialise(plan.snapshot)
    parameters = {"models": [each.version.reference for each in models], "on": _on(plan)}
    orders = Orders(
        plan.graph,
        code,
        grounds_of(rooms, plan.snapshot, environments, code),
        plan.datasets,
        {f"@{each.version.reference}": each.artifact for each in models},
        parameters,
        cache=True,
        replay=True,
    )
    pins = {name: version.reference for name, version in plan.datasets.items()}
    # What was only compared may be removed: the models are told by the attempts' inputs, not as references.
    return Prepared(plan.request, plan.snapshot, environments, parameters, pins, orders, {})


def _read(rooms: Rooms, plan: _Plan, models: Sequence[ModelDetail], run: Run) -> Evaluated:
    from mlwright.workflow.detail import run_detail

    made = {
        each.attempt.node: each.outputs[plan.output]
        for each in run_detail(rooms, run.id).attempts
        if plan.output in each.outputs
    }
    scores: dict[str, dict[str, float]] = {}
    outputs: dict[str, str] = {}
    for each in models:
        reference = each.version.reference
        found = made[f"{plan.step.name}[{reference}]"]
        value: Any = read_value(rooms.objects, found, "it") if found.codec == "json" else None
        scores[reference], outputs[reference] = as_scores(value), found.digest
    return Evaluated(run.id, _on(plan), plan.step.step, plan.by, scores, outputs)


def _on(plan: _Plan) -> str:
    return ", ".join(sorted({version.reference for version in plan.datasets.values()}))


def _one_with_a_run(rooms: Rooms, models: Sequence[ModelDetail]) -> ModelDetail:
    for each in models:
        if each.run and rooms.runs.get(each.run).kind == "pipeline":
            return each
    names = " and ".join(each.version.reference for each in models)
    raise Invalid(
        f"no pipeline made {names}: there is no step that evaluated one of them",
        hint="compare with a version that a pipeline registered",
    )


def _evaluating(graph: Graph, model: ModelDetail) -> tuple[Node, str, str]:
    """The step that gave a model its scores, which of its outputs these are, and which input the model is.

    Raises:
        Invalid: there is none.
    """
    givers = [
        (node.inputs["model"], node.inputs["scores"])
        for node in graph.nodes
        if node.kind == "register" and node.settings["name"] == model.version.name and "scores" in node.inputs
    ]
    if not givers:  # registered by hand: a gate's scores tell as well
        models = [node.inputs["model"] for node in graph.nodes if node.step == SIGNATURE_STEP]
        givers = [
            (each, node.inputs["scores"]) for node in graph.nodes if node.kind == "gate" for each in models
        ]
    for given, scores in givers:
        node = graph[scores.node] if scores.kind == "output" else None
        if node is None or node.mapped or node.kind in JUDGEMENTS:
            continue
        for slot, argument in node.inputs.items():
            if argument == given:
                return node, scores.output, slot
    raise Invalid(
        f"no step of pipeline `{graph.pipeline}` evaluates what {model.version.reference} is",
        hint="pass the output of a step that takes the model to register(..., scores)",
    )


def _needed(graph: Graph, node: Node, slot: str) -> list[Node]:
    """All that the evaluating step takes beside the model, and what that needs; in the graph's order."""
    waiting = [part.node for name, given in node.inputs.items() if name != slot for part in _outputs(given)]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += graph[name].needs
    needed = [each for each in graph.nodes if each.name in found]
    for each in needed:
        if each.kind in JUDGEMENTS:
            raise Invalid(
                f"step `{node.name}` is given what stands behind `{each.name}`, which is not judged here"
            )
    return needed


def _outputs(argument: Argument) -> list[Argument]:
    return [part for part in argument.parts() if part.kind == "output"]


def _datasets(rooms: Rooms, nodes: Sequence[Node], run: Run, data: Version) -> dict[str, Version]:
    """What the dataset references of these nodes mean: the one that is wanted, others as in the run.

    Raises:
        Invalid: none of them is of that name, and there are several, or none.
    """
    references = sorted({part.value for node in nodes for part in node.parts() if part.kind == "dataset"})
    mine = [each for each in references if each.partition("@")[0] == data.name]
    if not mine and len(references) == 1:
        mine = references
    if not mine:
        reads = ", ".join(references) or "no dataset"
        raise Invalid(
            f"what evaluates in run {short(run.id)} reads {reads}, and not `{data.name}`",
            hint="name a version of what it reads: --on NAME@V",
        )
    return {
        each: data if each in mine else rooms.datasets.versions.resolve(run.pins.get(each, each))
        for each in references
    }


def _lock_for(rooms: Rooms, model: ModelDetail, environment: str) -> Lock:
    """Where a model is evaluated: as the evaluating step was in its own run, else where it can be loaded."""
    locks = locks_of(rooms, rooms.runs.get(model.run)) if model.run else {}
    if environment in locks:
        return locks[environment]
    if not model.environment:
        raise NotFound(f"no environment is on record for {model.version.reference}")
    return rooms.environments.get(model.environment)
