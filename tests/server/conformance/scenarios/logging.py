"""Everything that a client logs."""

import math

from tests.server.conformance.scenario import STRICT, Session, differs, scenario

_EXACT = "Infinities and the sign of zero are kept; MLflow's server makes them the largest number and zero."
_WHOLE = "Values are kept whole up to 65,536 characters, then refused; MLflow's server cuts them at 8,000."

PATH = "/api/2.0/mlflow/runs"


@scenario(
    "POST runs/log-metric",
    "POST runs/log-parameter",
    "POST runs/set-tag",
    "POST runs/log-batch",
    shows=("`log_metric`, `log_metrics`, `log_param`, `log_params`, `set_tag`, `set_tags`",),
)
def fluent_logging(s: Session) -> None:
    """The fluent calls log metrics, parameters, tags; a metric's last value is by step, time and value."""
    mlflow = s.mlflow
    mlflow.set_experiment("fluent")
    with mlflow.start_run(run_name="fluent") as run:
        mlflow.log_metric("loss", 0.5, step=2, timestamp=2000)
        mlflow.log_metric("loss", 0.75, step=1, timestamp=9000)
        mlflow.log_metric("loss", 0.25, step=2, timestamp=1000)
        mlflow.log_metric("int", 3, step=0, timestamp=1)
        mlflow.log_metric("flag", True, step=0, timestamp=1)
        mlflow.log_metrics({"a": 1.0, "b/c d.e-f_g": -2.5}, step=7, timestamp=77)
        mlflow.log_param("depth", 3)
        mlflow.log_param("again", "same")
        mlflow.log_param("again", "same")
        mlflow.log_params({"none": None, "list": [1, 2], "한글": "값", "float": 0.1, "empty": ""})
        mlflow.set_tag("stage", "dev")
        mlflow.set_tags({"x": 1, "y": "둘"})
        s.ask("other value", mlflow.log_param, "depth", 4)
        s.ask("other values", mlflow.log_params, {"new": 1, "depth": 5})
        s.ask("text as metric", mlflow.log_metric, "loss", "much")
        s.ask("no key", mlflow.log_metric, "", 1.0)
        s.ask("a key with a newline", mlflow.log_param, "a\nb", 1)
        s.ask("a path as key", mlflow.log_param, "../up", 1)
        s.ask("an absolute key", mlflow.log_metric, "/etc", 1.0)
    s.tell("kept", mlflow.get_run(run.info.run_id).data)


@scenario(
    "POST runs/log-metric",
    "GET metrics/get-history",
    "GET runs/get",
    differs=(
        differs(
            "POST runs/log-metric",
            _EXACT,
            "history of minus_inf",
            "history of inf",
            "history of minus_zero",
            "latest",
            "mixed",
        ),
    ),
)
def odd_numbers(s: Session) -> None:
    """NaN, infinities, negative zero, the smallest and the largest numbers come back as they went."""
    import numpy

    experiment = s.client.create_experiment("odd numbers")
    one = s.client.create_run(experiment, run_name="odd").info.run_id
    odd = {
        "nan": math.nan,
        "inf": math.inf,
        "minus_inf": -math.inf,
        "minus_zero": -0.0,
        "tiny": 5e-324,
        "huge": 1.7976931348623157e308,
        "third": 1 / 3,
        "big_int": 2**63,
        "numpy": numpy.float32(0.1),
        "scalar": numpy.float64(1e-7),
        "array": numpy.array([2.5]),
    }
    for name, value in odd.items():
        s.ask(f"log {name}", s.client.log_metric, one, name, value, timestamp=1, step=1)
    s.ask("latest", lambda: s.client.get_run(one).data.metrics)
    for name in odd:
        s.ask(f"history of {name}", s.client.get_metric_history, one, name)
    for step, value in enumerate([1.0, math.nan, math.inf, 2.0]):
        s.client.log_metric(one, "mixed", value, timestamp=1, step=step)
    s.ask("mixed", s.client.get_metric_history, one, "mixed")
    for value in (1.0, math.nan, 0.5):
        s.client.log_metric(one, "nan between", value, timestamp=3, step=3)
    s.ask("nan between", lambda: s.client.get_run(one).data.metrics["nan between"])
    s.ask("a negative step", s.client.log_metric, one, "steps", 1.0, timestamp=1, step=-5)
    s.ask("a negative time", s.client.log_metric, one, "steps", 1.0, timestamp=-1, step=0)
    s.ask("the largest step", s.client.log_metric, one, "steps", 1.0, timestamp=1, step=2**63 - 1)
    s.ask("beyond the largest step", s.client.log_metric, one, "steps", 1.0, timestamp=1, step=2**63)
    s.ask("steps", s.client.get_metric_history, one, "steps")


