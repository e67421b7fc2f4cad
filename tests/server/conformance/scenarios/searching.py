"""Searching runs: the grammar, orders, life cycles, pages."""

from tests.server.conformance.scenario import STRICT, Session, differs, scenario

_MORE = "The grammar here is larger than MLflow's."
_OURS_ALONE = (
    "params.depth IN ('3', '5')",
    "params.depth NOT IN ('3', '5')",
    "tags.colour IN ('red', 'green')",
    "status IN ('FAILED', 'KILLED')",
    "params.depth = 3",
    "metrics.loss == 0.5",
)
FILTERS = (
    "",
    "metrics.loss < 0.5",
    "metrics.loss <= 0.5",
    "metrics.loss > 0.5",
    "metrics.loss >= 0.5",
    "metrics.loss = 0.5",
    "metrics.loss != 0.5",
    "metrics.loss = 5e-1",
    "metrics.loss > -1 and metrics.loss < 0.6",
    "metric.loss < 0.5 AND params.depth = '3'",
    'metrics."val loss/x" >= 2',
    "metrics.`val loss/x` < 2",
    "metrics.unknown > 0",
    "params.depth = '3'",
    'params.depth = "3"',
    "params.depth != '3'",
    "params.depth LIKE '%1%'",
    "params.depth ILIKE '%A%'",
    "parameter.depth = '3'",
    "param.depth = '3'",
    "params.depth IN ('3', '5')",
    "params.depth NOT IN ('3', '5')",
    "params.unknown = 'x'",
    "tags.colour = 'red'",
    "tag.colour != 'red'",
    "tags.`mlflow.runName` = 'hunt-1'",
    "tags.mlflow.runName LIKE 'hunt-%'",
    "tags.colour LIKE 'r_d'",
    "tags.colour ILIKE 'RED'",
    "tags.colour IN ('red', 'green')",
    "tags.colour IS NULL",
    "tags.colour IS NOT NULL",
    "params.extra IS NULL",
    "params.extra IS NOT NULL",
    'tags.quote = "it\'s"',
    "tags.percent LIKE '100%'",
    "attributes.status = 'FINISHED'",
    "status != 'FINISHED'",
    "attribute.status = 'finished'",
    "status LIKE 'F%'",
    "status IN ('FAILED', 'KILLED')",
    "run_name = 'hunt-2'",
    "attributes.run_name LIKE 'hunt-_'",
    "attributes.`run name` = 'hunt-2'",
    "`Run name` = 'hunt-2'",
    "start_time > 1000",
    "attributes.start_time >= 1000 AND start_time < 4000",
    "start_time = 3000",
    "created > 1000",
    "end_time < 5000",
    "end_time > 0",
    "attributes.artifact_uri LIKE '%artifacts'",
    "user_id = 'kim'",
    "tags.`한글 키` = '값 😀'",
    "TAGS.colour = 'red'",
    "metrics.loss > 0.1 and params.depth = '3' and tags.colour = 'red'",
    "metrics.minus < 0",
    "metrics.minus = -1.5",
    "metrics.inf > 100",
    "metrics.nan > 0",
    "metrics.nan = 'NaN'",
    "metrics.loss LIKE '1'",
    "metrics.loss = '0.5'",
    "metrics.loss = abc",
    "metrics.loss > NaN",
    "params.depth = 3",
    "params.depth > '3'",
    "tags.colour = red",
    "tags.colour > 'a'",
    "colour = 'red'",
    "attributes.colour = 'red'",
    "metrics.loss",
    "metrics.loss >",
    "= 3",
    "metrics.loss > 0.1 OR metrics.loss < 0",
    "NOT metrics.loss > 0.1",
    "(metrics.loss > 0.1)",
    "metrics.loss > 0.1 AND",
    "metrics.loss > 0.1; metrics.loss < 3",
    "params.depth = '3' -- x",
    "params.depth = 'it''s'",
    "run_id = 'nothing'",
    "run_id != 'nothing'",
    "run_id IN ('a', 'b')",
    "status IN 'FINISHED'",
    "params.depth IN ()",
    "params.depth IN (3)",
    "start_time > 'yesterday'",
    "start_time LIKE '1%'",
    "start_time IN (1000, 2000)",
    "datasets.name = 'x'",
    "experiments.name = 'x'",
    "metrics. = 3",
    "'metrics.loss' > 3",
    "3 < metrics.loss",
    "metrics.loss BETWEEN 0 AND 1",
    "metrics.loss == 0.5",
    "metrics.loss <> 0.5",
)
ORDERS = (
    [],
    ["metrics.loss"],
    ["metrics.loss DESC"],
    ["metrics.loss asc"],
    ["params.depth DESC"],
    ["params.depth"],
    ["tags.colour", "metrics.loss DESC"],
    ["attributes.start_time"],
    ["start_time DESC"],
    ["attribute.status ASC", "run_name"],
    ["end_time DESC"],
    ["Created"],
    ["metrics.inf"],
    ["metrics.nan DESC"],
    ['metrics."val loss/x" DESC'],
    ["`Run name` DESC"],
    ["metrics.unknown DESC"],
    ["user_id"],
    ["metrics.loss DOWN"],
    ["loss"],
    ["metrics.loss DESC NULLS LAST"],
    [""],
    ["metrics.loss,params.depth"],
    ["dataset.name"],
)


