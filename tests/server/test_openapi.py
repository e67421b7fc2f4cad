"""The description of the REST API is complete, and what is answered is as it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mlwright.server.api import OPERATIONS, document
from mlwright.server.app import ROUTES
from tests.server.conftest import Up
from tests.server.test_rest import project

__all__ = ["project"]
SOAK = bool(os.environ.get("MLWRIGHT_SOAK"))
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,unsupported_method,allow_header_conformance"
)
"""All that say something of one answer, but for `positive_data_acceptance`: a schema cannot tell the grammars
of references and filters, so that a text that fits it may still be refused."""
NAMES = """
[parameters]
"path.run" = "latest"
"path.then" = "latest"
"path.now" = "latest~1"
"path.reference" = "people@1"
"path.before" = "people@1"
"path.after" = "people@2"
"path.step" = "count"
"path.name" = "loss"
"path.path" = "people.csv"
"query.then" = "latest"
"query.now" = "default"
"""
STREAMS = f"""
[[operations]]
include-path = {[f"/api/v1{each.path}" for each in OPERATIONS if each.streams]}
request-timeout = 2
"""
"""A stream has no end: else each is read for ten seconds."""


def test_every_route_is_described() -> None:
    """What is answered below /api/v1 stands in the document, but for the document itself."""
    described = {
        (method.upper(), path) for path, methods in document()["paths"].items() for method in methods
    }
    answered = {
        (each.method, each.path.replace(":path}", "}"))
        for each in ROUTES
        if each.path.startswith("/api/v1/") and not each.path.endswith("openapi.json")
    }

    assert described == answered


def test_every_schema_is_one() -> None:
    """Each schema is valid by the dialect of OpenAPI 3.1, and every reference in it leads somewhere."""
    told = document()
    schemas = told["components"]["schemas"]

    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    assert set(_references(told)) <= {f"#/components/schemas/{name}" for name in schemas}


def test_every_parameter_is_documented() -> None:
    """Each operation says in a sentence what it does, and what each of its own parameters is."""
    told = document()["paths"]
    undocumented = [
        f"{method} {path}: {each['name']}"
        for path, methods in told.items()
        if "/content/" not in path
        for method, operation in methods.items()
        for each in operation["parameters"]
        if each["in"] == "query" and not each["description"]
    ]

    assert undocumented == []
    assert all(each["summary"] for methods in told.values() for each in methods.values())
    assert len(OPERATIONS) > 30


@pytest.mark.parametrize("requests", [pytest.param(10_000, marks=pytest.mark.soak)] if SOAK else [400])
@pytest.mark.parametrize("named", [False, True], ids=["any names", "names of what is there"])
def test_whatever_is_asked_the_answer_is_as_described(
    up: Up, tmp_path: Path, requests: int, named: bool
) -> None:
    """Whatever is sent, by the document and against it, meets no 5xx and no answer that is not told."""
    known = NAMES if named else ""
    each = requests * 3 // 2 // len(OPERATIONS)  # of some operations there are not that many to ask
    (tmp_path / "schemathesis.toml").write_text(known + STREAMS)

    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            *("run", f"{up.url}/api/v1/openapi.json", "--phases", "coverage,fuzzing", "--no-color"),
            *("--checks", CHECKS, "--continue-on-failure", "-n", str(each)),
            *("--header", f"authorization: Bearer {up.token}"),
            *([] if SOAK else ["--generation-deterministic"]),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    found = re.search(r"(\d+) generated", done.stdout)
    assert found is not None
    assert int(found[1]) >= requests


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [each for item in value.values() for each in _references(item)]
    if isinstance(value, list):
        return [each for item in value for each in _references(item)]
    return []
