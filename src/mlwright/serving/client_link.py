"""One connection of a client to a served model: a request, its answer, and what went wrong in our words."""

from __future__ import annotations

import json
import select
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import urlsplit

from mlwright.kernel.errors import Invalid, MlwrightError, TimedOut, Unavailable
from mlwright.serving.client_bodies import Body

EVENTS = "text/event-stream"


class Link:
    """Opened when it is needed, and kept open between requests.

    Args:
        url: where the model is served, without a slash at the end.
        timeout_s: how long it is waited for each time.
        token: that the server asks for; empty for none.

    Raises:
        Invalid: not an address of that kind.
    """

    def __init__(self, url: str, timeout_s: float, token: str) -> None:
        self.url = url
        self._timeout_s = timeout_s
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._connection, self._path = _connection(url, timeout_s)

    def ask(self, method: str, target: str, body: Body | None = None) -> tuple[HTTPResponse, bytes]:
        """An answer, and what is in it; of a stream of events nothing is read yet.

        Raises:
            Unavailable: nobody answers.
            TimedOut: no answer in time.
            Invalid: a file cannot be read.
        """
        if self._was_closed():
            self.close()
        try:
            whole = self._send(method, self._path + target, body)
            response = self._connection.getresponse()
            content = b"" if is_stream(response) else response.read()
            if not whole:
                self.close()
            return response, content
        except TimeoutError as error:
            self.close()
            raise TimedOut(f"{self.url} did not answer within {self._timeout_s:g} s") from error
        except (OSError, HTTPException) as error:
            self.close()
            raise Unavailable(
                f"{self.url} does not answer: {error}", hint="start it: mlwright serve MODEL"
            ) from error
        except BaseException:
            self.close()  # an answer that nobody read must not meet the next request
            raise

    def close(self) -> None:
        """Close it; the next request opens another."""
        self._connection.close()

    def _send(self, method: str, path: str, body: Body | None) -> bool:
        """Send a request; whether all of it went: who refuses a large body may answer before he has it."""
        if body is None:
            self._connection.request(method, path, None, self._headers)
            return True
        with body.opened() as (size, content):
            headers = {"content-type": body.media_type, "content-length": str(size), **self._headers}
            with suppress(BrokenPipeError, ConnectionResetError):
                self._connection.request(method, path, content, headers)
                return True
        return False

    def _was_closed(self) -> bool:
        """Whether the other side closed the kept connection: an idle one can only give its end to read."""
        if self._connection.sock is None:
            return False
        poll = select.poll()
        poll.register(self._connection.sock, select.POLLIN)
        return bool(poll.poll(0))


def is_stream(response: HTTPResponse) -> bool:
    """Whether an answer comes piece by piece."""
    return response.status == 200 and response.getheader("content-type", "").partition(";")[0] == EVENTS


def refusal(url: str, status: int, answer: bytes) -> MlwrightError:
    """The problem document as an error of ours; its detail names the row and the column."""
    try:
        detail = str(json.loads(answer)["detail"])
    except (ValueError, TypeError, LookupError):
        detail = f"{url} answered with status {status}"
    if 400 <= status < 500:
        return Invalid(detail, hint=f"what the model takes: {url}/docs")
    return Unavailable(detail, where=url)


def _connection(url: str, timeout_s: float) -> tuple[HTTPConnection, str]:
    kinds = {"http": HTTPConnection, "https": HTTPSConnection}
    try:
        parts = urlsplit(url)
        kind, host, port = kinds[parts.scheme], parts.hostname or "", parts.port
    except (KeyError, ValueError):
        host = ""
    if not host:
        raise Invalid(f"{url!r} is not the address of a model", hint="write it as http://127.0.0.1:8000")
    return kind(host, port, timeout=timeout_s), parts.path
