"""What serving would do, and what it needs."""

from __future__ import annotations

import sys

import pytest
from packaging.requirements import Requirement

from mlwright.kernel.errors import Invalid
from mlwright.kernel.plan import Change, Plan
from mlwright.serving import ReplicaSpec, plan_serve, serve_requirements
from mlwright.serving.installed import has_grpc


def test_the_plan_says_what_is_started_and_where(spec: ReplicaSpec) -> None:
    """A replica, a check, an address."""
    plan = plan_serve(spec, host="127.0.0.1", port=8000)

    assert plan == Plan(
        "serve diagnosis@1",
        (
            Change(
                "run", "a replica of diagnosis@1", "in the model's environment, with the server's packages"
            ),
            Change("check", "the model's example", "answered as the pipeline recorded, or nothing is served"),
            Change("add", "http://127.0.0.1:8000"),
        ),
    )


def test_a_free_port_is_said_to_be_one(spec: ReplicaSpec) -> None:
    """Port 0 is no address; the plan says so."""
    change = plan_serve(spec, host="::1", port=0).changes[-1]

    assert change == Change("add", "http://[::1]:PORT", "PORT is any free one")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.com", "", "127.0.0.1.example.com"])
def test_an_address_that_others_reach_is_refused(spec: ReplicaSpec, host: str) -> None:
    """Only loopback answers without asking who asks, if nothing else is said."""
    with pytest.raises(Invalid) as caught:
        plan_serve(spec, host=host, port=8000)

    assert "\n" not in caught.value.message
    assert "--token" in str(caught.value.hint)


@pytest.mark.parametrize("port", [-1, 65536])
def test_what_is_no_port_is_refused(spec: ReplicaSpec, port: int) -> None:
    """A port is a number from 0 to 65535."""
    with pytest.raises(Invalid, match="is not a port"):
        plan_serve(spec, host="localhost", port=port)


def test_a_replica_needs_the_core_and_the_server() -> None:
    """What mlwright itself imports and what serves HTTP; no model library, no mlwright, no other extra."""
    needed = [Requirement(each) for each in serve_requirements()]

    names = {requirement.name for requirement in needed}
    assert {"msgspec", "apsw", "blake3", "starlette", "uvloop", "httptools"} <= names
    assert not {"mlwright", "scikit-learn", "pandas", "pytest"} & names
    assert all(requirement.marker is None and requirement.specifier for requirement in needed)


def test_a_replica_is_called_by_grpc_where_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its extra goes along where its packages are here, and is asked for by nobody else."""
    needed = set(serve_requirements())
    monkeypatch.setitem(sys.modules, "h2", None)

    without = set(serve_requirements())

    assert {Requirement(each).name for each in needed - without} == {"h2", "protobuf"}
    assert without < needed
    assert not has_grpc()
