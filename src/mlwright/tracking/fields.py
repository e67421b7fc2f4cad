"""What can be searched for in this room: runs, experiments, logged models."""

from __future__ import annotations

from mlwright.kernel.fields import Field, Side, Space
from mlwright.tracking.run import PREDICTION, RunState

KINDS = ("pipeline", "script", "notebook", "comparison", PREDICTION, "reported")
RUN_COLUMNS = (
    *("id", "project", "pipeline", "state", "seed", "created_us", "finished_us"),
    *(
        "error",
        "pins",
        "kind",
        "wanted",
        "machine",
        "about",
        "experiment_id",
        "name",
        "deleted_us",
        "started_us",
    ),
)
STATES = tuple(str(state) for state in RunState)

_STATUSES = {
    "RUNNING": ("running",),
    "SCHEDULED": ("scheduled",),
    "FINISHED": ("succeeded",),
    "FAILED": ("failed", "lost"),
    "KILLED": ("cancelled",),
}
_RUN_BEGAN = Field("run.created_us", "moment")
_RUN_ENDED = Field("run.finished_us", "moment", nullable=True)
_RUN_NAME = Field("run.name", start="substr(run.name, 1, 100)")
_RUN_TAG = Side("tag", "run_id")

RUNS = Space(
    noun="run",
    table="run",
    name="run",
    id="run.id",
    fields={
        "run_id": Field("run.id", start="run.id"),
        "run_name": _RUN_NAME,
        "run name": _RUN_NAME,
        "Run name": _RUN_NAME,
        "Run Name": _RUN_NAME,
        "name": _RUN_NAME,
        "status": Field("run.state", "word", words=_STATUSES),
        "state": Field("run.state", "word", words={state: (state,) for state in STATES}, strict=True),
        "kind": Field("run.kind", "word", words={kind: (kind,) for kind in KINDS}, strict=True),
        "start_time": _RUN_BEGAN,
        "created": _RUN_BEGAN,
        "Created": _RUN_BEGAN,
        "started": _RUN_BEGAN,
        "end_time": _RUN_ENDED,
        "finished": _RUN_ENDED,
        "took": Field(
            "coalesce(run.finished_us, :now_us) - coalesce(run.started_us, run.created_us)", "duration"
        ),
        "pipeline": Field("run.pipeline"),
        "project": Field("run.project"),
        "seed": Field("run.seed", "number"),
        "artifact_uri": Field(
            "'mlflow-artifacts:/' || run.experiment_id || '/' || run.id || '/artifacts'", nullable=True
        ),
        "user_id": Field(
            "(SELECT t.value FROM tag AS t WHERE t.run_id = run.id"
            " AND t.name IN ('mlwright.user_id', 'mlflow.user') ORDER BY t.name DESC LIMIT 1)",
            nullable=True,
        ),
    },
    sides={
        "metric": Side("metric", "run_id", numeric=True, scope="experiment_id"),
        "param": Side("param", "run_id", value="text", typed="value"),
        "tag": _RUN_TAG,
        "dataset": Side(
            "input",
            "run_id",
            columns={"name": "{0}.name", "digest": "{0}.hash", "context": "{0}.context"},
            alone=False,
        ),
    },
    scope="run.experiment_id",
    scopes="SELECT id FROM experiment",
    deleted="run.deleted_us",
    newest="run.created_us",
    ties=(("run.created_us", True), ("run.id", False)),
)

_EXPERIMENT_ID = Field("experiment.id", "number")

EXPERIMENTS = Space(
    noun="experiment",
    table="experiment",
    name="experiment",
    id="experiment.id",
    fields={
        "name": Field("experiment.name", start="experiment.name"),
        "experiment_id": _EXPERIMENT_ID,
        "creation_time": Field("experiment.created_us", "moment"),
        "last_update_time": Field("experiment.updated_us", "moment"),
    },
    sides={"tag": Side("experiment_tag", "experiment_id", indexed=False)},
    deleted="experiment.deleted_us",
    ties=(("experiment.created_us", True), ("experiment.id", False)),
)

_MODEL_BEGAN = Field("logged_model.created_us", "moment")
_MODEL_CHANGED = Field("logged_model.updated_us", "moment")

_ON_DATASET = {"name": "{0}.dataset_name", "digest": "{0}.dataset_hash"}

LOGGED_MODELS = Space(
    noun="logged model",
    table="logged_model",
    name="logged_model",
    id="logged_model.id",
    fields={
        "name": Field("logged_model.name"),
        "model_id": Field("logged_model.id", start="logged_model.id"),
        "model_type": Field("logged_model.type"),
        "status": Field("logged_model.state"),
        "source_run_id": Field("logged_model.run_id", nullable=True, start="logged_model.run_id"),
        "experiment_id": Field("logged_model.experiment_id", "number"),
        "creation_timestamp": _MODEL_BEGAN,
        "creation_time": _MODEL_BEGAN,
        "creation_timestamp_ms": _MODEL_BEGAN,
        "last_updated_timestamp": _MODEL_CHANGED,
        "last_updated_time": _MODEL_CHANGED,
        "last_updated_timestamp_ms": _MODEL_CHANGED,
    },
    sides={
        "metric": Side(
            "logged_model_metric",
            "model_id",
            numeric=True,
            alone=False,
            latest=("run_id, dataset_name, dataset_hash", "s.at_us DESC, s.step DESC, s.run_id"),
            marks=_ON_DATASET,
        ),
        "dataset": Side(
            "logged_model_metric",
            "model_id",
            columns={"name": "{0}.dataset_name", "digest": "{0}.dataset_hash"},
            indexed=False,
            alone=False,
            marks=_ON_DATASET,
        ),
        "param": Side("logged_model_text", "model_id", indexed=False, also="{0}.kind = 'param'"),
        "tag": Side("logged_model_text", "model_id", indexed=False, also="{0}.kind = 'tag'"),
    },
    scope="logged_model.experiment_id",
    scopes="SELECT id FROM experiment",
    deleted="logged_model.deleted_us",
    newest="logged_model.created_us",
    ties=(("logged_model.created_us", True), ("logged_model.id", False)),
)
