"""Asking a worker for one value, outside of any run: nothing is recorded but what the asker makes of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlwright.compute import LocalExecutor, Place, Report, Task
from mlwright.kernel.errors import MlwrightError, Unavailable, WorkFailed
from mlwright.sdk.frames import Frame
from mlwright.versioning import Artifact, Version
from mlwright.workflow.rooms import Rooms


class Asker:
    """A worker in one environment. Use it as a context manager: its processes live as long.

    Args:
        python: the interpreter of the environment.
        code: the folder of the project's code, where values of classes of the project are to be read.
    """

    def __init__(self, rooms: Rooms, python: Path, code: Path | None = None) -> None:
        self._rooms = rooms
        self._scratch = tempfile.TemporaryDirectory(prefix="mlwright-")
        self._place = Place(python, code or Path(self._scratch.name))
        self._executor = LocalExecutor(slots=1)

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.close()
        self._scratch.cleanup()

    def ask(self, step: str, arguments: Mapping[str, Any], what: str) -> Any:
        """What a step of ours answers, a JSON value; of several outputs, the only one.

        Args, Raises: as `outputs`.
        """
        (told,) = self.outputs(step, arguments, what).values()
        return told

    def outputs(self, step: str, arguments: Mapping[str, Any], what: str) -> dict[str, Any]:
        """What a step of ours gives, by name: JSON values, texts, bytes.

        Args:
            step: `module:function`.
            arguments: artifacts, datasets (`Version`), files (`Path`, read as one), JSON values, and
                dictionaries of these.
            what: how a message names it, as `diagnosis@1`.

        Raises:
            Incompatible: an artifact is a pickle from elsewhere.
            NotFound, Corrupt: the bytes of one are lost or damaged.
            Unavailable: a library is not in the environment, or the worker died.
            WorkFailed: the step raised.
        """
        head = {
            "id": "asked",
            "op": "execute",
            "step": step,
            "node": "asked",
            "seed": None,
            "scratch": self._scratch.name,
            "journal": f"{self._scratch.name}/asked.jsonl",
            "arguments": {name: self._argument(value, what) for name, value in arguments.items()},
        }
        self._executor.submit(Task("asked", self._place, Frame(head)))
        reports: list[Report] = []
        while not reports:
            reports = self._executor.wait()
        if reports[0].state != "done":
            raise _refusal(reports[0], what)
        return {told["name"]: _read(told, reports[0].parts) for told in reports[0].head["outputs"]}

    def _argument(self, value: Any, what: str) -> dict[str, Any]:
        match value:
            case Artifact():
                value.refuse_foreign_pickle(what)
                path = self._rooms.objects.path(value.digest, verify=True)
                return {"kind": "artifact", "codec": value.codec, "wanted": value.type, "path": str(path)}
            case Version():
                files = self._rooms.datasets.files(value).items()
                told = {name: (str(each.path), each.start, each.size_bytes) for name, each in files}
                return {"kind": "dataset", "value": value.reference, "files": told}
            case Path():
                size = value.stat().st_size
                return {"kind": "dataset", "value": value.name, "files": {value.name: (str(value), 0, size)}}
            case dict():
                fields = {name: self._argument(each, what) for name, each in value.items()}
                return {"kind": "dict", "fields": fields}
        return {"kind": "value", "value": value}


def _read(told: Mapping[str, Any], parts: Sequence[bytes]) -> Any:
    data = parts[told["part"]] if "part" in told else Path(told["path"]).read_bytes()
    match told["codec"]:
        case "json":
            return json.loads(data)
        case "bytes":
            return data
    return data.decode("utf-8", "surrogatepass")


def _refusal(report: Report, what: str) -> MlwrightError:
    if "error" not in report.head:
        words = f"\n{report.head['words']}" if report.head.get("words") else ""
        return Unavailable(f"{what}: the process that looked at it ended: {report.head['cause']}{words}")
    cause = report.head["error"]
    if cause["type"] in {"ModuleNotFoundError", "ImportError"}:
        return Unavailable(
            f"{what} cannot be loaded: {cause['message']}",
            hint="add the package to the environment: mlwright environments add NAME",
        )
    said = cause["message"] if cause.get("ours") else f"{cause['type']}: {cause['message']}"
    return WorkFailed(f"{what}: {said}", hint=cause.get("hint"))
