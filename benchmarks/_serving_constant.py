"""The least that a request can cost on our server: its body is read and parsed, the answer is one constant.

    python benchmarks/_serving_constant.py WORKERS PORT

An ASGI application on `mlwright.wire`, as a replica is; with more than one worker each is a process with a
socket of its own at the same port, as replicas have. The answer is as long as that of a model.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

import msgspec

from mlwright.wire.loop import serve

_ANSWER = b'{"predictions":[1],"model":"constant@1","id":"01JD8ZZZZZZZZZZZZZZZZZZZZZ-000000000000"}'
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_ANSWER))]
_parsed = msgspec.json.Decoder().decode


async def constant(scope: Any, receive: Any, send: Any) -> None:
    """Answer the same to everything."""
    if scope["type"] == "lifespan":
        for what in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{what}.complete"})
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    _parsed(body)
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _ANSWER})


def main(workers: int, port: int) -> None:
    for _ in range(workers - 1):
        if os.fork() == 0:
            break
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(2048)
    serve(constant, listener, lambda: None)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
