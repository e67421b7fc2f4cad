"""MLflow's methods for the files of runs and logged models, which all go through this server.

A run that we execute has them too: what its steps made and logged. They can be read.
"""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
from starlette.responses import Response, StreamingResponse

from mlwright.kernel.database import Source
from mlwright.kernel.digest import Digest
from mlwright.kernel.errors import NotFound
from mlwright.kernel.ids import RunId
from mlwright.sdk.ranges import Range
from mlwright.server.call import Call
from mlwright.server.permissions import Permission
from mlwright.server.protocols.mlflow import places, told
from mlwright.server.protocols.mlflow.errors import Refused, invalid, missing_value
from mlwright.server.protocols.mlflow.runs import OfRun
from mlwright.server.protocols.mlflow.wire import EMPTY, Message, message
from mlwright.server.receiving import receive
from mlwright.server.routes import STREAMED, Route
from mlwright.server.sending import send
from mlwright.tracking.files import ARTIFACTS, Listed
from mlwright.workflow.run_files import RunFiles

PAGE = 10_000
"""Of a run's files, so many are told at once."""
_DELETED_AT_ONCE = 1000


class _Listing(Message):
    path: str | None = None


class _OfRun(OfRun):
    path: str | None = None
    page_token: str | None = None


class FileMessage(Message):
    """A file or a folder as it is told."""

    path: str
    is_dir: bool
    file_size: int | None = None


async def _upload(call: Call) -> Any:
    """Store a file; over what was there."""
    files, place = call.tracker.files, places.place(call)
    await call.read(files.check, place)
    with files.upload() as upload:
        await receive(call, upload.write, call.tracker.rooms.objects.incoming)
        received = await asyncio.to_thread(upload.put)
    await call.write(lambda tx: files.put(tx, place, received))
    return Response()


async def _download(call: Call) -> Response:
    """Get a file, or a range of its bytes."""
    return await _sent(call, places.place(call))


async def _delete(call: Call) -> Any:
    """Delete a file, or a folder with all that is in it."""
    files, place = call.tracker.files, places.place(call, folder=True)
    while await call.write(lambda tx: files.delete(tx, place, _DELETED_AT_ONCE)) == _DELETED_AT_ONCE:
        pass
    return EMPTY


async def _list(call: Call) -> Any:
    """Tell what lies in a folder, by its place; nothing for a file, and for no folder."""
    asked = await message(call, _Listing)
    place = places.folder(asked.path)
    listed, end = await call.read(_inside, call, place, "")
    if not end:
        return {"files": told_files(listed)} if listed else EMPTY
    return StreamingResponse(_pages(call, place, listed, end), media_type="application/json")


async def _list_of_run(call: Call) -> Any:
    """Tell what lies in a folder of a run, a page at a time."""
    asked = await message(call, _OfRun)
    found = await call.read(call.tracker.reports.get, asked.run)
    return await page_below(call, told.artifact_uri(found), asked.path, asked.page_token)


async def page_below(call: Call, root_uri: str, path: str | None, token: str | None) -> dict[str, Any]:
    """A page of what lies in a folder of the files of a run or a logged model, in MLflow's words.

    Args:
        root_uri: where all its files are.
        path: of the folder, below that.
        token: of the page before; none for the first.

    Raises:
        Refused, Invalid: the path leads out of it, or the token is none.
    """
    folder = places.folder(path)
    place = root_uri.removeprefix("mlflow-artifacts:/") + (f"/{folder}" if folder else "")
    listed, end = await call.read(_inside, call, place, _cursor(token) if token else "")
    answer: dict[str, Any] = {"root_uri": root_uri}
    if listed:
        answer["files"] = told_files(listed, f"{folder}/" if folder else "")
    if end:
        answer["next_page_token"] = urlsafe_b64encode(end.encode()).decode()
    return answer


