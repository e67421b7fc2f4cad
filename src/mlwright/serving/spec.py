"""What a replica answers with: one model version, its bytes, its signature, its limits."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct, field

from mlwright.kernel.errors import Corrupt, Invalid
from mlwright.kernel.ids import VersionId
from mlwright.versioning.signatures import Signature

FAILURE = "failure.json"
"""The file beside the spec where a replica says why its model cannot be made ready."""

_BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM = 12
"""Characters of 5 bits: two predictions of a version among a billion share one with a chance of one half."""


class Limits(Struct, frozen=True):
    """What one request may ask for at most."""

    body_bytes: int = 16 * 2**20
    rows: int = 10_000


class ReplicaSpec(Struct, frozen=True):
    """Everything that a replica is told; it looks nothing else up.

    Args:
        model: the reference, as `diagnosis@1`.
        version_id: leads from every prediction's id back to the version.
        codec: the name of the codec that wrote the bytes, as `sklearn`.
        path: the file with the bytes, absolute, verified by whoever names it here.
    """

    model: str
    version_id: VersionId
    codec: str
    path: str
    signature: Signature
    limits: Limits = field(default_factory=Limits)

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


def new_prediction_id(version: VersionId) -> str:
    """`VERSIONID-RANDOM`: it leads back to the model version even when nothing else was kept."""
    number = int.from_bytes(os.urandom(8))
    return f"{version}-" + "".join(_BASE32[number >> 5 * place & 31] for place in range(_RANDOM))


def version_behind(prediction_id: str) -> VersionId:
    """The id of the model version that gave a prediction.

    Raises:
        Invalid: it is not the id of a prediction.
    """
    version, _, chance = prediction_id.rpartition("-")
    if not version or len(chance) != _RANDOM or not set(chance) <= set(_BASE32):
        raise Invalid(
            f"{prediction_id!r} is not the id of a prediction",
            hint="it stands in the answer as `id`, and in its header x-mlwright-prediction-id",
        )
    return VersionId(version)
