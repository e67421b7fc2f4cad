"""Versions converted to ONNX: the verdict is on record, and a replica answers as the model does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from msgspec import structs

from mlwright.app import Project
from mlwright.kernel import edges
from mlwright.kernel.errors import Incompatible
from mlwright.replicas import spec_of
from mlwright.runtimes import converting_beside
from mlwright.sdk.codecs import codec_named
from mlwright.serving import Client, Limits, serve_requirements
from mlwright.versioning import Version
from mlwright.versioning.conversions import remove_conversion
from mlwright.versioning.lineage import loose_edges
from mlwright.workflow.conversion import known_conversion
from tests.conftest import PYPROJECT, mlwright, write
from tests.processes import until
from tests.workflow.lent import lend, lend_more

PIPELINE = """
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.kernel_ridge import KernelRidge

from mlwright import Dataset, pipeline, step
from mlwright.steps import register


@step
def load(data: Dataset) -> pd.DataFrame:
    return data.table().to_pandas()


@step
def fit(train: pd.DataFrame) -> RandomForestClassifier:
    return RandomForestClassifier(100, random_state=0).fit(train[["age", "size"]], train["ill"])


@step
def strange(train: pd.DataFrame) -> KernelRidge:
    return KernelRidge().fit(train[["age", "size"]], train["ill"])


@step
def blind(data: Dataset) -> RandomForestClassifier:
    train = data.table().to_pandas()
    return RandomForestClassifier(5, random_state=0).fit(train[["age", "size"]], train["ill"])


@pipeline
def ills(data: Dataset = Dataset("people@latest")):
    table = load(data)
    register("forest", fit(table), example=table)
    register("kernel", strange(table), example=table)
    register("blind", blind(data), example=table)
"""

PEOPLE = "age,size,ill\n" + "".join(
    f"{age},{age % 7 + 0.5},{int(age > 40 or age % 7 == 3)}\n" for age in range(18, 90)
)
ROWS = [{"age": age, "size": age / 9} for age in range(10, 99)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with three models; only its environment is lent, that of ONNX Runtime is built."""
    root = write(
        tmp_path_factory.mktemp("conversions") / "project",
        {"pyproject.toml": PYPROJECT, "pipelines/p.py": PIPELINE, "people.csv": PEOPLE},
    )
    with Project.open(root) as opened:
        opened.environments.lock()
        lend_more(opened, lend(opened), serve_requirements())
        opened.datasets.add(root / "people.csv", "people")
        opened.run("ills")
        yield opened


@pytest.fixture(scope="module")
def converted(project: Project) -> Project:
    """All of them were converted, or could not be."""
    for name in ("forest", "kernel", "blind"):
        project.models.convert(name)
    return project


def test_a_conversion_has_its_bytes_its_verdict_and_its_environment(converted: Project) -> None:
    """What was compared on, how near it came and by what is on record; the bytes lead back to the version."""
    detail = converted.models.detail("forest@1")
    found = detail.conversion

    assert found is not None
    assert found.used
    assert (found.rows, found.of, found.why) == (72, 72, "")
    assert found.difference <= 1e-5
    assert "onnxruntime" in found.by
    (edge,) = edges.made_into(converted.rooms.database, detail.version.end, "converted")
    assert {each.earlier.kind for each in edges.made_from(converted.rooms.database, edge.later)} == {
        "object",
        "version",
        "lock",
    }
    assert converted.rooms.objects.path(found.digest).stat().st_size == found.size_bytes
    shown = mlwright("models", "show", "forest@1", cwd=converted.root).stdout
    assert "onnx       used: answers the same on 72 rows of its training" in shown


def test_what_is_not_used_is_on_record_with_the_reason(converted: Project) -> None:
    """What no converter knows is not tried again; what was fitted on a dataset is compared on it."""
    kernel = converted.models.detail("kernel@1")
    blind = converted.models.detail("blind@1").conversion

    assert kernel.conversion is not None
    assert not kernel.conversion.used
    assert "KernelRidge" in kernel.conversion.why
    assert known_conversion(kernel) == kernel.conversion
    assert blind is not None
    assert blind.used
    plan = converted.models.plan_convert("kernel@1")
    assert [each.action for each in plan.changes] == ["keep"]
    assert "not used: " in mlwright("models", "show", "kernel@1", cwd=converted.root).stdout
    with (
        pytest.raises(Incompatible, match="kernel@1 cannot answer as ONNX"),
        converted.serve("kernel@1", runtime="onnx"),
    ):
        pass


def test_a_conversion_made_again_replaces_the_one_before(converted: Project) -> None:
    """Of one version there is one conversion, and nothing is left of the one before."""
    detail = converted.models.detail("forest@1")
    (before,) = edges.made_into(converted.rooms.database, detail.version.end, "converted")

    again = converted.models.convert("forest@1", again=True)

    assert detail.conversion is not None
    assert again.digest == detail.conversion.digest
    (after,) = edges.made_into(converted.rooms.database, detail.version.end, "converted")
    assert after.later != before.later
    assert edges.made_from(converted.rooms.database, before.later) == []


