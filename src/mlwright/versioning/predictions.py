"""What versions have answered: samples that replicas recorded, brought into the workspace in batches."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from mlwright.kernel import edges, events
from mlwright.kernel.clock import now_us, parse_moment
from mlwright.kernel.database import Database, Queries
from mlwright.kernel.digest import Digest
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Corrupt, NotFound
from mlwright.kernel.ids import VersionId, new_id
from mlwright.kernel.pages import Mark, Page, read_mark, write_mark
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.words import counted
from mlwright.storage import InlineObjects
from mlwright.versioning.versions import Versions

_SQL = Queries.beside(__file__)
KIND = "prediction_batch"
_AT_ONCE = 100
_LAST = (2**63 - 1, "~")
"""A place after every batch."""


class PredictionRecord(Struct, frozen=True, omit_defaults=True):
    """One answer.

    Args:
        id: of the prediction.
        model: the version that answered, as `diagnosis@1`.
        at_us: when, in microseconds since 1970.
        took_us: from the request's head to the answer; of a shadow, how long it computed.
        rows: how many were asked about.
        weight: how many answers this one stands for.
        inputs: for each column whose values may be kept, those of the first rows.
        missing: for each column with missing values, how many there were.
        predictions: of the first rows, where they may be kept.
        warnings: how many columns had values outside of what training saw.
        shadow_of: the id of what the client was answered by another version, where this one was only asked
            the same; no client has seen its answer. Empty otherwise.
        agreed: of a shadow, how many of the rows it answered alike.
        answered: of a shadow, what the client was answered, as `predictions`.
    """

    id: str
    model: str
    at_us: int
    took_us: int
    rows: int
    weight: float = 1.0
    inputs: dict[str, list[Any]] = {}
    missing: dict[str, int] = {}
    predictions: list[Any] = []
    warnings: int = 0
    shadow_of: str = ""
    agreed: int = 0
    answered: list[Any] = []


class PredictionBatch(Struct, frozen=True):
    """Records of one version, in one object.

    Args:
        first_us, last_us: when the first and the last were answered.
        answers: how many answers they stand for.
    """

    id: str
    version_id: VersionId
    digest: Digest
    first_us: int
    last_us: int
    records: int
    answers: float


class Predictions:
    """The recorded predictions of a workspace.

    Args:
        versions: of models.
    """

    def __init__(self, database: Database, objects: InlineObjects, versions: Versions) -> None:
        self._database = database
        self._objects = objects
        self._versions = versions

    def add(self, records: Iterable[PredictionRecord]) -> int:
        """Keep records; those of a version that is not there are left out. The same ones twice are kept once.

        Returns:
            How many are new here.
        """
        of: dict[str, list[PredictionRecord]] = {}
        for record in records:
            of.setdefault(record.id.rpartition("-")[0], []).append(record)
        return sum(self._add(VersionId(version), found) for version, found in of.items())

    def _add(self, version: VersionId, records: list[PredictionRecord]) -> int:
        if not self._versions.exists(self._database, version):
            return 0
        lines = b"".join(msgspec.json.encode(record) + b"\n" for record in records)
        stored = self._objects.put(gzip.compress(lines, mtime=0))
        times, end = [record.at_us for record in records], End(KIND, new_id())
        with self._database.transaction() as tx:
            is_new = tx.read(
                _SQL["add_prediction_batch"],
                id=end.id,
                version_id=version,
                digest=stored.digest,
                first_us=min(times),
                last_us=max(times),
                records=len(records),
                answers=sum(record.weight for record in records),
            )
            if is_new:
                bytes_, answered = End("object", stored.digest), End("version", version)
                edges.add(tx, [Edge(end, "bytes", bytes_), Edge(end, "answered_by", answered)])
        return len(records) if is_new else 0

    def page(self, model: str = "", *, limit: int, token: str = "") -> Page[PredictionRecord]:
        """Records, the newest first.

        Args:
            model: a model, or one of its versions; empty for all.
            limit: at most so many.
            token: of the page before.

        Raises:
            NotFound: there is no such model.
            Invalid: the token is of another search.
            Corrupt: a batch cannot be read.
        """
        name, number = self._meant(model)
        search = f"predictions {name}@{number}"
        last_us, before, skip = read_mark(token, search).keys if token else (*_LAST, 0)
        found: list[PredictionRecord] = []
        for batch in self._batches(name, number, int(last_us), str(before)):
            records = self._records(batch)[::-1][int(skip) :]
            taken = records[: limit - len(found)]
            found += taken
            if len(found) == limit:
                place = (last_us, before, int(skip) + len(taken))
                return Page(found, write_mark(Mark(0, place), search))
            last_us, before, skip = batch.last_us, batch.id, 0
        return Page(found)

    def find(self, identity: str) -> PredictionRecord:
        """The record of a prediction.

        Raises:
            NotFound: it is not in the sample, or not here yet.
            Corrupt: a batch cannot be read.
        """
        version = self._versions.by_id(identity.rpartition("-")[0])
        for batch in self._batches(version.name, version.number):
            for record in self._records(batch):
                if record.id == identity:
                    return record
        raise NotFound(
            f"nothing is recorded of the prediction {identity}, which {version.reference} gave",
            hint="a sample is kept, and comes here within two minutes; what it was made from is known all the"
            f" same: mlwright lineage {identity}",
        )

    def plan_removal(self, model: str = "", *, before: str) -> Plan:
        """What `remove` would take away.

        Raises:
            NotFound: there is no such model.
            Invalid: the time cannot be read.
        """
        found = list(self._ended(model, before))
        records = sum(batch.records for batch in found)
        why = f"of {counted(len({batch.version_id for batch in found}), 'version')}"
        change = Change("remove", counted(records, "recorded prediction"), why)
        return Plan("remove recorded predictions", (change,) if found else ())

    def remove(self, model: str = "", *, before: str) -> Plan:
        """Take batches away that ended before a time; their bytes go when garbage is collected.

        Raises:
            NotFound: there is no such model.
            Invalid: the time cannot be read.
        """
        plan = self.plan_removal(model, before=before)
        for batch in list(self._ended(model, before)):
            with self._database.transaction() as tx:
                if not tx.read(_SQL["remove_prediction_batch"], id=batch.id):
                    continue  # somebody else was faster
                edges.remove(tx, End(KIND, batch.id))
                told = msgspec.structs.asdict(batch)
                events.record(
                    tx, "prediction.removed", End("version", batch.version_id), before=told, after=None
                )
        return plan

    def _ended(self, model: str, before: str) -> Iterator[PredictionBatch]:
        name, number = self._meant(model)
        return self._batches(name, number, parse_moment(before, now_us()) or 0, "")

    def _meant(self, model: str) -> tuple[str, int]:
        if not model:
            return "", 0
        if "@" in model:
            version = self._versions.resolve(model)
            return version.name, version.number
        return self._versions.resolve(model).name, 0

    def _batches(
        self, name: str, number: int, last_us: int = _LAST[0], before: str = _LAST[1]
    ) -> Iterator[PredictionBatch]:
        while True:
            rows = self._database.read(
                _SQL["prediction_batches"],
                name=name,
                number=number,
                last_us=last_us,
                before=before,
                limit=_AT_ONCE,
            )
            for row in rows:
                yield msgspec.convert(row, PredictionBatch)
            if len(rows) < _AT_ONCE:
                return
            last_us, before = rows[-1]["last_us"], rows[-1]["id"]

    def _records(self, batch: PredictionBatch) -> list[PredictionRecord]:
        try:
            lines = gzip.decompress(self._objects.get(batch.digest)).splitlines()
            return [msgspec.json.decode(line, type=PredictionRecord) for line in lines]
        except (OSError, EOFError, msgspec.DecodeError) as error:
            raise Corrupt(
                f"recorded predictions cannot be read: {error}", where=f"b3:{batch.digest}"
            ) from error
