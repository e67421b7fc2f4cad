"""The code of predictors in a replica: each from the snapshot that it was recorded with."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlwright.sdk.codecs import codec_named
from mlwright.serving import ModelSpec
from mlwright.serving.runtime.custom import CustomRuntime
from mlwright.versioning.signatures import Example, Input, Output, Signature
from tests.conftest import write
from tests.serving.conftest import VERSION

READING = """
from typing import Any

from telling import WORD


class Teller:
    def load(self, model: Any) -> None:
        pass

    def predict(self, text: str) -> str:
        return f"{WORD} {text}"
"""


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What is imported here is nobody else's."""
    path = list(sys.path)
    for name in ("reading", "telling"):
        sys.modules.pop(name, None)
    yield
    sys.path[:] = path
    for name in ("reading", "telling"):
        sys.modules.pop(name, None)


def runtime(folder: Path, word: str, scratch: Path) -> CustomRuntime:
    code = write(folder / word, {"reading.py": READING, "src/telling.py": f"WORD = {word!r}"})
    codec_named("json").encode({}, folder / f"{word}.json")
    told = Signature(
        (), Output("string"), False, Example({"text": "a"}, ""), (Input("text", "text"),), "reading:Teller"
    )
    spec = ModelSpec("teller@1", VERSION, "json", str(folder / f"{word}.json"), told, str(code))
    return CustomRuntime.load(spec, scratch)


def test_two_versions_of_the_code_answer_in_one_process(tmp_path: Path) -> None:
    """Each predictor has the modules of its own snapshot, though they have the same names."""
    made: list[Any] = [runtime(tmp_path, word, tmp_path / "scratch") for word in ("old", "new")]

    answers = [each([["you"]], proba=False).labels for each in made]

    assert answers == [["old you"], ["new you"]]


def test_the_code_may_be_collected_while_it_is_served(tmp_path: Path) -> None:
    """The replica has the files itself: what its predictor imports later is still there."""
    made = runtime(tmp_path, "old", tmp_path / "scratch")
    (tmp_path / "old" / "src" / "telling.py").unlink()
    sys.modules.pop("telling")

    import telling  # type: ignore[import-not-found]

    assert made([["you"]], proba=False).labels == ["old you"]
    assert str(tmp_path / "scratch") in telling.__file__
