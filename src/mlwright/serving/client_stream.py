"""An answer that comes piece by piece, as server-sent events.

Source: WHATWG HTML Living Standard, 9.2 Server-sent events.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse
from types import TracebackType
from typing import Any, Self

from mlwright.kernel.errors import MlwrightError, TimedOut, Unavailable
from mlwright.serving.client_link import refusal


class Stream(Iterator[Any]):
    """The pieces of an answer, as the model makes them. Closing it tells the model to stop.

    Args:
        model: the version that answers, as `films@1`.
        id: of the prediction; leads back to that version.
    """

    def __init__(self, url: str, response: HTTPResponse, close: Callable[[], object]) -> None:
        self.model: str = response.getheader("x-mlwright-model", "")
        self.id: str = response.getheader("x-mlwright-prediction-id", "")
        self._url = url
        self._response = response
        self._close = close
        self._ended = False

    def __next__(self) -> Any:
        """The next piece.

        Raises:
            Invalid: the model refuses to go on.
            Unavailable: it failed, or the connection broke before the end.
            TimedOut: no piece came in time.
        """
        if self._ended:
            raise StopIteration
        try:
            kind, data = self._event()
            if kind == "message":
                return json.loads(data)
        except TimeoutError as error:
            self.close()
            raise TimedOut(f"{self._url} did not send the next piece in time") from error
        except (OSError, HTTPException, ValueError) as error:
            self.close()
            raise Unavailable(f"{self._url} stopped within its answer: {error}") from error
        self.close()
        if kind == "error":
            raise self._failure(data)
        raise StopIteration

    def close(self) -> None:
        """End it, also before its end."""
        self._ended = True
        self._response.close()
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _event(self) -> tuple[str, bytes]:
        """The name of the next event, and its data."""
        kind, data = "message", list[bytes]()
        while line := self._response.readline():
            line = line.rstrip(b"\r\n")
            field, _, value = line.partition(b":")
            if not line and data:
                return kind, b"\n".join(data)
            if field == b"event":
                kind = value.strip().decode()
            elif field == b"data":
                data.append(value.removeprefix(b" "))
        raise OSError("the connection was closed")

    def _failure(self, document: bytes) -> MlwrightError:
        try:
            status = int(json.loads(document)["status"])
        except (ValueError, TypeError, LookupError):
            status = 500
        return refusal(self._url, status, document)
