"""What MLflow's protocol allows of names, values and batches, told in its words.

Source: MLflow 3.17, `mlflow.utils.validation`. Where its server cuts a longer value silently, ours keeps it
whole up to a limit of its own.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Literal

import msgspec

from mlwright.kernel.search import MOST_SCOPES
from mlwright.kernel.search import View as Shown
from mlwright.server.protocols.mlflow.errors import Refused, invalid, invalid_value, missing_value
from mlwright.server.protocols.mlflow.wire import Tag
from mlwright.tracking.experiments import DEFAULT

NAME_LENGTH = 250
VALUE_LENGTH = 65_536
"""Of a parameter or a run's tag."""
EXPERIMENT_NAME_LENGTH = 500
EXPERIMENT_TAG_LENGTH = 20_000
METRICS_PER_BATCH = 1000
PARAMS_PER_BATCH = 100
TAGS_PER_BATCH = 100
ALL_PER_BATCH = 1000
DATASETS_PER_BATCH = 1000
DATASET_NAME_LENGTH = 500
DATASET_DIGEST_LENGTH = 36
DATASET_SOURCE_LENGTH = 65_535
DATASET_SCHEMA_LENGTH = 1_048_575
DATASET_PROFILE_LENGTH = 16_777_215
INPUT_TAGS = 100
"""Of one dataset."""
INPUT_TAG_NAME_LENGTH = 255
INPUT_TAG_LENGTH = 500
RESULTS = 50_000
PAGE_BYTES = 16 << 20
"""A page of more than one result is not longer than this: it ends early, with the token of the next."""
HISTORY_RESULTS = 25_000
HISTORY_RUNS = 100

View = Literal["ACTIVE_ONLY", "DELETED_ONLY", "ALL", 1, 2, 3]
"""What is looked at, in MLflow's words and numbers."""
Scope = Annotated[list[str], msgspec.Meta(max_length=MOST_SCOPES)]
"""The ids of the experiments in which is searched."""
_VIEWS: dict[View, Shown] = {
    "ACTIVE_ONLY": "active",
    "DELETED_ONLY": "deleted",
    "ALL": "all",
    1: "active",
    2: "deleted",
    3: "all",
}
LAST_MS = (2**63 - 1) // 1000
_NAME = re.compile(r"[/\w.\- :]*")
_EXPERIMENT = re.compile(r"-?[0-9]{1,19}")
US_PER_MS = 1000


@lru_cache(8192)
def name(given: str, path: str = "key", what: str = "") -> str:
    """The name of a metric, a parameter or a tag.

    Args:
        given: what was sent.
        path: where in the message it stands.
        what: it is, for who sent one too long; by default the path.

    Raises:
        Refused: it has letters that a name may not have, reads as a path elsewhere, or is too long.
    """
    if len(given) > NAME_LENGTH:
        raise too_long(what or path, NAME_LENGTH)
    if _NAME.fullmatch(given) is None:
        raise invalid_value(
            path,
            given,
            "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ),"
            " colon(:) and slashes (/).",
        )
    plain = posixpath.normpath(given)
    if plain != given or plain == "." or plain.startswith(("..", "/")):
        raise invalid_value(
            path,
            given,
            "Names may be treated as files in certain cases, and must not resolve to other names when"
            f" treated as such. This name would resolve to {plain!r}",
        )
    return given


def value(given: str | None, path: str, length: int = VALUE_LENGTH) -> str:
    """The value of a parameter or a tag; nothing is an empty text.

    Raises:
        Refused: it is too long.
    """
    if given is None:
        return ""
    if len(given) > length:
        raise too_long(path, length)
    return given


def moment_us(at_ms: int | None, path: str = "timestamp", *, earliest_ms: int = -LAST_MS) -> int:
    """A moment of the protocol as ours, in microseconds; none is the epoch.

    Raises:
        Refused: it is too early, or too late to be kept.
    """
    if at_ms is None:
        return 0
    if not earliest_ms <= at_ms <= LAST_MS:
        raise invalid_value(
            path, at_ms, f"it must be a number of milliseconds from {earliest_ms} to {LAST_MS}"
        )
    return at_ms * US_PER_MS


def experiment(identity: str | None) -> int:
    """The id of an experiment; without one, that of the default.

    Raises:
        Refused: it is no number, or none that an id can be.
    """
    if not identity:
        return DEFAULT
    if _EXPERIMENT.fullmatch(identity) is None or not -(2**63) <= int(identity) < 2**63:
        raise invalid(f"Invalid experiment ID {identity[:100]!r}. Experiment ID must be a valid integer.")
    return int(identity)


def pair(key: str | None, given: str | None, path: str = "", what: str = "") -> tuple[str, str]:
    """The name and the value of a parameter or a tag.

    Args:
        path: what stands before the names of its fields: `tags[3].`.
        what: stands before them in the message of one that is too long; by default the path.

    Raises:
        Refused: there is no name, or it is not allowed; or the value is too long.
    """
    if not key:
        raise missing_value(f"{path}key")
    shown = what or path
    return name(key, f"{path}key", f"{shown}key"), value(given, f"{shown}value")


def pairs(given: Sequence[Tag] | None, path: str, what: str = "") -> list[tuple[str, str]]:
    """The names and values of parameters or tags, as `pair` does of each.

    Args:
        path: the name of their list.

    Raises:
        Refused: one of them is not allowed.
    """
    return [pair(each.key, each.value, f"{path}[{at}].", what) for at, each in enumerate(given or ())]


def appended(before: str, added: bytes, tag: str) -> str:
    """A tag that is a JSON list, with one more in it.

    Args:
        before: what the tag is; empty when it is not there.
        added: what comes to its end, as JSON.

    Raises:
        Refused: the tag is no JSON list, or becomes too long.
    """
    try:
        listed = [*msgspec.json.decode(before or "[]", type=list[msgspec.Raw]), msgspec.Raw(added)]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise invalid(f"the tag {tag!r} is no JSON list") from None
    return value(msgspec.json.encode(listed).decode(), tag)


def batch(count: int) -> None:
    """Refuse a batch that is too large.

    Args:
        count: of all its metrics, parameters and tags together.

    Raises:
        Refused: there are more than one request may have.
    """
    if count > ALL_PER_BATCH:
        raise invalid(
            f"A batch logging request can contain at most {ALL_PER_BATCH} metrics, params, and tags. Got"
            f" {count}. Please split them up across multiple requests and try again."
        )


def results(given: int | None, limit: int = RESULTS) -> int:
    """How many results a page has.

    Raises:
        Refused: none, or more than `limit`.
    """
    count = given or 0
    if count <= 0:
        raise invalid_value("max_results", count, "It must be a positive integer")
    if count > limit:
        raise invalid_value("max_results", count, f"It must be at most {limit}")
    return count


def view(given: View | None) -> Shown:
    """Which of what is there is looked at, in our words: without a word, what is not deleted."""
    return "active" if given is None else _VIEWS[given]


def too_long(path: str, length: int) -> Refused:
    """The refusal of a text that is too long."""
    return invalid(f"'{path}' exceeds the maximum length of {length} characters")
