"""Specs and the ids of predictions."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path

import pytest
from msgspec.structs import replace

from mlwright.kernel.errors import Corrupt, Invalid
from mlwright.serving import ReplicaSpec, version_behind
from mlwright.serving.spec import prediction_ids
from mlwright.versioning.signatures import Example
from tests.serving.conftest import VERSION, changed


def test_a_spec_is_read_as_it_was_written(spec: ReplicaSpec, tmp_path: Path) -> None:
    """What the engine writes is what the replica reads."""
    spec.write(tmp_path / "spec.json")

    read = ReplicaSpec.read(tmp_path / "spec.json")

    assert read == spec


def test_a_missing_value_of_the_example_is_null(spec: ReplicaSpec, tmp_path: Path) -> None:
    """NaN, as pandas keeps a missing value, becomes null, as a request would say it."""
    with_hole = Example({**spec.models[0].signature.example.input, "mean radius": math.nan}, "benign")
    changed(spec, signature=replace(spec.models[0].signature, example=with_hole)).write(
        tmp_path / "spec.json"
    )

    read = ReplicaSpec.read(tmp_path / "spec.json")

    assert read.models[0].signature.example.input["mean radius"] is None


def test_a_damaged_spec_is_named(tmp_path: Path) -> None:
    """A file that is no spec is reported with its path."""
    (tmp_path / "spec.json").write_text('{"model": 1}')

    with pytest.raises(Corrupt) as caught:
        ReplicaSpec.read(tmp_path / "spec.json")

    assert caught.value.where == str(tmp_path / "spec.json")


def test_a_prediction_id_leads_back_to_its_version() -> None:
    """The version's id is in the prediction's, and no two predictions share one."""
    ids = set(islice(prediction_ids(VERSION), 3000))

    assert len(ids) == 3000
    assert {version_behind(identity) for identity in ids} == {VERSION}


@pytest.mark.parametrize(
    "text", ["", "abc", str(VERSION), "-ABCDEFGHJKMN", f"{VERSION}-short", f"{VERSION}-abcdefghjkmn"]
)
def test_what_is_no_prediction_id_is_refused(text: str) -> None:
    """Nothing else leads anywhere."""
    with pytest.raises(Invalid, match="not the id of a prediction"):
        version_behind(text)


def test_two_versions_of_a_model_are_refused(spec: ReplicaSpec) -> None:
    """A name would not tell them apart."""
    other = replace(spec.models[0], model="diagnosis@2")

    with pytest.raises(Invalid, match="diagnosis@1 and diagnosis@2 are versions of one model"):
        ReplicaSpec((*spec.models, other)).checked()
