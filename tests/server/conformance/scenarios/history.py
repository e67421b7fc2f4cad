"""Metrics as series: plain, in bulk, thinned, page by page."""

from tests.server.conformance.scenario import Session, differs, scenario

PATH = "/api/2.0/mlflow/metrics"


@scenario(
    "GET metrics/get-history",
    "GET metrics/get-history-bulk",
    "GET metrics/get-history-bulk-interval",
    "POST runs/log-batch",
    differs=(
        differs(
            "GET metrics/get-history-bulk-interval",
            "What is left of a series keeps its extremes.",
            "thinned",
            "thinned, a range",
            "thinned, by ajax",
        ),
    ),
)
def metric_history(s: Session) -> None:
    """A series comes back whole, in its order, without doubles, whatever order it was logged in."""
    from mlflow.entities import Metric

    experiment = s.client.create_experiment("history")
    one, other = (s.client.create_run(experiment, run_name=name).info.run_id for name in ("one", "other"))
    shuffled = [(step * 7919) % 2500 for step in range(2500)]
    for start in range(0, 2500, 1000):
        s.client.log_batch(
            one,
            [
                Metric("long", step / 8, 1_000_000 + step * 10, step)
                for step in shuffled[start : start + 1000]
            ],
        )
    s.client.log_batch(
        one, [Metric("long", step / 8, 1_000_000 + step * 10, step) for step in shuffled[:500]]
    )
    s.client.log_batch(other, [Metric("long", -float(step + 1), 5, step) for step in range(20)])
    for value, at, step in ((3, 30, 1), (1, 10, 3), (2, 20, 2), (2, 20, 2), (5, 10, 3), (4, 10, 1)):
        s.client.log_metric(one, "short", value, timestamp=at, step=step)

    s.ask("short", s.client.get_metric_history, one, "short")
    long = s.client.get_metric_history(one, "long")
    s.tell("long", [(each.value, each.timestamp, each.step) for each in long])
    s.ask("unknown metric", s.client.get_metric_history, one, "nothing")
    s.ask("unknown run", s.client.get_metric_history, "0" * 32, "short")
    s.tell("latest", s.client.get_run(one).data.metrics)

    token, pages = "", []
    while True:
        answer = s.http(
            f"page {len(pages)}",
            "GET",
            f"{PATH}/get-history?run_id={one}&metric_key=long&max_results=900&page_token={token}",
        )
        answer.pop("next_page_token", "") if (token := answer.get("next_page_token", "")) else None
        pages.append([each["step"] for each in answer["metrics"]])
        s.answers[f"page {len(pages) - 1}"]["body"].pop("next_page_token", None)
        if not token or len(pages) > 5:
            break
    s.tell("pages", pages)
    s.http("by uuid", "GET", f"{PATH}/get-history?run_uuid={one}&metric_key=short&max_results=2")
    s.answers["by uuid"]["body"].pop("next_page_token", None)
    s.http("without a key", "GET", f"{PATH}/get-history?run_id={one}")
    s.http("without a run", "GET", f"{PATH}/get-history?metric_key=short")
    s.http(
        "garbage token",
        "GET",
        f"{PATH}/get-history?run_id={one}&metric_key=short&max_results=2&page_token=garbage",
    )

    bulk = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
    s.http("bulk", "GET", f"{bulk}?run_id={one}&run_id={other}&metric_key=short")
    for run in (one, other):
        s.client.log_batch(run, [Metric("few", step + (run == one) / 2, step, step) for step in range(5)])
    s.http("bulk of two", "GET", f"{bulk}?run_id={one}&run_id={other}&metric_key=few")
    s.answers["bulk of two"]["body"]["metrics"].sort(key=lambda each: each["value"])
    s.http("bulk without a run", "GET", f"{bulk}?metric_key=long")
    s.http("bulk without a key", "GET", f"{bulk}?run_id={one}")
    many = "&".join(f"run_id={n}" for n in range(101))
    s.http("bulk of 101 runs", "GET", f"{bulk}?{many}&metric_key=long")
    thin = f"{PATH}/get-history-bulk-interval"
    s.http("thinned, all", "GET", f"{thin}?run_ids={other}&metric_key=long&max_results=50")
    s.http("thinned", "GET", f"{thin}?run_ids={other}&metric_key=long&max_results=5")
    s.http(
        "thinned, a range",
        "GET",
        f"{thin}?run_ids={one}&run_ids={other}&metric_key=long&start_step=3&end_step=9&max_results=4",
    )
    s.http(
        "thinned, by ajax",
        "GET",
        f"/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids={other}&metric_key=long&max_results=3",
    )
    s.http("thinned, half a range", "GET", f"{thin}?run_ids={other}&metric_key=long&start_step=3")
    s.http("thinned, backwards", "GET", f"{thin}?run_ids={other}&metric_key=long&start_step=9&end_step=3")
    s.http("thinned, too many", "GET", f"{thin}?run_ids={other}&metric_key=long&max_results=2501")
    s.http("thinned, none", "GET", f"{thin}?run_ids={other}&metric_key=long&max_results=0")
    s.http("thinned, no runs", "GET", f"{thin}?metric_key=long")