@scenario("POST runs/log-batch", "GET runs/get")
def batches(s: Session) -> None:
    """A batch is kept whole or not at all; its limits are MLflow's."""
    from mlflow.entities import Metric, Param, RunTag

    experiment = s.client.create_experiment("batches")
    one = s.client.create_run(experiment, run_name="batch").info.run_id
    s.ask(
        "everything",
        s.client.log_batch,
        one,
        metrics=[Metric("m", step / 4, 1000 + step, step) for step in range(5)] + [Metric("m", 0.0, 1000, 0)],
        params=[Param("p", "1"), Param("q", "x" * 500)],
        tags=[RunTag("t", "v"), RunTag("t", "w")],
    )
    s.ask("kept", lambda: s.client.get_run(one).data)
    s.ask("a param twice, the same", s.client.log_batch, one, params=[Param("r", "1"), Param("r", "1")])
    s.ask("a param twice, another value", s.client.log_batch, one, params=[Param("u", "1"), Param("u", "2")])
    s.ask(
        "param changed beside a tag",
        s.client.log_batch,
        one,
        params=[Param("p", "2")],
        tags=[RunTag("not", "kept")],
    )
    s.ask("nothing", s.client.log_batch, one)
    s.ask("an unknown run", s.client.log_batch, "0" * 32, params=[Param("a", "b")])
    s.ask(
        "1,001 metrics by the client",
        s.client.log_batch,
        one,
        metrics=[Metric(f"n{n}", 1.0, 1, 0) for n in range(1001)],
    )
    s.ask(
        "101 tags by the client", s.client.log_batch, one, tags=[RunTag(f"n{n:03}", "") for n in range(101)]
    )
    s.tell(
        "counts",
        [
            len(each)
            for each in (
                s.client.get_run(one).data.metrics,
                s.client.get_run(one).data.tags,
                s.client.get_run(one).data.params,
            )
        ],
    )


@scenario(
    "POST runs/log-batch",
    "POST runs/log-metric",
    "POST runs/log-parameter",
    "POST runs/set-tag",
    differs=(differs("POST runs/log-batch", _WHOLE, "a megabyte", "counts"),),
)
def limits(s: Session) -> None:
    """What is too long or too many is refused, and what is just not too long is kept."""
    experiment = s.client.create_experiment("limits")
    one = s.client.create_run(experiment, run_name="limits").info.run_id

    def send(step: str, method: str, **body: object) -> None:
        s.http(step, "POST", f"{PATH}/{method}", {"run_id": one} | body)

    for count in (250, 251):
        send(f"metric key of {count}", "log-metric", key="k" * count, value=1, timestamp=1)
        send(f"param key of {count}", "log-parameter", key="k" * count, value="1")
        send(f"tag key of {count}", "set-tag", key="k" * count, value="1")
    for count in (6000, 6001):
        send(f"param value of {count}", "log-parameter", key=f"p{count}", value="v" * count)
    for count in (8000, 8001):
        send(f"tag value of {count}", "set-tag", key=f"t{count}", value="v" * count)
    for count in (1000, 1001):
        send(
            f"{count} metrics",
            "log-batch",
            metrics=[{"key": f"m{n}", "value": n, "timestamp": 1, "step": 0} for n in range(count)],
        )
    for count in (100, 101):
        send(f"{count} params", "log-batch", params=[{"key": f"p{n}", "value": "1"} for n in range(count)])
        send(f"{count} tags", "log-batch", tags=[{"key": f"t{n}", "value": "1"} for n in range(count)])
    send(
        "1,001 of all",
        "log-batch",
        metrics=[{"key": f"n{n}", "value": 1, "timestamp": 1} for n in range(901)],
        params=[{"key": f"p{n}", "value": "1"} for n in range(50)],
        tags=[{"key": f"t{n}", "value": "1"} for n in range(50)],
    )
    send("a megabyte", "log-batch", tags=[{"key": "large", "value": "x" * 1_100_000}])
    send("a long run name", "update", run_name="n" * 251)
    s.tell(
        "counts",
        [
            len(each)
            for each in (
                s.client.get_run(one).data.metrics,
                s.client.get_run(one).data.tags,
                s.client.get_run(one).data.params,
            )
        ],
    )


