"""A model in a process of its own: it answers as it does here, and its end is not hidden."""

from __future__ import annotations

import io
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace
from PIL import Image as Pillow
from sklearn.ensemble import RandomForestClassifier

from mlwright import File, Image
from mlwright.kernel.errors import Unavailable, WorkFailed
from mlwright.sdk.codecs import codec_named
from mlwright.sdk.values import ABSENT
from mlwright.serving import ModelSpec, ReplicaSpec, Server, start
from mlwright.serving.problems import Problem
from mlwright.serving.runtime.child import ChildRuntime
from mlwright.serving.runtime.native import NativeRuntime
from mlwright.versioning.signatures import Column, Example, Input, Output, Signature
from tests.conftest import write
from tests.processes import alive
from tests.serving.conftest import PYTHON, VERSION, ask, changed, post, until

COUNTING = """
import os
from collections.abc import Iterator

from mlwright import Refused


class Counter:
    def load(self, model: dict) -> None:
        self.step = model["step"]

    def predict(self, word: str, times: int = 2) -> Iterator[str]:
        if word == "die":
            os._exit(3)
        if word == "no":
            raise Refused("that is no word")
        for number in range(times):
            yield f"{word} {number * self.step}"
"""


@pytest.fixture(scope="module")
def apart(spec: ReplicaSpec, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChildRuntime]:
    """The forest."""
    made = ChildRuntime.load(changed(spec, python=str(PYTHON)).models[0], tmp_path_factory.mktemp("child"))
    yield made
    made.close()


def test_it_answers_as_in_this_process(
    apart: ChildRuntime, spec: ReplicaSpec, forest: RandomForestClassifier, frame: pd.DataFrame
) -> None:
    """Labels, probabilities and classes are the same, of arrays as of lists, of many rows as of one."""
    native = NativeRuntime(forest, spec.models[0].signature)
    arrays = [frame[name].to_numpy() for name in frame]
    lists = [values.tolist() for values in arrays]

    for columns in (arrays, lists, [each[:1] for each in lists]):
        given, here = apart(columns, proba=True), native(columns, proba=True)

        assert list(given.labels) == list(here.labels)
        np.testing.assert_array_equal(np.asarray(given.shares), np.asarray(here.shares))
        assert apart(columns, proba=False).shares is None
    assert apart.classes == native.classes


def counter(folder: Path, ended: Callable[[str], object] = lambda why: None) -> ChildRuntime:
    code = write(folder / "code", {"counting.py": COUNTING})
    codec_named("json").encode({"step": 10}, folder / "model.json")
    asked = (Input("word", "text"), Input("times", "json", required=False))
    told = Signature(
        (),
        Output("string", stream=True),
        False,
        Example({"word": "a"}, ["a 0", "a 10"]),
        asked,
        "counting:Counter",
    )
    spec = ModelSpec("c@1", VERSION, "json", str(folder / "model.json"), told, str(code), python=str(PYTHON))
    return ChildRuntime.load(spec, folder, ended)


def test_a_predictor_streams_from_its_process(tmp_path: Path) -> None:
    """Its pieces come one by one, two answers in turns; one that nobody wants ends, and a refusal is one."""
    made = counter(tmp_path)
    try:
        first, second = made.stream({"word": "a", "times": 3}), made.stream({"word": "b"})

        assert [next(first), next(second), next(first)] == ["a 0", "b 0", "a 10"]
        first.close()
        assert list(second) == ["b 10"]
        with pytest.raises(Problem, match="that is no word") as refused:
            list(made.stream({"word": "no"}))
        assert refused.value.http_status == 422
    finally:
        made.close()


def test_the_end_of_its_process_is_told(tmp_path: Path) -> None:
    """Who asks just then gets 500 with the cause, who asks later 503; and whoever cares is told once."""
    told: list[str] = []
    made = counter(tmp_path, told.append)

    with pytest.raises(Problem, match="status 3") as died:
        list(made.stream({"word": "die"}))
    until(lambda: bool(told))
    with pytest.raises(Problem, match="has ended") as later:
        list(made.stream({"word": "a"}))

    assert (died.value.http_status, later.value.http_status) == (500, 503)
    assert len(told) == 1
    assert "status 3" in told[0]
    made.close()


def test_what_cannot_be_loaded_leaves_no_process(spec: ReplicaSpec, tmp_path: Path) -> None:
    """The reason is that of the model's own process."""
    broken = tmp_path / "broken"
    broken.write_bytes(b"no model")
    told = replace(spec.models[0], path=str(broken), python=str(PYTHON))

    with pytest.raises(WorkFailed, match="diagnosis@1 cannot be loaded: BadZipFile"):
        ChildRuntime.load(told, tmp_path)


def predictor(
    folder: Path, name: str, *named: Input, inputs: tuple[Column, ...] = (), stream: bool = False
) -> ChildRuntime:
    """One of those that the other tests serve."""
    (code := folder / "code").mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("predictors.py"), code)
    codec_named("json").encode({}, folder / "model.json")
    output = Output("json", stream=stream)
    told = Signature(inputs, output, False, Example({}, None), named, f"predictors:{name}")
    path = str(folder / "model.json")
    return ChildRuntime.load(
        ModelSpec("c@1", VERSION, "json", path, told, str(code), python=str(PYTHON)), folder
    )


