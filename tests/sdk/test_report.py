"""What a step reports goes to its journal: metrics as points, all else line by line."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlwright import log_artifact, log_figure, log_metric, log_metrics, log_param, log_params, progress
from mlwright.kernel.errors import Invalid, Unavailable
from mlwright.sdk import report
from mlwright.sdk.codecs import codec_named
from mlwright.tracking import Series, read_journal
from tests.processes import run_python


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Path]:
    """An open journal; its scratch folder is `scratch` beside it."""
    report.open_journal(tmp_path / "journal.jsonl", tmp_path / "scratch")
    yield tmp_path / "journal.jsonl"
    report.close_journal()


def entries(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal; none when there is no journal."""
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def metrics(path: Path) -> list[tuple[str, float, int]]:
    """Name, value and step of each point beside a journal, in their order."""
    return [
        (each.name, value, step)
        for each in read_journal(path)
        if isinstance(each, Series)
        for step, _, value in each.points
    ]


def logged(path: Path) -> dict[str, bytes]:
    """The bytes of each artifact in a journal, by name."""
    return {each["artifact"]: Path(each["path"]).read_bytes() for each in entries(path)}


def test_outside_a_run_reporting_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same code runs in a notebook, and leaves nothing behind."""
    monkeypatch.chdir(tmp_path)

    log_metric("auc", 0.5)
    log_metrics({"auc": 0.5, "loss": 1}, step=3)
    log_param("lr", 0.1)
    log_params({"lr": 0.1})
    log_artifact("text", "note")
    log_artifact(Path("nowhere"))
    log_figure(Drawn(), "roc")

    assert list(progress("ab", total=2)) == ["a", "b"]
    assert list(tmp_path.iterdir()) == []


def test_a_journal_is_made_by_the_first_report(tmp_path: Path) -> None:
    """Opening one leaves nothing on the disk, and closing says whether there is one."""
    path = tmp_path / "run" / "attempt.jsonl"
    report.open_journal(path, tmp_path / "scratch")
    silent = report.close_journal()
    before = list(tmp_path.iterdir())

    report.open_journal(path, tmp_path / "scratch")
    log_metric("auc", 0.5)
    told = report.close_journal()

    assert (silent, before, told) == (False, [], True)
    assert metrics(path) == [("auc", 0.5, 0)]


def test_what_only_a_forked_child_reports_counts(journal: Path) -> None:
    """The parent that reported nothing itself still says that there is a journal."""
    code = """
        import os, sys
        from pathlib import Path
        from mlwright.sdk import report
        report.open_journal(Path(sys.argv[1]), Path(sys.argv[1]).parent)
        if not (child := os.fork()):
            report.log_metric("auc", 0.5)
            os._exit(0)
        os.waitpid(child, 0)
        print(report.close_journal())
    """

    done = run_python(code, journal)

    assert (done.stdout, done.stderr) == ("True\n", "")
    assert metrics(journal) == [("auc", 0.5, 0)]


def test_each_number_is_a_point(journal: Path) -> None:
    """Name, value, step and moment, in the order they were said."""
    before = time.time_ns() // 1000
    log_metric("auc", 0.5)
    log_metrics({"loss": 1, "räte": 2.5}, step=7)
    log_metric("auc", 0.75, step=-1)
    after = time.time_ns() // 1000

    assert metrics(journal) == [("auc", 0.5, 0), ("auc", 0.75, -1), ("loss", 1.0, 7), ("räte", 2.5, 7)]
    moments = [
        at_us for each in read_journal(journal) if isinstance(each, Series) for at_us in each.points.at_us
    ]
    assert before <= min(moments) <= max(moments) <= after


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=250)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names, st.floats(), st.integers(-(2**63), 2**63 - 1))
def test_any_name_number_and_step_come_back(journal: Path, name: str, value: float, step: int) -> None:
    """Line ends in a name, NaN, infinities and the sign of a zero are no hindrance."""
    log_metric(name, value, step=step)

    last = [each for each in metrics(journal) if each[0] == name][-1]

    assert repr(last) == repr((name, value, step))


def test_a_scalar_of_numpy_is_taken_by_its_value(journal: Path) -> None:
    """What has a value as a float, a step that is a whole number, a setting."""
    import numpy

    log_metric("auc", numpy.float32(0.5), step=numpy.int64(3))
    log_metric(numpy.str_("loss"), numpy.float64("nan"))
    log_param("seed", numpy.int64(3))
    log_param("grid", {"lr": [numpy.float32(0.5), numpy.bool_(True)]})

    assert repr(metrics(journal)) == "[('auc', 0.5, 3), ('loss', nan, 0)]"
    assert [repr(each["value"]) for each in entries(journal)] == ["3", "{'lr': [0.5, True]}"]


def vector() -> Any:
    """An array of two numbers."""
    import numpy

    return numpy.array([1.0, 2.0])


@pytest.mark.parametrize("value", ["0.5", b"1", None, 1j, [0.5], {}, 10**400, vector()], ids=repr)
def test_what_is_no_number_is_no_metric(journal: Path, value: Any) -> None:
    """It is refused with what it is and what to do, in the step that says it."""
    with pytest.raises(Invalid, match=r"the metric 'auc' must be a number, not (an? |None)") as raised:
        log_metric("auc", value)

    assert "log_param" in str(raised.value.hint)
    assert metrics(journal) == []


@pytest.mark.parametrize("step", ["3", 1.5, None, 2**63], ids=repr)
def test_a_step_is_a_whole_number_that_can_be_kept(journal: Path, step: Any) -> None:
    """What the database could not hold is refused where it is said."""
    with pytest.raises(Invalid, match="the step of the metric 'auc' must be a whole number"):
        log_metric("auc", 0.5, step=step)

    assert metrics(journal) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, "name must be text, not None"),
        (3, "name must be text, not 3"),
        (("auc",), "name must be text"),
        (["auc"], "name must be text"),
        ("", "1 to 250 characters, not 0"),
        ("a" * 251, "1 to 250 characters, not 251"),
        ("a\ud800", "must be Unicode text"),
        ("a\0", "must be text without NUL"),
    ],
    ids=repr,
)
def test_a_wrong_name_is_refused(journal: Path, name: Any, message: str) -> None:
    """In the step that gives it, not later in the engine."""
    with pytest.raises(Invalid, match=f"a metric's .*{message}"):
        log_metric(name, 0.5)
    with pytest.raises(Invalid, match=f"a parameter's .*{message}"):
        log_param(name, 0.5)

    assert (entries(journal), metrics(journal)) == ([], [])


def test_of_several_values_all_are_kept_or_none(journal: Path) -> None:
    """One that is refused takes the others with it: nobody looks for half of a report."""
    with pytest.raises(Invalid):
        log_metrics({"auc": 0.5, "loss": None})  # type: ignore[dict-item]
    with pytest.raises(Invalid):
        log_params({"lr": 0.5, "model": object()})
    with pytest.raises(Invalid, match="log_metrics takes names with their values, not a list"):
        log_metrics([("auc", 0.5)])  # type: ignore[arg-type]

    assert (entries(journal), metrics(journal)) == ([], [])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names, json_values)
def test_a_parameter_is_any_json_value(journal: Path, name: str, value: Any) -> None:
    """It comes back as it was said, types included."""
    log_params({name: value})

    last = entries(journal)[-1]

    assert (last["param"], repr(last["value"])) == (name, repr(value))


@pytest.mark.parametrize(
    "value",
    [object(), (1, 2), {1: 2}, {"a": {3}}, b"", Path("a"), vector()],
    ids=["object", "tuple", "key", "set", "bytes", "path", "vector"],
)
def test_another_value_is_no_parameter(journal: Path, value: Any) -> None:
    """A tuple, which would come back as a list, included."""
    with pytest.raises(Invalid, match=r"the parameter 'p' is an? .*, which is not a JSON value") as raised:
        log_param("p", value)

    assert "log_artifact" in str(raised.value.hint)
    assert entries(journal) == []


def test_what_was_said_before_a_kill_is_there(tmp_path: Path) -> None:
    """Nothing waits in a buffer of the process."""
    code = """
        import os, signal, sys
        from pathlib import Path
        from mlwright.sdk import report
        report.open_journal(Path(sys.argv[1]), Path(sys.argv[1]).parent)
        report.log_metrics({"a": 1, "b": 2})
        report.log_param("lr", 0.1)
        os.kill(os.getpid(), signal.SIGKILL)
    """

    killed = run_python(code, tmp_path / "journal.jsonl")

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert metrics(tmp_path / "journal.jsonl") == [("a", 1.0, 0), ("b", 2.0, 0)]
    assert [each["param"] for each in entries(tmp_path / "journal.jsonl")] == ["lr"]


def test_a_new_journal_ends_the_old_one(tmp_path: Path) -> None:
    """One attempt at a time: after opening the next, and after closing, nothing reaches the old one."""
    report.open_journal(tmp_path / "one", tmp_path)
    log_metric("auc", 0.5)
    report.open_journal(tmp_path / "two", tmp_path)
    log_metric("auc", 0.5)
    report.close_journal()
    log_metric("auc", 0.5)

    assert len(metrics(tmp_path / "one")) == 1
    assert len(metrics(tmp_path / "two")) == 1


def test_what_several_threads_report_is_there(journal: Path) -> None:
    """Each point and line of each thread, the first ones included, which all open the journal at once."""
    threads, points = 8, 3000
    gate = threading.Barrier(threads)

    def tell(who: int) -> None:
        gate.wait()
        for step in range(points):
            log_metric(f"thread {who}", step, step=step)
        log_param("thread", who)

    told = [threading.Thread(target=tell, args=[who]) for who in range(threads)]
    for each in told:
        each.start()
    for each in told:
        each.join()

    wanted = [(f"thread {who}", step, step) for who in range(threads) for step in range(points)]
    assert sorted(metrics(journal)) == wanted
    assert sorted(each["value"] for each in entries(journal)) == list(range(threads))


def test_a_journal_is_let_go_of(tmp_path: Path) -> None:
    """However many attempts a worker serves, no descriptor stays open."""
    before = len(list(Path("/proc/self/fd").iterdir()))

    for number in range(20):
        report.open_journal(tmp_path / str(number), tmp_path)
        log_metric("auc", 0.5)
        log_param("lr", 0.1)
        report.close_journal()

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """A report that finds no room says so, as every other writing does."""
    report.open_journal(Path("/dev/full"), tmp_path)

    with pytest.raises(Unavailable, match="the disk is full"):
        log_param("auc", 0.5)

    report.close_journal()


def test_a_file_is_kept_as_it_was(journal: Path, tmp_path: Path) -> None:
    """Its bytes are copied at once, under its own name or another."""
    page = tmp_path / "page.html"
    page.write_bytes(b"<p>")

    log_artifact(page)
    log_artifact(page, "plots/first.html")
    page.write_bytes(b"later")

    assert logged(journal) == {"page.html": b"<p>", "plots/first.html": b"<p>"}
    first = entries(journal)[0]
    assert (first["codec"], first["about"], list(first)) == (
        "file",
        {"name": "page.html"},
        ["artifact", "path", "codec", "type", "about", "at_us"],
    )
    assert Path(first["path"]).is_relative_to(tmp_path / "scratch" / "logged")


def test_each_file_of_a_folder_is_an_artifact(journal: Path, tmp_path: Path) -> None:
    """By its path in the folder, in one order; a loop of links and a pipe are no hindrance."""
    folder = tmp_path / "out"
    for name in ("y", "b/c", "x", "w"):
        (folder / name).mkdir(parents=True)
        (folder / name / "last").write_bytes(b"3")
    (folder / "z").write_bytes(b"1")
    (folder / "b" / "c" / "a").write_bytes(b"2")
    (folder / "b" / "linked").symlink_to(folder / "z")
    (folder / "b" / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe")

    log_artifact(folder)

    assert list(logged(journal).items()) == [
        ("out/z", b"1"),
        ("out/b/linked", b"1"),
        ("out/b/c/a", b"2"),
        ("out/b/c/last", b"3"),
        ("out/w/last", b"3"),
        ("out/x/last", b"3"),
        ("out/y/last", b"3"),
    ]


def test_the_working_folder_has_a_name(
    journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Path(".")` is logged as the folder it is."""
    (tmp_path / "here" / "deep").mkdir(parents=True)
    (tmp_path / "here" / "a").write_bytes(b"1")
    monkeypatch.chdir(tmp_path / "here" / "deep")

    log_artifact(Path(".."))

    assert logged(journal) == {"here/a": b"1"}