@scenario(
    "POST runs/log-inputs",
    "GET runs/get",
    "POST runs/search",
    shows=("`log_input`, `log_inputs`",),
    differs=(differs("POST runs/log-inputs", STRICT, "without a name", "without a dataset"),),
)
def inputs(s: Session) -> None:
    """Datasets that a run read stand in the run, once each, with their tags and digests."""
    import pandas

    mlflow = s.mlflow
    mlflow.set_experiment("inputs")
    table = pandas.DataFrame({"age": [31, 44], "name": ["kim", "이"]})
    train = mlflow.data.from_pandas(
        table, source="https://example.org/patients.csv", name="patients", targets="age"
    )
    array = mlflow.data.from_numpy(table[["age"]].to_numpy(), name="numbers", source="s3://bucket/numbers")
    with mlflow.start_run(run_name="reads") as run:
        mlflow.log_input(train, context="training", tags={"split": "a"})
        mlflow.log_input(array, context="evaluation")
        mlflow.log_input(train, context="training", tags={"split": "a"})
    read = mlflow.get_run(run.info.run_id)
    s.tell(
        "inputs",
        sorted(
            (
                {"dataset": dict(each.dataset), "tags": {tag.key: tag.value for tag in each.tags}}
                for each in read.inputs.dataset_inputs
            ),
            key=lambda each: each["dataset"]["name"],
        ),
    )
    s.tell(
        "source", sorted(type(mlflow.data.get_source(each)).__name__ for each in read.inputs.dataset_inputs)
    )
    for text in (
        "dataset.name = 'patients'",
        "dataset.name LIKE 'num%'",
        "datasets.context = 'evaluation'",
        "dataset.digest = 'nothing'",
        "dataset.name = 'patients' AND dataset.context = 'evaluation'",
        "dataset.name != 'patients'",
        "dataset.name IN ('patients', 'x')",
        "dataset.profile = 'x'",
    ):
        s.ask(
            text,
            lambda text=text: [
                each.info.run_name for each in s.client.search_runs([run.info.experiment_id], text)
            ],
        )
    path = f"{PATH}/log-inputs"
    s.http(
        "without a name",
        "POST",
        path,
        {
            "run_id": run.info.run_id,
            "datasets": [{"dataset": {"digest": "d", "source_type": "x", "source": "y"}}],
        },
    )
    s.http("without a dataset", "POST", path, {"run_id": run.info.run_id, "datasets": [{"tags": []}]})
    s.http("none", "POST", path, {"run_id": run.info.run_id})
    s.http("no run", "POST", path, {"datasets": []})
    s.http("an unknown run", "POST", path, {"run_id": "0" * 32, "datasets": []})


