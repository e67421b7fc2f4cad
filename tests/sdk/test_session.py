"""What a worker does with a request; the process around it is examined with the executor."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlwright.sdk.frames import Frame
from mlwright.sdk.session import answer

USER = textwrap.dedent("""
    import random
    from dataclasses import dataclass
    from pathlib import Path
    from typing import Any, NamedTuple

    from mlwright import Dataset, log_metric, pipeline, step


    class Split(NamedTuple):
        train: list[int]
        test: list[int]


    @dataclass
    class Scored:
        value: float
        rows: int


    @step
    def split(table: list[int], cut: int = 1) -> Split:
        return Split(table[cut:], table[:cut])


    @step
    def score(table: list[int]) -> Scored:
        return Scored(0.5, len(table))


    @step
    def wrong(table: list[int]) -> Split:
        return table


    @step
    def draw() -> float:
        return random.random()


    @step
    def large() -> str:
        return "x" * 5000


    @step
    def odd() -> Any:
        return {1, 2}


    @step
    def reads(data: Dataset, many: list, named: dict) -> dict:
        with data.open() as file:
            return {"data": file.read().decode(), "files": data.files, "many": many, "named": named}


    @step
    def report() -> Path:
        log_metric("auc", 0.5)
        Path("report.html").write_text("<p>")
        return Path("report.html").resolve()


    @step
    def edit(path: Path) -> str:
        path.write_text(path.read_text() + "!")
        return path.read_text()


    def bare(table: list[int]) -> Split:
        return Split(table, [])


    bare_step = step(bare)


    @pipeline
    def whole(rows: int = 3, data: Dataset = Dataset("patients@latest")):
        score(split([1] * rows).train)
        reads(data, [], {})