def _runs(s: Session) -> str:
    """Seven runs that differ in everything that can be searched."""
    import math

    from mlflow.entities import Metric, Param, RunTag

    experiment = s.client.create_experiment("runs to search")
    colours = ("red", "green", None, "red", "blue", "Red", None)
    status = ("FINISHED", "FAILED", "RUNNING", "KILLED", "FINISHED", "SCHEDULED", "FINISHED")
    for index in range(7):
        run = s.client.create_run(experiment, start_time=index * 1000, run_name=f"hunt-{index}")
        one = run.info.run_id
        metrics = [Metric("loss", (0.5, 0.25, 0.75, 0.5, 1.5, 0.1, -2)[index], 1, 1)] if index != 6 else []
        if index == 0:
            metrics += [
                Metric("val loss/x", 1.0, 1, 1),
                Metric("nan", math.nan, 1, 1),
                Metric("inf", math.inf, 1, 1),
            ]
        if index in {1, 3}:
            metrics += [
                Metric("val loss/x", index * 2.0, 1, 1),
                Metric("minus", -1.5, 1, 1),
                Metric("inf", -math.inf, 1, 1),
                Metric("nan", 1.0, 1, 1),
            ]
        params = [Param("depth", ("3", "10", "3", "5", "a1", "A", "3")[index])] if index != 4 else []
        tags = [RunTag("colour", colours[index])] if colours[index] else []
        if index == 2:
            tags += [RunTag("한글 키", "값 😀"), RunTag("quote", "it's"), RunTag("percent", "100% sure")]
            params += [Param("extra", "1")]
        s.client.log_batch(one, metrics, params, tags)
        if status[index] in {"RUNNING", "SCHEDULED"}:
            s.client.update_run(one, status=status[index])
        else:
            s.client.set_terminated(one, status[index], index * 1000 + 500)
    return experiment


@scenario(
    "POST runs/search",
    shows=("filters, orders, views and page tokens of `search_runs`",),
    differs=(
        differs(
            "POST runs/search",
            _MORE,
            *(f"filter {text}" for text in _OURS_ALONE),
            "order ['`Run name` DESC']",
        ),
        differs(
            "POST runs/search",
            "What is no filter is refused.",
            "filter metrics.loss > 0.1 AND",
            "filter metrics. = 3",
        ),
        differs("POST runs/search", STRICT, "by hand, wrong view"),
    ),
)
def searching_runs(s: Session) -> None:
    """Filters and orders select the same runs in the same order; what is no filter is refused alike."""
    experiment = _runs(s)

    def names(
        filter_string: str = "", order_by: object = ("attributes.start_time",), **named: object
    ) -> list[str]:
        return [
            each.info.run_name
            for each in s.client.search_runs([experiment], filter_string, order_by=list(order_by), **named)
        ]

    for text in FILTERS:
        s.ask(f"filter {text}", names, text)
    for order in ORDERS:
        s.ask(f"order {order}", names, "", order)

    views = s.mlflow.entities.ViewType
    first = s.client.search_runs([experiment], "run_name = 'hunt-0'")[0]
    s.client.delete_run(first.info.run_id)
    for view in ("ACTIVE_ONLY", "DELETED_ONLY", "ALL"):
        s.ask(f"view {view}", names, run_view_type=getattr(views, view))
    s.client.restore_run(first.info.run_id)

    token, pages = None, []
    while True:
        page = s.client.search_runs(
            [experiment], "", max_results=3, order_by=["metrics.loss DESC"], page_token=token
        )
        pages.append([each.info.run_name for each in page])
        token = page.token
        if not token:
            break
    s.tell("pages", pages)
    s.ask("garbage token", names, page_token="garbage")
    s.ask("token that decodes", names, page_token="eyJvZmZzZXQiOiAieCJ9")
    s.ask("no experiments", lambda: len(s.client.search_runs([])))
    s.ask("an unknown experiment", lambda: len(s.client.search_runs(["999999"])))
    s.ask("none wanted", names, max_results=0)
    s.ask("too many wanted", names, max_results=50_001)
    s.ask("whole", lambda: s.client.search_runs([experiment], "run_name = 'hunt-2'")[0])

    path = "/api/2.0/mlflow/runs/search"
    s.http("by hand, wrong view", "POST", path, {"experiment_ids": [experiment], "run_view_type": "SOME"})
    s.http("by hand, minus one", "POST", path, {"experiment_ids": [experiment], "max_results": -1})
    s.http("by hand, ids as text", "POST", path, {"experiment_ids": experiment})
    s.http("by hand, no number as id", "POST", path, {"experiment_ids": ["abc"]})
    s.http("by hand, order as text", "POST", path, {"experiment_ids": [experiment], "order_by": "start_time"})
    s.http("by hand, filter as number", "POST", path, {"experiment_ids": [experiment], "filter": 3})
    s.http(
        "by hand, nothing",
        "POST",
        path,
        {"experiment_ids": [experiment], "max_results": 1, "filter": "run_name = 'none'"},
    )
