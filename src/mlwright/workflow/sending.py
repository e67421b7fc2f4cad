"""Arguments as a worker takes them: paths to read, the bytes of small values, or plain values."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from msgspec import Struct, field

from mlwright.kernel.digest import Digest
from mlwright.kernel.edges import Edge, End
from mlwright.sdk.codec_names import TREE
from mlwright.storage import check_out, load_tree
from mlwright.versioning import Artifact, Version
from mlwright.workflow.graph import Argument, Node
from mlwright.workflow.known import Known, Made, artifacts_in
from mlwright.workflow.records import Records
from mlwright.workflow.rooms import Rooms

_REMEMBERED = 4096


class SmallValues:
    """The newest inline values of a run: what was just made is wanted next, and may not be on disk."""

    def __init__(self, rooms: Rooms, records: Records) -> None:
        self._rooms = rooms
        self._records = records
        self._known: OrderedDict[Digest, bytes] = OrderedDict()

    def learn(self, values: Mapping[Digest, bytes]) -> None:
        """These were made."""
        self._known |= values
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def get(self, artifact: Artifact) -> bytes | None:
        """The bytes of an artifact when they are inline; None when they are a file."""
        if artifact.digest in self._known:
            return self._known[artifact.digest]
        if artifact.size_bytes > self._rooms.inline_bytes:
            return None
        found = self._rooms.objects.inline(artifact.digest)
        if found is None:
            self._records.flush()
            found = self._rooms.objects.inline(artifact.digest)
        return found


class Parcel(Struct):
    """The arguments of one attempt, on their way to a worker."""

    arguments: dict[str, Any] = field(default_factory=dict)
    parts: list[bytes] = field(default_factory=list)
    bytes_in: int = 0


class Sender(Struct, frozen=True):
    """Puts parcels together for one run.

    Args:
        listed: where the files of datasets lie, by version.
        folders: where copies of folders are made for those that take them; removed with the run's scratch.
    """

    rooms: Rooms
    known: Known
    datasets: Mapping[str, Version]
    small: SmallValues
    folders: Path
    listed: dict[str, dict[str, tuple[str, int, int]]] = field(default_factory=dict)

    def parcel(self, node: Node) -> Parcel:
        """The arguments of a node, all of which are known.

        Raises:
            Incompatible: one is a pickle from elsewhere.
            Corrupt: the bytes of one are damaged.
        """
        parcel = Parcel()
        for name, argument in node.inputs.items():
            parcel.arguments[name] = self._argument(argument, node.accepts.get(name, ""), parcel)
        return parcel

    def input_edges(self, later: End, node: Node, whole: Node | None = None) -> list[Edge]:
        """What a node takes, by the names of its arguments, and what its condition was.

        Args:
            whole: the mapped node that it is an element of. What it takes of a list that is one artifact is a
                plain value, made from all of that artifact.
        """
        whole = whole or node
        found = self._condition_edges(later, whole)
        for name in whole.mapped:
            argument = whole.inputs[name]
            made = self.known.outputs.get((argument.node, argument.output))
            if isinstance(made, Artifact):
                found.append(Edge(later, f"input:{name}", made.end))
        for name, argument in node.inputs.items():
            for part in argument.parts():
                if part.kind == "output":
                    made = self.known.outputs[part.node, part.output]
                    found += [Edge(later, f"input:{name}", each.end) for each in artifacts_in(made)]
                elif part.kind == "dataset":
                    found.append(Edge(later, f"input:{name}", self.datasets[part.value].end))
        return found

    def _condition_edges(self, later: End, node: Node) -> list[Edge]:
        """A gate's promise is no artifact: it leaves no edge."""
        if node.when is None:
            return []
        made = self.known.outputs.get((node.when.node, node.when.output))
        return [Edge(later, "when", made.end)] if isinstance(made, Artifact) else []

    def _argument(self, argument: Argument, wanted: str, parcel: Parcel) -> dict[str, Any]:
        match argument.kind:
            case "value":
                return {"kind": "value", "value": argument.value}
            case "dataset":
                version = self.datasets[argument.value]
                parcel.bytes_in += version.size_bytes
                return {"kind": "dataset", "value": version.reference, "files": self._files(version)}
            case "list":
                return {
                    "kind": "list",
                    "items": [self._argument(item, "", parcel) for item in argument.items],
                }
            case "dict":
                fields = {name: self._argument(item, "", parcel) for name, item in argument.fields.items()}
                return {"kind": "dict", "fields": fields}
        return self._made(self.known.outputs[argument.node, argument.output], wanted, parcel)

    def _files(self, version: Version) -> dict[str, tuple[str, int, int]]:
        """Where a dataset's files lie, looked up once for all attempts that take it."""
        if version.id not in self.listed:
            found = self.rooms.datasets.files(version)
            self.listed[version.id] = {
                name: (str(each.path), each.start, each.size_bytes) for name, each in found.items()
            }
        return self.listed[version.id]

    def _made(self, made: Made, wanted: str, parcel: Parcel) -> dict[str, Any]:
        if isinstance(made, tuple):
            return {"kind": "list", "items": [self._made(each, "", parcel) for each in made]}
        made.refuse_foreign_pickle(f"a value of type {made.type} that it takes")
        parcel.bytes_in += made.size_bytes
        sent = {"kind": "artifact", "codec": made.codec, "wanted": wanted or made.type}
        if made.codec == TREE:
            return {**sent, "path": str(self._folder(made))}
        inline = self.small.get(made)
        if inline is None:
            return {**sent, "path": str(self.rooms.objects.path(made.digest))}
        parcel.parts.append(inline)
        return {**sent, "part": len(parcel.parts) - 1}

    def _folder(self, made: Artifact) -> Path:
        """A copy of a folder's files, for one receiver, which takes it into its own place."""
        objects = self.rooms.objects
        self.folders.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self.folders)) / _folder_name(made)
        check_out(objects, load_tree(objects, made.digest), folder)
        return folder


def _folder_name(made: Artifact) -> str:
    """What the folder was called where it was made, if a folder can be called so here."""
    name = PurePosixPath(str(made.about.get("name", ""))).name
    return name if name not in {"", ".."} and name.isprintable() else "folder"