""")

numbers = itertools.count()

Ask = Callable[..., tuple[dict[str, Any], tuple[bytes, ...]]]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of a user's code, importable, under a module name of its own."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "theirs.py").write_text(USER)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(tmp_path)
    state = random.getstate()
    yield folder
    random.setstate(state)
    sys.modules.pop("theirs", None)


@pytest.fixture
def execute(root: Path, tmp_path: Path) -> Ask:
    """Executes a step: `execute("split", table=...)`; an argument is a value or as a request has it."""

    def run(name: str, *, seed: int | None = None, parts: tuple[bytes, ...] = (), **arguments: Any) -> Any:
        scratch = tmp_path / f"scratch-{next(numbers)}"
        head = {
            "id": "7",
            "op": "execute",
            "step": f"theirs:{name}",
            "node": name,
            "seed": seed,
            "scratch": str(scratch),
            "arguments": {
                key: value
                if isinstance(value, dict) and "kind" in value
                else {"kind": "value", "value": value}
                for key, value in arguments.items()
            },
        }
        frame = answer(Frame(head, parts), str(root))
        assert frame.head["id"] == "7"
        return {**frame.head, "scratch": scratch}, frame.parts

    return run


def outputs(told: dict[str, Any], parts: tuple[bytes, ...]) -> dict[str, Any]:
    """The small JSON outputs of an execution, by name."""
    assert told["state"] == "done", told
    return {each["name"]: json.loads(parts[each["part"]]) for each in told["outputs"]}


@pytest.mark.parametrize(
    ("step", "arguments", "given"),
    [
        ("split", {"table": [1, 2, 3], "cut": 1}, {"train": [2, 3], "test": [1]}),
        ("score", {"table": [1, 2]}, {"value": 0.5, "rows": 2}),
        ("draw", {}, None),
        ("bare", {"table": [1]}, {"train": [1], "test": []}),
    ],
)
def test_outputs_are_named_by_the_annotation(
    execute: Ask, step: str, arguments: dict[str, Any], given: dict[str, Any] | None
) -> None:
    """Fields of a NamedTuple or dataclass, else one `result`; also of a function without `@`."""
    found = outputs(*execute(step, **arguments))

    assert found == given or (given is None and list(found) == ["result"])


def test_a_step_that_gives_something_else_than_it_promised_fails(execute: Ask) -> None:
    """The message names the step, what it promised and what it returned."""
    told, _ = execute("wrong", table=[1, 2, 3])

    assert told["state"] == "failed"
    assert told["error"]["message"] == "step `wrong` promises the outputs train, test, but returned a list"


def test_a_value_without_a_codec_fails_with_a_hint(execute: Ask) -> None:
    """The user learns what can be returned."""
    told, _ = execute("odd")

    assert told["error"]["message"] == "the output `result` of step `odd` is a set, which no codec can store"
    assert told["error"]["hint"].startswith("return a table")


def test_large_outputs_are_files_and_small_ones_travel(execute: Ask) -> None:
    """Above the bound the frame holds a path in the scratch folder."""
    told, parts = execute("large")

    (output,) = told["outputs"]
    assert (output["name"], output["codec"], output["type"], parts) == ("result", "text", "str", ())
    assert Path(output["path"]).read_text() == "x" * 5000
    assert Path(output["path"]).parent == told["scratch"]


def test_every_kind_of_argument_arrives(execute: Ask, tmp_path: Path) -> None:
    """Values, datasets, artifacts by path and in the frame, and lists and dictionaries of these."""
    stored = tmp_path / "object"
    stored.write_text('"by path"')
    (tmp_path / "file").write_text("41")
    by_path = {"kind": "artifact", "codec": "json", "wanted": "str", "path": str(stored)}
    by_part = {"kind": "artifact", "codec": "text", "wanted": "str", "part": 0}
    dataset = {"kind": "dataset", "value": "patients@3", "files": {"age.txt": str(tmp_path / "file")}}

    told, parts = execute(
        "reads",
        parts=(b"in the frame",),
        data=dataset,
        many={"kind": "list", "items": [by_path, {"kind": "value", "value": 1}]},
        named={"kind": "dict", "fields": {"a": by_part}},
    )

    assert outputs(told, parts)["result"] == {
        "data": "41", "files": ["age.txt"], "many": ["by path", 1], "named": {"a": "in the frame"}
    }  # fmt: skip


def test_a_small_file_goes_from_step_to_step(execute: Ask) -> None:
    """What one step wrote, the next gets as a copy it may write to."""
    told, parts = execute("report")
    assert told["outputs"][0]["codec"] == "file"
    assert told["outputs"][0]["about"] == {"name": "report.html"}

    argument = {"kind": "artifact", "codec": "file", "wanted": "pathlib.Path", "part": 0}
    edited, edited_parts = execute("edit", parts=parts, path=argument)

    assert edited["state"] == "done", edited
    assert edited_parts == (b"<p>!",)


def test_a_step_works_in_its_scratch_folder(execute: Ask) -> None:
    """Relative files and reported numbers stay with the attempt; the worker stays nowhere."""
    told, _ = execute("report")

    assert (told["scratch"] / "work" / "report.html").exists()
    assert json.loads((told["scratch"] / "journal.jsonl").read_text())["metric"] == "auc"
    assert Path.cwd() == Path("/")
    assert told["usage"].keys() == {"wall_s", "cpu_s", "peak_bytes"}


def test_the_seed_decides_what_is_drawn(execute: Ask) -> None:
    """The same seed gives the same numbers, another one others."""
    drawn = [outputs(*execute("draw", seed=seed))["result"] for seed in (1, 1, 2)]

    assert drawn[0] == drawn[1] != drawn[2]


def test_a_pipeline_is_described_and_traced(root: Path) -> None:
    """Requests of the planner: parameters, and the graph for given values."""
    told = answer(Frame({"id": "1", "op": "parameters", "module": "theirs", "pipeline": "whole"}), str(root))
    values = {"rows": 2, "data": "patients@3"}
    traced = answer(
        Frame({"id": "2", "op": "trace", "module": "theirs", "pipeline": "whole", "values": values}),
        str(root),
    )

    assert [each["name"] for each in told.head["parameters"]] == ["rows", "data"]
    assert [node["name"] for node in traced.head["nodes"]] == ["split", "score", "reads"]
    assert traced.head["nodes"][0]["inputs"]["table"] == {"kind": "value", "value": [1, 1]}


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ({"op": "parameters", "module": "theirs", "pipeline": "split"}, "theirs.split is not a pipeline"),
        ({"op": "parameters", "module": "theirs", "pipeline": "nothing"}, "theirs.nothing is not a pipeline"),
        ({"op": "parameters", "module": "nowhere", "pipeline": "whole"}, "No module named 'nowhere'"),
        ({"op": "dance"}, "'dance'"),
    ],
)
def test_a_wrong_request_is_answered(root: Path, head: dict[str, Any], said: str) -> None:
    """Whatever is asked, the worker answers and lives."""
    frame = answer(Frame({"id": "1", **head}), str(root))

    assert (frame.head["id"], frame.head["state"]) == ("1", "failed")
    assert frame.head["error"]["message"] == said


def test_a_library_that_a_step_imports_while_it_runs_is_seeded_too() -> None:
    """The numbers are the same whether NumPy was imported before or by the step."""
    code = (
        "import sys\n"
        "from mlwright.sdk import session\n"
        "if sys.argv[1] == 'before': import numpy\n"
        "session._seed(42)\n"
        "import numpy\n"
        "print(numpy.random.rand())"
    )

    told = {
        subprocess.run([sys.executable, "-c", code, when], capture_output=True, text=True, check=True).stdout
        for when in ("before", "while")
    }

    assert len(told) == 1
