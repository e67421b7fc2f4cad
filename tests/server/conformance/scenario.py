"""What a scenario is: a few calls of MLflow's client, what they cover, and where we mean to differ.

Read by two interpreters: by ours for the declarations, and by the one that has MLflow, which runs them. So
only the standard library is imported here and at the head of each module of scenarios.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit


@dataclass(frozen=True)
class Difference:
    """Answers in which we mean to differ.

    Args:
        endpoint: whose answers they are, as `endpoints.py` names it; empty when it is none of them.
        why: one sentence for the table.
        steps: of the scenario.
    """

    endpoint: str
    why: str
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Scenario:
    """Calls that are made to both servers.

    Args:
        name: of the function, said once.
        claim: its docstring.
        run: makes the calls.
        covers: endpoints that it sends requests to; the test sees that it does.
        differs: every answer that is not the same.
        shows: what of a framework or of the client as a whole it uses, for the table.
        needs: modules without which it is skipped.
        requests: how many requests some steps send, to either server.
    """

    name: str
    claim: str
    run: Callable[[Session], None]
    covers: tuple[str, ...]
    differs: tuple[Difference, ...] = ()
    shows: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    requests: dict[str, int] = field(default_factory=dict)


ALL: dict[str, Scenario] = {}
"""Every scenario whose module was imported, in that order."""


def scenario(
    *covers: str,
    differs: tuple[Difference, ...] = (),
    shows: tuple[str, ...] = (),
    needs: tuple[str, ...] = (),
    requests: dict[str, int] | None = None,
) -> Callable[[Callable[[Session], None]], Callable[[Session], None]]:
    """Declare a function as a scenario."""

    def declare(function: Callable[[Session], None]) -> Callable[[Session], None]:
        name, claim = function.__name__, " ".join((function.__doc__ or "").split())
        assert claim and name not in ALL, name
        ALL[name] = Scenario(name, claim, function, covers, differs, shows, needs, requests or {})
        return function

    return declare


def differs(endpoint: str, why: str, *steps: str) -> Difference:
    """Declare answers in which we mean to differ."""
    return Difference(endpoint, why, steps)


STRICT = "What is malformed is refused with 400; MLflow's server reads past it, or fails with 500."
WRONG = "What is wrong is the request: 400, INVALID_PARAMETER_VALUE."
CODED = "Each refusal has an `error_code`; MLflow's server leaves it out where it finds no method."


class Session:
    """What a scenario works with, inside the process that has MLflow.

    Args:
        mlflow: the package.
        url: of the server.
        folder: to work in.
    """

    def __init__(self, mlflow: Any, url: str, folder: Path) -> None:
        parts = urlsplit(url)
        self.mlflow = mlflow
        self.client = mlflow.MlflowClient()
        self.folder = folder
        self.url = url
        self.answers: dict[str, Any] = {}
        self._connection = HTTPConnection(parts.hostname or "", parts.port, timeout=60)

    def begin(self, name: str) -> None:
        """Tell the proxy what the next requests belong to."""
        self._connection.request("POST", f"/-/begin?{urlencode({'name': name})}")
        self._connection.getresponse().read()

    def tell(self, step: str, value: Any) -> Any:
        """Keep a value as an answer; returns it."""
        assert step not in self.answers, f"two steps are called {step!r}"
        self.answers[step] = plain(value)
        return value

    def ask(self, step: str, call: Callable[..., Any], /, *args: Any, **named: Any) -> Any:
        """Call, and keep what is answered: the value, or the code and status of the refusal.

        A refusal's sentence is each server's own, and is not compared.

        Returns:
            The value; None when it was refused.
        """
        try:
            value = call(*args, **named)
        except self.mlflow.exceptions.MlflowException as error:
            self.tell(step, {"refused": error.error_code, "status": error.get_http_status_code()})
            return None
        except Exception as error:  # of the client's own, or of the library that it asks with
            status = getattr(getattr(error, "response", None), "status_code", None)
            self.tell(step, {"raised": type(error).__name__, "status": status})
            return None
        return self.tell(step, value)

    def http(
        self, step: str, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Any:
        """One request by hand; what is kept is its status, and its JSON or its error's code.

        Args:
            body: bytes as they are, everything else as JSON.
        """
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        self._connection.request(method, path, sent, {"Content-Type": "application/json"} | (headers or {}))
        answer = self._connection.getresponse()
        content = answer.read()
        try:
            value = json.loads(content)
        except ValueError:
            value = content.decode(errors="replace") if answer.status < 400 else None
        if answer.status >= 400:
            code = value.get("error_code") if isinstance(value, dict) else None
            self.tell(step, {"refused": code, "status": answer.status})
        else:
            self.tell(step, {"status": answer.status, "body": value})
        return value


def plain(value: Any) -> Any:
    """A value of MLflow's as JSON has it; floats by their shortest text, so that each bit counts."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return int(value)
        case float():
            return f"float {float(value)!r}"
        case bytes():
            return f"bytes {value!r}"
        case Path():
            return str(value)
        case dict():
            return {str(key): plain(each) for key, each in value.items()}
    if hasattr(value, "token") and isinstance(value, list):
        return {"items": [plain(each) for each in value], "more": bool(value.token)}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if hasattr(value, "_properties"):
        return {name: plain(each) for name, each in value}
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return {str(name): [plain(each) for each in value[name].tolist()] for name in sorted(value.columns)}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return f"{type(value).__name__}: {value}"
