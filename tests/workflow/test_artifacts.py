"""Artifacts: found by where they were made, by digest and by id, and written out as they are stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.kernel.errors import Conflict, Corrupt, Invalid, NotFound, WorkFailed
from mlwright.sdk.codecs import CODECS, LAST_RESORT
from mlwright.versioning.artifacts import add_artifact
from mlwright.workflow.artifacts import SUFFIXES, NamedArtifact
from tests.conftest import PYPROJECT, lock_project, mlwright, write
from tests.workflow.test_verify_inputs import change_without_a_trace

Opener = Callable[[dict[str, str]], Project]

MAKING = {
    "pipelines/p.py": """
    from pathlib import Path
    from typing import NamedTuple
    from mlwright import log_artifact, pipeline, step

    class Halves(NamedTuple):
        low: list[int]
        high: list[int]

    @step
    def halve(count: int) -> Halves:
        return Halves(list(range(count // 2)), list(range(count // 2, count)))

    @step
    def wide(values: list[int]) -> bytes:
        log_artifact("a figure", "plots/roc")
        Path("roc.svg").write_text("<svg/>")
        log_artifact(Path("roc.svg"), "plots/roc.svg")
        return b"x" * 9000

    @step
    def report(data: bytes) -> Path:
        Path("report.html").write_text("<p>" + str(len(data)))
        return Path("report.html")

    @step(cache=False)
    def talk(fail: bool) -> None:
        log_artifact({"step": "talk"}, "words")
        assert not fail

    @step
    def square(value: int) -> int:
        return value * value

    @pipeline
    def making(count: int = 4, fail: bool = False):
        low, high = halve(count)
        report(wide(low))
        square.map(high)
        talk(fail)
    """,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose pipeline has run once."""
    root = write(tmp_path_factory.mktemp("made"), {"pyproject.toml": PYPROJECT, **MAKING})
    with Project.open(root) as opened:
        lock_project(opened)
        opened.run("making")
        yield opened


def named(found: list[NamedArtifact]) -> dict[str, str]:
    """The role of each artifact, by its reference without the run."""
    return {each.reference.partition("/")[2]: each.role for each in found}


def test_a_list_holds_all_that_the_steps_of_a_run_made_and_logged(project: Project) -> None:
    """Each output, each element of a mapped step, and each logged artifact has a reference that finds it."""
    listed = project.artifacts.list()

    assert named(listed) == {
        "halve/low": "output",
        "halve/high": "output",
        "wide/result": "output",
        "wide/plots/roc": "logged",
        "wide/plots/roc.svg": "logged",
        "report/result": "output",
        "square[0]/result": "output",
        "square[1]/result": "output",
        "talk/result": "output",
        "talk/words": "logged",
    }
    assert [project.artifacts.get(each.reference) for each in listed] == listed


def test_a_reused_step_has_its_artifacts_in_every_run(opened: Opener) -> None:
    """What a run reuses is listed in it, and leads to the attempt that made it, in the run before."""
    project = opened(MAKING)
    first, second = project.run("making"), project.run("making")

    before, after = project.artifacts.get(f"{first.id}/wide"), project.artifacts.get(f"{second.id}/wide")

    assert named(project.artifacts.list(first.id)) == named(project.artifacts.list(second.id))
    assert (after.run, after.made_by, after.artifact) == (second.id, before.made_by, before.artifact)
    assert project.artifacts.get(after.artifact.id) == before


def test_of_several_tries_the_last_counts(opened: Opener, tmp_path: Path) -> None:
    """A name stands for what was logged last, whichever try it was."""
    text = f"""
    from pathlib import Path
    from mlwright import log_artifact, pipeline, step

    FLAG = Path({str(tmp_path / "tried")!r})

    @step(retries=1)
    def flaky() -> None:
        log_artifact("again" if FLAG.exists() else "first", "words")
        if not FLAG.exists():
            FLAG.touch()
            raise RuntimeError("the first try")

    @pipeline
    def trying():
        flaky()
    """
    project = opened({"pipelines/p.py": text})
    project.run("trying")

    listed = project.artifacts.list()
    written = project.artifacts.checkout("latest/flaky/words", tmp_path / "words.txt")

    assert named(listed) == {"flaky/words": "logged", "flaky/result": "output"}
    assert written.read_text() == "again"


def test_a_run_that_failed_has_what_was_made_until_then(opened: Opener) -> None:
    """What a failed step logged is listed; an output it has none."""
    project = opened(MAKING)
    with pytest.raises(WorkFailed):
        project.run("making", fail=True)

    listed = named(project.artifacts.list("latest"))

    assert listed["talk/words"] == "logged"
    assert "talk/result" not in listed


def test_one_artifact_is_found_in_four_ways(project: Project) -> None:
    """By run, step and name; without the name; by its digest; and by its id: whole or shortened."""
    whole = project.artifacts.get("latest/wide/result")
    run, artifact = whole.run, whole.artifact

    found = [
        project.artifacts.get(reference)
        for reference in (
            f"{run}/wide/result",
            f"{run[:10]}/wide",
            f"b3:{artifact.digest}",
            f"b3:{artifact.digest[:8]}",
            artifact.id,
            artifact.id[:-2].lower(),
        )
    ]

    assert found == [whole] * 6
    assert whole.reference == f"{run[:10]}/wide/result"


def test_what_no_run_made_is_found_by_its_digest(project: Project, tmp_path: Path) -> None:
    """A dataset is an artifact too: its checkout is a folder with its files."""
    folder = write(tmp_path / "data", {"a.txt": "a", "b/c.txt": "c"})
    version, _ = project.datasets.add(folder, "notes")

    found = project.artifacts.get(f"b3:{version.digest[:12]}")
    written = project.artifacts.checkout(found.reference, tmp_path / "out")

    assert (found.reference, found.role, found.run) == (f"b3:{version.digest[:12]}", "data", "")
    assert (written / "b/c.txt").read_text() == "c"
    with pytest.raises(Conflict, match="is there already"):
        project.artifacts.checkout(found.reference, tmp_path / "out")
    (tmp_path / "out" / "a.txt").write_text("changed")
    project.artifacts.checkout(found.reference, tmp_path / "out", force=True)
    assert (written / "a.txt").read_text() == "a"


@pytest.mark.parametrize(
    ("reference", "kind", "told", "hint"),
    [
        ("latest/halve", Invalid, "made several artifacts: high, low", "name one: latest/halve/high"),
        ("latest/halve/hihg", NotFound, "step `halve` of run latest made no `hihg`", "did you mean `high`?"),
        ("latest/havle", NotFound, "run latest has no artifact of a step `havle`", "did you mean `halve`?"),
        ("latest/square", NotFound, "no artifact of a step `square`", "did you mean `square[1]`?"),
        ("01AAAAAAAA/halve", NotFound, "there is no run '01AAAAAAAA'", None),
        ("b3:", NotFound, "there is no artifact 'b3:'", "mlwright artifacts list RUN"),
        ("b3:ffffffff", NotFound, "there is no artifact 'b3:ffffffff'", "mlwright artifacts list RUN"),
        ("01AAAAAAAA", NotFound, "there is no artifact '01AAAAAAAA'", "mlwright artifacts list RUN"),
        ("halve", NotFound, "there is no artifact 'halve'", "give RUN/STEP"),
        ("", NotFound, "there is no artifact ''", "give RUN/STEP"),
    ],
)
def test_what_cannot_be_found_is_told_with_what_there_is(
    project: Project, reference: str, kind: type[Exception], told: str, hint: str | None
) -> None:
    """A misspelt reference costs one look."""
    with pytest.raises(kind) as refusal:
        project.artifacts.get(reference)

    assert isinstance(refusal.value, NotFound | Invalid)
    assert told in refusal.value.message
    assert hint is None or hint in (refusal.value.hint or "")


def test_a_beginning_that_fits_several_ids_asks_for_more(project: Project) -> None:
    """What two artifacts begin with is not taken for one of them."""
    first = project.artifacts.list()[0].artifact.id

    with pytest.raises(Invalid, match="fits several artifacts"):
        project.artifacts.get(first[:4])


@pytest.mark.parametrize(
    ("reference", "file", "data"),
    [
        ("latest/halve/low", "halve-low.json", b"[0,1]"),
        ("latest/wide", "wide.bin", b"x" * 9000),
        ("latest/report", "report.html", b"<p>9000"),
        ("latest/square[1]", "square[1].json", b"9"),
        ("latest/wide/plots/roc", "roc.txt", b"a figure"),
        ("latest/wide/plots/roc.svg", "roc.svg", b"<svg/>"),
    ],
)
def test_a_checkout_into_a_folder_is_named_after_step_and_codec(
    project: Project, tmp_path: Path, reference: str, file: str, data: bytes
) -> None:
    """The bytes are those that are stored, small or large; the file's name says what they are."""
    written = project.artifacts.checkout(reference, tmp_path)

    assert written == tmp_path / file
    assert written.read_bytes() == data
    assert written.stat().st_mode & 0o200  # a copy, to be changed at will
    assert list(tmp_path.iterdir()) == [written]


def test_a_checkout_may_name_the_file_or_a_folder_that_is_not_there(project: Project, tmp_path: Path) -> None:
    """A name that ends in a slash is a folder; any other is the file; what lies above is made."""
    into = project.artifacts.checkout("latest/wide", f"{tmp_path}/new/folder/")
    to = project.artifacts.checkout("latest/wide", tmp_path / "other" / "file.dat")

    assert into == tmp_path / "new/folder/wide.bin"
    assert to.read_bytes() == into.read_bytes()


def test_what_is_there_is_not_written_over_unless_forced(project: Project, tmp_path: Path) -> None:
    """A file stays as it is without `force`; a link is replaced, not followed; a folder is never replaced."""
    (tmp_path / "kept").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "wide.bin").mkdir()

    for name in ("kept", "link"):
        with pytest.raises(Conflict, match="is there already") as refusal:
            project.artifacts.checkout("latest/wide", tmp_path / name)
        assert "--force" in (refusal.value.hint or "")
    project.artifacts.checkout("latest/wide", tmp_path / "link", force=True)
    with pytest.raises(Conflict, match="is a folder"):
        project.artifacts.checkout("latest/wide", tmp_path, force=True)

    assert (tmp_path / "kept").read_text() == "mine"
    assert not (tmp_path / "link").is_symlink()
    assert not (tmp_path / "nowhere").exists()


def test_damaged_bytes_are_not_written_out(opened: Opener, tmp_path: Path) -> None:
    """An object is read in full before it leaves the store, and nothing is left where it should have gone."""
    project = opened(MAKING)
    project.run("making")
    path = project.rooms.objects.path(project.artifacts.get("latest/wide").artifact.digest)
    change_without_a_trace(path, b"y" * 9000, project.root / ".mlwright/local/verified")

    with Project.open(project.root) as again, pytest.raises(Corrupt):
        again.artifacts.checkout("latest/wide", tmp_path / "out" / "wide.bin")

    assert not (tmp_path / "out").exists()


def test_nothing_is_decoded(project: Project, tmp_path: Path) -> None:
    """Bytes that no codec could read are listed, shown and written out like any others."""
    rooms = project.rooms
    stored = rooms.objects.put(b"\x80\x04no model")
    with rooms.database.transaction() as tx:
        made = add_artifact(
            tx,
            codec="pickle",
            type_text="evil.Model",
            digest=stored.digest,
            size_bytes=stored.size_bytes,
            about={"name": "../../escaped"},
            ours=False,
        )

    shown = mlwright("artifacts", "show", made.id, cwd=project.root)
    written = project.artifacts.checkout(made.id, tmp_path)

    assert "evil.Model, by the codec pickle" in shown.stdout
    assert "was not made by a run of this workspace: it is never loaded" in shown.stdout
    assert written == tmp_path / f"b3-{stored.digest[:12]}.pickle"
    assert written.read_bytes() == b"\x80\x04no model"


def test_every_codec_has_a_suffix() -> None:
    """A codec that is added is given the name its files have."""
    assert set(SUFFIXES) == {codec.name for codec in (*CODECS, LAST_RESORT)}


def test_the_doors_list_show_and_check_out(project: Project, tmp_path: Path) -> None:
    """`artifacts` tables what is there, shows one, and plans before it writes."""

    def told(*arguments: str) -> str:
        done = mlwright("artifacts", *arguments, cwd=project.root)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run = project.runs.get("latest")
    listed, as_json = told("list"), json.loads(told("list", run.id[:12], "--json"))
    shown = told("show", "latest/halve/high")
    planned = told("checkout", "latest/wide", str(tmp_path), "--dry-run")
    before = list(tmp_path.iterdir())
    written = told("checkout", "latest/wide", str(tmp_path))
    refused = mlwright("artifacts", "checkout", "latest/wide", str(tmp_path), cwd=project.root)

    assert listed.splitlines()[0].split() == ["ARTIFACT", "ROLE", "TYPE", "SIZE", "DIGEST"]
    assert f"{run.id[:10]}/wide/plots/roc.svg" in listed
    assert [each["reference"] for each in as_json] == [each.reference for each in project.artifacts.list()]
    assert shown.startswith(f"artifact {run.id[:10]}/halve/high\n")
    assert f"made by    step halve of run {run.id[:10]} (succeeded)" in shown
    assert "entries  2" in shown
    assert planned == (
        f"plan: checkout of {run.id[:10]}/wide/result\n  write  {tmp_path}/wide.bin  9,000 bytes of bytes\n"
    )
    assert (before, written) == ([], planned.removeprefix("plan: "))
    assert (refused.returncode, refused.stderr.splitlines()[1][:5]) == (4, "hint:")


def test_a_small_value_is_shown_with_what_is_known_of_it(project: Project) -> None:
    """JSON and text up to 4 KiB; in JSON as a value, and of bytes and files nothing."""
    shown = mlwright("artifacts", "show", "latest/talk/words", cwd=project.root).stdout
    text = mlwright("artifacts", "show", "latest/wide/plots/roc", cwd=project.root).stdout
    low = json.loads(mlwright("artifacts", "show", "latest/halve/low", "--json", cwd=project.root).stdout)
    html = json.loads(mlwright("artifacts", "show", "latest/report", "--json", cwd=project.root).stdout)

    assert shown.endswith('\nvalue\n  {\n    "step": "talk"\n  }\n')
    assert text.endswith("\nvalue\n  a figure\n")
    assert low["value"] == [0, 1] and low["name"] == "low"
    assert "value" not in html


@pytest.mark.parametrize(
    ("codec", "data", "lines", "as_json"),
    [
        (
            "json",
            b'{"a":NaN,"b":[1e400]}',
            ["{", '  "a": NaN,', '  "b": [', "    Infinity", "  ]", "}"],
            None,
        ),
        ("json", b"123456789012345678901234567890", ["123456789012345678901234567890"], None),
        ("text", b"a\x1b[31m\tb\r\nc", ["a\\x1b[31m\tb\\r", "c"], "a\x1b[31m\tb\r\nc"),
        ("text", "\ud800".encode("utf-8", "surrogatepass"), ["\\ud800"], None),
        ("text", b"", [], ""),
    ],
)
def test_no_value_disturbs_the_terminal_or_the_json(
    project: Project, codec: str, data: bytes, lines: list[str], as_json: object
) -> None:
    """What no terminal or JSON can show is escaped; NaN and infinities are null in JSON, as everywhere."""
    found = recorded(project, codec, data)

    value = project.artifacts.value(found)

    assert value is not None and value.lines == lines
    decoded = json.loads(bytes(value.json))
    assert as_json is None or decoded == as_json


@pytest.mark.parametrize(
    ("codec", "size"),
    [("json", 4097), ("text", 4097), ("bytes", 3), ("file", 3), ("pickle", 3), ("skops", 3)],
)
def test_only_small_json_and_text_is_read(project: Project, codec: str, size: int) -> None:
    """Whatever else an artifact is, its bytes are not looked at."""
    assert project.artifacts.value(recorded(project, codec, b"1" * size)) is None


def recorded(project: Project, codec: str, data: bytes) -> NamedArtifact:
    """An artifact with these bytes."""
    stored = project.rooms.objects.put(data)
    with project.rooms.database.transaction() as tx:
        made = add_artifact(
            tx,
            codec=codec,
            type_text="str",
            digest=stored.digest,
            size_bytes=len(data),
            about={},
            ours=False,
        )
    return project.artifacts.get(made.id)
