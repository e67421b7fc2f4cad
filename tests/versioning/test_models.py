"""Models: registering is idempotent, the first version is champion, and a version knows what is behind it."""

from __future__ import annotations

from typing import Any

import pytest

from mlwright.kernel import edges
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Corrupt, Invalid, NotFound
from mlwright.versioning import Datasets, Models, Version, artifact
from mlwright.workspace import Workspace
from tests.happened import happened
from tests.versioning.conftest import SIGNATURE, digest, made

RUN = End("run", "01RUN")


def register(
    workspace: Workspace,
    models: Models,
    beginning: str,
    signature: dict[str, Any] = SIGNATURE,
    environment: End | None = None,
) -> tuple[Version, str]:
    """Register a model whose bytes have a digest that begins so, as a run would."""
    with workspace.database.transaction() as tx:
        return models.record(
            tx,
            "diagnosis",
            made(tx, digest(beginning)),
            signature=made(tx, digest("51")),
            signature_value=signature,
            scores=made(tx, digest("5c")),
            metrics={"auc": 0.97},
            parameters={"trees": 100, "seed": 0},
            run=RUN,
            message="from a test",
            environment=environment,
        )


def test_the_first_version_is_champion(workspace: Workspace, models: Models) -> None:
    """The first version that is registered becomes champion, and the move is kept with its reason."""
    version, told = register(workspace, models, "aa")

    assert told == "diagnosis@1 registered, diagnosis@champion from now on"
    assert models.versions.aliases("diagnosis") == {"champion": version}
    (move,) = models.versions.alias_moves("diagnosis")
    assert (move.from_number, move.to_number, move.reason) == (None, 1, "the first version that passed")


def test_later_versions_do_not_move_the_champion(workspace: Workspace, models: Models) -> None:
    """A later version is registered and the champion stays, until somebody moves it."""
    first, _ = register(workspace, models, "aa")

    second, told = register(workspace, models, "bb")

    assert (second.reference, told) == ("diagnosis@2", "diagnosis@2 registered")
    assert models.versions.aliases("diagnosis") == {"champion": first}


def test_a_champion_that_was_moved_by_hand_stays(workspace: Workspace, models: Models) -> None:
    """Once moved by hand, the champion is not taken back by the next registration."""
    register(workspace, models, "aa")
    second, _ = register(workspace, models, "bb")
    models.versions.set_alias("diagnosis@2", "champion", reason="better")

    register(workspace, models, "cc")

    assert models.versions.aliases("diagnosis") == {"champion": second}


@pytest.mark.parametrize("again", ["aa", "bb"])
def test_registering_twice_is_registering_once(again: str, workspace: Workspace, models: Models) -> None:
    """Bytes that a version holds already are that version: no number, no edge, no event, no move."""
    register(workspace, models, "aa")
    register(workspace, models, "bb")
    known = {"aa": "diagnosis@1", "bb": "diagnosis@2"}[again]
    events_before = happened(workspace.database)

    version, told = register(workspace, models, again)

    assert (version.reference, told) == (known, f"{known} holds these bytes already")
    assert len(models.versions.named("diagnosis")) == 2
    assert len(edges.made_into(workspace.database, RUN)) == 2
    assert happened(workspace.database) == events_before


def test_a_version_leads_to_its_run_signature_and_metrics(workspace: Workspace, models: Models) -> None:
    """A version's edges lead to its artifact, its run, its signature and the scores behind its metrics."""
    version, _ = register(workspace, models, "aa")

    made_from = {edge.role: edge.earlier for edge in edges.made_from(workspace.database, version.end)}

    assert set(made_from) == {"artifact", "run", "signature", "metrics"}
    assert made_from["run"] == RUN
    assert artifact(workspace.database, made_from["metrics"].id).digest == digest("5c")


def test_a_signature_that_is_none_registers_nothing(workspace: Workspace, models: Models) -> None:
    """What is no signature is refused before there is a version."""
    with pytest.raises(Corrupt, match="signature"):
        register(workspace, models, "aa", signature={"inputs": "age"})

    assert models.versions.newest() == []
    assert happened(workspace.database) == []


def test_the_detail_names_what_is_behind_a_version(
    workspace: Workspace, models: Models, datasets: Datasets
) -> None:
    """The detail of a version names code, data, environment, parameters, metrics, signature and aliases."""
    version, _ = register(workspace, models, "aa")
    with workspace.database.transaction() as tx:
        data = datasets.versions.add(tx, "patients", made(tx, digest("da")).id, message="", about={})
        edges.add(
            tx,
            [
                Edge(RUN, "code", End("snapshot", digest("c0"))),
                Edge(RUN, "environment", End("lock", digest("e0"))),
                Edge(RUN, "data:patients@latest", data.end),
            ],
        )

    detail = models.detail("diagnosis@champion")

    assert (detail.version, detail.aliases) == (version, ("champion",))
    assert (detail.code, detail.environment) == (digest("c0"), digest("e0"))
    assert detail.data == {"patients@latest": "patients@1"}
    assert (detail.metrics, detail.parameters) == ({"auc": 0.97}, {"trees": 100, "seed": 0})
    assert detail.signature.example.input == {"age": 41}


def test_a_model_of_an_environment_of_its_own_is_loaded_there(workspace: Workspace, models: Models) -> None:
    """The lock that a model was registered with stands before that of its run, and is part of its lineage."""
    version, _ = register(workspace, models, "aa", environment=End("lock", digest("e1")))
    with workspace.database.transaction() as tx:
        made_with = [Edge(RUN, "code", End("snapshot", digest("c0")))]
        edges.add(tx, [*made_with, Edge(RUN, "environment", End("lock", digest("e0")))])

    detail = models.detail("diagnosis@1")

    assert detail.environment == digest("e1")
    (edge,) = edges.made_from(workspace.database, version.end, "environment")
    assert edge.earlier == End("lock", digest("e1"))


def test_an_adopted_version_says_that_its_origin_is_elsewhere(
    workspace: Workspace, models: Models, other: Workspace
) -> None:
    """A version taken over from another workspace keeps its number, is nobody's champion, and says so."""
    stored = workspace.objects.put(b"{}").digest
    register(workspace, models, "aa")
    version, _ = register(workspace, models, stored)
    there = Models(other.database)

    for _ in range(2):
        there.adopt(
            version, artifact(workspace.database, version.artifact_id), workspace.objects, other.objects
        )

    adopted = there.versions.resolve("diagnosis@2")
    assert there.versions.newest() == [adopted]
    assert (adopted.digest, there.versions.aliases("diagnosis")) == (stored, {})
    assert not artifact(other.database, adopted.artifact_id).ours
    with pytest.raises(NotFound, match="diagnosis@2 was taken over from another workspace"):
        there.detail("diagnosis@2")


def test_what_was_only_taken_over_does_not_stand_in_the_way(
    workspace: Workspace, models: Models, other: Workspace
) -> None:
    """The same bytes can be registered here, as a version of their own; the other gets no alias."""
    stored = workspace.objects.put(b"{}").digest
    version, _ = register(workspace, models, stored)
    there = Models(other.database)
    there.adopt(version, artifact(workspace.database, version.artifact_id), workspace.objects, other.objects)

    with pytest.raises(Invalid, match="taken over"):
        there.versions.set_alias("diagnosis@1", "best")
    mine, _ = register(other, there, stored)

    assert mine.reference == "diagnosis@2"
    assert there.versions.aliases("diagnosis") == {"champion": mine}
    assert register(other, there, stored)[0] == mine
