"""What was worked out before and cannot have changed: answers in files, named by all that they depend on."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlwright.kernel.digest import composite
from mlwright.kernel.files import write_whole
from mlwright.kernel.version import VERSION


class Memory:
    """Answers of one kind, in a folder of the local state.

    Args:
        folder: holds a file for each answer; made when it is missing.
        about: what every answer depends on, beside its question and this version of mlwright.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self._folder = folder
        self._about = {"mlwright": VERSION, **about}

    def remembered(self, question: Mapping[str, Any]) -> Any:
        """The answer to a question, if it was worked out before; else None."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            return json.loads(self._answered(question).read_bytes())
        return None

    def recall(self, question: Mapping[str, Any], work_out: Callable[[], Any]) -> Any:
        """The answer to a question, a JSON value: remembered, or worked out now."""
        answered = self._answered(question)
        with contextlib.suppress(FileNotFoundError, ValueError):
            return json.loads(answered.read_bytes())
        answer = work_out()
        write_whole(answered, json.dumps(answer).encode())
        return answer

    def _answered(self, question: Mapping[str, Any]) -> Path:
        # As text: in a digest of its own the order of a dictionary's keys would not count, which a step sees.
        asked = json.dumps({**self._about, **question})
        return self._folder / f"{composite('memory', asked)}.json"
