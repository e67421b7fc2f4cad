"""Models that are registered with a predictor, or without columns: in a pipeline, and by hand."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image as Pillow

from mlwright.app import Project
from mlwright.kernel import edges
from mlwright.kernel.errors import Incompatible, Invalid, WorkFailed
from mlwright.serving import start
from tests.conftest import PYPROJECT, mlwright, write
from tests.serving.conftest import PYTHON
from tests.workflow.lent import lend

READING = """
from typing import Annotated, Any

import numpy as np

from mlwright import Image, step

LEVEL = 255


@step
def grey(pixels: np.ndarray) -> np.ndarray:
    return pixels.reshape(1, -1).astype(float) / LEVEL


class DigitReader:
    def load(self, model: Any) -> None:
        self.model = model

    def predict(self, image: Annotated[Image, "image/png"]) -> dict[str, float]:
        shares = self.model.predict_proba(grey(image.array("L")))[0]
        return dict(zip(map(str, self.model.classes_), shares))
"""

PIPELINE = """
import io

import numpy as np
from PIL import Image as Pillow
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline

from mlwright import pipeline, step
from mlwright.steps import register
from reading import DigitReader, grey


@step
def pictures() -> np.ndarray:
    return np.stack([np.eye(4), np.ones((4, 4)), np.eye(4)[::-1], np.zeros((4, 4))] * 5) * 255


@step
def train(pictures: np.ndarray) -> GaussianNB:
    rows = np.concatenate([grey(each) for each in pictures])
    return GaussianNB(var_smoothing=0.1).fit(rows, list("XOXO") * 5)


@step
def words() -> list[str]:
    return ["good fun", "bad and sad", "great fun", "dull and sad"]


@step
def learn(words: list[str]) -> Pipeline:
    return make_pipeline(CountVectorizer(), MultinomialNB()).fit(words, ["+", "-"] * 2)


@step
def rows(pictures: np.ndarray) -> np.ndarray:
    return pictures.reshape(len(pictures), -1) / 255


@pipeline
def reading():
    made = pictures()
    model = train(made)
    register("signs", model, predictor=DigitReader, example={"image": "samples/cross.png"})
    register("rows", model, example=rows(made))
    texts = words()
    register("moods", learn(texts), example=texts)
"""


def png(pixels: np.ndarray) -> bytes:
    made = io.BytesIO()
    Pillow.fromarray((pixels * 255).astype("uint8")).save(made, "PNG")
    return made.getvalue()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = write(
        tmp_path_factory.mktemp("predictors") / "project",
        {
            "pyproject.toml": PYPROJECT,
            "reading.py": READING,
            "pipelines/p.py": PIPELINE,
        },
    )
    (root / "samples").mkdir()
    (root / "samples" / "cross.png").write_bytes(png(np.eye(4)))
    with Project.open(root) as opened:
        opened.environments.lock()
        lend(opened)
        opened.run("reading")
        yield opened


def ask(url: str, path: str, body: bytes, kind: str) -> Any:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request("POST", path, body, {"content-type": kind})
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def test_a_version_knows_its_predictor_and_its_code(project: Project) -> None:
    """The class, what it takes, an example with the answer, and the snapshot of its code are on record."""
    detail = project.models.detail("signs@1")

    assert detail.signature is not None
    assert detail.signature.predictor == "reading:DigitReader"
    (image,) = detail.signature.named
    assert (image.name, image.kind, image.media_types) == ("image", "image", ("image/png",))
    assert max(detail.signature.example.output, key=detail.signature.example.output.get) == "X"
    (edge,) = edges.made_from(project.rooms.database, detail.version.end, "predictor")
    assert edge.earlier.id == detail.predictor == detail.code


def test_models_without_columns_have_tensors_and_texts(project: Project) -> None:
    """A model fitted on an array takes rows of it, one fitted on texts takes texts; each proves itself."""
    arrays, texts = (project.models.detail(name).signature for name in ("rows@1", "moods@1"))

    assert arrays is not None
    assert texts is not None
    assert [(each.kind, each.dtype, each.shape, each.many) for each in arrays.named] == [
        ("tensor", "float64", (16,), True)
    ]
    assert [(each.kind, each.many) for each in texts.named] == [("text", True)]
    assert texts.output.classes == ("+", "-")
    assert all(each.sound for each in project.models.verify(["signs@1", "moods@1"]))


def test_they_are_served_from_what_was_recorded(project: Project, tmp_path: Path) -> None:
    """A replica imports the predictor from the recorded code, whatever the project's files say by now."""
    file = project.root / "reading.py"
    before = file.read_text()
    file.write_text("raise SystemExit('this is not the code that was recorded')")
    try:
        spec = project.replica_spec("signs@1", "rows@1", "moods@1")
        with start(spec, PYTHON, folder=tmp_path) as server:
            sign = ask(server.url, "/predict", png(np.eye(4)[::-1]), "image/png")
            mood = ask(server.url, "/models/moods/predict", b"sad and bad", "text/plain")
    finally:
        file.write_text(before)

    (shares,) = sign["predictions"]
    assert max(shares, key=shares.get) == "X"
    assert mood["predictions"] == ["-"]


