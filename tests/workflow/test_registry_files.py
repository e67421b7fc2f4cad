"""The registry: model files that were made elsewhere."""

from __future__ import annotations

import pickle
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pytest
import skops.io
import xgboost
from msgspec.structs import replace
from sklearn.tree import DecisionTreeClassifier

from mlwright.app import Project
from mlwright.kernel import edges
from mlwright.kernel.digest import digest_of
from mlwright.kernel.errors import Incompatible, Invalid, Unavailable, WorkFailed
from mlwright.sdk.codecs import codec_named
from mlwright.workflow.outside import format_of
from tests.conftest import PYPROJECT, mlwright, write
from tests.sdk import natives
from tests.workflow.lent import lend

TABLE = pd.DataFrame({"age": np.arange(40.0), "size": np.arange(40.0) % 7})
ILL = (TABLE["age"] > 20).astype(int).tolist()
BAND = (TABLE["age"] // 14).astype(int).tolist()


def xgb(**options: Any) -> Any:
    return xgboost.XGBClassifier(n_estimators=3, **options).fit(TABLE, ILL)


def lgbm() -> Any:
    return lightgbm.LGBMClassifier(n_estimators=3, min_child_samples=1, verbose=-1).fit(TABLE, ILL).booster_


def cat(kind: Any, target: Any) -> Any:
    return kind(iterations=3, verbose=False, allow_writing_files=False).fit(TABLE, target)


FILES: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "m.skops": (
        lambda path: skops.io.dump(DecisionTreeClassifier().fit(TABLE, ILL), path),
        "sklearn",
        "sklearn.DecisionTreeClassifier",
    ),
    "m.ubj": (lambda path: xgb().save_model(path), "xgboost", "xgboost.XGBClassifier"),
    "m.json": (lambda path: xgb().save_model(path), "xgboost", "xgboost.XGBClassifier"),
    "b.ubj": (lambda path: xgb().get_booster().save_model(path), "xgboost", "xgboost.XGBClassifier"),
    "three.ubj": (
        lambda path: xgboost.XGBClassifier(n_estimators=2).fit(TABLE, BAND).get_booster().save_model(path),
        "xgboost",
        "xgboost.XGBClassifier",
    ),
    "r.ubj": (
        lambda path: xgboost.XGBRegressor(n_estimators=2).fit(TABLE, ILL).get_booster().save_model(path),
        "xgboost",
        "xgboost.XGBRegressor",
    ),
    "m.txt": (lambda path: lgbm().save_model(path), "lightgbm", "lightgbm.Booster"),
    "m.cbm": (
        lambda path: cat(catboost.CatBoostClassifier, ILL).save_model(str(path)),
        "catboost",
        "catboost.CatBoostClassifier",
    ),
    "r.cbm": (
        lambda path: cat(catboost.CatBoostRegressor, TABLE["age"]).save_model(str(path)),
        "catboost",
        "catboost.CatBoostRegressor",
    ),
    "m.onnx": (
        lambda path: path.write_bytes(natives.network().SerializeToString()),
        "onnx",
        "onnx.ModelProto",
    ),
}
"""How each is written by its own library, the codec that reads it, and the type it becomes."""


class Trap:
    """A pickle that leaves a file behind when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project without pipelines, whose environment has the packages of the tests."""
    root = write(
        tmp_path_factory.mktemp("brought") / "project",
        {"pyproject.toml": PYPROJECT.replace('version = "0"', 'version = "0"\nlicense = {text = "MIT"}')},
    )
    TABLE.assign(ill=ILL).to_csv(root / "example.csv", index=False)
    with Project.open(root) as opened:
        opened.environments.lock()
        lend(opened)
        yield opened


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_known_by_its_bytes(name: str, tmp_path: Path) -> None:
    """What the library wrote tells its format under any name; but for ONNX, whose bytes say nothing."""
    save, codec, type_text = FILES[name]
    path = tmp_path / name
    save(path)
    path.rename(other := tmp_path / ("model.onnx" if codec == "onnx" else "model"))

    assert format_of(other) == codec
    assert type(codec_named(codec).decode(other, "", tmp_path)).__name__ == type_text.partition(".")[2]


