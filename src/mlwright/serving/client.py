"""Asking a model that is served, from Python, with nothing but the standard library."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from mlwright.kernel.errors import Invalid, Unavailable
from mlwright.sdk.kinds import Media
from mlwright.serving.client_bodies import Body, body_of
from mlwright.serving.client_link import Link, is_stream, refusal
from mlwright.serving.client_stream import Stream

_AGAIN = {429, 502, 503}
"""There is no answer now, and the model was not asked."""
_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0

Asked = Sequence[Mapping[str, Any]] | Mapping[str, Any] | str | bytes | Path | Media
"""Rows; values by name; or the only thing that a model needs."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer.

    Args:
        predictions: one for each row, or each thing that was asked about.
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

        client.predict([{"age": 41}, {"age": 67}], proba=True)
        client.predict(image=Path("three.png"), top=3)
        client.predict("good fun")
        for piece in client.stream(video=Path("film.mp4")): ...

    Args:
        url: where it is served, as `http://127.0.0.1:8000`.
        timeout_s: how long one answer may take; of a stream, each piece.
        retries: how often it is asked again where nobody answered, or the server said that it may be: a
            prediction changes nothing.
        token: that the server asks for; empty for none.
        model: which one is asked, of a server with several, without its version; empty for its first.

    Raises:
        Invalid: not an address of that kind.
    """

    def __init__(
        self, url: str, *, timeout_s: float = 30.0, retries: int = 2, token: str = "", model: str = ""
    ) -> None:
        self.url = url.rstrip("/")
        self._target = f"/models/{quote(model, safe='')}/predict" if model else "/predict"
        self._retries = retries
        self._timeout_s = timeout_s
        self._token = token
        self._link = self._opened()

    def predict(self, asked: Asked | None = None, /, *, proba: bool = False, **inputs: Any) -> Prediction:
        """Ask the model, and wait for its answer.

        Args:
            asked: of a model of tables, rows: a value for each column, None for one that is missing. Of any
                other, values by name, or the only one that it needs: a text, bytes, or a `Path`.
            proba: whether to ask for the probability of each class as well.
            inputs: values by name: JSON values, arrays, and for files a `Path`, bytes, or a list of these.
                A file is read as it is sent, and never held in memory.

        Returns:
            The predictions; bytes in them are `{"b64": ..., "media_type": ...}`.

        Raises:
            Invalid: the model cannot be asked that, or answers in pieces; the message names what is wrong. Or
                a file cannot be read.
            Unavailable: nobody answers, or the model failed.
            TimedOut: no answer within `timeout_s`.
        """
        target = self._target + ("?proba=1" if proba else "")
        response, answer = self._answer(self._link, target, body_of(asked, inputs))
        if is_stream(response):
            self._link.close()
            raise Invalid("the model answers in pieces", hint="take them one by one: client.stream(...)")
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

    def stream(self, asked: Asked | None = None, /, **inputs: Any) -> Stream:
        """Ask a model that answers in pieces; they are had as they come, on a connection of their own.

        Args:
            asked: as for `predict`.
            inputs: as for `predict`.

        Returns:
            An iterator, to be closed (it is a context manager) where it is not read to its end.

        Raises:
            Invalid, Unavailable, TimedOut: as `predict`; while it is read, too. Invalid also where the model
                answers at once.
        """
        link = self._opened()
        try:
            response, _ = self._answer(link, self._target, body_of(asked, inputs))
            if not is_stream(response):
                raise Invalid("the model does not answer in pieces", hint="ask it by client.predict(...)")
            return Stream(self.url, response, link.close)
        except BaseException:
            link.close()
            raise

    def ready(self) -> bool:
        """Whether the model is loaded and has answered its example.

        Raises:
            Unavailable: nobody answers.
            TimedOut: no answer within `timeout_s`.
        """
        return self._link.ask("GET", "/health/ready")[0].status == 200

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _opened(self) -> Link:
        return Link(self.url, self._timeout_s, self._token)

    def _answer(self, link: Link, target: str, body: Body) -> tuple[HTTPResponse, bytes]:
        """The answer of the model; where there is none now, it is asked again.

        Raises:
            MlwrightError: what the last try gave instead.
        """
        for retry in range(self._retries + 1):
            last = retry == self._retries
            try:
                response, answer = link.ask("POST", target, body)
            except Unavailable:
                if last:
                    raise
                time.sleep(_PAUSE_S * 2**retry)
                continue
            if last or response.status not in _AGAIN:
                break
            after = response.getheader("retry-after", "")
            time.sleep(min(float(after) if after.isdecimal() else _PAUSE_S, _LONGEST_PAUSE_S))
        if response.status != 200:
            raise refusal(self.url, response.status, answer)
        return response, answer
