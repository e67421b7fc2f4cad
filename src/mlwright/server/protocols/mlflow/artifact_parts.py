"""MLflow's methods for a large file that a client sends in parts, several at a time.

Elsewhere a client gets addresses of a bucket for the parts; here they are sent to this server, too.
"""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any

from msgspec import Meta
from starlette.responses import Response

from mlwright.kernel.errors import Invalid
from mlwright.server.call import Call
from mlwright.server.permissions import Permission
from mlwright.server.protocols.mlflow import places
from mlwright.server.protocols.mlflow.errors import missing_value
from mlwright.server.protocols.mlflow.wire import EMPTY, Int64, Message, message
from mlwright.server.receiving import receive
from mlwright.server.routes import MIB, STREAMED, Route
from mlwright.storage.parts import MOST_PARTS
from mlwright.storage.uploads import IncomingFile
from mlwright.tracking.files import place_of

_PARTS = "/api/2.0/mlflow-artifacts/mpu/parts"
_NUMBER = re.compile(r"[0-9]{1,5}")


class _Create(Message):
    path: str | None = None
    num_parts: Int64 | None = None


class _Part(Message):
    part_number: Int64 | None = None
    etag: str | None = None


class _Complete(Message):
    path: str | None = None
    upload_id: str | None = None
    parts: Annotated[list[_Part], Meta(max_length=MOST_PARTS)] | None = None


class _Address(Message):
    """Where a client sends a part."""

    url: str
    part_number: int
    headers: dict[str, str]


async def _create(call: Call) -> Any:
    """Expect a file in parts, and tell where each is to be sent."""
    asked = await message(call, _Create, "path")
    files, place = call.tracker.files, _place(call, asked.path or "")
    await call.read(files.check, place)
    count = 1 if asked.num_parts is None else asked.num_parts
    name = await asyncio.to_thread(files.parts.begin, place, count)
    host = call.headers[b"host"].decode("latin-1")  # of which is known that it is this machine's
    begin = f"{call.request.scope['scheme']}://{host}{_PARTS}/{name}"
    addresses = [
        _Address(url=f"{begin}/{number}", part_number=number, headers={}) for number in range(1, count + 1)
    ]
    return {"upload_id": name, "credentials": addresses}


async def _send_part(call: Call) -> Response:
    """Take a part; the `ETag` of the answer names it."""
    parts, name, number = call.tracker.files.parts, call.names["name"], call.names["number"]
    if _NUMBER.fullmatch(number) is None:
        raise Invalid(f"{number[:20]!r} is not the number of a part")
    with IncomingFile(await asyncio.to_thread(parts.part, name, int(number))) as file:
        await receive(call, file.write, file.path.parent)
        digest = await asyncio.to_thread(parts.keep, name, int(number), file)
    return Response(None, 200, {"etag": f'"{digest}"'})


async def _complete(call: Call) -> Any:
    """Put a file together, of parts that all have come."""
    asked = await message(call, _Complete, "path", "upload_id", "parts")
    files, place, name = call.tracker.files, _place(call, asked.path or ""), asked.upload_id or ""
    named: dict[int, str] = {}
    for at, each in enumerate(asked.parts or ()):
        if each.part_number is None:
            raise missing_value(f"parts[{at}].part_number")
        named[each.part_number] = (each.etag or "").strip('"')
    await call.read(files.check, place)
    received = await asyncio.to_thread(files.parts.complete, name, place, named)
    await call.write(lambda tx: files.put(tx, place, received))
    return EMPTY


async def _abort(call: Call) -> Any:
    """Forget the parts that have come."""
    asked = await message(call, _Complete, "path", "upload_id")
    place = _place(call, asked.path or "")
    await asyncio.to_thread(call.tracker.files.parts.abort, asked.upload_id or "", place)
    return EMPTY


def _place(call: Call, local: str) -> str:
    """Where a file comes to lie: in the folder that the address names, called as on the client's disk.

    Args:
        local: its path there, of which the last part counts, whatever system it is.
    """
    name = places.plain(re.split(r"[/\\]", local)[-1])
    return place_of(f"{places.place(call, folder=True)}/{name}")


_W = Permission.WRITE
ROUTES = (
    Route("POST", "mlflow-artifacts/mpu/create/{path:path}", _create, _W),
    Route("POST", "mlflow-artifacts/mpu/complete/{path:path}", _complete, _W, 8 * MIB),
    Route("POST", "mlflow-artifacts/mpu/abort/{path:path}", _abort, _W),
    Route("PUT", "mlflow-artifacts/mpu/parts/{name}/{number}", _send_part, _W, STREAMED),
)
"""The methods, by their paths below `/api/2.0/`."""
