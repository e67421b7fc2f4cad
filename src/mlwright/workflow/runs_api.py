"""Doors: the operations on runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from mlwright.kernel.pages import Limit, Page
from mlwright.sdk.parts import ROWS
from mlwright.server.operations import operation
from mlwright.server.permissions import Permission
from mlwright.tracking import Metric, Run, RunFilter, data_of
from mlwright.workflow.attempts import Attempt
from mlwright.workflow.compare import RunComparison
from mlwright.workflow.detail import RunDetail
from mlwright.workflow.profile import Profile
from mlwright.workflow.run_graph import RunGraph
from mlwright.workflow.why import Explanation

if TYPE_CHECKING:
    from mlwright.app import Project

Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class ListedRun(Struct, frozen=True):
    """A run, and the last values of what was reported of it.

    Args:
        parameters: as texts.
    """

    run: Run
    parameters: dict[str, str]
    metrics: dict[str, float]


class Printed(Struct, frozen=True):
    """What an attempt has printed."""

    attempt: Attempt
    text: str


@operation("GET", "/runs", Permission.READ)
def list_runs(
    project: Project,
    *,
    pipeline: str | None = None,
    state: str | None = None,
    kind: str | None = None,
    since: str | None = None,
    until: str | None = None,
    params: tuple[str, ...] = (),
    metrics: tuple[str, ...] = (),
    filter: str = "",  # noqa: A002  # the word of the command line
    order_by: tuple[str, ...] = (),
    sort: str = "created",
    reverse: bool = False,
    limit: Limit = 20,
    token: str = "",
) -> Page[ListedRun]:
    """The runs that fit all that is asked for, by default the newest, a page of them.

    Args:
        pipeline: only of this pipeline, script or notebook.
        state: only in this state.
        kind: `pipeline`, `script`, `notebook`, `comparison`, `prediction` or `reported`.
        since: none that began before: `2h` (ago), `2026-11-20`, `2026-11-20T15:30`.
        until: none that began then or later.
        params: what parameters were: `trees=200`.
        metrics: what the last values of metrics were: `auc>0.9`.
        filter: what must hold: `metrics.auc > 0.9 and tags.team = 'a'`.
        order_by: in which order: `metrics.auc desc`.
        sort: `created`, `took` or `metric:NAME`, most first.
        reverse: least first.
        limit: at most so many on a page.
        token: of the page before; empty for the first.

    Raises:
        Invalid: a word of it cannot be understood, or the token belongs to another search.
    """
    wanted = RunFilter(
        pipeline=pipeline,
        state=state,
        kind=kind,
        since=since,
        until=until,
        params=params,
        metrics=metrics,
        filter=filter,
        order_by=order_by,
        sort=sort,
        reverse=reverse,
        limit=limit,
        token=token,
    )
    page = project.runs.page(wanted)
    told = data_of(project.rooms.database, [run.id for run in page.found], inputs=False)
    listed = [
        ListedRun(run, told[run.id].params, {each.name: each.value for each in told[run.id].metrics})
        for run in page.found
    ]
    return Page(listed, page.token)


@operation("GET", "/runs/{run}", Permission.READ)
def show_run(project: Project, run: str) -> RunDetail:
    """Everything that is known of a run.

    Args:
        run: its id, the beginning of it, or `latest`.

    Raises:
        NotFound: there is no such run.
    """
    from mlwright.workflow.detail import run_detail

    detail = run_detail(project.rooms, run)
    labels = {role: project.lineage.label(end) for role, end in detail.made_with.items()}
    return replace(detail, labels=labels)


@operation("GET", "/runs/{run}/metrics", Permission.READ)
def last_metrics(project: Project, run: str) -> list[Metric]:
    """The last value of each metric of a run.

    Raises:
        NotFound: there is no such run.
    """
    return project.runs.metrics(project.runs.get(run).id)


@operation("GET", "/runs/{run}/metrics/{name:path}", Permission.READ)
def metric_points(
    project: Project, run: str, name: str, *, points: Annotated[int, Meta(ge=3, le=100_000)] = 1000
) -> list[Metric]:
    """How a metric of a run went; of a long one the extremes of each stretch, and the last point.

    Args:
        run: which.
        name: of the metric.
        points: at most so many.

    Raises:
        NotFound: there is no such run, or it has no such metric.
    """
    return [Metric(*each) for each in project.runs.sample(project.runs.get(run).id, name, points)]


@operation("GET", "/runs/{then}/diff/{now}", Permission.READ)
def diff_runs(project: Project, then: str, now: str, *, with_diff: bool = False) -> RunComparison:
    """What differs between two runs: code, data, parameters, environment, machine, metrics, outputs.

    Args:
        then: the first run.
        now: the second.
        with_diff: also how the code differs, line by line.

    Raises:
        NotFound: one of them is not there.
    """
    from mlwright.workflow.compare import compare_runs

    return compare_runs(project.rooms, then, now, with_diff=with_diff)


@operation("GET", "/runs/{run}/graph", Permission.READ)
def graph_of_run(project: Project, run: str) -> RunGraph:
    """The graph of a run as far as it has come: what each step took of which, and where each stands.

    Raises:
        NotFound: there is no such run.
    """
    from mlwright.workflow.run_graph import run_graph

    return run_graph(project.rooms, run)


@operation("GET", "/runs/{run}/profile", Permission.READ)
def profile_run(project: Project, run: str) -> Profile:
    """Where the time of a run went: what took longest, how busy the workers were, what would help.

    Raises:
        NotFound: there is no such run.
    """
    from mlwright.workflow.profile import profile

    return profile(project.rooms, run)


@operation("GET", "/runs/{run}/why/{step:path}", Permission.READ)
def why_step(project: Project, run: str, step: str) -> Explanation:
    """Why a step of a run ran or was reused: what differs from the closest earlier success.

    Args:
        run: which.
        step: its name; of a mapped one also one element: `fit[3]`.

    Raises:
        NotFound: there is no such run or step.
    """
    from mlwright.workflow.why import why

    return why(project.rooms, run, step)


@operation("GET", "/runs/{run}/logs", Permission.READ)
def logs_of(project: Project, run: str, *, step: str | None = None) -> list[Printed]:
    """What the steps of a run have printed, so far.

    Args:
        run: which.
        step: only of this one; of a mapped one also one element: `fit[3]`.

    Raises:
        NotFound: there is no such run or step.
    """
    from mlwright.workflow.detail import logs

    return [Printed(attempt, text) for attempt, text in logs(project.rooms, run, step)]


@operation("GET", "/runs/{run}/logs/follow", Permission.READ)
def follow_logs(
    project: Project, run: str, *, step: str | None = None, pause: Callable[[float], object] = time.sleep
) -> Iterator[Printed]:
    """The lines that the steps of a run print, as they come, until the run has ended.

    Args:
        run: which.
        step: only of this one; of a mapped one also one element: `fit[3]`.

    Raises:
        NotFound: there is no such run or step.
    """
    from mlwright.workflow.follow import follow

    for attempt, line in follow(project.rooms, run, step, pause):
        yield Printed(attempt, line)


@operation("POST", "/runs", Permission.WRITE, status=202, location="/runs/{id}")
def start_run(
    project: Project,
    pipeline: str,
    *,
    parameters: dict[str, Any] = {},  # noqa: B006  # never changed; msgspec makes a new one for each request
    seed: Seed = 0,
    cache: bool = True,
    snapshot: str = "",
    executor: str = "",
) -> Run:
    """Accept a run: it is recorded, and begins in a process of its own as soon as there is room for it.

    Args:
        pipeline: its name; or the path of a script or notebook in the project.
        parameters: the rest have their defaults; of a script, `arguments`, a list of texts.
        seed: of the run.
        cache: false runs every step again.
        snapshot: which recorded code: its digest, the beginning of it, or a run that was made with it; its
            environment comes with it. Empty for the project's files as they are now.
        executor: where steps run, `local` or `inline`; empty for what the project's settings say.

    Raises:
        NotFound: there is no such pipeline or snapshot, or the environment is not locked.
        Invalid: a parameter, the seed or the executor is wrong.
        Conflict: the lock does not fit what the code asks for.
    """
    from mlwright.workflow.accept import accept
    from mlwright.workflow.request import Request

    request = Request(pipeline, parameters, seed, cache=cache, executor=executor)
    return accept(project.rooms, request, snapshot)


@operation("POST", "/models/{model}/predict", Permission.WRITE, status=202, location="/runs/{id}")
def start_prediction(
    project: Project,
    model: str,
    dataset: str,
    *,
    to: str = "",
    proba: bool = False,
    only_predictions: bool = False,
    rows: Annotated[int, Meta(ge=1)] = ROWS,
    runtime: Literal["auto", "native", "onnx"] = "auto",
    cache: bool = True,
    executor: str = "",
) -> Run:
    """Accept a run that predicts over a dataset; what comes out is a version of a dataset.

    Args:
        model: a version of it.
        dataset: a version of a dataset of tables.
        to: the dataset that gets the version; by default `MODEL-predictions`.
        proba: also the probability of each class, in columns `probability_CLASS`.
        only_predictions: no column of the dataset is kept.
        rows: of a part, at most; parts are predicted in parallel.
        runtime: what answers: `onnx`, the model's conversion, made now if need be; `native`, the model as it
            is; `auto`, the conversion if it has one that is used.
        cache: false predicts every part again.
        executor: where it runs, `local` or `inline`; empty for what the project's settings say.

    Raises:
        NotFound: there is no such model or dataset.
        Invalid: the dataset has no table, `to` cannot be its name, or there are no probabilities.
        Incompatible: the model cannot be served, or takes no table; or `onnx` is asked for, and it has no
            conversion that is used.
        Unavailable: its environment cannot be had with what predicts.
    """
    from mlwright.workflow.accept import accept

    request = project.prediction(
        model,
        dataset,
        to,
        proba=proba,
        only_predictions=only_predictions,
        rows=rows,
        runtime=runtime,
        cache=cache,
        executor=executor,
    )
    return accept(project.rooms, request)


@operation("POST", "/runs/{run}/resume", Permission.WRITE, status=202, location="/runs/{id}")
def resume_run(project: Project, run: str) -> Run:
    """Accept a run that continues another with today's code: what succeeded is reused.

    Raises:
        NotFound: there is no such run.
        Conflict: it has not ended, or is being continued already.
        Invalid: it succeeded, or was reported from outside.
    """
    from mlwright.workflow.accept import accept

    return accept(project.rooms, project.pipelines.resume(run))


@operation("POST", "/runs/{run}/cancel", Permission.WRITE)
def cancel_run(project: Project, run: str) -> Run:
    """Ask for the end of a run: its steps are stopped, and it can be resumed; one that waits ends at once.

    Raises:
        NotFound: there is no such run.
        Conflict: it has ended.
        Invalid: it was reported from outside.
    """
    from mlwright.workflow.cancel import cancel

    return cancel(project.rooms, run, within_s=None)


OPERATIONS = (
    list_runs,
    show_run,
    last_metrics,
    metric_points,
    diff_runs,
    graph_of_run,
    profile_run,
    why_step,
    logs_of,
    follow_logs,
    start_run,
    start_prediction,
    resume_run,
    cancel_run,
)
"""All of them."""
