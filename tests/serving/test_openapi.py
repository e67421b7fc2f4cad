"""The interface, described for programs and for people."""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import pytest

from mlwright.serving import ModelSpec, ReplicaSpec, Server
from mlwright.serving.openapi import openapi
from mlwright.serving.page import page
from mlwright.versioning.signatures import Column
from tests.serving.conftest import VERSION, ask, changed, post, small_signature

HOSTILE = "<script>alert('&\"1\"')</script>"


class Reader(HTMLParser):
    """Collects a page's tags, addresses and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attributes if name in {"src", "href", "action"}]

    def handle_data(self, data: str) -> None:
        self.text += data


def references(node: Any) -> Iterator[str]:
    """Every `$ref` of a document."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def fits(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> bool:
    """Whether a value fits a schema: the part of JSON Schema that our documents use."""
    if "$ref" in schema:
        return fits(value, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    if "oneOf" in schema:
        return sum(fits(value, each, document) for each in schema["oneOf"]) == 1
    if "enum" in schema:
        return value in schema["enum"]
    kinds = {
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "boolean": isinstance(value, bool),
        "string": isinstance(value, str),
        "null": value is None,
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
    }
    if "type" not in schema:
        return True
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(kinds[each] for each in types):
        return False
    if isinstance(value, list):
        size = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        return size and all(fits(each, schema.get("items", {}), document) for each in value)
    if isinstance(value, dict):
        properties, rest = schema.get("properties", {}), schema.get("additionalProperties", {})
        return set(schema.get("required", [])) <= set(value) and all(
            fits(each, properties[name], document) if name in properties else rest is not False
            for name, each in value.items()
        )
    return True


def test_the_document_is_openapi(served: Server) -> None:
    """The document has the parts that OpenAPI asks for, and every reference in it leads somewhere."""
    document = ask(served.url, "GET", "/openapi.json").json

    assert document["openapi"].startswith("3.1.")
    assert {"title", "version"} <= set(document["info"])
    for path in document["paths"].values():
        for operation in path.values():
            assert operation["operationId"]
            assert all(response["description"] for response in operation["responses"].values())
    assert {reference.rpartition("/")[0] for reference in references(document)} == {"#/components/schemas"}
    assert {reference.rpartition("/")[2] for reference in references(document)} == set(
        document["components"]["schemas"]
    )


def test_the_document_is_made_from_the_signature(spec: ReplicaSpec) -> None:
    """A row of the document has the columns of the model, each required, and nothing else."""
    row = openapi(spec)["components"]["schemas"]["diagnosis.Row"]

    names = [column.name for column in spec.models[0].signature.inputs]
    assert list(row["properties"]) == row["required"] == names
    assert row["additionalProperties"] is False
    assert row["properties"]["mean radius"] == {
        "type": "number",
        "description": "In training: 6.981 to 28.11.",
    }


def test_the_documents_example_works(served: Server) -> None:
    """The example request, posted, is answered with the example answer; both fit the document's schemas."""
    document = ask(served.url, "GET", "/openapi.json").json
    operation = document["paths"]["/predict"]["post"]
    request = operation["requestBody"]["content"]["application/json"]
    answer = operation["responses"]["200"]["content"]["application/json"]

    answered = post(served.url, request["example"])

    assert answered.status == 200
    assert answered.json["predictions"] == answer["example"]["predictions"]
    assert answered.json["model"] == answer["example"]["model"]
    assert fits(request["example"], request["schema"], document)
    assert fits(answer["example"], answer["schema"], document)
    assert fits(answered.json, answer["schema"], document)
    assert fits(post(served.url, request["example"], "/predict?proba=1").json, answer["schema"], document)


def test_the_document_is_true(served: Server) -> None:
    """Every path of the document is there, and what it says of a refusal is what comes."""
    document = ask(served.url, "GET", "/openapi.json").json
    refusals = {400: b"x", 415: b"{}", 422: b"{}"}

    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method == "get":
                answered = ask(served.url, "GET", path)
                assert answered.status == 200
                assert (
                    answered.headers["content-type"].partition(";")[0]
                    in operation["responses"]["200"]["content"]
                )

    for status, body in refusals.items():
        kind = "text/html" if status == 415 else "application/json"
        answered = post(served.url, body, content_type=kind)
        told = document["paths"]["/predict"]["post"]["responses"][str(status)]["content"]
        assert answered.status == status
        assert answered.headers["content-type"] in told
        assert fits(answered.json, told["application/problem+json"]["schema"], document)


@pytest.mark.parametrize(
    "path", ["/v2/models/diagnosis/infer", "/v2/models/diagnosis/versions/1/infer", "/invocations"]
)
def test_the_examples_of_other_protocols_work(served: Server, spec: ReplicaSpec, path: str) -> None:
    """Each example is answered with the example's output, and what is said of a refusal is what comes."""
    document = ask(served.url, "GET", "/openapi.json").json
    operation = document["paths"][path]["post"]
    request = operation["requestBody"]["content"]["application/json"]
    answer = operation["responses"]["200"]["content"]["application/json"]

    answered = post(served.url, request["example"], path)
    refused = post(served.url, b"x", path)
    other = post(served.url, b"x", path, content_type="text/html")

    assert answered.status == 200
    assert spec.models[0].signature.example.output in str(answered.json)
    assert fits(request["example"], request["schema"], document)
    assert fits(answered.json, answer["schema"], document)
    told = operation["responses"]["400"]["content"]["application/json"]
    assert refused.status == 400
    assert fits(refused.json, told["schema"], document)
    assert other.status == 415
    assert other.headers["content-type"].partition(";")[0] in operation["responses"]["415"]["content"]


def test_a_nullable_column_is_documented() -> None:
    """Null is among the types of a column that may be null, in rows and in columns."""
    signature = small_signature(Column("a", "integer", nullable=True), example={"a": None})

    schemas = openapi(ReplicaSpec((ModelSpec("m@1", VERSION, "sklearn", "/nowhere", signature),)))[
        "components"
    ]["schemas"]

    assert schemas["m.Row"]["properties"]["a"]["type"] == ["integer", "null"]
    assert schemas["m.Columns"]["properties"]["a"]["items"]["type"] == ["integer", "null"]


def test_the_page_shows_each_field_and_asks_for_nothing_from_elsewhere(
    served: Server, spec: ReplicaSpec
) -> None:
    """The page names each column with what training saw, and loads neither script nor style nor picture."""
    answered = ask(served.url, "GET", "/docs")

    page_read = Reader(answered.body.decode())
    assert answered.headers["content-type"] == "text/html; charset=utf-8"
    assert answered.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'"
    for column in spec.models[0].signature.inputs:
        assert column.name in page_read.text
        assert f"{column.minimum:g} to {column.maximum:g}" in page_read.text
    assert page_read.addresses == ["openapi.json"]
    assert not {"script", "link", "img", "iframe"} & set(page_read.tags)


def test_the_pages_command_works(served: Server) -> None:
    """The curl line of the page, taken apart as a shell does, asks for what the page shows as its answer."""
    text = ask(served.url, "GET", "/docs").body.decode()
    command, shown = (
        html.unescape(each) for each in re.findall(r"<pre><code>(.*?)</code></pre>", text, re.DOTALL)
    )

    curl, url, dash_h, header, dash_d, body = shlex.split(command)
    answered = post(served.url, body.encode())

    assert (curl, dash_h, dash_d) == ("curl", "-H", "-d")
    assert (url, header) == (f"{served.url}/predict", "content-type: application/json")
    assert answered.status == 200
    assert answered.json["predictions"] == json.loads(shown)["predictions"]


def test_hostile_names_stay_text(spec: ReplicaSpec) -> None:
    """A column, a category, a class or a host that looks like markup or like a shell command does nothing."""
    column = Column(HOSTILE, "string", categories=(HOSTILE,))
    signature = small_signature(column, example={HOSTILE: "'; rm -rf ~"}, output=HOSTILE)
    url = "http://127.0.0.1:1"

    text = page(changed(spec, signature=signature), url)

    assert "script" not in Reader(text).tags
    assert HOSTILE in Reader(text).text
    command = html.unescape(re.findall(r"<pre><code>(.*?)</code></pre>", text, re.DOTALL)[0])
    assert json.loads(shlex.split(command)[-1]) == {"rows": [{HOSTILE: "'; rm -rf ~"}]}


def test_a_strange_host_header_is_not_repeated(served: Server) -> None:
    """What is no host is refused, and stands in no answer."""
    answer = ask(served.url, "GET", "/docs", headers={"host": "x';evil"})

    assert answer.status == 403
    assert b"evil" not in answer.body


def test_the_page_names_the_address_it_was_asked_at(served: Server) -> None:
    """What a reader copies from it reaches the server by the name that reached it before."""
    port = urlsplit(served.url).port

    text = ask(served.url, "GET", "/docs", headers={"host": f"localhost:{port}"}).body.decode()

    assert f"http://localhost:{port}/predict" in text
