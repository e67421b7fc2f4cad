"""The endpoints of MLflow's protocol, as the table lists them: without what all paths begin with."""

from __future__ import annotations

import re

TRACKED: dict[str, tuple[str, ...]] = {
    "Experiments": (
        "POST experiments/create",
        "POST experiments/delete",
        "POST experiments/delete-experiment-tag",
        "GET experiments/get",
        "GET experiments/get-by-name",
        "POST experiments/restore",
        "GET experiments/search",
        "POST experiments/search",
        "POST experiments/set-experiment-tag",
        "POST experiments/update",
    ),
    "Runs": (
        "POST runs/create",
        "POST runs/delete",
        "POST runs/delete-tag",
        "GET runs/get",
        "POST runs/log-batch",
        "POST runs/log-inputs",
        "POST runs/log-metric",
        "POST runs/log-model",
        "POST runs/log-parameter",
        "POST runs/outputs",
        "POST runs/restore",
        "POST runs/search",
        "POST runs/set-tag",
        "POST runs/update",
    ),
    "Metric history": (
        "GET metrics/get-history",
        "GET metrics/get-history-bulk",
        "GET metrics/get-history-bulk-interval",
    ),
    "Artifacts": (
        "GET artifacts/list",
        "GET /get-artifact",
        "PUT mlflow-artifacts/mpu/parts/{name}/{number}",
        "POST artifacts/presigned-download-url",
        "POST artifacts/presigned-upload-url",
        "GET mlflow-artifacts/artifacts",
        "DELETE mlflow-artifacts/artifacts/{path}",
        "GET mlflow-artifacts/artifacts/{path}",
        "PUT mlflow-artifacts/artifacts/{path}",
        "POST mlflow-artifacts/mpu/abort/{path}",
        "POST mlflow-artifacts/mpu/complete/{path}",
        "POST mlflow-artifacts/mpu/create/{path}",
        "GET mlflow-artifacts/presigned/{path}",
    ),
    "Registered models": (
        "DELETE registered-models/alias",
        "GET registered-models/alias",
        "POST registered-models/alias",
        "POST registered-models/create",
        "DELETE registered-models/delete",
        "DELETE registered-models/delete-tag",
        "GET registered-models/get",
        "GET registered-models/get-latest-versions",
        "POST registered-models/get-latest-versions",
        "POST registered-models/rename",
        "GET registered-models/search",
        "POST registered-models/set-tag",
        "PATCH registered-models/update",
    ),
    "Model versions": (
        "POST model-versions/create",
        "DELETE model-versions/delete",
        "DELETE model-versions/delete-tag",
        "GET model-versions/get",
        "GET model-versions/get-download-uri",
        "GET model-versions/search",
        "POST model-versions/set-tag",
        "POST model-versions/transition-stage",
        "PATCH model-versions/update",
    ),
    "Logged models": (
        "POST logged-models",
        "POST logged-models/search",
        "DELETE logged-models/{model_id}",
        "GET logged-models/{model_id}",
        "PATCH logged-models/{model_id}",
        "GET logged-models/{model_id}/artifacts/directories",
        "POST logged-models/{model_id}/params",
        "PATCH logged-models/{model_id}/tags",
        "DELETE logged-models/{model_id}/tags/{tag_key}",
    ),
    "The server itself": (
        "GET server-info",
        "GET /health",
        "GET /version",
    ),
}
"""What is answered, by what it is about; each is covered by a scenario."""

UNDECLARED = frozenset(
    {
        "GET /get-artifact",
        "PUT mlflow-artifacts/mpu/parts/{name}/{number}",
        "GET metrics/get-history-bulk",
        "GET server-info",
        "GET /health",
        "GET /version",
    }
)
"""Of these, what no service of MLflow's package declares."""

OURS = frozenset({"PUT mlflow-artifacts/mpu/parts/{name}/{number}"})
"""And what MLflow's server has not: elsewhere, parts are sent to a bucket."""

