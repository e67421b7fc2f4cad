"""Logged models of 3.x."""

from tests.server.conformance.scenario import WRONG, Session, differs, scenario

PATH = "/api/2.0/mlflow/logged-models"
_OF_ANY_DIGEST = (None, "metrics.auc >= 0", "metrics.auc < 0.05", "name = 'm1'")


@scenario(
    "POST logged-models",
    "GET logged-models/{model_id}",
    "PATCH logged-models/{model_id}",
    "DELETE logged-models/{model_id}",
    "PATCH logged-models/{model_id}/tags",
    "DELETE logged-models/{model_id}/tags/{tag_key}",
    "POST logged-models/{model_id}/params",
    "GET logged-models/{model_id}/artifacts/directories",
    "POST runs/outputs",
    differs=(
        differs(
            "POST logged-models/{model_id}/params",
            WRONG,
            "params again",
        ),
        differs("POST runs/outputs", "What was said already may be said again.", "as output again"),
    ),
)
def life_of_a_logged_model(s: Session) -> None:
    """A logged model is made, given parameters, tags, files and metrics, made ready, and deleted."""
    from mlflow.entities import LoggedModelOutput

    c = s.client
    experiment = c.create_experiment("logged models")
    run = c.create_run(experiment, run_name="makes models").info.run_id
    made = s.ask("made", c.create_logged_model, experiment, "first", run, {"a": "b"}, {"depth": 3}, "tree")
    one = made.model_id
    s.ask("without a name", lambda: c.create_logged_model(experiment).status)
    s.ask("a name with a slash", c.create_logged_model, experiment, "a/b")
    s.ask("an unknown experiment", c.create_logged_model, "999999", "x")
    s.ask("read", c.get_logged_model, one)
    s.ask("unknown", c.get_logged_model, "m-" + "0" * 32)
    s.ask("tags", c.set_logged_model_tags, one, {"x": "y", "n": 1})
    s.ask("tag removed", c.delete_logged_model_tag, one, "a")
    s.ask("tag removed twice", c.delete_logged_model_tag, one, "a")
    s.ask("params", c.log_model_params, one, {"more": "1"})
    s.ask("params again", c.log_model_params, one, {"more": "2"})
    s.ask("as output", c.log_outputs, run, [LoggedModelOutput(one, 5)])
    s.ask("as output again", c.log_outputs, run, [LoggedModelOutput(one, 5)])
    s.tell("outputs", [(each.model_id, each.step) for each in c.get_run(run).outputs.model_outputs])
    s.ask("a metric", c.log_metric, run, "auc", 0.75, timestamp=10, step=1, model_id=one)
    s.ask(
        "a metric of data",
        c.log_metric,
        run,
        "auc",
        0.5,
        timestamp=20,
        step=2,
        model_id=one,
        dataset_name="d",
        dataset_digest="1",
    )
    s.ask("ready", c.finalize_logged_model, one, "READY")
    s.ask("failed afterwards", c.finalize_logged_model, one, "FAILED")
    s.ask("nonsense", c.finalize_logged_model, one, "NONSENSE")
    s.ask("read with metrics", c.get_logged_model, one)
    (s.folder / "weights.bin").write_bytes(b"123")
    s.ask("a file", c.log_model_artifact, one, str(s.folder / "weights.bin"))
    s.ask("files", lambda: [(each.path, each.file_size) for each in c.list_logged_model_artifacts(one)])
    s.http("files by hand", "GET", f"{PATH}/{one}/artifacts/directories")
    s.ask("deleted", c.delete_logged_model, one)
    s.ask("deleted twice", c.delete_logged_model, one)
    s.ask("read deleted", c.get_logged_model, one)
    s.ask("tags on a deleted one", c.set_logged_model_tags, one, {"x": "z"})
    s.http("by hand, nothing", "POST", PATH, {})
    s.http("by hand, status", "PATCH", f"{PATH}/{one}", {})
    s.http(
        "by hand, outputs of an unknown run",
        "POST",
        "/api/2.0/mlflow/runs/outputs",
        {"run_id": "0" * 32, "models": [{"model_id": one, "step": 1}]},
    )


