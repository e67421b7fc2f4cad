"""What a run of ours made, as files in folders, for clients who know runs by their files: to be read.

What a step logged lies under its name (under `STEP/NAME` when an earlier step logged something there), its
outputs under `outputs/STEP/NAME`, with the suffix of what they are written as. A dataset is a folder.
"""

from __future__ import annotations

from mlwright.kernel.errors import Invalid, NotFound
from mlwright.kernel.ids import RunId
from mlwright.kernel.words import cut
from mlwright.sdk.codec_names import TREE
from mlwright.storage import load_tree
from mlwright.tracking.files import File, Listed
from mlwright.versioning import Artifact
from mlwright.workflow.artifacts import SUFFIXES, Artifacts, NamedArtifact
from mlwright.workflow.rooms import Rooms

OUTPUTS = "outputs"
_SHOWN = 100


class RunFiles:
    """The files of runs that we execute."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._artifacts = Artifacts(rooms)

    def inside(self, run: RunId, folder: str) -> list[Listed]:
        """What lies in a folder, one level of it; nothing if there is no such folder.

        Args:
            folder: its path among the files of the run; empty for all of them.

        Raises:
            NotFound: there is no such run.
            Corrupt: the list of a folder's files is damaged.
        """
        begin = f"{folder}/" if folder else ""
        found: dict[str, Listed] = {}
        for path, artifact in self._placed(run).items():
            if artifact.codec == TREE:
                if path.startswith(begin):
                    name = path[len(begin) :].partition("/")[0]
                    found[name] = Listed(name, None)
                elif begin.startswith(f"{path}/"):
                    for entry in load_tree(self._rooms.objects, artifact.digest).entries:
                        _list(found, begin, f"{path}/{entry.path}", entry.size_bytes)
            else:
                _list(found, begin, path, artifact.size_bytes)
        return sorted(found.values(), key=lambda each: each.name)

    def get(self, run: RunId, path: str) -> File:
        """One file.

        Raises:
            NotFound: there is no such run, or it made no such file.
            Invalid: it is a folder.
            Corrupt: the list of its folder's files is damaged.
        """
        for place, artifact in self._placed(run).items():
            if artifact.codec != TREE:
                if place == path:
                    return File(path, artifact.digest, artifact.size_bytes)
            elif path.startswith(f"{place}/"):
                for entry in load_tree(self._rooms.objects, artifact.digest).entries:
                    if f"{place}/{entry.path}" == path:
                        return File(path, entry.digest, entry.size_bytes)
        shown = cut(path, _SHOWN)
        if self.inside(run, path):
            raise Invalid(f"{shown!r} is a folder, and no file")
        raise NotFound(f"run {run} made no file {shown!r}")

    def _placed(self, run: RunId) -> dict[str, Artifact]:
        """Every artifact of a run by its path, of which none lies in another that is a file."""
        placed: dict[str, Artifact] = {}
        folders: set[str] = {OUTPUTS}
        for each in self._artifacts.list(run):
            first = _path(each)
            for path in (first, f"{each.step}/{each.name}", f"{each.step}/{each.role}/{each.name}"):
                above = _above(path)
                if path not in placed and path not in folders and not any(one in placed for one in above):
                    placed[path] = each.artifact
                    folders.update(above)
                    break
        return placed


def _path(artifact: NamedArtifact) -> str:
    if artifact.role == "logged":
        return artifact.name
    suffix = SUFFIXES.get(artifact.artifact.codec, "")
    return f"{OUTPUTS}/{artifact.step}/{artifact.name.removesuffix(suffix)}{suffix}"


def _above(path: str) -> list[str]:
    """The folders that a path lies in."""
    names = path.split("/")
    return ["/".join(names[:depth]) for depth in range(1, len(names))]


def _list(found: dict[str, Listed], begin: str, path: str, size_bytes: int) -> None:
    """Note what a path is in a folder, if it lies in there."""
    if path.startswith(begin):
        name, slash, _ = path[len(begin) :].partition("/")
        found[name] = Listed(name, None if slash else size_bytes)