OUTSIDE: tuple[str, ...] = (
    "POST datasets/create",
    "GET datasets/search",
    "POST datasets/search",
    "DELETE datasets/{dataset_id}",
    "GET datasets/{dataset_id}",
    "POST datasets/{dataset_id}/add-experiments",
    "GET datasets/{dataset_id}/experiment-ids",
    "DELETE datasets/{dataset_id}/records",
    "GET datasets/{dataset_id}/records",
    "POST datasets/{dataset_id}/records",
    "POST datasets/{dataset_id}/remove-experiments",
    "PATCH datasets/{dataset_id}/tags",
    "DELETE datasets/{dataset_id}/tags/{key}",
    "POST experiments/search-datasets",
    "POST gateway/budgets/create",
    "DELETE gateway/budgets/delete",
    "GET gateway/budgets/get",
    "GET gateway/budgets/list",
    "POST gateway/budgets/update",
    "GET gateway/budgets/windows",
    "POST gateway/endpoints/bindings/create",
    "DELETE gateway/endpoints/bindings/delete",
    "GET gateway/endpoints/bindings/list",
    "POST gateway/endpoints/create",
    "DELETE gateway/endpoints/delete",
    "DELETE gateway/endpoints/delete-tag",
    "GET gateway/endpoints/get",
    "GET gateway/endpoints/list",
    "POST gateway/endpoints/models/attach",
    "POST gateway/endpoints/models/detach",
    "POST gateway/endpoints/set-tag",
    "POST gateway/endpoints/update",
    "POST gateway/guardrails/add-to-endpoint",
    "POST gateway/guardrails/create",
    "DELETE gateway/guardrails/delete",
    "GET gateway/guardrails/get",
    "GET gateway/guardrails/list",
    "GET gateway/guardrails/list-for-endpoint",
    "DELETE gateway/guardrails/remove-from-endpoint",
    "PATCH gateway/guardrails/update-config",
    "POST gateway/model-definitions/create",
    "DELETE gateway/model-definitions/delete",
    "GET gateway/model-definitions/get",
    "GET gateway/model-definitions/list",
    "POST gateway/model-definitions/update",
    "POST gateway/secrets/create",
    "DELETE gateway/secrets/delete",
    "GET gateway/secrets/get",
    "GET gateway/secrets/list",
    "POST gateway/secrets/update",
    "GET get-online-trace-details",
    "POST issues",
    "POST issues/search",
    "GET issues/{issue_id}",
    "PATCH issues/{issue_id}",
    "POST label-schemas/create",
    "DELETE label-schemas/delete",
    "GET label-schemas/get",
    "GET label-schemas/get-by-name",
    "GET label-schemas/list",
    "PATCH label-schemas/update",
    "POST prompt-optimization/jobs",
    "GET prompt-optimization/jobs/search",
    "POST prompt-optimization/jobs/search",
    "DELETE prompt-optimization/jobs/{job_id}",
    "GET prompt-optimization/jobs/{job_id}",
    "POST prompt-optimization/jobs/{job_id}/cancel",
    "POST review-queues/create",
    "POST review-queues/delete",
    "GET review-queues/get",
    "GET review-queues/get-by-name",
    "POST review-queues/get-or-create-user",
    "POST review-queues/items/add",
    "GET review-queues/items/list",
    "POST review-queues/items/remove",
    "POST review-queues/items/set-status",
    "GET review-queues/list",
    "POST review-queues/update",
    "DELETE scorers/delete",
    "GET scorers/get",
    "GET scorers/list",
    "POST scorers/register",
    "GET scorers/versions",
    "GET traces",
    "POST traces",
    "GET traces/batchGet",
    "POST traces/batchGetInfos",
    "POST traces/calculate-filter-correlation",
    "POST traces/delete-traces",
    "GET traces/get",
    "POST traces/link-prompts",
    "POST traces/link-to-run",
    "POST traces/metrics",
    "POST traces/search",
    "POST traces/{assessment.trace_id}/assessments",
    "PATCH traces/{request_id}",
    "GET traces/{request_id}/info",
    "DELETE traces/{request_id}/tags",
    "PATCH traces/{request_id}/tags",
    "GET traces/{trace_id}",
    "DELETE traces/{trace_id}/assessments/{assessment_id}",
    "GET traces/{trace_id}/assessments/{assessment_id}",
    "PATCH traces/{trace_id}/assessments/{assessment_id}",
    "DELETE traces/{trace_id}/tags",
    "PATCH traces/{trace_id}/tags",
    "GET unified-traces",
    "GET webhooks",
    "POST webhooks",
    "DELETE webhooks/{webhook_id}",
    "GET webhooks/{webhook_id}",
    "PATCH webhooks/{webhook_id}",
    "POST webhooks/{webhook_id}/test",
    "GET workspaces",
    "POST workspaces",
    "DELETE workspaces/{workspace_name}",
    "GET workspaces/{workspace_name}",
    "PATCH workspaces/{workspace_name}",
)
"""Traces, gateway, prompts, judges and what goes with them: answered with NOT_IMPLEMENTED, each of them."""

_PLACE = re.compile(r"/(ajax-)?api/[23]\.0/?(mlflow/)?")
_NAME = re.compile(r"<(?:path:)?(?P<angled>\w+)>|\{(?P<braced>\w+)\}")


def declared(line: str) -> str:
    """An endpoint as the protocol declares it, `POST /mlflow/runs/create`, as it is listed here."""
    method, path = line.split()
    path = path.removeprefix("/").removeprefix("mlflow/")
    return f"{method} {_NAME.sub(_listed, path)}"


def _listed(found: re.Match[str]) -> str:
    name = found["angled"] or found["braced"]
    return "{path}" if name == "artifact_path" else f"{{{name}}}"


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\})", path)
    return re.compile(
        "".join(
            ".+" if part == "{path}" else "[^/]+" if part.startswith("{") else re.escape(part)
            for part in parts
        )
    )


_KNOWN = [
    (method, _pattern(path), f"{method} {path}")
    for method, path in sorted(
        (each.split() for each in (*(one for those in TRACKED.values() for one in those), *OUTSIDE)),
        key=lambda each: each[1].count("{"),
    )
]


def asked(method: str, path: str) -> str:
    """The endpoint that a request goes to; the request itself where it is none."""
    short = _PLACE.sub("", path, count=1)
    for known, pattern, endpoint in _KNOWN:
        if known == method and pattern.fullmatch(short):
            return endpoint
    return f"{method} {path}"
