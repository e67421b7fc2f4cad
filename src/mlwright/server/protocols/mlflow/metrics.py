"""MLflow's methods for what a metric was in the course of a run."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import msgspec

from mlwright.kernel.database import Source
from mlwright.kernel.ids import RunId
from mlwright.server.call import Call, Encoded, encode
from mlwright.server.permissions import Permission
from mlwright.server.protocols.mlflow import limits, told
from mlwright.server.protocols.mlflow.errors import invalid
from mlwright.server.protocols.mlflow.runs import OfRun
from mlwright.server.protocols.mlflow.wire import Int32, Int64, Message, message
from mlwright.server.routes import Route
from mlwright.tracking.series import ALL_STEPS, Cursor, history, sample

SAMPLE_RUNS = 100
SAMPLE_RESULTS = 2500
"""How many runs, and points of each, one answer shows the course of."""
_FEWEST = 3
_CURSOR = tuple[Int64, Int64, Int64]


class _History(OfRun):
    metric_key: str | None = None
    page_token: str | None = None
    max_results: Int64 | None = None


class _Bulk(Message):
    run_id: list[str] | None = None
    metric_key: str | None = None
    max_results: Int64 | None = None


class _Interval(Message):
    run_ids: list[str] | None = None
    metric_key: str | None = None
    start_step: Int32 | None = None
    end_step: Int32 | None = None
    max_results: Int32 | None = None


async def _get_history(call: Call) -> Any:
    """Tell every value that a metric had, page by page."""
    asked = await message(call, _History, "metric_key")
    wanted = limits.HISTORY_RESULTS
    if asked.max_results is not None:
        wanted = min(limits.results(asked.max_results, 2**63), limits.HISTORY_RESULTS)
    after = _cursor(asked.page_token) if asked.page_token else None
    return await call.told(_page, asked.run, asked.metric_key or "", after, wanted)


def _page(source: Source, run: RunId, name: str, after: Cursor | None, wanted: int) -> dict[str, Any]:
    points, end = history(source, run, name, after=after, limit=wanted)
    answer: dict[str, Any] = {"metrics": told.points(points)} if points else {}
    if end is not None:
        answer["next_page_token"] = urlsafe_b64encode(msgspec.json.encode(end)).decode()
    return answer


def _cursor(token: str) -> Cursor:
    """Where the page before ended, as this server told it."""
    try:
        return Cursor(*msgspec.json.decode(urlsafe_b64decode(token.encode("ascii")), type=_CURSOR))
    except (msgspec.MsgspecError, ValueError):
        raise invalid("Invalid page token, could not base64-decode") from None


async def _get_history_bulk(call: Call) -> Any:
    """Tell the values that a metric had in many runs."""
    asked = await message(call, _Bulk)
    runs = asked.run_id or []
    if not runs:
        raise invalid("GetMetricHistoryBulk request must specify at least one run_id.")
    if len(runs) > limits.HISTORY_RUNS:
        raise invalid(
            f"GetMetricHistoryBulk request cannot specify more than {limits.HISTORY_RUNS} run_ids."
            f" Received {len(runs)} run_ids."
        )
    if asked.metric_key is None:
        raise invalid("GetMetricHistoryBulk request must specify a metric_key.")
    wanted = limits.HISTORY_RESULTS
    if asked.max_results is not None:
        wanted = min(limits.results(asked.max_results, 2**63), wanted)
    return await call.told(_bulk, runs, asked.metric_key, wanted)


def _bulk(source: Source, runs: list[str], name: str, wanted: int) -> dict[str, Any]:
    found: list[told.MetricMessage] = []
    for run in sorted(set(runs)):
        points, _ = history(source, RunId(run), name, limit=wanted - len(found))
        found += told.points(points, run)
        if len(found) >= wanted:
            break
    return {"metrics": found}


async def _get_history_interval(call: Call) -> Any:
    """Tell the course of a metric in many runs by few of its values, with the extremes."""
    asked = await message(call, _Interval, "metric_key")
    runs = asked.run_ids or []
    if not runs:
        raise invalid("Missing value for required parameter 'run_ids'.")
    if len(runs) > SAMPLE_RUNS:
        raise invalid(
            f"GetMetricHistoryBulkInterval request must specify at most {SAMPLE_RUNS} run_ids."
            f" Received {len(runs)} run_ids."
        )
    wanted = SAMPLE_RESULTS if asked.max_results is None else asked.max_results
    if not 1 <= wanted <= SAMPLE_RESULTS:
        raise invalid(f"max_results must be between 1 and {SAMPLE_RESULTS}.")
    if (asked.start_step is None) != (asked.end_step is None):
        raise invalid("If either start step or end step are specified, both must be specified.")
    first, last = asked.start_step, asked.end_step
    if first is not None and last is not None and first > last:
        raise invalid(
            f"end_step must be greater than start_step. Found start_step={first} and end_step={last}."
        )
    return await call.told(_intervals, runs, asked.metric_key or "", wanted, first, last)


def _intervals(
    source: Source, runs: list[str], name: str, wanted: int, first: int | None, last: int | None
) -> Encoded:
    """The course of each run, encoded before the next is read: in all it is long."""
    pieces: list[bytes] = []
    steps = ALL_STEPS if first is None or last is None else range(first, last + 1)
    for run in map(RunId, runs):
        points = sample(source, run, name, max(wanted, _FEWEST), steps=steps)
        points = points if len(points) <= wanted else [points[0], points[-1]][-wanted:]
        if points:
            pieces.append(encode(told.points(points, run))[1:-1])
    return Encoded(b'{"metrics":[%s]}' % b",".join(pieces) if pieces else b"{}")


_R = Permission.READ
ROUTES = (
    Route("GET", "mlflow/metrics/get-history", _get_history, _R),
    Route("GET", "mlflow/metrics/get-history-bulk", _get_history_bulk, _R),
    Route("GET", "mlflow/metrics/get-history-bulk-interval", _get_history_interval, _R),
)
"""The methods, by their paths below `/api/2.0/`."""
