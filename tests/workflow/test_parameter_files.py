"""Parameters from files: three notations that mean the same, and what is refused in each, with its line."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.app import Project
from mlwright.kernel.errors import Invalid, NotFound
from mlwright.workflow import Request
from mlwright.workflow.parameter_files import read_parameters
from tests.conftest import mlwright

Opener = Callable[[dict[str, str]], Project]

TRAINING = {
    "pipelines/p.py": """
    from mlwright import pipeline, step

    @step
    def keep(values: object) -> object:
        return values

    @pipeline
    def training(depth: int = 3, rate: float = 0.1, names: list[str] = [], more: dict[str, float] = {}):
        keep([depth, rate, names, more])
    """
}


def file(folder: Path, name: str, text: str) -> Path:
    """A file with this text, unindented."""
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.toml", 'depth = 5\nrate = 1\nnames = ["a", "2026-01-01"]\n[more]\nx = 0.5\n'),
        ("p.yaml", "depth: 5\nrate: 1\nnames: [a, '2026-01-01']\nmore:\n  x: 0.5\n"),
        ("P.YML", "# a comment\n---\ndepth: 5\nrate: 1\nnames:\n- a\n- '2026-01-01'\nmore: {x: 0.5}\n"),
        ("p.json", '{"depth": 5, "rate": 1, "names": ["a", "2026-01-01"], "more": {"x": 0.5}}'),
        ("p.json", '\ufeff{"depth": 5, "rate": 1, "names": ["a", "2026-01-01"], "more": {"x": 0.5}}'),
    ],
)
def test_three_notations_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    """TOML, YAML and JSON give the same values, by the suffix of the file."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")

    found = read_parameters(path)

    assert found == {"depth": 5, "rate": 1, "names": ["a", "2026-01-01"], "more": {"x": 0.5}}


@pytest.mark.parametrize("name", ["p.toml", "p.yaml"])
def test_an_empty_file_gives_nothing(tmp_path: Path, name: str) -> None:
    """A file in which everything is commented out leaves every default."""
    path = file(tmp_path, name, "# depth: 5\n")

    found = read_parameters(path)

    assert found == {}


@pytest.mark.parametrize(
    ("name", "text", "line", "told"),
    [
        ("p.toml", "a = 1\nb =\n", 2, "Invalid value"),
        ("p.toml", "a = 1\nb = [1,\n\n", 2, "Invalid value"),
        ("p.toml", "a = 1\na = 2\n", 2, "Cannot overwrite a value"),
        ("p.yaml", "a: 1\nb: [1\nc: 2\n", 3, "expected ',' or ']'"),
        ("p.yaml", "a: 1\nb: c: d\n", 2, "mapping values are not allowed here"),
        ("p.yaml", "a: 1\nb: \a\n", 2, "special characters are not allowed"),
        ("p.yaml", "a: 1\n---\nb: 2\n", 2, "but found another document"),
        ("p.yaml", "a: 1\nb: !!python/object:os.system x\n", 2, "could not determine a constructor"),
        ("p.yaml", "a: 1\nb: 2\na: 3\n", 3, "`a` is given twice"),
        ("p.yaml", "a:\n  b: 1\n  'b': 2\n", 3, "`b` is given twice"),
        ("p.yaml", "a: !!bool maybe\n", None, "does not fit its tag"),
        ("p.yaml", "a: 2026-13-01\n", None, "month must be in 1..12"),
        ("p.json", '{\n"a": 1,\n}\n', 3, "Expecting property name"),
        ("p.json", '{"a": 1, "a": 2}', None, "`a` is given twice"),
        ("p.json", "[" * 100_000, None, "nested too deeply"),
        ("p.yaml", "a: " + "[" * 10_000 + "]" * 10_000, None, "nested too deeply"),
    ],
)
def test_bad_syntax_is_told_with_its_line(
    tmp_path: Path, name: str, text: str, line: int | None, told: str
) -> None:
    """What cannot be read is refused in the words of who reads it, and where it stands if that is known."""
    path = file(tmp_path, name, text)

    with pytest.raises(Invalid) as refusal:
        read_parameters(path)

    assert told in refusal.value.message
    assert refusal.value.where == (f"{path}:{line}" if line else str(path))
    assert (refusal.value.hint or "").startswith("write each as ")