def test_predictors_take_and_give_all_kinds(tmp_path: Path) -> None:
    """Arrays, any JSON, what is left out, pictures, files in memory and by their paths, tables."""
    (large := tmp_path / "large").write_bytes(b"x" * 1000)
    Pillow.new("RGB", (8, 8)).save(png := io.BytesIO(), "PNG")
    points = Input("points", "tensor", dtype="float32", shape=(-1, 2))
    scale, note = Input("scale", "number", required=False), Input("note", "json", required=False)
    file = Input("file", "file", media_types=("*/*",))
    image = Input("image", "image", media_types=("image/png",))
    made = [
        predictor(tmp_path / "sums", "Sums", points, scale, note),
        predictor(tmp_path / "sizes", "Sizes", file),
        predictor(tmp_path / "thumbnail", "Thumbnail", image),
        predictor(tmp_path / "ages", "Ages", inputs=(Column("age", "number"),)),
    ]
    asked: list[list[Any]] = [
        [[np.ones((3, 2), "float32")], [ABSENT], [{"a": [None]}]],
        [[File(large), File(b"abc")]],
        [[Image(png.getvalue())]],
        [[40.0, 60.0]],
    ]

    (sums,), sizes, (picture,), ages = (
        each(columns, proba=False).labels for each, columns in zip(made, asked, strict=True)
    )

    assert sums == {"sum": [3.0, 3.0], "dtype": "float32", "note": {"a": [None]}}
    assert [each["size"] for each in sizes] == [1000, 3]
    assert picture["media_type"] == "image/png"
    assert ages == [{"old": False}, {"old": True}]
    for each in made:
        each.close()


def test_a_stream_that_nobody_wants_is_closed_in_its_process(tmp_path: Path) -> None:
    """What a predictor has in `finally` has run when the close returns."""
    (tmp_path / "file").touch()
    file = Input("file", "file", media_types=("*/*",))
    made = predictor(tmp_path / "endless", "Endless", file, stream=True)
    pieces = made.stream({"file": File(tmp_path / "file")})

    next(pieces)
    pieces.close()

    assert (tmp_path / "closed").exists()
    made.close()


HANGING = """
import os
import signal
from pathlib import Path


class Hanging:
    def load(self, model: dict) -> None:
        Path(model["pid"]).write_text(str(os.getpid()))
        signal.pause()

    def predict(self, text: str) -> str:
        return text
"""


def test_one_that_hangs_while_it_loads_ends_with_its_replica(tmp_path: Path) -> None:
    """It has as long as any model; then the server is refused, and nothing of it is left."""
    code = write(tmp_path / "code", {"hanging.py": HANGING})
    codec_named("json").encode({"pid": str(tmp_path / "pid")}, tmp_path / "model.json")
    told = Signature(
        (), Output("string"), False, Example({"text": "a"}, "a"), (Input("text", "text"),), "hanging:Hanging"
    )
    path = str(tmp_path / "model.json")
    model = ModelSpec("c@1", VERSION, "json", path, told, str(code), python=str(PYTHON))

    with pytest.raises(Unavailable, match="not ready within 3 s"):
        start(ReplicaSpec((model,)), PYTHON, folder=tmp_path, ready_within_s=3)

    until(lambda: not alive(int((tmp_path / "pid").read_text())))


@pytest.fixture(scope="module")
def serving(spec: ReplicaSpec, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The forest behind a replica, in a process of its own."""
    told = changed(spec, python=str(PYTHON))
    with start(told, PYTHON, folder=tmp_path_factory.mktemp("serving")) as server:
        yield server


def worker_of(server: Server) -> int:
    """The process that holds the model."""
    (replica,) = server.pids
    children = Path(f"/proc/{replica}/task").glob("*/children")
    found = [int(pid) for each in children for pid in each.read_text().split()]
    return next(pid for pid in found if b"model_worker" in Path(f"/proc/{pid}/cmdline").read_bytes())


def test_a_process_that_is_killed_is_replaced_with_its_replica(serving: Server, spec: ReplicaSpec) -> None:
    """Nobody is answered by a model that has not answered its example; soon another one answers."""
    body = {"rows": [dict(spec.models[0].signature.example.input)]}
    before = post(serving.url, body).json["predictions"]
    killed = worker_of(serving)

    os.kill(killed, signal.SIGKILL)

    until(lambda: not alive(killed) and post(serving.url, body).status == 200)
    assert post(serving.url, body).json["predictions"] == before
    assert worker_of(serving) != killed
    assert b'runtime="child"' in ask(serving.url, "GET", "/metrics").body


def test_it_ends_with_its_server(spec: ReplicaSpec, tmp_path: Path) -> None:
    """Nothing is left of it when that has stopped."""
    with start(changed(spec, python=str(PYTHON)), PYTHON, folder=tmp_path) as server:
        worker = worker_of(server)

        assert server.stop() == 0

        until(lambda: not alive(worker))


def test_it_dies_with_its_replica(spec: ReplicaSpec, tmp_path: Path) -> None:
    """Also where that is killed."""
    with start(changed(spec, python=str(PYTHON)), PYTHON, folder=tmp_path) as server:
        worker, (replica,) = worker_of(server), server.pids

        os.kill(replica, signal.SIGKILL)

        until(lambda: not alive(worker))
