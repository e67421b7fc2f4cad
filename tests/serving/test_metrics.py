"""What a replica has counted, as Prometheus reads it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.serving import ReplicaSpec, Server
from mlwright.serving.figures import ROWS, SECONDS, Figures, ModelFigures, together
from mlwright.serving.metrics import exposition, names
from tests.serving.conftest import ask, post

ROOT = Path(__file__).parents[2]
PROMTOOL = shutil.which(
    "promtool", path=os.pathsep.join([os.environ["PATH"], str(ROOT / ".cache" / "tools")])
)
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="there is no promtool: apt-get install prometheus, or `make setup-test`"
)


def complaints(text: bytes) -> str:
    """What Prometheus' own judge has against it."""
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, timeout=60)
    return (done.stdout + done.stderr).decode() or (
        "" if done.returncode == 0 else f"status {done.returncode}"
    )


def value(server: Server, line: str) -> float:
    """Of a sample, 0 if it is not there."""
    text = ask(server.url, "GET", "/metrics").body.decode()
    found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


@needs_promtool
def test_prometheus_takes_the_metrics_of_a_replica(served: Server, spec: ReplicaSpec) -> None:
    """`promtool check metrics` has nothing to say of what a replica that has answered tells."""
    post(served.url, {"rows": [spec.models[0].signature.example.input]})

    told = ask(served.url, "GET", "/metrics")

    assert told.status == 200
    assert told.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert complaints(told.body) == ""
    assert all(f"# TYPE {name} " in told.body.decode() for name in names())


@needs_promtool
def test_a_name_cannot_break_a_line() -> None:
    """Quotes, backslashes and line ends in the name of a model are escaped."""
    figures = Figures({'we"ird\n\\name@1': ModelFigures(rows=3)})
    figures.models['we"ird\n\\name@1'].of("predict").count(200, 0.01)

    told = exposition(figures)

    assert complaints(told) == ""
    assert b'mlwright_rows_total{model="we\\"ird\\n\\\\name",version="1"} 3\n' in told


def test_every_request_is_counted_once(served: Server, spec: ReplicaSpec) -> None:
    """By model, protocol and the hundred of its status; what asks no model is counted apart."""
    row = spec.models[0].signature.example.input
    model = 'model="diagnosis",version="1"'
    lines = {
        "answered": f'mlwright_requests_total{{{model},protocol="predict",status="2xx"}}',
        "refused": f'mlwright_requests_total{{{model},protocol="predict",status="4xx"}}',
        "timed": f'mlwright_request_duration_seconds_count{{{model},protocol="predict"}}',
        "rows": f"mlwright_rows_total{{{model}}}",
        "nowhere": 'mlwright_other_requests_total{status="4xx"}',
    }
    before = {name: value(served, line) for name, line in lines.items()}

    post(served.url, {"rows": [row, row, row]})
    post(served.url, {"rows": []})
    ask(served.url, "GET", "/nowhere")

    more = {name: value(served, line) - before[name] for name, line in lines.items()}
    assert more == {"answered": 1, "refused": 1, "timed": 2, "rows": 3, "nowhere": 1}
    assert value(served, f"mlwright_requests_in_flight{{{model}}}") == 0
    assert value(served, f"mlwright_queue_rows{{{model}}}") == 0
    assert value(served, f"mlwright_model_load_seconds{{{model}}}") > 0
    assert value(served, f'mlwright_model_info{{{model},runtime="native"}}') == 1
    assert value(served, "process_resident_memory_bytes") > 2**20


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a@1", "b@2"]),
            st.sampled_from(["predict", "v2"]),
            st.integers(100, 599),
            st.floats(0, 60),
        )
    ),
    st.integers(1, 4),
)
def test_the_figures_of_replicas_add_up(requests: list[tuple[str, str, int, float]], replicas: int) -> None:
    """However requests are spread over replicas, all of them together tell the same; also after a journey."""
    alone, several = Figures(), [Figures() for _ in range(replicas)]
    for number, (model, protocol, status, took_s) in enumerate(requests):
        for figures in (alone, several[number % replicas]):
            counted = figures.models.setdefault(model, ModelFigures(replicas=0))
            counted.of(protocol).count(status, took_s)
            counted.rows += 1
            counted.batch_rows.add(ROWS, number + 1)
            counted.model_s.add(SECONDS, took_s)

    journeyed = [msgspec.json.decode(msgspec.json.encode(each), type=Figures) for each in several]
    summed = together(journeyed)

    assert summed.models.keys() == alone.models.keys()
    for model, counted in alone.models.items():
        other = summed.models[model]
        assert {name: each.statuses for name, each in other.protocols.items()} == {
            name: each.statuses for name, each in counted.protocols.items()
        }
        assert (other.rows, other.batch_rows, other.model_s.counts) == (
            counted.rows,
            counted.batch_rows,
            counted.model_s.counts,
        )
        assert other.model_s.total == pytest.approx(counted.model_s.total)


def test_every_metric_is_documented() -> None:
    """Whoever draws a graph finds in `docs/serving.md` what it shows."""
    documented = (ROOT / "docs" / "serving.md").read_text()

    assert [name for name in names() if f"`{name}`" not in documented] == []