def test_a_replica_of_a_conversion_answers_as_the_model(converted: Project, tmp_path: Path) -> None:
    """Its environment has neither scikit-learn nor pandas, and every answer is the same."""
    with converted.serve("forest@1") as served:
        (lock,) = {
            edge.earlier.id
            for found in edges.made_into(
                converted.rooms.database, converted.models.detail("forest").version.end, "converted"
            )
            for edge in edges.made_from(converted.rooms.database, found.later, "environment")
        }
        installed = converted.environments.build(converted.environments.get(lock)).inventory.pins
        with Client(served.url) as client:
            given = client.predict(ROWS, proba=True)
    path = converted.rooms.objects.path(converted.models.detail("forest@1").artifact.digest)
    model = codec_named("sklearn").decode(path, "", tmp_path)
    table = pd.DataFrame(ROWS)

    assert "onnxruntime" in installed
    assert not {"scikit-learn", "pandas", "scipy", "pyarrow"} & installed.keys()
    assert given.predictions == model.predict(table).tolist()
    shares = [[each["0"], each["1"]] for each in given.probabilities or []]
    assert np.abs(np.array(shares) - model.predict_proba(table)).max() <= 1e-5


@pytest.fixture(scope="module")
def beside(project: Project) -> Version:
    """A version that was converted beside a server, and by no one before."""
    fresh = project.models.register("latest/fit", "fresh")[0]
    detail = project.models.detail(fresh.reference)
    with converting_beside(project.rooms, [detail], "native"):
        pass
    assert known_conversion(project.models.detail(fresh.reference)) is None
    with converting_beside(project.rooms, [detail], "auto"):
        until(lambda: known_conversion(project.models.detail(fresh.reference)) is not None, within_s=120)
    return fresh


def test_what_was_never_converted_is_converted_beside_its_first_server(
    project: Project, beside: Version
) -> None:
    """A server is not held up by it: the verdict comes while it answers; `native` asks for none."""
    found = project.models.detail(beside.reference).conversion

    assert found is not None
    assert found.used


def test_a_conversion_goes_with_its_version(project: Project, beside: Version) -> None:
    """It does not keep its version from being removed, and nothing of it is left."""
    (made,) = edges.made_into(project.rooms.database, beside.end, "converted")
    project.models.versions.remove_alias("fresh", "champion")

    project.models.remove("fresh@1")

    rows = project.rooms.database.read(
        "SELECT id FROM artifact WHERE id = :id", id=made.later.id
    ) + project.rooms.database.read("SELECT version_id FROM conversion WHERE version_id = :id", id=beside.id)
    assert rows == []
    assert edges.made_from(project.rooms.database, made.later) == []


def test_limits_are_settings_and_words_of_the_command(converted: Project) -> None:
    """A replica is told those of the project, and those that were typed over them."""
    settings = structs.replace(converted.rooms.project.settings, serve={"rows": 3})
    folder = structs.replace(converted.rooms.project, settings=settings)
    rooms = structs.replace(converted.rooms, project=folder)

    spec = spec_of(rooms, [converted.models.servable("forest")])
    plan = mlwright("serve", "forest@1", "--limit", "timeout_ms=500", "--dry-run", cwd=converted.root)

    assert spec.limits == Limits(rows=3)
    assert "timeout_ms 500" in plan.stdout, plan.stderr


def test_a_dataset_is_predicted_over_by_the_conversion(converted: Project) -> None:
    """The answers are those of the model, are never reused as its own, and the run says what computed."""
    by_onnx = converted.predict("forest", "people@1", "scores", only_predictions=True)
    by_itself = converted.predict(
        "forest", "people@1", "scores", only_predictions=True, runtime="native", executor="inline"
    )

    used = converted.models.detail("forest").conversion
    assert used is not None
    assert (by_onnx.note, by_itself.note) == ("scores@1 added", "scores@1 holds these rows already")
    runs = converted.rooms.runs
    assert [runs.parameters(each.run)["onnx"] for each in (by_onnx, by_itself)] == [used.digest, ""]
    states = {str(each.state) for each in converted.rooms.attempts.of_run(runs.get(by_itself.run).id)}
    assert states == {"succeeded", "checked"}


def test_what_a_conversion_predicted_is_made_again_though_it_was_replaced(
    converted: Project, tmp_path: Path
) -> None:
    """Its bytes stay for the run that used them, and go with the run into a file and another workspace."""
    made = converted.predict("forest", "people@1", "again", only_predictions=True)
    with converted.rooms.database.transaction() as tx:
        remove_conversion(tx, converted.models.versions.resolve("forest@1").id)
    converted.export_run(made.run, tmp_path / "run.bundle")
    there = write(tmp_path / "other", {"pyproject.toml": PYPROJECT + 'executor = "inline"\n'})

    with Project.open(there) as other:
        imported, _ = other.import_run(tmp_path / "run.bundle")
        again = other.reproduce(imported.id)

    assert again.error is None, again.error
    assert again.identical
    assert loose_edges(converted.rooms.database) == []
