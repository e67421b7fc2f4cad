"""What people are shown: errors, durations, times, plans."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.kernel import errors
from mlwright.kernel.clock import boot_id, iso, now_us, show, show_seconds
from mlwright.kernel.errors import Cancelled, Invalid, MlwrightError, disk_full, nearest
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.words import are_counted, counted
from mlwright.terminal import show_size

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, MlwrightError) and kind is not Cancelled
]


def test_a_message_is_what_where_and_what_next() -> None:
    """Three lines, each only when there is something to say."""
    assert Invalid("it is wrong").render() == "error: it is wrong"
    assert (
        Invalid("it is wrong", where="a.py:3", hint="mend it").render()
        == "error: it is wrong\n  at a.py:3\nhint: mend it"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_its_exit_code_and_status(kind: type[MlwrightError]) -> None:
    """The codes of DESIGN section 6, and a status of an HTTP error."""
    codes = {
        "MlwrightError": 1, "WorkFailed": 1, "Invalid": 2, "NotFound": 3, "Conflict": 4, "Corrupt": 5,
        "Incompatible": 5, "Unavailable": 6, "DiskFull": 6, "Busy": 4, "FateUnknown": 6,
        "TimedOut": 124,
    }  # fmt: skip

    assert kind.exit_code == codes[kind.__name__]
    assert 400 <= kind.http_status < 600
    assert kind.title


@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143)])
def test_a_cancelled_command_exits_as_its_signal_says(number: int, code: int) -> None:
    """SIGINT is 130, SIGTERM is 143."""
    assert Cancelled("stopped", signal_number=number).exit_code == code


@pytest.mark.parametrize(
    ("name", "hint"),
    [("trian", "did you mean `train`?"), ("zzz", "known: fit, train"), ("", "known: fit, train")],
)
def test_a_wrong_name_is_answered_with_the_nearest(name: str, hint: str) -> None:
    """Close to a known one: that; else all of them; nothing when nothing is known."""
    assert nearest(name, ["train", "fit"]) == hint
    assert nearest(name, []) == ""


def test_a_full_disk_is_measured_where_the_folder_would_be(tmp_path: Path) -> None:
    """A path that is not there yet is no hindrance to the message."""
    message = disk_full(tmp_path / "not" / "yet", 3 << 20).message

    assert re.fullmatch(r"the disk is full: [\d.]+ MiB are free, 3.0 MiB are needed", message)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.00 s"),
        (0.042, "0.04 s"),
        (1, "1.0 s"),
        (59.94, "59.9 s"),
        (60, "1 min 00 s"),
        (245, "4 min 05 s"),
    ],
)
def test_a_duration_is_read_at_a_glance(seconds: float, shown: str) -> None:
    """Three figures are enough."""
    assert show_seconds(seconds) == shown


@given(st.integers(0, 4_000_000_000_000_000))
def test_a_time_for_machines_is_exact(at_us: int) -> None:
    """RFC 3339 in UTC to the microsecond."""
    text = iso(at_us)

    assert text.endswith("Z")
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo == UTC
    assert abs((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6 - at_us) < 2


def test_now_is_after_then_and_the_boot_has_a_name() -> None:
    """Times are microseconds of this century; a boot keeps its id."""
    assert datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1e6 < now_us() < 4e15
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", show(now_us()))
    assert boot_id() == boot_id() != ""


def test_a_plan_is_empty_when_nothing_would_change() -> None:
    """Keeping, reusing and skipping are no changes."""
    keep, add = Change("keep", "a"), Change("add", "b")

    assert Plan("x", ()).empty
    assert Plan("x", (keep, Change("reuse", "c"), Change("skip", "d"))).empty
    assert not Plan("x", (keep, add)).empty


@pytest.mark.parametrize(
    ("count", "words", "sentence"),
    [
        (0, "0 files", "0 files are"),
        (1, "1 file", "1 file is"),
        (2, "2 files", "2 files are"),
        (12_345, "12,345 files", "12,345 files are"),
    ],
)
def test_one_thing_is_not_several(count: int, words: str, sentence: str) -> None:
    """The noun and the verb follow the number."""
    assert counted(count, "file") == words
    assert are_counted(count, "file") == sentence


def test_one_byte_is_not_several() -> None:
    """A size in bytes has a noun as well."""
    assert [show_size(size) for size in (0, 1, 2, 1536)] == ["0 bytes", "1 byte", "2 bytes", "1.5 KiB"]
