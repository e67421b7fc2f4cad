"""Wrong calls, by hand: which code and status each gets."""

from tests.server.conformance.scenario import STRICT, Session, differs, scenario

_RULES = "Names in camelCase and null are read by the rules of Protocol Buffers."
PATH = "/api/2.0/mlflow"


@scenario(
    "POST runs/log-metric",
    "POST runs/log-parameter",
    "POST runs/set-tag",
    "POST runs/delete-tag",
    "POST runs/log-batch",
    differs=(
        differs(
            "POST runs/log-metric",
            STRICT,
            "metric with value True",
            "metric with value []",
            "metric with timestamp 1.5",
            "metric with timestamp 9223372036854775808",
            "metric with step 2.5",
            "metric with step 18446744073709551616",
            "metric in a list",
            "metric as text",
        ),
        differs("POST runs/log-batch", _RULES, "batch, a tag that is null", "batch, camel case", "kept"),
    ),
)
def wrong_calls(s: Session) -> None:
    """What the client would check itself is refused by the server with the same code and status."""
    experiment = s.client.create_experiment("wrong calls")
    one = s.client.create_run(experiment, run_name="wrong").info.run_id
    metric = {"run_id": one, "key": "m", "value": 1.0, "timestamp": 1, "step": 0}
    unknown = {"run_id": "0" * 32}

    def post(step: str, method: str, body: object, headers: dict[str, str] | None = None) -> None:
        s.http(step, "POST", f"{PATH}/runs/{method}", body, headers)

    def without(name: str) -> dict[str, object]:
        return {key: value for key, value in metric.items() if key != name}

    for name in metric:
        post(f"metric without {name}", "log-metric", without(name))
    for name, value in (
        ("value", "1.5"),
        ("value", "NaN"),
        ("value", "Infinity"),
        ("value", "much"),
        ("value", None),
        ("value", True),
        ("value", []),
        ("timestamp", "17"),
        ("timestamp", 1.5),
        ("timestamp", "soon"),
        ("timestamp", 2**63),
        ("timestamp", 1e3),
        ("step", "3"),
        ("step", 2.0),
        ("step", 2.5),
        ("step", None),
        ("step", 2**64),
        ("step", -(2**63)),
        ("key", 12),
        ("key", None),
        ("key", ""),
        ("key", "a b/c.d-e_f:g"),
        ("key", "a\nb"),
        ("key", "a?b"),
        ("key", "a/../b"),
        ("key", "./a"),
        ("key", "/a"),
        ("key", "a//b"),
        ("key", "a/"),
        ("key", "한글"),
        ("key", "🙂"),
        ("run_id", ""),
        ("run_id", "0" * 32),
        ("run_id", 7),
    ):
        post(f"metric with {name} {value!r}", "log-metric", metric | {name: value})
    post("metric by run_uuid", "log-metric", without("run_id") | {"run_uuid": one})
    post("metric on an unknown run", "log-metric", metric | unknown)
    post("metric in a list", "log-metric", [metric])
    post("metric as text", "log-metric", b'"text"')
    post("metric, half a body", "log-metric", b'{"run_id": ')
    post("metric, not UTF-8", "log-metric", b'{"run_id": "\xff\xfe"}')
    post("metric, no content type", "log-metric", metric, {"Content-Type": "text/plain"})
    post(
        "metric, content type of a form",
        "log-metric",
        metric,
        {"Content-Type": "application/x-www-form-urlencoded"},
    )
    post("metric, charset", "log-metric", metric, {"Content-Type": "application/json; charset=utf-8"})
    post(
        "metric of a dataset",
        "log-metric",
        metric | {"key": "on data", "dataset_name": "d", "dataset_digest": "1"},
    )

    post("param without key", "log-parameter", {"run_id": one, "value": "1"})
    post("param without value", "log-parameter", {"run_id": one, "key": "no value"})
    post("param without run", "log-parameter", {"key": "a", "value": "1"})
    post("param on an unknown run", "log-parameter", {"key": "a", "value": "1"} | unknown)
    post("param as a number", "log-parameter", {"run_id": one, "key": "number", "value": 12})
    post("param as null", "log-parameter", {"run_id": one, "key": "null", "value": None})
    post("param changed", "log-parameter", {"run_id": one, "key": "once", "value": "1"})
    post("param changed again", "log-parameter", {"run_id": one, "key": "once", "value": "2"})
    post("tag without key", "set-tag", {"run_id": one, "value": "1"})
    post("tag without value", "set-tag", {"run_id": one, "key": "bare"})
    post("tag with an empty key", "set-tag", {"run_id": one, "key": "", "value": "1"})
    post("tag on an unknown run", "set-tag", {"key": "a", "value": "1"} | unknown)
    post("tag as a list", "set-tag", {"run_id": one, "key": "list", "value": ["a"]})
    post("remove a tag, no key", "delete-tag", {"run_id": one})
    post("remove a tag that is not there", "delete-tag", {"run_id": one, "key": "nothing"})
    post("remove a tag of an unknown run", "delete-tag", {"key": "a"} | unknown)

    post("batch without run", "log-batch", {"metrics": []})
    post("batch of nothing", "log-batch", {"run_id": one})
    post("batch with an unknown field", "log-batch", {"run_id": one, "unheard_of": [1]})
    post("batch, metrics as object", "log-batch", {"run_id": one, "metrics": {"key": "a"}})
    post(
        "batch, a metric without value",
        "log-batch",
        {"run_id": one, "metrics": [{"key": "a", "timestamp": 1, "step": 1}]},
    )
    post(
        "batch, a metric without timestamp",
        "log-batch",
        {"run_id": one, "metrics": [{"key": "a", "value": 1, "step": 1}]},
    )
    post(
        "batch, a metric without step",
        "log-batch",
        {"run_id": one, "metrics": [{"key": "no step", "value": 1, "timestamp": 1}]},
    )
    post(
        "batch, a bad metric among good ones",
        "log-batch",
        {
            "run_id": one,
            "metrics": [
                {"key": "good", "value": 1, "timestamp": 1},
                {"key": "b?d", "value": 1, "timestamp": 1},
            ],
        },
    )
    post("batch, a param without key", "log-batch", {"run_id": one, "params": [{"value": "1"}]})
    post("batch, a param without value", "log-batch", {"run_id": one, "params": [{"key": "bare"}]})
    post("batch, a tag that is null", "log-batch", {"run_id": one, "tags": None})
    post(
        "batch, camel case",
        "log-batch",
        {"runId": one, "metrics": [{"key": "camel", "value": 1, "timestamp": 1}]},
    )
    s.tell("kept", s.client.get_run(one).data)
