"""What a replica answers with: model versions, their bytes and signatures, and the limits of requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct, field

from mlwright.kernel.errors import Corrupt, Invalid
from mlwright.kernel.ids import ALPHABET, VersionId, chances
from mlwright.serving.access import Access
from mlwright.serving.groups import Group
from mlwright.versioning.signatures import Signature
from mlwright.wire.bounds import Bounds

_RANDOM = 12
"""Characters of 5 bits: two predictions of a version among a billion share one with a chance of one half."""


class Limits(Struct, frozen=True):
    """What one request may ask for at most, and how many may wait for how long.

    Args:
        body_bytes: of a request in JSON, and of each field of a form that is no file.
        rows: of one request, or how many things it asks about by name.
        file_bytes: of all files of a request: the parts of a form, or the body if that is a file.
        spool_bytes: of all files on disk, of all requests that one model is being asked.
        timeout_ms: after which a request that has no answer gets 504; a request may ask for less.
        batch_rows: about how many rows a model is asked at a time; one request may hold more.
        batch_wait_ms: how long a model may be kept waiting for more to be asked together, where that pays.
        queue_rows: that wait for one model; with more, requests get 503.
        queue_ms: how long a request may have to wait until the model is asked; beyond, it gets 503 at once.
        shadow_bytes: of values that wait for one shadow, about; beyond, it is not asked.
    """

    body_bytes: int = 16 * 2**20
    rows: int = 10_000
    file_bytes: int = 256 * 2**20
    spool_bytes: int = 2**30
    timeout_ms: int = 30_000
    batch_rows: int = 1024
    batch_wait_ms: float = 5.0
    queue_rows: int = 20_000
    queue_ms: int = 1000
    shadow_bytes: int = 16 * 2**20


class Recording(Struct, frozen=True):
    """What is kept of predictions.

    Args:
        folder: the spool, absolute.
        per_second: how many answers at most; of more, each has the same chance.
        values: the columns whose values may be kept, `prediction` for what was answered, `*` for all.
            Of the others it is kept only how many values were missing.
        rows: how many of a request's rows at most.
        spool_bytes: what the spool may hold in all; what comes then is dropped.
    """

    folder: str
    per_second: int = 10
    values: tuple[str, ...] = ()
    rows: int = 100
    spool_bytes: int = 64 << 20


class ModelSpec(Struct, frozen=True):
    """One model version, as a replica is told of it.

    Args:
        model: the reference, as `diagnosis@1`.
        version_id: leads from every prediction's id back to the version.
        codec: the name of the codec that wrote the bytes, as `sklearn`.
        path: the file with the bytes, absolute, verified by whoever names it here.
        code: the folder with the project's code that its predictor is imported from; empty if it has none.
        onnx: the file with its conversion, likewise; where it is empty, its own library answers.
        python: the interpreter of the environment that it has for itself, where its packages and the server's
            exclude each other; empty where they are together.
    """

    model: str
    version_id: VersionId
    codec: str
    path: str
    signature: Signature
    code: str = ""
    onnx: str = ""
    python: str = ""

    @property
    def name(self) -> str:
        """Of the model, without its version."""
        return self.model.rpartition("@")[0]

    @property
    def number(self) -> str:
        """Of the version."""
        return self.model.rpartition("@")[2]


class ReplicaSpec(Struct, frozen=True):
    """Everything that a replica is told; it looks nothing else up.

    Args:
        models: at least one, of different names but for those of the group; the first is the one that is
            asked where none is named.
        unknown_fields: whether a field that the model does not know is refused, or ignored.
        recording: what is kept of predictions; None for nothing.
        access: on what terms it answers.
        bounds: how long clients are waited for, and how many are. Who has asked is kept for longer than
            proxies keep their connections.
        group: of the first model and others, which answer where it is asked; None if there is none.
    """

    models: tuple[ModelSpec, ...]
    limits: Limits = field(default_factory=Limits)
    unknown_fields: Literal["refuse", "ignore"] = "refuse"
    recording: Recording | None = None
    access: Access = field(default_factory=Access)
    bounds: Bounds = Bounds(idle_s=65.0, drain_s=10.0, linger_s=5.0)
    group: Group | None = None

    @property
    def told(self) -> str:
        """The models, for people: those of a group with what part each has."""
        return ", ".join(map(self._told, self.models))

    @property
    def grouped(self) -> tuple[ModelSpec, ...]:
        """The versions of the group; only the first model where there is none."""
        return tuple(each for each in self.models if self._is_grouped(each))

    @property
    def told_group(self) -> str:
        """Who answers where the first model is asked, for people."""
        return ", ".join(map(self._told, self.grouped))

    def path_of(self, model: ModelSpec) -> str:
        """Where `POST` asks this very version, and no other of its name."""
        alone = [each.name for each in self.models].count(model.name) == 1
        if alone and (self.group is None or model.model != self.models[0].model):
            return f"/models/{model.name}/predict"
        return f"/models/{model.name}/versions/{model.number}/predict"

    def checked(self) -> ReplicaSpec:
        """Itself.

        Raises:
            Invalid: two versions of one model which are no group: its name would not tell them apart; or the
                group is none.
            Incompatible: versions of the group do not take the same.
        """
        if self.group is not None:
            self.group.check(self.models)
        names = [each.name for each in self.models]
        twice = [each for each in self.models if names.count(each.name) > 1]
        if alone := [each.model for each in twice if not self._is_grouped(each)]:
            raise Invalid(
                f"{' and '.join(each.model for each in twice)} are versions of one model, and a server has"
                " one of each",
                hint=f"side by side: --split {alone[0]}=10, or --shadow {alone[0]}; or each by itself, on a"
                " port of its own",
            )
        if same := [each.model for each in twice if [one.model for one in twice].count(each.model) > 1]:
            raise Invalid(f"{same[0]} is named twice", hint="name each version once")
        return self

    def _is_grouped(self, model: ModelSpec) -> bool:
        first = model.model == self.models[0].model
        return first or (self.group is not None and model.model in self.group.members)

    def _told(self, model: ModelSpec) -> str:
        if self.group is None or not self._is_grouped(model):
            return model.model
        return f"{model.model} ({self.group.part_of(model.model)})"

    def write(self, path: Path) -> None:
        """Keep it as JSON."""
        path.write_bytes(msgspec.json.encode(self))

    @classmethod
    def read(cls, path: Path) -> ReplicaSpec:
        """What `write` kept.

        Raises:
            Corrupt: it is not a spec.
        """
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except msgspec.DecodeError as error:
            raise Corrupt(f"a replica's spec cannot be read: {error}", where=str(path)) from error


def prediction_ids(version: VersionId) -> Iterator[str]:
    """`VERSIONID-RANDOM`, again and again: it leads back to the version even when nothing else was kept."""
    return map(f"{version}-{{}}".format, chances(_RANDOM))


def version_behind(prediction_id: str) -> VersionId:
    """The id of the model version that gave a prediction.

    Raises:
        Invalid: it is not the id of a prediction.
    """
    version, _, letters = prediction_id.rpartition("-")
    if not version or len(letters) != _RANDOM or not set(letters) <= set(ALPHABET):
        raise Invalid(
            f"{prediction_id!r} is not the id of a prediction",
            hint="it stands in the answer as `id`, and in its header x-mlwright-prediction-id",
        )
    return VersionId(version)