@scenario(
    "POST logged-models/search",
    differs=(
        differs(
            "POST logged-models/search",
            "A dataset that is named without a digest is any of that name; MLflow's server finds none.",
            *(f"of data [{{'dataset_name': 'd'}}], {text}" for text in _OF_ANY_DIGEST),
        ),
        differs(
            "POST logged-models/search",
            WRONG,
            "filter colour = 'x'",
            "filter metrics.auc = 'x'",
            "garbage token",
        ),
    ),
)
def searching_logged_models(s: Session) -> None:
    """Logged models are found by name, parameter, tag, metric and data, in an order, page by page."""
    c = s.client
    experiment = c.create_experiment("logged models to search")
    run = c.create_run(experiment, run_name="makes").info.run_id
    for index in range(5):
        model = c.create_logged_model(
            experiment,
            f"m{index}",
            run,
            {"colour": "red" if index % 2 else "blue"},
            {"depth": str(index)},
            "tree" if index < 3 else None,
        )
        c.log_metric(
            run, "auc", (0.5, 0.9, 0.7, 0.8, 0.6)[index], timestamp=1, step=0, model_id=model.model_id
        )
        if index < 2:
            c.log_metric(
                run,
                "auc",
                0.1 * index,
                timestamp=2,
                step=1,
                model_id=model.model_id,
                dataset_name="d",
                dataset_digest="1",
            )
        if index != 4:
            c.finalize_logged_model(model.model_id, "READY")

    def names(text: str | None = None, **named: object) -> list[str]:
        return [
            each.name
            for each in c.search_logged_models(
                [experiment], text, **{"order_by": [{"field_name": "name", "ascending": True}], **named}
            )
        ]

    for text in (
        None,
        "name = 'm1'",
        "name LIKE 'm%'",
        "name != 'm1'",
        "params.depth = '2'",
        "params.depth != '2'",
        "tags.colour = 'red'",
        "tags.colour LIKE 'b%'",
        "metrics.auc > 0.65",
        "metrics.auc <= 0.5",
        "model_type = 'tree'",
        "status = 'READY'",
        "status != 'READY'",
        "creation_timestamp > 0",
        "name IN ('m1', 'm2')",
        f"source_run_id = '{run}'",
        "metrics.auc > 0.65 AND tags.colour = 'red'",
        "colour = 'x'",
        "name > 'm1'",
        "metrics.auc = 'x'",
        "name = 'a' OR name = 'b'",
        "attributes.name = 'm3'",
    ):
        s.ask(f"filter {text}".replace(run, "RUN"), names, text)
    for order in (
        [{"field_name": "metrics.auc", "ascending": False}],
        [{"field_name": "metrics.auc"}],
        [{"field_name": "creation_timestamp", "ascending": False}],
        [{"field_name": "model_type"}, {"field_name": "name", "ascending": False}],
        [{"field_name": "colour"}],
    ):
        s.ask(f"order {order}", names, order_by=order)
    one, other = {"dataset_name": "d", "dataset_digest": "1"}, {"dataset_name": "d", "dataset_digest": "2"}
    auc = {"field_name": "metrics.auc"}
    for data in (one, {"dataset_name": "d"}, {"dataset_digest": "1"}, other):
        for ascending in (True, False):
            by_data = [auc | data | {"ascending": ascending}, {"field_name": "name"}]
            s.ask(f"order by the metric of {data}, ascending {ascending}", names, order_by=by_data)
    s.ask("order by all and by some data", names, order_by=[auc | other, auc])
    for text in (None, "metrics.auc >= 0", "metrics.auc > 0.4", "metrics.auc < 0.05", "name = 'm1'"):
        for datasets in (
            [one],
            [other],
            [other, one],
            [{"dataset_name": "d"}],
            [{"dataset_name": "e"}, other],
        ):
            s.ask(f"of data {datasets}, {text}", names, text, datasets=datasets)
    s.ask("of data without a name", names, "metrics.auc >= 0", datasets=[{"dataset_digest": "1"}])
    s.ask("garbage token", names, page_token="garbage")
    s.ask("no experiment", lambda: len(c.search_logged_models([])))
    token, pages = None, []
    while True:
        page = c.search_logged_models(
            [experiment], max_results=2, order_by=[{"field_name": "name"}], page_token=token
        )
        pages.append([each.name for each in page])
        token = page.token
        if not token:
            break
    s.tell("pages", pages)