def test_a_folder_is_kept_whole_or_not_at_all(journal: Path, tmp_path: Path) -> None:
    """A file whose name cannot be kept is named, and none of the others is logged."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_bytes(b"1")
    (tmp_path / "out" / "b\n").write_bytes(b"2")

    with pytest.raises(Invalid, match=r"an artifact cannot be named 'out/b\\n'"):
        log_artifact(tmp_path / "out")

    assert entries(journal) == []


def table() -> Any:
    """A small table."""
    import pandas

    return pandas.DataFrame({"a": [1, 2]})


@pytest.mark.parametrize(
    ("value", "codec", "type_text", "about"),
    [
        ("Grüße", "text", "str", {"characters": 5}),
        (b"\x00", "bytes", "bytes", {}),
        ({"auc": [0.5]}, "json", "dict", {"entries": 1}),
        (None, "json", "NoneType", {}),
    ],
    ids=repr,
)
def test_a_value_is_kept_by_its_codec(
    journal: Path, tmp_path: Path, value: Any, codec: str, type_text: str, about: dict[str, Any]
) -> None:
    """As an output of a step would be."""
    log_artifact(value, "value")

    (entry,) = entries(journal)
    assert (entry["codec"], entry["type"], entry["about"]) == (codec, type_text, about)
    assert codec_named(codec).decode(Path(entry["path"]), type_text, tmp_path) == value


def test_a_table_is_kept_by_its_codec(journal: Path, tmp_path: Path) -> None:
    """What a library made is decoded as the type it had."""
    log_artifact(table(), "tables/small")

    (entry,) = entries(journal)
    decoded = codec_named(entry["codec"]).decode(Path(entry["path"]), entry["type"], tmp_path)
    assert (entry["codec"], entry["type"], entry["about"]["rows"]) == ("table", "pandas.DataFrame", 2)
    assert decoded.equals(table())


def test_text_is_text_even_where_a_file_has_its_name(
    journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a Path is a file; who forgets it is told."""
    monkeypatch.chdir(tmp_path)
    Path("page.html").write_bytes(b"<p>")

    log_artifact("page.html", "note")
    with pytest.raises(Invalid, match="needs a name") as raised:
        log_artifact("page.html")

    assert logged(journal) == {"note": b"page.html"}
    assert "log_artifact(Path(" in str(raised.value.hint)


