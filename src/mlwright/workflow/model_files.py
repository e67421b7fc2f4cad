"""The files of registered versions, for clients who know models by their files. They can be read only."""

from __future__ import annotations

from threading import Lock

from mlwright.kernel.digest import Digest, digest_of
from mlwright.kernel.errors import Invalid, NotFound
from mlwright.kernel.words import cut
from mlwright.sdk.ranges import Range
from mlwright.storage import Entry
from mlwright.tracking.files import Listed
from mlwright.workflow.model_mlflow import Folder, mlflow_folder
from mlwright.workflow.rooms import Rooms

_KEPT = 32
_SHOWN = 100


class ModelFiles:
    """The folders of versions, by the versions' ids; those that were asked for last are kept."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._kept: dict[str, Folder] = {}
        self._lock = Lock()  # readers are threads

    def inside(self, version: str, folder: str) -> list[Listed]:
        """What lies in a folder, one level of it; nothing if there is no such folder.

        Args:
            version: its whole id.
            folder: its path among the files of the version; empty for all of them.

        Raises:
            NotFound: there is no such version, or bytes of it are lost.
            Incompatible: MLflow cannot load it.
        """
        begin = f"{folder}/" if folder else ""
        found: dict[str, Listed] = {}
        for path, file in sorted(self._folder(version).items()):
            if path.startswith(begin):
                name, slash, _ = path[len(begin) :].partition("/")
                size = file.size_bytes if isinstance(file, Entry) else len(file)
                found[name] = Listed(name, None if slash else size)
        return [*found.values()]

    def get(self, version: str, path: str) -> tuple[Digest, bytes | list[Range]]:
        """One file: its digest, and its bytes or where they lie.

        Raises:
            NotFound: there is no such version or file, or its bytes are lost.
            Invalid: it is a folder.
            Incompatible: MLflow cannot load the version.
            Corrupt: the bytes are damaged.
        """
        file = self._folder(version).get(path)
        if isinstance(file, bytes):
            return digest_of(file), file
        if file is not None:
            small = self._rooms.objects.inline(file.digest)
            return file.digest, self._rooms.objects.packs.ranges(file.digest) if small is None else small
        if self.inside(version, path):
            raise Invalid(f"{cut(path, _SHOWN)!r} is a folder, and no file")
        raise NotFound(f"the version has no file {cut(path, _SHOWN)!r}")

    def check(self, version: str) -> None:
        """Refuse a version that MLflow cannot load.

        Raises:
            NotFound: there is no such version, or bytes of it are lost.
            Incompatible: MLflow cannot load it.
        """
        self._folder(version)

    def _folder(self, version: str) -> Folder:
        with self._lock:
            kept = self._kept.pop(version, None)
        if kept is None or not self._rooms.models.versions.exists(self._rooms.database, version):
            models = self._rooms.models
            kept = mlflow_folder(self._rooms, models.detail(models.versions.by_id(version).reference))
        with self._lock:
            self._kept[version] = kept
            while len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
        return kept