@pytest.mark.parametrize("name", ["m.skops", "m.ubj", "m.txt", "r.cbm"])
def test_a_file_becomes_a_version_that_answers(name: str, project: Project, tmp_path: Path) -> None:
    """The bytes are kept as they are; type, signature, licence and environment are known; it is sound."""
    save, codec, type_text = FILES[name]
    path = tmp_path / name
    save(path)
    model = "m" + name.replace(".", "-")

    plan = project.models.plan_register(str(path), model)
    version, told = project.models.register(
        str(path), model, message="bought", example=str(project.root / "example.csv")
    )
    again = project.models.register(str(path), model)

    detail = project.models.detail(model)
    assert plan.changes[0].why == f"a file of the format {codec}"
    assert told == f"{model}@1 registered, {model}@champion from now on"
    assert again == (version, f"{model}@1 holds these bytes already")
    assert version.digest == digest_of(path.read_bytes())
    assert (detail.artifact.type, detail.artifact.ours) == (type_text, False)
    assert (detail.run, detail.code, detail.data, detail.licence) == ("", "", {}, "MIT")
    assert detail.source == {"name": name, "format": codec}
    assert detail.environment == project.environments.current().digest
    assert detail.signature is not None
    assert [(each.name, each.maximum) for each in detail.signature.inputs] == [("age", 39), ("size", 6)]
    (found,) = project.models.verify([model])
    assert [each.state for each in (found.bytes, found.loads, found.answers)] == ["ok", "ok", "ok"]
    assert project.replica_spec(model).models[0].codec == codec
    exported = project.models.export(model, tmp_path / "out")
    assert exported["file"] == f"model{Path(name).suffix}"
    assert f"brought in from | {name}" in project.models.card(model)


def test_without_an_example_nothing_is_known_of_what_it_takes(project: Project, tmp_path: Path) -> None:
    """It is recorded and loads; it has no signature, and is not served."""
    FILES["m.onnx"][0](path := tmp_path / "m.onnx")

    project.models.register(str(path), "net", licence="CC-BY-4.0")

    detail = project.models.detail("net")
    (found,) = project.models.verify(["net"])
    assert (detail.signature, detail.licence) == (None, "CC-BY-4.0")
    assert [found.loads.state, found.answers.state] == ["ok", "skipped"]
    with pytest.raises(Incompatible, match="net@1 has no signature"):
        project.replica_spec("net")
    assert "signature  none" in mlwright("models", "show", "net", cwd=project.root).stdout