def test_the_last_of_one_name_is_the_last_line(journal: Path) -> None:
    """Both are in the journal, each with bytes of its own; the reader takes the later."""
    log_artifact("one", "note")
    log_artifact("two", "note")

    first, second = entries(journal)
    assert (Path(first["path"]).read_bytes(), Path(second["path"]).read_bytes()) == (b"one", b"two")


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/../b", "../a", "/a", "a//b", "a/", "./a", "a\nb", "a\x00", "\ud800", "a" * 201, 3],
    ids=repr,
)
def test_a_name_stays_in_its_folder(journal: Path, tmp_path: Path, name: Any) -> None:
    """Whatever an artifact is, its name is a plain relative path."""
    (tmp_path / "page.html").write_bytes(b"<p>")

    for log in (
        lambda: log_artifact("text", name),
        lambda: log_artifact(tmp_path / "page.html", name),
        lambda: log_figure(Drawn(), name),
    ):
        with pytest.raises(Invalid, match="an artifact") as raised:
            log()
        assert "plots/roc.png" in str(raised.value.hint)

    assert entries(journal) == []


def test_what_the_first_codec_cannot_keep_goes_to_the_next_and_never_to_pickle(journal: Path) -> None:
    """A model that is not fitted has no format of its library, and is one of scikit-learn all the same."""
    from lightgbm import LGBMClassifier

    log_artifact(LGBMClassifier(), "model")
    with pytest.raises(Invalid, match="cannot be stored without pickle"):
        log_artifact(np.array([{}]), "objects")

    assert [each["codec"] for each in entries(journal)] == ["sklearn"]


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        (Path("nowhere/a"), "there is no file nowhere/a", "working folder"),
        (object(), "the artifact `x` is an object, which no codec can store", "log_figure"),
        (None, "which is not a file|no files to log", "write them"),
    ],
    ids=["missing", "object", "empty"],
)
def test_what_cannot_be_kept_is_refused(
    journal: Path, tmp_path: Path, value: Any, message: str, hint: str
) -> None:
    """With the reason and what to do, and without a line in the journal."""
    (tmp_path / "empty").mkdir()

    with pytest.raises(Invalid, match=message) as raised:
        log_artifact(tmp_path / "empty" if value is None else value, "x")

    assert hint in str(raised.value.hint)
    assert entries(journal) == []