@scenario(
    "PUT mlflow-artifacts/artifacts/{path}",
    "GET mlflow-artifacts/artifacts/{path}",
    "GET mlflow-artifacts/artifacts",
    shows=(
        "`log_artifact`, `log_artifacts`, `log_figure`, `log_image`, `log_dict`, `log_table`, `log_text`",
    ),
)
def logged_files(s: Session) -> None:
    """Files, folders, figures, images, dictionaries, tables and texts are logged, listed and read back."""
    import matplotlib
    import numpy

    matplotlib.use("agg")
    from matplotlib.figure import Figure

    mlflow, folder = s.mlflow, s.folder
    (folder / "tree/deep er").mkdir(parents=True)
    (folder / "tree/deep er/잎 %41 & #.txt").write_text("leaf")
    (folder / "tree/empty").write_bytes(b"")
    (folder / "one.bin").write_bytes(bytes(range(256)) * 300)
    mlflow.set_experiment("files")
    figure = Figure()
    figure.add_subplot().plot([1, 2])
    with mlflow.start_run(run_name="files") as run:
        mlflow.log_artifact(str(folder / "one.bin"))
        mlflow.log_artifact(str(folder / "one.bin"), "again/below")
        mlflow.log_artifacts(str(folder / "tree"), "tree")
        mlflow.log_text("한글 text\r\n", "notes/a.txt")
        mlflow.log_dict({"b": [1, None], "a": "값"}, "config.json")
        mlflow.log_dict({"b": 1}, "config.yaml")
        mlflow.log_figure(figure, "plots/figure.png")
        mlflow.log_image(numpy.zeros((4, 4, 3), dtype="uint8"), "plots/black.png")
        mlflow.log_table({"q": ["a", "b"], "n": [1, 2]}, "table.json")
        mlflow.log_table({"q": ["c"], "n": [3]}, "table.json")
        s.ask("a name that leads out", mlflow.log_text, "x", "../out.txt")
        s.ask("an absolute name", mlflow.log_text, "x", "/etc/out.txt")
    one = run.info.run_id
    s.tell("uri", mlflow.get_run(one).info.artifact_uri)
    for path in (None, "tree", "tree/deep er", "plots", "config.json", "nothing", "again/"):
        s.ask(
            f"list {path}",
            lambda path=path: [
                (each.path, each.is_dir, each.file_size if "png" not in each.path else 0)
                for each in s.client.list_artifacts(one, path)
            ],
        )
    s.ask("list with dots", s.client.list_artifacts, one, "../..")
    s.tell("text", mlflow.artifacts.load_text(f"runs:/{one}/notes/a.txt"))
    s.tell("dict", mlflow.artifacts.load_dict(f"runs:/{one}/config.json"))
    s.tell("table", mlflow.load_table("table.json", run_ids=[one]))
    s.tell(
        "tags",
        {
            key: value
            for key, value in mlflow.get_run(one).data.tags.items()
            if "rtifact" in key or "Table" in key
        },
    )
    down = s.client.download_artifacts(one, "", str(folder))
    from pathlib import Path

    s.tell(
        "all",
        sorted(
            (str(each.relative_to(down)), each.stat().st_size if each.suffix != ".png" else 0)
            for each in Path(down).rglob("*")
            if each.is_file()
        ),
    )
    s.tell("bytes", (Path(down) / "one.bin").read_bytes() == (folder / "one.bin").read_bytes())
    s.ask("a file that is not there", s.client.download_artifacts, one, "nothing.txt", str(folder))


@scenario(
    "POST runs/log-model",
    "GET runs/get",
    differs=(differs("POST runs/log-model", "What the client said is kept as it said it.", "tag"),),
)
def recorded_models(s: Session) -> None:
    """What clients of 2.x say of a model they logged stands in the run's tag."""
    import json

    experiment = s.client.create_experiment("recorded models")
    one = s.client.create_run(experiment, run_name="recorded").info.run_id
    model = {
        "artifact_path": "model",
        "run_id": one,
        "utc_time_created": "2024-01-01 00:00:00.000000",
        "flavors": {"python_function": {"loader_module": "x"}},
    }
    s.http("told", "POST", f"{PATH}/log-model", {"run_id": one, "model_json": json.dumps(model)})
    s.http(
        "told again",
        "POST",
        f"{PATH}/log-model",
        {"run_id": one, "model_json": json.dumps(model | {"artifact_path": "other"})},
    )
    s.http("no JSON", "POST", f"{PATH}/log-model", {"run_id": one, "model_json": "{"})
    s.http("lacks fields", "POST", f"{PATH}/log-model", {"run_id": one, "model_json": "{}"})
    s.http("nothing", "POST", f"{PATH}/log-model", {"run_id": one})
    s.tell("tag", s.client.get_run(one).data.tags)
