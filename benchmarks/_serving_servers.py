"""What is measured: a server, how it is started with a model, how it is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _processes import MLWRIGHT, PYTHON
from _serving_models import Asked

Command = Callable[[Asked, int, int], Sequence[str | Path]]
"""What is typed, for a model, so many workers, at a port."""
Row = Sequence[float]


@dataclass(frozen=True, slots=True, eq=False)
class Server:
    """A server of a model.

    Args:
        name: as `MLWRIGHT_SERVERS` names it.
        title: as the table does, with its version.
        command: starts it.
        path: where it is asked; `{model}` is the model's name.
        body: what it is sent as JSON about one row, given the names of the features.
        label: the label in its answer.
        prepare: what a user does with the model once, before any start.
        variables: of its environment.
        programs: the folder where its programs are looked for first.
        constant: it does not know the model, and answers the same to everything.
    """

    name: str
    title: str
    command: Command
    path: str
    body: Callable[[Sequence[str], Row], Any]
    label: Callable[[Any], Any]
    prepare: Command | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    programs: Path | None = None
    constant: bool = False


def _rows(names: Sequence[str], row: Row) -> Any:
    return {"rows": [dict(zip(names, row, strict=True))]}


def _label(answer: Any) -> Any:
    return answer["predictions"][0]


def _serve(*options: str) -> Command:
    def command(asked: Asked, workers: int, port: int) -> Sequence[str | Path]:
        model = [MLWRIGHT, "serve", f"{asked.model}@champion", "--project", asked.project]
        return [*model, "--port", str(port), "--replicas", str(workers), *options]

    return command


def _constant(asked: Asked, workers: int, port: int) -> Sequence[str | Path]:
    return [PYTHON, Path(__file__).with_name("_serving_constant.py"), str(workers), str(port)]


OURS = Server("ours", "mlwright", _serve("--runtime", "onnx"), "/predict", _rows, _label)
NATIVE = Server(
    "native", "mlwright --runtime native", _serve("--runtime", "native"), "/predict", _rows, _label
)
CONSTANT = Server("constant", "a constant, our server", _constant, "/", _rows, _label, constant=True)
