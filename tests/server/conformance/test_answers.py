"""What is left out when answers are compared, and what is not."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.server.conformance.answers import normal, unlike
from tests.server.conformance.endpoints import asked
from tests.server.conformance.scenario import plain


def run(identity: str, **more: Any) -> dict[str, Any]:
    return {"run_id": identity, "place": f"mlflow-artifacts:/7/{identity}/artifacts", **more}


def test_identities_are_compared_by_what_they_name() -> None:
    """Two servers that make up different ids answer alike; one that mixes two runs up does not."""
    here = {"one": run("0123456789abcdef0123456789abcdef"), "other": run("f" * 32)}
    there = {"one": run("01M84Y4N143KY7CWXHD4YDAN6P"), "other": run("01M84Y4N143KY7CWXHD4YDAN6Q")}
    mixed = {"one": run("01M84Y4N143KY7CWXHD4YDAN6P"), "other": run("01M84Y4N143KY7CWXHD4YDAN6P")}

    alike, unalike = (unlike(normal(here), normal(those)) for those in (there, mixed))

    assert alike == []
    assert any("run_id" in line for line in unalike)


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (-0.0, 0.0),
        (0.1, math.nextafter(0.1, 1)),
        (math.inf, 1.7976931348623157e308),
        (1, 1.0),
        (1, True),
        ("1", 1),
        (None, ""),
        ([1, 2], [2, 1]),
        ({"a": None}, {}),
        (1_700_000_000_000, 1_700_000_000_001),
    ],
)
def test_values_are_compared_to_the_last_bit(here: Any, there: Any) -> None:
    """A value is like itself, and unlike what merely equals it."""
    first, second = ({"step": plain(each)} for each in (here, there))

    assert unlike(normal(first), normal(second))
    assert not unlike(normal(first), normal(first))


def test_a_map_has_no_order() -> None:
    """Keys with their values are compared as a map; everything else in its order."""
    pairs = [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]
    metrics = [each | {"step": 0} for each in pairs]

    assert not unlike(normal({"step": pairs}), normal({"step": pairs[::-1]}))
    assert unlike(normal({"step": metrics}), normal({"step": metrics[::-1]}))


@pytest.mark.parametrize(
    ("method", "path", "endpoint"),
    [
        ("POST", "/api/2.0/mlflow/runs/create", "POST runs/create"),
        ("GET", "/ajax-api/2.0/mlflow/runs/get", "GET runs/get"),
        ("POST", "/api/2.0/mlflow/logged-models/search", "POST logged-models/search"),
        ("GET", "/api/2.0/mlflow/logged-models/m-1", "GET logged-models/{model_id}"),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/a/b", "PUT mlflow-artifacts/artifacts/{path}"),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts", "GET mlflow-artifacts/artifacts"),
        ("GET", "/somewhere", "GET /somewhere"),
    ],
)
def test_a_request_is_counted_for_its_endpoint(method: str, path: str, endpoint: str) -> None:
    """Whatever version of the protocol stands before it, and whatever its path names."""
    assert asked(method, path) == endpoint
