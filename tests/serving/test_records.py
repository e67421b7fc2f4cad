"""The record of predictions: a sample, masked, bounded, and never in the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mlwright.serving import Recording, ReplicaSpec, start
from mlwright.serving.records import OPEN, SEALED, Answered, Recorder, read_records, record_of, sealed
from mlwright.versioning.predictions import PredictionRecord
from tests.serving.conftest import PYTHON, VERSION, post, until


def answered(number: int = 0) -> Answered:
    """An answer to two rows of two columns, one value of which is missing."""
    columns = [[40.5, None], np.array([1, 2])]
    return Answered(
        f"{VERSION}-{number:012d}", "m@1", ["age", "ward"], columns, ["ill", "well"], 1.0, 1, 1.25
    )


def everything(folder: Path) -> list[PredictionRecord]:
    return [record for path in sealed(folder) for record in read_records(path)]


def test_values_are_kept_only_where_that_is_allowed(tmp_path: Path) -> None:
    """Without a word nothing of a value is kept, not even of the answer; with names theirs; with `*` all."""
    silent, some, all_ = (
        record_of(answered(), 1.0, Recording(str(tmp_path), values=values))
        for values in ((), ("ward", "prediction"), ("*",))
    )

    assert (silent.inputs, silent.predictions) == ({}, [])
    assert (some.inputs, some.predictions) == ({"ward": [1, 2]}, ["ill", "well"])
    assert all_.inputs == {"age": [40.5, None], "ward": [1, 2]}
    assert silent.missing == {"age": 1}
    assert (silent.rows, silent.took_us, silent.warnings) == (2, 250_000, 1)


def note(recorder: Recorder, answered: Answered) -> None:
    """As a model that is served does."""
    if (place := recorder.place()) is not None:
        recorder.keep(place, answered)


def test_of_many_answers_a_sample_is_kept_that_stands_for_all(tmp_path: Path) -> None:
    """However many there are in a second, so many are written, and their weights add up to all of them."""
    recorder = Recorder(Recording(str(tmp_path), per_second=5))
    for number in range(1000):
        note(recorder, answered(number))
    recorder.close()

    records = everything(tmp_path)

    assert 5 <= len(records) <= 10  # one second may end between them
    assert sum(record.weight for record in records) == pytest.approx(1000, rel=0.01)
    assert len({record.id for record in records}) == len(records)


def test_what_does_not_fit_is_dropped_and_counted(tmp_path: Path) -> None:
    """A spool that is full stays as large as it is; a folder that cannot be made does no harm either."""
    full = Recorder(Recording(str(tmp_path), spool_bytes=-1))
    (tmp_path / "file").touch()
    nowhere = Recorder(Recording(str(tmp_path / "file" / "spool")))

    for recorder in (full, nowhere):
        note(recorder, answered())
        recorder.close()

    assert (full.dropped, nowhere.dropped) == (1, 1)
    assert everything(tmp_path) == []


def test_what_a_dead_replica_left_open_is_taken(tmp_path: Path) -> None:
    """Its whole lines count; the one that it did not finish does not. A file that is written to is let be."""
    recorder = Recorder(Recording(str(tmp_path)))
    note(recorder, answered())
    until(lambda: bool(list(tmp_path.glob(f"*{OPEN}"))))
    (open_now,) = tmp_path.glob(f"*{OPEN}")
    (tmp_path / f"0-1{OPEN}").write_bytes(open_now.read_bytes() + b'{"id": "01')

    found = list(sealed(tmp_path))
    records = everything(tmp_path)
    recorder.close()

    assert [path.name for path in found] == [f"0-1{OPEN}"]
    assert len(records) == 1
    assert [path.suffix for path in sealed(tmp_path)] == [OPEN, SEALED]


def test_a_replica_records_what_it_answers(
    make_spec: Callable[..., ReplicaSpec], forest: object, frame: object, tmp_path: Path
) -> None:
    """Over HTTP: the record has the id that stood in the answer, and is there when the replica has ended."""
    spec = make_spec(forest, frame)
    row = spec.models[0].signature.example.input
    recording = Recording(str(tmp_path / "spool"), values=("mean radius", "prediction"))

    with start(ReplicaSpec(spec.models, recording=recording), PYTHON, folder=tmp_path / "serving") as server:
        told = post(server.url, {"rows": [row]}).json

    (record,) = everything(tmp_path / "spool")
    assert record.id == told["id"]
    assert record.inputs == {"mean radius": [row["mean radius"]]}
    assert record.predictions == told["predictions"]
    assert 0 < record.took_us < 60e6
    assert oct((tmp_path / "spool").stat().st_mode & 0o777) == "0o700"