def test_other_code_of_the_predictor_is_another_version(project: Project) -> None:
    """The same bytes with the same predictor are one version; with one that computes otherwise, another."""
    file = project.root / "reading.py"
    before = file.read_text()
    project.run("reading")
    same = project.models.detail("signs@latest").version.number
    try:
        file.write_text(before.replace("return dict(", "return {} and dict("))
        project.run("reading")
    finally:
        file.write_text(before)

    assert same == 1
    assert project.models.detail("signs@latest").version.number == 2
    assert project.models.detail("signs@2").version.digest == project.models.detail("signs@1").version.digest
    assert project.models.detail("signs@2").signature.example.output == {}  # type: ignore[union-attr]


def test_a_predictor_is_given_by_hand(project: Project) -> None:
    """`models register --predictor` makes a version of what a step made, shown a file."""
    line = ["models", "register", "latest/train", "--name", "by-hand"]
    line += ["--predictor", "reading:DigitReader", "--example", str(project.root / "samples" / "cross.png")]

    done = mlwright(*line, cwd=project.root)

    assert done.returncode == 0, done.stderr
    detail = project.models.detail("by-hand@1")
    assert detail.signature is not None
    assert detail.signature.predictor == "reading:DigitReader"
    assert detail.predictor
    assert "image" in mlwright("models", "show", "by-hand@1", cwd=project.root).stdout


@pytest.mark.parametrize(
    ("predictor", "example", "words"),
    [
        ("reading", "samples/cross.png", "does not name a predictor"),
        ("reading:Nobody", "samples/cross.png", "no class `Nobody`"),
        ("reading:DigitReader", "reading.py", "must be image/png"),
    ],
)
def test_what_is_no_predictor_is_refused(project: Project, predictor: str, example: str, words: str) -> None:
    """A reference that leads to no class, or an example that it does not take, makes no version."""
    with pytest.raises((Invalid, WorkFailed)) as told:
        project.models.register(
            "latest/train", "refused", predictor=predictor, example=str(project.root / example)
        )

    assert words in told.value.message
    assert not [each for each in project.models.list() if each.name == "refused"]


def test_weights_alone_are_not_served(project: Project) -> None:
    """Of a torch state dict it is said that it needs a predictor, and how it gets one."""
    detail = project.models.detail("signs@1")
    weights = replace(detail, artifact=replace(detail.artifact, codec="torch"), signature=None)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Incompatible) as told:
        patch.setattr(project.models, "detail", lambda reference: weights)
        project.models.servable("signs@1")

    assert "weights, which alone cannot answer" in told.value.message
    assert "--predictor module:Class" in str(told.value.hint)
