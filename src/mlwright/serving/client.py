"""Asking a model that is served, from Python, with nothing but the standard library."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from mlwright.kernel.errors import Invalid, MlwrightError, TimedOut, Unavailable

_AGAIN = {429, 502, 503}
"""There is no answer now, and the model was not asked."""
_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer.

    Args:
        predictions: one for each row.
        probabilities: for each row, of each class by its name; None when they were not asked for.
        model: the version that answered, as `diagnosis@1`.
        id: leads back to that version.
        warnings: what of the rows lies outside of what training saw, in words; 20 at most.
    """

    predictions: list[Any]
    probabilities: list[dict[str, float]] | None
    model: str
    id: str
    warnings: tuple[str, ...] = ()


class Client:
    """One connection to a served model, kept open between requests. For one thread at a time.

    Args:
        url: where it is served, as `http://127.0.0.1:8000`.
        timeout_s: how long one answer may take.
        retries: how often it is asked again where nobody answered, or the server said that it may be: a
            prediction changes nothing.
        token: that the server asks for; empty for none.

    Raises:
        Invalid: not an address of that kind.
    """

    def __init__(self, url: str, *, timeout_s: float = 30.0, retries: int = 2, token: str = "") -> None:
        self.url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._retries = retries
        self._token = token
        self._connection, self._path = _connection(self.url, timeout_s)

    def predict(self, rows: Sequence[Mapping[str, Any]], *, proba: bool = False) -> Prediction:
        """Ask about rows.

        Args:
            rows: a value for each column of the model; None for one that is missing.
            proba: whether to ask for the probability of each class as well.

        Raises:
            Invalid: the model cannot be asked that; the message names the row and the column.
            Unavailable: nobody answers, or the model failed.
            TimedOut: no answer within `timeout_s`.
        """
        try:
            body = json.dumps({"rows": [dict(row) for row in rows]}, default=_plain).encode()
        except (TypeError, ValueError) as error:
            raise Invalid(f"the rows cannot be written as JSON: {error}") from error
        status, answer = self._ask("POST", "/predict" + ("?proba=1" if proba else ""), body)
        if status != 200:
            raise _refusal(self.url, status, answer)
        try:
            told = json.loads(answer)
            return Prediction(
                told["predictions"],
                told.get("probabilities"),
                told["model"],
                told["id"],
                tuple(told.get("warnings", ())),
            )
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise Unavailable(f"{self.url} does not answer as a served model does") from error

    def ready(self) -> bool:
        """Whether the model is loaded and has answered its example.

        Raises:
            Unavailable: nobody answers.
            TimedOut: no answer within `timeout_s`.
        """
        return self._ask_once("GET", "/health/ready", None)[0] == 200

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, method: str, target: str, body: bytes | None) -> tuple[int, bytes]:
        """The answer; that of the last try, if all say that there is none now."""
        for retry in range(self._retries + 1):
            last = retry == self._retries
            try:
                status, answer, wait_s = self._ask_once(method, target, body)
            except Unavailable:
                if last:
                    raise
                time.sleep(_PAUSE_S * 2**retry)
                continue
            if last or status not in _AGAIN:
                break
            time.sleep(min(wait_s, _LONGEST_PAUSE_S))
        return status, answer

    def _ask_once(self, method: str, target: str, body: bytes | None) -> tuple[int, bytes, float]:
        """The answer, and after what time it may be asked again."""
        if self._was_closed():
            self.close()
        headers = {} if body is None else {"content-type": "application/json"}
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        try:
            self._connection.request(method, self._path + target, body, headers)
            response = self._connection.getresponse()
            after = response.getheader("retry-after", "")
            wait_s = float(after) if after.isdecimal() else _PAUSE_S
            return response.status, response.read(), wait_s
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

    def _was_closed(self) -> bool:
        """Whether the other side closed the kept connection: an idle one can only give its end to read."""
        if self._connection.sock is None:
            return False
        poll = select.poll()
        poll.register(self._connection.sock, select.POLLIN)
        return bool(poll.poll(0))


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


def _plain(value: Any) -> Any:
    """NumPy's scalars by their value."""
    if hasattr(value, "item"):
        return value.item()
    from mlwright.sdk.types import with_article  # whose imports only this message needs

    raise TypeError(f"{with_article(type(value).__name__)} is not a number, text, true, false or null")


def _refusal(url: str, status: int, answer: bytes) -> MlwrightError:
    """The problem document as an error of ours; its detail names the row and the column."""
    try:
        detail = str(json.loads(answer)["detail"])
    except (ValueError, TypeError, LookupError):
        detail = f"{url} answered with status {status}"
    if 400 <= status < 500:
        return Invalid(detail, hint=f"what the model takes: {url}/docs")
    return Unavailable(detail, where=url)
