"""What a worker does with a request; the process around it is examined with the executor."""

from __future__ import annotations

import itertools
import json
import pickle
import random
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlwright.sdk.frames import Frame
from mlwright.sdk.session import INLINE_BYTES, Worker
from mlwright.tracking import Series, read_journal
from tests.processes import run_python

USER = textwrap.dedent("""
    import os
    import random
    import shutil
    import subprocess
    import sys
    import threading
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
    def gives_a_lock() -> Any:
        return threading.Lock()


    @step
    def counts() -> Any:
        return (number for number in range(3))


    @step
    def gives_a_folder() -> Path:
        for name in ("parts/a.txt", "parts/within/b.txt"):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(name)
        return Path("parts")


    @step
    def reads_folder(folder: Path) -> list[str]:
        return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.txt"))


    @step
    def several(size: int) -> list:
        for name in ("a.txt", "b.txt"):
            Path(name).write_text(name * size)
        return [Path("a.txt"), 2, Path("b.txt")]


    class Both(NamedTuple):
        files: list[Path]
        count: int


    @step
    def named_files() -> Both:
        Path("a.txt").write_text("a")
        return Both([Path("a.txt")], 1)


    @step
    def odd_list() -> list:
        return [1, {2}]


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


    @step
    def around() -> dict:
        here = Path.cwd()
        seen = {"here": str(here), "files": sorted(path.name for path in here.iterdir())}
        (here / "left").mkdir()
        (here / "left" / "file").write_text("by the one before")
        return seen


    @step
    def goes(how: str) -> str:
        here = Path.cwd()
        os.chdir("/")
        if how == "removes":
            shutil.rmtree(here)
        elif how == "moves":
            here.rename(here.with_name("elsewhere"))
        return how


    @step
    def holds(mebibytes: int) -> int:
        return len(bytes(mebibytes << 20).replace(bytes(1), bytes(1)))


    @step
    def says(text: str, times: int = 1) -> None:
        for _ in range(times):
            sys.stdout.write(text)


    @step
    def says_everywhere() -> str:
        print("print")
        print("error", file=sys.stderr)
        os.write(1, b"descriptor\\n")
        subprocess.run(["/bin/sh", "-c", "echo child"], check=True)
        return Path("../log.txt").read_text()


    def inner() -> None:
        raise ValueError("no good")


    @step
    def raises() -> None:
        inner()


    @step
    def leaves_a_thread() -> str:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        return "done"


    @step
    def closes(*, raising: bool = False) -> str:
        print("before")
        sys.stdout.close()
        sys.stderr.close()
        return inner() if raising else "done"


    @step
    def drops(*, raising: bool = False) -> str:
        print("before")
        sys.stdout = sys.stderr = None
        return inner() if raising else "done"


    @step
    def closes_descriptors() -> str:
        os.close(1)
        os.close(2)
        return "done"


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
Alone = Callable[..., list[dict[str, Any]]]


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


def request(scratch: Path, name: str, seed: int | None = None, **arguments: Any) -> dict[str, Any]:
    """The head of a request; an argument is a value, or as a request has it."""
    number = next(numbers)
    return {
        "id": str(number),
        "op": "execute",
        "step": f"theirs:{name}",
        "node": name,
        "seed": seed,
        "scratch": str(scratch),
        "journal": str(scratch / f"{number}.jsonl"),
        "arguments": {
            key: value if isinstance(value, dict) and "kind" in value else {"kind": "value", "value": value}
            for key, value in arguments.items()
        },
    }


@pytest.fixture
def worker(root: Path) -> Worker:
    """A worker in this process: nothing is captured."""
    made = Worker("w1", alone=False)
    made.enter(str(root))
    return made


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """The scratch folder of a run; nobody has made it yet."""
    return tmp_path / "scratch"


@pytest.fixture
def execute(worker: Worker, scratch: Path) -> Ask:
    """Executes a step: `execute("split", table=...)`; an argument is a value or as a request has it."""

    def run(name: str, *, seed: int | None = None, parts: tuple[bytes, ...] = (), **arguments: Any) -> Any:
        head = request(scratch, name, seed, **arguments)
        frame = worker.answer(Frame(head, parts))
        assert frame.head["id"] == head["id"]
        return frame.head, frame.parts

    return run


ALONE = """
    import json, sys
    from pathlib import Path
    from mlwright.sdk.frames import Frame
    from mlwright.sdk.session import Worker

    root, answers, *heads = sys.argv[1:]
    worker = Worker("w1")
    worker.enter(root)
    told = [worker.answer(Frame(json.loads(head))) for head in heads]
    seen = [[each.head, "".join(part.decode() for part in each.parts)] for each in told]
    Path(answers).write_text(json.dumps(seen))
"""


@pytest.fixture
def alone(root: Path, tmp_path: Path) -> Alone:
    """Answers requests one after the other in a worker of its own; `value` is the text of the output."""

    def run(*heads: dict[str, Any]) -> list[dict[str, Any]]:
        answers = tmp_path / "answers.json"
        done = run_python(ALONE, root, answers, *map(json.dumps, heads))
        assert done.returncode == 0, done
        assert (done.stdout, done.stderr) == ("", "")
        return [{**head, "value": text} for head, text in json.loads(answers.read_text())]

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


def test_a_value_without_a_codec_is_pickled_and_that_is_told(execute: Ask) -> None:
    """The record says that it is not safe to load, and why it came to that; so does the step's log."""
    told, parts = execute("odd")

    (output,) = told["outputs"]
    assert (output["codec"], output["about"]["unsafe"]) == ("pickle", True)
    assert output["about"]["why"] == "a set is no JSON value, as a list of JSON values is"
    assert pickle.loads(parts[output["part"]]) == {1, 2}


def test_what_cannot_be_pickled_either_fails_with_a_hint(execute: Ask) -> None:
    """A lock, a generator: the user learns which output it is, and what can be returned."""
    for step, kind in (("gives_a_lock", "lock"), ("counts", "generator")):
        told, _ = execute(step)

        message = told["error"]["message"]
        assert message.startswith(f"the output `result` of step `{step}` cannot be stored: a")
        assert f"{kind} can be stored by no codec, and not as pickle either: TypeError" in message
        assert told["error"]["hint"].startswith("return a table")


def test_large_outputs_are_files_and_small_ones_travel(execute: Ask, scratch: Path) -> None:
    """Above the bound the frame holds a path in the worker's folder, which the next attempt leaves alone."""
    told, parts = execute("large")

    execute("draw")
    (output,) = told["outputs"]
    assert (output["name"], output["codec"], output["type"], parts) == ("result", "text", "str", ())
    assert Path(output["path"]).read_text() == "x" * 5000
    assert Path(output["path"]).parent == scratch / "w1" / "kept"


def test_a_list_that_no_codec_takes_is_kept_element_by_element(execute: Ask) -> None:
    """Each element is an output of its own, named by its place, with the codec that takes it."""
    told, parts = execute("several", size=1)
    large, _ = execute("several", size=INLINE_BYTES)

    assert [(each["name"], each["codec"]) for each in told["outputs"]] == [
        ("result[0]", "file"),
        ("result[1]", "json"),
        ("result[2]", "file"),
    ]
    assert parts == (b"a.txt", b"2", b"b.txt")
    paths = [Path(large["outputs"][index]["path"]) for index in (0, 2)]
    assert [path.read_text()[:5] for path in paths] == ["a.txt", "b.txt"]


def test_elements_are_named_by_the_output_they_belong_to(execute: Ask) -> None:
    """A list among several outputs is kept so too; a list that is JSON as a whole stays one value."""
    told, _ = execute("named_files")
    whole, _ = execute("split", table=[1, 2, 3])

    assert [each["name"] for each in told["outputs"]] == ["files[0]", "count"]
    assert [each["name"] for each in whole["outputs"]] == ["train", "test"]


def test_a_list_with_an_element_without_a_codec_is_pickled_as_a_whole(execute: Ask) -> None:
    """Of a million tuples no million artifacts are made."""
    told, _ = execute("odd_list")

    assert [(each["name"], each["codec"]) for each in told["outputs"]] == [("result", "pickle")]


def test_a_folder_is_copied_as_it_is(execute: Ask, tmp_path: Path) -> None:
    """The engine makes a tree of it; who takes one gets a folder, moved to where it may do as it likes."""
    told, _ = execute("gives_a_folder")

    (output,) = told["outputs"]
    assert (output["codec"], output["about"]) == ("tree", {"name": "parts", "files": 2})
    folder = Path(output["folder"])
    assert sorted(file.name for file in folder.rglob("*.txt")) == ["a.txt", "b.txt"]
    given, parts = execute(
        "reads_folder", folder={"kind": "artifact", "codec": "tree", "wanted": "", "path": str(folder)}
    )
    assert outputs(given, parts) == {"result": ["a.txt", "within/b.txt"]}
    assert not folder.exists()


def test_every_kind_of_argument_arrives(execute: Ask, tmp_path: Path) -> None:
    """Values, datasets, artifacts by path and in the frame, and lists and dictionaries of these."""
    stored = tmp_path / "object"
    stored.write_text('"by path"')
    (tmp_path / "file").write_text("41")
    by_path = {"kind": "artifact", "codec": "json", "wanted": "str", "path": str(stored)}
    by_part = {"kind": "artifact", "codec": "text", "wanted": "str", "part": 0}
    dataset = {"kind": "dataset", "value": "patients@3", "files": {"age.txt": (str(tmp_path / "file"), 0, 2)}}

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


def test_a_step_works_in_its_workers_folder(execute: Ask, scratch: Path) -> None:
    """Relative files are below the run's scratch folder; what is reported goes into the attempt's journal."""
    told, _ = execute("report")
    quiet, _ = execute("draw")

    assert (scratch / "w1" / "files").is_dir()
    (series,) = read_journal(scratch / f"{told['id']}.jsonl")
    assert isinstance(series, Series)
    assert series.name == "auc"
    assert told["journal"] is True
    assert "journal" not in quiet
    assert list(scratch.glob(f"{quiet['id']}.*")) == []
    assert told["usage"].keys() == quiet["usage"].keys() == {"wall_s", "cpu_s", "peak_bytes"}


def test_the_working_directory_is_fresh_and_empty_for_each_attempt(execute: Ask, scratch: Path) -> None:
    """Nothing of the attempt before is there, whatever that left, however deep."""
    seen = [outputs(*execute("around"))["result"] for _ in range(3)]

    assert seen == [{"here": str(scratch / "w1" / "work"), "files": []}] * 3


@pytest.mark.parametrize("how", ["leaves", "removes", "moves"])
def test_a_step_that_leaves_its_working_directory_does_not_disturb_the_next(
    execute: Ask, scratch: Path, how: str
) -> None:
    """The next one has its own again, where it was."""
    execute("goes", how=how)

    assert outputs(*execute("around"))["result"] == {"here": str(scratch / "w1" / "work"), "files": []}


def test_the_peak_of_memory_is_of_the_attempt_alone(execute: Ask) -> None:
    """A small attempt behind a large one has a small peak."""
    before, large, small = (execute("holds", mebibytes=size)[0]["usage"] for size in (1, 256, 1))

    assert large["peak_bytes"] - before["peak_bytes"] > 200 * 2**20
    assert abs(small["peak_bytes"] - before["peak_bytes"]) < 100 * 2**20


def test_the_peak_of_memory_is_not_that_of_whoever_started_the_worker(alone: Alone, scratch: Path) -> None:
    """The kernel counts what a process inherits from its parent as its own, until it is told not to."""
    held = bytearray(b"x") * (512 * 2**20)

    (told,) = alone(request(scratch, "holds", mebibytes=1))

    assert len(held) > told["usage"]["peak_bytes"] * 2


def test_what_is_printed_goes_to_the_attempts_own_log(alone: Alone, scratch: Path) -> None:
    """By whichever way, in the order in which it was said; it can be read while the step runs."""
    loud, quiet, after = alone(
        request(scratch, "says_everywhere"), request(scratch, "draw"), request(scratch, "says", text="after")
    )

    said = "print\nerror\ndescriptor\nchild\n"
    assert loud["value"] == said
    assert Path(loud["log"]).read_text() == said
    assert "log" not in quiet
    assert Path(after["log"]).read_text() == "after"


def test_a_long_log_keeps_its_beginning_and_its_end(alone: Alone, scratch: Path) -> None:
    """Over 16 MiB, what is in the middle is left out, and that is said."""
    line, count = "x" * 63 + "\n", 2**18 + 2**14

    whole, long = alone(
        request(scratch, "says", text=line, times=2**18),
        request(scratch, "says", text=line, times=count),
    )

    assert Path(whole["log"]).stat().st_size == 16 * 2**20
    text = Path(long["log"]).read_text()
    half = line * 2**17
    assert text == f"{half}\n... {2**20:,} bytes are left out: a log keeps 16 MiB ...\n{half}"


def test_what_a_step_raises_is_in_its_log_by_the_projects_own_paths(
    alone: Alone, root: Path, scratch: Path
) -> None:
    """The traceback begins at the user's first frame."""
    (told,) = alone(request(scratch, "raises"))

    log = Path(told["log"]).read_text()
    assert log.startswith('Traceback (most recent call last):\n  File "theirs.py", line ')
    assert log.endswith("ValueError: no good\n")
    assert str(root) not in log and "session.py" not in log
    assert (told["state"], told["error"]["function"]) == ("failed", "inner")
    assert "usage" in told


@pytest.mark.parametrize(
    ("step", "left"),
    [
        ("leaves_a_thread", "1 thread"),
        ("closes", "a closed sys.stdout and a closed sys.stderr"),
        ("drops", "another sys.stdout and another sys.stderr"),
    ],
)
def test_a_worker_that_is_not_as_before_asks_to_be_ended(
    alone: Alone, scratch: Path, step: str, left: str
) -> None:
    """The step itself is done; why its worker ends is told, and stands in the log."""
    clean, told = alone(request(scratch, "draw"), request(scratch, step))

    assert "retire" not in clean
    assert (told["state"], told["value"], told["retire"]) == ("done", "done", left)
    assert (
        Path(told["log"])
        .read_text()
        .endswith(f"mlwright: the step left {left} behind: its worker is ended\n")
    )


@pytest.mark.parametrize("step", ["closes", "drops"])
def test_a_step_that_raises_without_a_stream_to_say_it_on_fails_of_what_it_raised(
    alone: Alone, scratch: Path, step: str
) -> None:
    """Closing the streams hides neither the error nor its traceback."""
    (told,) = alone(request(scratch, step, raising=True))

    assert (told["state"], told["error"]["message"]) == ("failed", "no good")
    assert "retire" in told
    log = Path(told["log"]).read_text()
    assert log.startswith("before\nTraceback ")
    assert "ValueError: no good\n" in log


def test_a_step_that_closes_its_descriptors_does_not_silence_the_next(alone: Alone, scratch: Path) -> None:
    """Each attempt is heard, and nothing it prints lands in a file that got the number."""
    first, second = alone(request(scratch, "closes_descriptors"), request(scratch, "says_everywhere"))

    assert first["state"] == "done"
    assert Path(second["log"]).read_text() == "print\nerror\ndescriptor\nchild\n"


def test_a_worker_serves_two_runs_in_turn(alone: Alone, tmp_path: Path) -> None:
    """Each attempt's files and log are in the folder of its own run."""
    heads = [
        request(tmp_path / run, "says", text=f"{run}{turn}") for turn in (1, 2) for run in ("one", "two")
    ]

    told = alone(*heads)

    logs = [Path(each["log"]) for each in told]
    assert [log.read_text() for log in logs] == ["one1", "two1", "one2", "two2"]
    assert [log.parent for log in logs] == [tmp_path / run / "w1" / "kept" for run in ("one", "two")] * 2


def test_a_child_that_a_script_forks_is_not_taken_for_it(alone: Alone, root: Path, scratch: Path) -> None:
    """It ends with its own status; what both printed is in the log, and what the parent wrote is kept."""
    (root / "forks.py").write_text(
        textwrap.dedent("""
            import os, sys
            print("before", flush=True)
            if os.fork() == 0:
                print("child")
                sys.exit(5)
            _, status = os.wait()
            with open("out.txt", "w") as file:
                file.write(str(os.waitstatus_to_exitcode(status)))
        """)
    )
    head = {**request(scratch, "forks", arguments=[]), "op": "script", "step": "forks.py"}

    (told,) = alone(head)

    assert [each["name"] for each in told["outputs"]] == ["out.txt"]
    assert (told["state"], told["value"]) == ("done", "5")
    assert Path(told["log"]).read_text() == "before\nchild\n"


def test_the_seed_decides_what_is_drawn(execute: Ask) -> None:
    """The same seed gives the same numbers, another one others."""
    drawn = [outputs(*execute("draw", seed=seed))["result"] for seed in (1, 1, 2)]

    assert drawn[0] == drawn[1] != drawn[2]


def test_a_pipeline_is_described_and_traced(worker: Worker) -> None:
    """Requests of the planner: parameters, and the graph for given values."""
    told = worker.answer(Frame({"id": "1", "op": "parameters", "module": "theirs", "pipeline": "whole"}))
    values = {"rows": 2, "data": "patients@3"}
    traced = worker.answer(
        Frame({"id": "2", "op": "trace", "module": "theirs", "pipeline": "whole", "values": values})
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
def test_a_wrong_request_is_answered(worker: Worker, head: dict[str, Any], said: str) -> None:
    """Whatever is asked, the worker answers and lives."""
    frame = worker.answer(Frame({"id": "1", **head}))

    assert (frame.head["id"], frame.head["state"]) == ("1", "failed")
    assert frame.head["error"]["message"] == said


def test_a_library_that_a_step_imports_while_it_runs_is_seeded_too() -> None:
    """The numbers are the same whether NumPy was imported before or by the step."""
    code = (
        "import sys\n"
        "from mlwright.sdk.seeds import seed_all\n"
        "if sys.argv[1] == 'before': import numpy\n"
        "seed_all(42)\n"
        "import numpy\n"
        "print(numpy.random.rand())"
    )

    told = {
        subprocess.run([sys.executable, "-c", code, when], capture_output=True, text=True, check=True).stdout
        for when in ("before", "while")
    }

    assert len(told) == 1
