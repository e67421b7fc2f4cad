"""Runs and their lives."""

from tests.server.conformance.scenario import CODED, STRICT, Session, differs, scenario

PATH = "/api/2.0/mlflow/runs"


@scenario(
    "POST runs/create",
    "GET runs/get",
    "POST runs/update",
    "POST runs/delete",
    "POST runs/restore",
    "POST runs/set-tag",
    "POST runs/delete-tag",
)
def life_of_a_run(s: Session) -> None:
    """A run is made, named, tagged, ended, deleted, restored; each refusal is MLflow's."""
    experiment = s.client.create_experiment("life of runs")
    run = s.client.create_run(experiment, start_time=1_700_000_000_123, run_name="first", tags={"a": "b"})
    s.tell("made", run)
    one = run.info.run_id
    s.ask("read", s.client.get_run, one)
    s.ask("with no name", lambda: s.client.create_run(experiment).info)
    s.ask("named by a tag", lambda: s.client.create_run(experiment, tags={"mlflow.runName": "by tag"}))
    s.ask("begins at zero", lambda: s.client.create_run(experiment, start_time=0, run_name="epoch").info)
    s.ask("tag", s.client.set_tag, one, "colour", "red")
    s.ask("tag again", s.client.set_tag, one, "colour", "blue 파랑 🟦")
    s.ask("a number as tag", s.client.set_tag, one, "n", 12)
    s.ask("remove a tag", s.client.delete_tag, one, "a")
    s.ask("remove it twice", s.client.delete_tag, one, "a")
    s.ask("rename", s.client.update_run, one, name="renamed")
    s.ask("rename by tag", s.client.set_tag, one, "mlflow.runName", "renamed again")
    s.ask("status alone", s.client.update_run, one, status="SCHEDULED")
    s.ask("read in between", s.client.get_run, one)
    for status in ("RUNNING", "FAILED", "KILLED", "FINISHED"):
        s.ask(f"ended as {status}", s.client.set_terminated, one, status, 1_700_000_001_456)
        s.tell(f"read as {status}", s.client.get_run(one).info)
    s.ask("ended as nonsense", s.client.set_terminated, one, "NONSENSE")
    s.ask("logged after the end", s.client.log_metric, one, "late", 1.0, timestamp=5, step=1)
    s.ask("deleted", s.client.delete_run, one)
    s.ask("deleted twice", s.client.delete_run, one)
    s.ask("read deleted", s.client.get_run, one)
    s.ask("tag on a deleted one", s.client.set_tag, one, "a", "b")
    s.ask("metric on a deleted one", s.client.log_metric, one, "a", 1)
    s.ask("param on a deleted one", s.client.log_param, one, "a", 1)
    s.ask("batch on a deleted one", s.client.log_batch, one, params=[])
    s.ask("update a deleted one", s.client.update_run, one, status="RUNNING")
    s.ask("restored", s.client.restore_run, one)
    s.ask("restored twice", s.client.restore_run, one)
    s.ask("read restored", s.client.get_run, one)
    s.ask("an unknown one", s.client.get_run, "0" * 32)
    s.ask("tag on an unknown one", s.client.set_tag, "0" * 32, "a", "b")


@scenario(
    "POST runs/create", "POST runs/search", "POST runs/update", shows=("nested runs", "`mlflow.start_run`")
)
def nested_runs(s: Session) -> None:
    """The fluent interface begins runs inside runs, continues one, and marks what fails as failed."""
    mlflow = s.mlflow
    mlflow.set_experiment("nested")
    with mlflow.start_run(run_name="parent", description="a family", tags={"kind": "outer"}) as parent:
        with mlflow.start_run(nested=True, run_name="child"):
            mlflow.log_param("depth", 1)
            with mlflow.start_run(nested=True, run_name="grandchild"):
                mlflow.log_metric("depth", 2, step=0, timestamp=10)
        mlflow.log_param("depth", 0)
    with mlflow.start_run(run_id=parent.info.run_id):
        mlflow.set_tag("continued", True)
    try:
        with mlflow.start_run(run_name="falls"):
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    found = mlflow.search_runs(
        experiment_names=["nested"], order_by=["attributes.run_name"], output_format="list"
    )
    s.tell(
        "found",
        [(each.info.run_name, each.info.status, each.data.params, each.data.metrics) for each in found],
    )
    s.tell("parent", s.client.get_run(parent.info.run_id))
    s.tell("parent of child", s.client.get_parent_run(found[0].info.run_id))
    s.tell(
        "children",
        [
            each.info.run_name
            for each in mlflow.search_runs(
                experiment_names=["nested"],
                filter_string=f"tags.mlflow.parentRunId = '{parent.info.run_id}'",
                output_format="list",
            )
        ],
    )
    table = mlflow.search_runs(experiment_names=["nested"], order_by=["attributes.run_name"])
    s.tell("columns", sorted(table.columns))
    s.tell("table", table[["status", "params.depth", "metrics.depth", "tags.mlflow.runName"]])
    s.tell("last active", mlflow.last_active_run().info.run_name)