class Drawn:
    """Draws as a figure of matplotlib 3.11 does, which is not installed here: it takes these arguments.

    Looked at once with the real libraries: PNG, SVG and PDF of matplotlib, HTML of plotly and Altair, and
    PNG, JPEG and WebP of PIL were the same bytes in two processes.
    """

    def savefig(self, path: Path, *, format: str, metadata: dict[str, None]) -> None:  # noqa: A002
        """Write what was asked."""
        path.write_text(f"{format} {sorted(metadata)} {set(metadata.values())}")


class Axes:
    """Knows the figure it is drawn in, as an `Axes` does."""

    figure = Drawn()


class WritesPage:
    """Writes itself as a figure of plotly does."""

    def write_html(self, path: Path) -> None:
        """Write a page."""
        path.write_text("page")

    def to_html(self) -> str:
        """Not asked for where `write_html` is there."""
        raise NotImplementedError


class GivesPage:
    """Gives its page as text, as a chart of Altair does; `save` would need to know the format."""

    def to_html(self) -> str:
        """The page."""
        return "pagé"

    def save(self, path: Path) -> None:
        """Not asked for."""
        raise NotImplementedError


class Picture:
    """Saves itself as an image of PIL does."""

    def save(self, path: Path, *, format: str) -> None:  # noqa: A002
        """Write the format's name."""
        path.write_text(format)


