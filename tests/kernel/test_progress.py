"""Progress: work has a beginning and an end."""

from __future__ import annotations

import pytest

from mlwright.kernel.progress import Progress


class Heard(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def begin(self, what: str, total_bytes: int | None = None) -> None:
        """Keep it."""
        self.told.append((what, total_bytes))

    def advance(self, done_bytes: int) -> None:
        """Keep it."""
        self.told.append(done_bytes)

    def end(self) -> None:
        """Keep it."""
        self.told.append("end")


@pytest.mark.parametrize("fails", [False, True])
def test_work_ends_however_it_went(fails: bool) -> None:
    """What was begun is ended once, also when it fails, and the failure goes on."""
    progress = Heard()

    try:
        with progress.work("adding patients", 3):
            progress.advance(2)
            if fails:
                raise KeyboardInterrupt
        ended_well = True
    except KeyboardInterrupt:
        ended_well = False

    assert progress.told == [("adding patients", 3), 2, "end"]
    assert ended_well is not fails