async def _download_of_run(call: Call) -> Response:
    """Get a file of a run, as clients of MLflow 1 ask for it."""
    asked = await message(call, _OfRun)
    if not asked.path:
        raise missing_value("path")
    found = await call.read(call.tracker.reports.get, asked.run)
    path = places.folder(asked.path)
    return await _sent(call, f"{found.experiment_id}/{found.id}/{ARTIFACTS}/{path}")


async def _no_url(_: Call) -> Any:
    """Refused: no URLs are signed here."""
    raise Refused(
        501, "NOT_IMPLEMENTED", "this server signs no URLs: send files to it, and fetch them from it"
    )


async def _sent(call: Call, place: str) -> Response:
    digest, data = await call.read(_found, call, place)
    return send(place.rpartition("/")[2], digest, data, call.headers)


def _found(source: Source, call: Call, place: str) -> tuple[Digest, bytes | list[Range]]:
    """The digest of the file at a place, and its bytes or where they lie."""
    files = call.tracker.files
    if (version := places.version(place)) is not None:
        return call.tracker.model_files.get(*version)
    owner = files.owner(source, place)
    if owner is not None and owner.ours:
        file = RunFiles(call.tracker.rooms).get(RunId(owner.id), owner.inside)
    else:
        file = files.get(source, place)
    return file.digest, files.data(file.digest)


def _inside(source: Source, call: Call, place: str, after: str) -> tuple[list[Listed], str]:
    """A page of what lies in a folder, and where the page ends."""
    files = call.tracker.files
    try:
        if (version := places.version(place)) is not None:
            return call.tracker.model_files.inside(*version), ""
        owner = files.owner(source, place)
    except NotFound:
        return [], ""
    if owner is not None and owner.ours:
        return RunFiles(call.tracker.rooms).inside(RunId(owner.id), owner.inside), ""
    return files.inside(source, place, after=after, limit=PAGE)


def told_files(listed: Iterable[Listed], folder: str = "") -> list[FileMessage]:
    """What lies in a folder, in MLflow's words.

    Args:
        folder: what stands before each name.
    """
    return [
        FileMessage(
            path=folder + each.name, is_dir=each.size_bytes is None, file_size=each.size_bytes or None
        )
        for each in sorted(listed, key=lambda each: each.name)
    ]


async def _pages(call: Call, place: str, listed: list[Listed], end: str) -> AsyncIterator[bytes]:
    """A long list, of which one page at a time is in memory."""
    yield b'{"files":' + msgspec.json.encode(told_files(listed))[:-1]
    while end:
        listed, end = await call.read(_inside, call, place, end)
        if listed:
            yield b"," + msgspec.json.encode(told_files(listed))[1:-1]
    yield b"]}"


def _cursor(token: str) -> str:
    """Where the page before ended, as this server told it."""
    try:
        text = urlsafe_b64decode(token.encode("ascii")).decode()
    except ValueError:
        text = "\0"
    if "\0" in text:
        raise invalid("Invalid page token, could not base64-decode")
    return text


_R, _W = Permission.READ, Permission.WRITE
_PLACE = "mlflow-artifacts/artifacts/{path:path}"
ROUTES = (
    Route("GET", "mlflow-artifacts/artifacts", _list, _R),
    Route("GET", _PLACE, _download, _R),
    Route("PUT", _PLACE, _upload, _W, STREAMED),
    Route("DELETE", _PLACE, _delete, _W),
    Route("GET", "mlflow/artifacts/list", _list_of_run, _R),
    Route("GET", "mlflow-artifacts/presigned/{path:path}", _no_url, _R),
    Route("POST", "mlflow/artifacts/presigned-upload-url", _no_url, _W),
    Route("POST", "mlflow/artifacts/presigned-download-url", _no_url, _W),
)
"""The methods, by their paths below `/api/2.0/`."""

OLD_ROUTES = (Route("GET", "/get-artifact", _download_of_run, _R),)
"""Those whose paths stand below nothing."""
