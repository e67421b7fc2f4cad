"""The bytes of artifacts and of datasets' files, whole or in ranges; a browser saves them, and shows none."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from mlwright.kernel.digest import Digest
from mlwright.kernel.errors import Invalid, NotFound, nearest
from mlwright.sdk.codec_names import TREE
from mlwright.sdk.ranges import Range
from mlwright.server.call import Call
from mlwright.server.operations import PREFIX
from mlwright.server.permissions import Permission
from mlwright.server.problems import MEDIA_TYPE
from mlwright.server.routes import Route
from mlwright.server.sending import send
from mlwright.storage import Tree, load_tree

_ARTIFACT = f"{PREFIX}/content/artifacts/{{reference:path}}"
_DATASET = f"{PREFIX}/content/datasets/{{reference}}/{{path:path}}"


async def _artifact(call: Call) -> Response:
    """The bytes of an artifact."""
    return send(*await call.tracker.threads.run(_of_artifact, call), call.headers)


async def _dataset(call: Call) -> Response:
    """A file of a version of a dataset."""
    return send(*await call.tracker.threads.run(_of_dataset, call), call.headers)


def _of_artifact(call: Call) -> tuple[str, Digest, bytes | list[Range]]:
    found = call.tracker.project.artifacts.get(call.names["reference"])
    digest = found.artifact.digest
    if found.artifact.codec == TREE:
        files = ", ".join(each.path for each in load_tree(call.tracker.rooms.objects, digest).entries[:5])
        raise Invalid(
            f"{found.reference} is a folder, with {files}",
            hint="if it is a dataset: /api/v1/content/datasets/NAME@V/PATH",
        )
    return found.file_name, digest, call.tracker.files.data(digest)


def _of_dataset(call: Call) -> tuple[str, Digest, bytes | list[Range]]:
    datasets, reference, path = call.tracker.project.datasets, call.names["reference"], call.names["path"]
    version = datasets.versions.resolve(reference)
    entry = _entry(datasets.tree(version), path, version.reference)
    return path.rpartition("/")[2], entry, call.tracker.files.data(entry)


def _entry(tree: Tree, path: str, reference: str) -> Digest:
    for each in tree.entries:
        if each.path == path:
            return each.digest
    near = nearest(path, [each.path for each in tree.entries[:1000]])
    raise NotFound(f"{reference} has no file {path!r}", hint=near)


ROUTES = (
    Route("GET", _ARTIFACT, _artifact, Permission.READ),
    Route("GET", _DATASET, _dataset, Permission.READ),
)
"""The routes of this module."""


def described() -> dict[str, Any]:
    """These routes in OpenAPI's words."""
    return {
        _ARTIFACT.replace(":path}", "}"): _described(
            "artifact_content", "The bytes of an artifact.", ["reference"]
        ),
        _DATASET.replace(":path}", "}"): _described(
            "dataset_content", "A file of a version of a dataset.", ["reference", "path"]
        ),
    }


def _described(name: str, summary: str, variables: list[str]) -> dict[str, Any]:
    content = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
    refused = {"$ref": "#/components/schemas/Problem"}
    told = {
        "operationId": name,
        "tags": ["content"],
        "summary": summary,
        "x-permission": Permission.READ,
        "parameters": [
            *(
                {"name": each, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
                for each in variables
            ),
            {"name": "range", "in": "header", "required": False, "schema": {"type": "string"}},
        ],
        "responses": {
            "200": {"description": "All of it.", "content": content},
            "206": {"description": "The bytes that were asked for.", "content": content},
            "304": {"description": "It is as it was: If-None-Match has its ETag."},
            "416": {"description": "There are no such bytes."},
            "default": {"description": "Why not.", "content": {MEDIA_TYPE: {"schema": refused}}},
        },
    }
    return {"get": told}