@pytest.mark.parametrize(
    ("figure", "name", "kept", "text"),
    [
        (Drawn(), "roc", "roc.png", "png ['Software'] {None}"),
        (Drawn(), "a/roc.svg", "a/roc.svg", "svg ['Creator', 'Date'] {None}"),
        (Drawn(), "roc.PDF", "roc.PDF", "pdf ['CreationDate', 'Creator', 'Producer'] {None}"),
        (Axes(), "roc", "roc.png", "png ['Software'] {None}"),
        (WritesPage(), "roc", "roc.html", "page"),
        (GivesPage(), "roc.html", "roc.html", "pagé"),
        (Picture(), "roc", "roc.png", "png"),
        (Picture(), "roc.jpg", "roc.jpg", "jpeg"),
    ],
)
def test_a_figure_is_written_in_the_format_of_its_name(
    journal: Path, figure: Any, name: str, kept: str, text: str
) -> None:
    """By what its library offers, without a date or a version in it."""
    log_figure(figure, name)

    (entry,) = entries(journal)
    assert (entry["artifact"], entry["codec"]) == (kept, "file")
    assert entry["about"]["name"] == Path(kept).name
    assert Path(entry["path"]).read_text(encoding="utf-8") == text


def test_a_figure_of_plotly_has_no_random_id(journal: Path) -> None:
    """The page's element is named, so that equal figures have equal bytes."""

    class Figure(WritesPage):
        def write_html(self, path: Path, *, div_id: str = "random") -> None:  # type: ignore[override]
            path.write_text(div_id)

    Figure.__module__ = "plotly.graph_objs._figure"

    log_figure(Figure(), "roc")

    assert logged(journal) == {"roc.html": b"figure"}