@pytest.mark.parametrize(
    ("name", "text", "told", "hint"),
    [
        ("p.toml", "when = 2026-01-01", "`when` is a date, which no parameter can be", "put it in quotes"),
        ("p.toml", "when = 2026-01-01T10:00:00", "`when` is a date with a time", "put it in quotes"),
        ("p.toml", "when = 10:00:00", "`when` is a time of day", "put it in quotes"),
        ("p.yaml", "when: 2026-01-01", "`when` is a date", "put it in quotes"),
        ("p.yaml", "a: {b: [1, 2026-01-01 10:00:00]}", "`a.b[1]` is a date with a time", "put it in quotes"),
        ("p.yaml", "a: !!binary aGk=", "`a` is bytes", "put it in quotes"),
        ("p.yaml", "a: !!set {x}", "`a` is a set", "put it in quotes"),
        ("p.yaml", "a: &a [1, *a]", "`a[1]` holds itself", "write each as"),
        ("p.yaml", "a: .inf", "`a` is inf, which cannot be recorded", "give a finite number"),
        ("p.json", '{"a": [NaN]}', "`a[0]` is nan, which cannot be recorded", "give a finite number"),
        ("p.yaml", "1: a", "the name 1 is not text", "put it in quotes"),
        ("p.yaml", "a: {no: 1}", "the name False is not text", "put it in quotes"),
        ("p.json", "[1]", "it holds a list, and no names", 'write each as {"NAME": VALUE, ...}'),
        ("p.yaml", "just words", "it holds text, and no names", "write each as NAME: VALUE"),
        ("p.json", "null", "it holds one value, and no names", "write each as"),
    ],
)
def test_what_no_parameter_can_be_is_refused_by_its_name(
    tmp_path: Path, name: str, text: str, told: str, hint: str
) -> None:
    """A value that cannot be recorded as JSON is named, wherever in the file it lies."""
    path = file(tmp_path, name, text)

    with pytest.raises(Invalid) as refusal:
        read_parameters(path)

    assert told in refusal.value.message
    assert refusal.value.where == str(path)
    assert hint in (refusal.value.hint or "")


def test_another_suffix_is_refused_with_those_there_are(tmp_path: Path) -> None:
    """A file is read as what its name says, and never guessed at."""
    path = file(tmp_path, "params.ini", "[a]\n")

    with pytest.raises(Invalid, match=r"'params\.ini' is no file of parameters") as refusal:
        read_parameters(path)

    assert refusal.value.where == str(path)
    assert ".toml, .yaml, .yml or .json" in (refusal.value.hint or "")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A missing file, a folder and bytes that are no text are each said to be that."""
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "bytes.toml").write_bytes(b"a = '\xff'")

    with pytest.raises(NotFound, match="there is no file"):
        read_parameters(tmp_path / "none.toml")
    with pytest.raises(Invalid, match="Is a directory"):
        read_parameters(tmp_path / "folder.toml")
    with pytest.raises(Invalid, match="it is not UTF-8 text"):
        read_parameters(tmp_path / "bytes.toml")


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab: \n'"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab-", min_size=1), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc", min_size=1), plain, max_size=4))
def test_json_values_are_read_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    """Whatever JSON holds, a JSON file gives back, and a YAML file of the same text too where YAML agrees."""
    import yaml

    path = tmp_path_factory.mktemp("any") / "p.json"
    path.write_text(json.dumps(values))

    found = read_parameters(path)

    assert found == values
    assert json.dumps(found) == json.dumps(values)
    path.with_suffix(".yaml").write_text(yaml.safe_dump(values))
    assert read_parameters(path.with_suffix(".yaml")) == values


def test_a_file_is_held_to_the_types_of_the_pipeline(opened: Opener, tmp_path: Path) -> None:
    """A wrong type, an unknown name and a seed in a file are refused as they are when they are typed."""
    project = opened(TRAINING)

    def refusal(text: str) -> Invalid:
        with pytest.raises(Invalid) as caught:
            project.pipelines.graph(Request("training", read_parameters(file(tmp_path, "p.toml", text))))
        return caught.value

    assert "parameter `depth` of pipeline `training` must be a whole number" in refusal("depth = 1.5").message
    assert refusal("dept = 1").hint == "did you mean `depth`?"
    assert refusal("seed = 1").hint == "the seed is the run's: --seed NUMBER"


def test_what_is_typed_wins_over_the_file(opened: Opener) -> None:
    """`run`, `pipelines plan` and `pipelines show` take a file; `-p` replaces single values of it."""
    project = opened(TRAINING)
    file(project.root, "params.yaml", "depth: 5\nnames: [a]\nmore: {x: 1}\n")

    done = mlwright("run", "training", "-f", "params.yaml", "-p", "depth=7", "--json", cwd=project.root)
    planned = mlwright(
        "pipelines", "plan", "training", "--parameters", "params.yaml", "-p", "depth=7", cwd=project.root
    )
    shown = mlwright("pipelines", "show", "training", "-f", "params.yaml", "--json", cwd=project.root)
    refused = mlwright("run", "training", "-f", "none.yaml", cwd=project.root)

    assert json.loads(done.stdout)["parameters"] == {
        "depth": 7,
        "rate": 0.1,
        "names": ["a"],
        "more": {"x": 1.0},
    }
    assert "reuse" in planned.stdout
    (keep,) = json.loads(shown.stdout)["nodes"]
    assert keep["inputs"]["values"]["value"] == [5, 0.1, ["a"], {"x": 1.0}]
    assert (refused.returncode, refused.stderr.splitlines()[0]) == (3, "error: there is no file none.yaml")
