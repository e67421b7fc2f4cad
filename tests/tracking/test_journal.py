"""Journals: read while they are written, whole after their writer was killed, whatever else is in them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlwright.tracking import Entry, JournalReader, LoggedArtifact, Param, Progress, Series, read_journal

LINE = b'{"param": "loss", "value": 0.5, "at_us": 7}\n'


def params_in(journal: Path) -> list[Param]:
    """The parameters of a journal, which holds nothing else."""
    found = [entry for entry in read_journal(journal) if isinstance(entry, Param)]
    assert found == read_journal(journal)
    return found


def series_of(entries: list[Entry]) -> list[Series]:
    """Entries that are all points."""
    found = [entry for entry in entries if isinstance(entry, Series)]
    assert found == entries
    return found


REPORT = """
import os, signal, sys
from pathlib import Path
from mlwright.sdk import report

report.open_journal(Path(sys.argv[1]), Path(sys.argv[1]).parent)
report.log_metric("loss", 0.5, step=1)
report.log_metrics({"loss": float("nan"), "größe": 2}, step=2)
report.log_param("lr", {"first": [0.1, None]})
report.log_artifact("text", "notes/a.txt")
list(report.progress("ab", what="letters"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_journal_survives_kill(tmp_path: Path) -> None:
    """What a step reported before `kill -9` is read from its journal, each thing as what it is."""
    journal = tmp_path / "journal.jsonl"

    done = subprocess.run([sys.executable, "-c", REPORT, str(journal)], timeout=60)

    param, artifact, begin, end, *series = read_journal(journal)
    assert done.returncode == -9
    told = {each.name: [(step, value) for step, _, value in each.points] for each in series_of(series)}
    assert repr(told) == "{'loss': [(1, 0.5), (2, nan)], 'größe': [(2, 2.0)]}"
    assert param == Param("lr", {"first": [0.1, None]}, param.at_us)
    assert isinstance(artifact, LoggedArtifact)
    assert artifact.path.read_text() == "text"
    assert artifact == LoggedArtifact(
        "notes/a.txt", artifact.path, "text", "str", {"characters": 4}, artifact.at_us
    )
    assert begin == Progress(0, 2, "letters", begin.at_us)
    assert end == Progress(2, 2, "letters", end.at_us)


def test_there_may_be_no_journal(tmp_path: Path) -> None:
    """A step that reported nothing has no entries; one that begins to is read from its first line on."""
    journal = tmp_path / "journal.jsonl"
    reader = JournalReader(journal)

    before = reader.read()
    journal.write_bytes(LINE)

    assert (before, read_journal(tmp_path / "none")) == ([], [])
    assert reader.read() == [Param("loss", 0.5, 7)]


names = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.tuples(names, st.floats()), min_size=1, max_size=4), st.data())
@example([("a\u2028b\x85c\rd\x1ce", 1.0), ("b", 2.0)], None)
def test_a_journal_is_read_up_to_where_it_was_cut(
    tmp_path_factory: pytest.TempPathFactory, told: list[tuple[str, float]], data: st.DataObject | None
) -> None:
    """Cut off at any byte, a journal gives every whole line before the cut, and nothing else."""
    entries = [{"param": name, "value": value, "at_us": 1} for name, value in told]
    lines = [json.dumps(entry).encode() for entry in entries]
    whole = b"\n".join(lines) + b"\n"
    at = len(whole) if data is None else data.draw(st.integers(0, len(whole)))
    journal = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    journal.write_bytes(whole[:at])

    found = params_in(journal)

    ends = [sum(len(line) + 1 for line in lines[: index + 1]) - 1 for index in range(len(lines))]
    complete = sum(end <= at for end in ends)
    assert repr([(param.name, param.value) for param in found]) == repr(told[:complete])


@given(st.integers(1, 5), st.lists(st.integers(1, 60), max_size=12))
def test_a_reader_gives_each_line_once(
    tmp_path_factory: pytest.TempPathFactory, lines: int, pieces: list[int]
) -> None:
    """However the lines arrive, cut anywhere, each is read once, in order, as soon as its end is there."""
    whole = b"".join(LINE.replace(b": 0.5", b": %d" % number) for number in range(lines))
    journal = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    reader, found, written = JournalReader(journal), [], 0

    for size in [*pieces, len(whole)]:
        with journal.open("ab") as file:
            written += file.write(whole[written : written + size])
        found += reader.read()
        assert found == [Param("loss", number, 7) for number in range(whole[:written].count(b"\n"))]

    assert len(found) == lines
    assert reader.read() == []


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\x00\x00\x00",
        b"\xff" + LINE[:-1],
        LINE[10:-1],
        LINE[:10] + LINE[:-1],
        b"3",
        b"null",
        b'"param"',
        b'["param"]',
        b"{}",
        b'{"unknown": 1, "at_us": 7}',
        b'{"metric": "loss", "value": 0.5, "step": 1, "at_us": 7}',
        b'{"param": "loss", "value": 0.5}',
        b'{"param": 3, "value": 0.5, "at_us": 7}',
        b'{"param": "\\ud800", "value": 0.5, "at_us": 7}',
        b'{"param": "lo\xfcss", "value": 0.5, "at_us": 7}',
        b'{"param": "loss", "value": 0.5, "at_us": 9223372036854775808}',
        b'{"param": "loss", "value": 0.5, "at_us": 1.5}',
        b'{"param": "lr", "at_us": 7}',
        b'{"artifact": "a", "path": null, "codec": "text", "type": "str", "about": {}, "at_us": 7}',
        b'{"artifact": "a", "path": "/a", "codec": "text", "type": "str", "about": 3, "at_us": 7}',
        b'{"progress": "half", "total": null, "what": "", "at_us": 7}',
        b"[" * 100_000,
    ],
    ids=lambda line: repr(line[:60]),
)
def test_a_damaged_line_is_left_out(tmp_path: Path, damaged: bytes) -> None:
    """What no step of ours can have written harms neither the lines around it nor the database."""
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(LINE + damaged + b"\n" + LINE)

    assert read_journal(journal) == [Param("loss", 0.5, 7)] * 2
    assert JournalReader(journal).read() == read_journal(journal)


FORK = """
import os, sys
from pathlib import Path
from mlwright.sdk import report

report.open_journal(Path(sys.argv[1]), Path(sys.argv[1]).parent)
child = os.fork()
for step in range(200):
    report.log_param("parent" if child else "child", step)
if child:
    os.waitpid(child, 0)
"""


def test_a_journal_that_several_processes_write_is_whole(tmp_path: Path) -> None:
    """A step may fork: each line of each process is in the journal, none is torn."""
    journal = tmp_path / "journal.jsonl"

    subprocess.run([sys.executable, "-c", FORK, str(journal)], timeout=60, check=True)

    assert sorted((param.name, param.value) for param in params_in(journal)) == sorted(
        (who, step) for who in ("child", "parent") for step in range(200)
    )