@pytest.mark.parametrize(
    ("figure", "name", "message", "hint"),
    [
        (Drawn(), "roc.gif", "cannot be logged as 'roc.gif'", ".png or .svg or .pdf"),
        (WritesPage(), "roc.png", "cannot be logged as 'roc.png'", ".html"),
        (Picture(), "roc.svg", "cannot be logged as 'roc.svg'", ".png or .jpg"),
        (3, "roc", "log_figure cannot write an int", "log_artifact"),
        (Drawn(), "a" * 197, "an artifact cannot be named", "at most 200"),
    ],
)
def test_what_cannot_be_written_is_refused(
    journal: Path, figure: Any, name: str, message: str, hint: str
) -> None:
    """A format that the figure does not have, what is no figure, a name that grows too long."""
    with pytest.raises(Invalid, match=message) as raised:
        log_figure(figure, name)

    assert hint in str(raised.value.hint)
    assert entries(journal) == []


def told(path: Path) -> list[tuple[int, int | None, str]]:
    """How far the loops in a journal were."""
    return [(each["progress"], each["total"], each["what"]) for each in entries(path)]


def test_a_loop_tells_its_beginning_and_its_end(journal: Path) -> None:
    """Every item is handed on; the total is the length, or what is said, or unknown."""
    got = [
        list(progress("abc", what="letters")),
        list(progress(iter("ab"), total=9)),
        list(progress(iter("a"))),
        list(progress([])),
    ]
    report.close_journal()

    assert got == [["a", "b", "c"], ["a", "b"], ["a"], []]
    assert told(journal) == [
        (0, 3, "letters"),
        (3, 3, "letters"),
        (0, 9, ""),
        (2, 9, ""),
        (0, None, ""),
        (1, None, ""),
        (0, 0, ""),
        (0, 0, ""),
    ]


def test_a_loop_that_is_left_tells_how_far_it_came(journal: Path) -> None:
    """The items whose turn was over, and not the one in hand; at once when the loop is left."""
    for item in progress(range(10)):
        if item == 3:
            break

    assert told(journal) == [(0, 10, ""), (3, 10, "")]


def test_a_loop_of_a_step_that_fails_tells_how_far_it_came(journal: Path) -> None:
    """Though the error holds the loop for as long as it is known: the attempt's end hears it out."""
    with pytest.raises(LookupError) as held:
        fail_in_the_fourth(progress(range(10)))
    report.close_journal()

    assert told(journal) == [(0, 10, ""), (3, 10, "")]
    assert held.tb is not None


def fail_in_the_fourth(items: Iterator[int]) -> None:
    """A step whose loop fails."""
    for item in items:
        if item == 3:
            raise LookupError


def test_a_source_that_fails_tells_how_far_it_came(journal: Path) -> None:
    """Its own error reaches the step."""

    def source() -> Iterator[int]:
        yield 1
        raise LookupError

    with pytest.raises(LookupError):
        list(progress(source()))

    assert told(journal)[-1] == (1, None, "")


def test_a_long_loop_tells_ten_times_a_second(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock and not by the items: a fast loop that turns slow is heard at once."""
    now = [0.0]
    monkeypatch.setattr(report.time, "monotonic", lambda: now[0])

    for item in progress(range(5000)):
        now[0] += 0.001 if item < 4997 else 30.0

    counts = [done for done, _, _ in told(journal)]
    assert len(counts) == pytest.approx(50, abs=5)
    assert counts[-4:] == [4998, 4999, 5000, 5000]


def test_a_loop_that_outlives_its_attempt_is_silent(tmp_path: Path) -> None:
    """A loop of one attempt, left half-way, says nothing more when it is over, and nothing to the next."""
    report.open_journal(tmp_path / "one", tmp_path)
    loop = progress(range(3))
    next(loop)
    report.open_journal(tmp_path / "two", tmp_path)
    del loop
    report.close_journal()

    assert told(tmp_path / "one") == [(0, 3, ""), (0, 3, "")]
    assert not (tmp_path / "two").exists()


@pytest.mark.parametrize("wrong", [{"total": -1}, {"total": 1.5}, {"what": 3}, {"what": "a" * 251}], ids=repr)
def test_a_loop_that_cannot_be_counted_is_refused(journal: Path, wrong: dict[str, Any]) -> None:
    """Where it is written, before the first item."""
    with pytest.raises(Invalid):
        progress(range(3), **wrong)

    assert entries(journal) == []