def test_a_pickle_from_elsewhere_is_recorded_and_never_loaded(project: Project, tmp_path: Path) -> None:
    """Registered, shown, described, verified, exported and compared, it runs nothing; it cannot be served."""
    sprung, path = tmp_path / "sprung", tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Trap(sprung)))
    (tmp_path / "other.pkl").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")) + b"\n")

    plan = project.models.plan_register(str(path), "trap")
    project.models.register(str(path), "trap")
    project.models.register(str(tmp_path / "other.pkl"), "trap")
    (found,) = project.models.verify(["trap@1"])
    project.models.export("trap@1", tmp_path / "out")
    shown = mlwright("models", "show", "trap@1", cwd=project.root).stdout
    compared = project.models.compare("trap@1", "trap@2")

    assert plan.changes[0].why == "a file of the format pickle, which is never loaded"
    assert [each.state for each in (found.bytes, found.loads, found.answers)] == ["ok", "skipped", "skipped"]
    assert "it is never loaded" in shown and "**Stored as pickle" in project.models.card("trap@1")
    assert "Load it without" not in project.models.card("trap@1")
    assert not compared.same_bytes
    for refused in (
        lambda: project.replica_spec("trap@1"),
        lambda: project.models.compare("trap@1", "trap@2", on="any"),
        lambda: project.models.register(str(path), "other", example=str(project.root / "example.csv")),
    ):
        with pytest.raises(Incompatible, match="is stored as pickle"):
            refused()
    assert not sprung.exists()


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("cut.ubj", b"{L\x00\x00", "cut.ubj"),
        ("cut.txt", b"tree\nversion=v4\nend of trees\n", "cut.txt"),
        ("empty.onnx", b"", "empty.onnx"),
        ("named.skops", b"PK\x05\x06" + b"\0" * 18, "named.skops"),
    ],
)
def test_what_its_library_cannot_read_is_refused(
    name: str, data: bytes, said: str, project: Project, tmp_path: Path
) -> None:
    """A file that is no model is told in one message, and no version is made."""
    (tmp_path / name).write_bytes(data)

    with pytest.raises((WorkFailed, Unavailable, Invalid)) as caught:
        project.models.register(str(tmp_path / name), "nothing")

    assert said in caught.value.message
    assert not project.models.versions.named("nothing")


def test_types_that_are_not_safe_to_load_are_refused(project: Project, tmp_path: Path) -> None:
    """A skops file may name any function to be called: what is not on the list is not built."""
    path = tmp_path / "evil.skops"
    skops.io.dump(textwrap.TextWrapper(), path)

    with pytest.raises(WorkFailed, match="holds types that are not safe to load"):
        project.models.register(str(path), "evil")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"format": "keras"}, "there is no model format `keras`"),
        ({"format": "sklearn"}, "is a pickle, not sklearn"),
        ({"example": "nowhere.csv"}, "there is no file nowhere.csv"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: dict[str, Any], said: str, project: Project, tmp_path: Path
) -> None:
    """A format that is not known or not so, an example that is not there."""
    if "example" in options:
        FILES["m.skops"][0](path := tmp_path / "m.skops")
    else:
        (path := tmp_path / "m.pkl").write_bytes(pickle.dumps(1))

    with pytest.raises(Exception, match=said):
        project.models.register(str(path), "misfit", **options)


def test_what_came_from_elsewhere_is_compared_where_a_step_is_known(project: Project) -> None:
    """Without a pipeline that made one of them, there is no step to evaluate with; that is said."""
    project.datasets.add(project.root / "example.csv", "people")

    with pytest.raises(Invalid, match="no pipeline made mm-skops@1 and mm-ubj@1"):
        project.models.compare("mm-skops", "mm-ubj", on="people")


def test_a_version_from_elsewhere_leads_to_its_environment(project: Project) -> None:
    """Lineage knows the lock it is loaded with, its signature and its bytes; all edges lead somewhere."""
    version = project.models.versions.resolve("mm-skops")

    roles = {edge.role for edge in edges.made_from(project.rooms.database, version.end)}

    assert roles == {"artifact", "signature", "environment"}
    assert project.verify().faults == ()


def test_the_bytes_of_what_was_taken_over_are_verified(project: Project, tmp_path: Path) -> None:
    """Nothing else of it is here; damage is found, as of every version."""
    version = project.models.versions.resolve("mm-skops")
    bare = replace(version, about={})
    model, objects = project.models.detail("mm-skops").artifact, project.rooms.objects
    write(tmp_path / "there", {"pyproject.toml": PYPROJECT})

    with Project.open(tmp_path / "there") as there:
        there.models.adopt(bare, model, objects, there.rooms.objects)
        (found,) = there.models.verify()
        there.rooms.objects.path(version.digest).chmod(0o644)
        there.rooms.objects.path(version.digest).write_bytes(b"x")
        (damaged,) = there.models.verify()

    assert (found.bytes.state, found.loads.state) == ("ok", "skipped")
    assert damaged.bytes.state == "failed"