@scenario(
    "POST runs/create",
    "GET runs/get",
    "POST runs/update",
    differs=(
        differs("POST runs/create", STRICT, "start as a fraction", "tags are text", "a tag without a key"),
        differs("POST runs/create", "Without an experiment it is of the default one.", "no experiment"),
        differs("POST runs/update", STRICT, "unknown status"),
        differs("", CODED, "wrong method", "unknown path"),
    ),
)
def runs_by_hand(s: Session) -> None:
    """Bodies that the client never sends."""
    experiment = s.client.create_experiment("runs by hand")
    made = s.http(
        "made",
        "POST",
        f"{PATH}/create",
        {"experiment_id": experiment, "start_time": "1700000000000", "user_id": "kim", "run_name": "hand"}
        | {"tags": [{"key": "a", "value": "b"}], "nonsense": 1},
    )
    one = made["run"]["info"]["run_id"]
    s.http("read", "GET", f"{PATH}/get?run_id={one}")
    s.http("read by uuid", "GET", f"{PATH}/get?run_uuid={one}")
    s.http("read nothing", "GET", f"{PATH}/get")
    s.http(
        "status by number", "POST", f"{PATH}/update", {"run_id": one, "status": 3, "end_time": 1700000000999}
    )
    s.http("status by name", "POST", f"{PATH}/update", {"run_uuid": one, "status": "FAILED"})
    s.http("nothing to update", "POST", f"{PATH}/update", {"run_id": one})
    s.http("unknown status", "POST", f"{PATH}/update", {"run_id": one, "status": "DONE"})
    s.http("update nothing", "POST", f"{PATH}/update", {"status": "FAILED"})
    s.http("an end that is no number", "POST", f"{PATH}/update", {"run_id": one, "end_time": "soon"})
    s.http("no experiment", "POST", f"{PATH}/create", {})
    s.http("an unknown experiment", "POST", f"{PATH}/create", {"experiment_id": "999999"})
    s.http("no number as experiment", "POST", f"{PATH}/create", {"experiment_id": "abc"})
    s.http(
        "experiment by number",
        "POST",
        f"{PATH}/create",
        {"experiment_id": int(experiment), "run_name": "int"},
    )
    s.http("start as a fraction", "POST", f"{PATH}/create", {"experiment_id": experiment, "start_time": 1.5})
    s.http(
        "start as whole float",
        "POST",
        f"{PATH}/create",
        {"experiment_id": experiment, "start_time": 5.0, "run_name": "float"},
    )
    s.http("tags are text", "POST", f"{PATH}/create", {"experiment_id": experiment, "tags": "a"})
    s.http(
        "a tag without a key",
        "POST",
        f"{PATH}/create",
        {"experiment_id": experiment, "tags": [{"value": "b"}]},
    )
    s.http(
        "names that disagree",
        "POST",
        f"{PATH}/create",
        {"experiment_id": experiment, "run_name": "x", "tags": [{"key": "mlflow.runName", "value": "y"}]},
    )
    s.http("delete nothing", "POST", f"{PATH}/delete", {})
    s.http("restore an unknown one", "POST", f"{PATH}/restore", {"run_id": "nothing"})
    s.http("delete an unknown one", "POST", f"{PATH}/delete", {"run_id": "nothing"})
    s.http("wrong method", "GET", f"{PATH}/create")
    s.http("unknown path", "POST", f"{PATH}/explode", {})
    s.http("read at the end", "GET", f"{PATH}/get?run_id={one}")
