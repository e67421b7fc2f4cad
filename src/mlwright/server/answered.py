"""A request with a key is done once: the same one again has the answer of the first.

Source: draft-ietf-httpapi-idempotency-key-header-07.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import cast

from msgspec import Struct

from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Database, Queries, Source
from mlwright.kernel.digest import digest_of
from mlwright.kernel.errors import Conflict, FateUnknown, Invalid, MlwrightError
from mlwright.kernel.events import acting_token, actor
from mlwright.server.problems import Refusal

KEPT_US = 24 * 3600 * 1_000_000
"""So long an answer is kept."""
MOST_KEYS = 10_000
"""So many requests with a key are kept of one token."""
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_SQL = Queries.beside(__file__)


class Answer(Struct, frozen=True):
    """What was answered: status, where what was made is found, body."""

    status: int
    location: str
    body: bytes


def once(database: Database, key: str, request: bytes, do: Callable[[], Answer]) -> Answer:
    """The answer of `do`, or what it answered when this key was sent before with the same token.

    What is refused lets go of the key: nothing was done. What was begun and has no answer, since the server
    died in between, is told as such: nobody knows whether it was done.

    Args:
        database: where answers are kept.
        key: of the client's choice.
        request: all that is asked, which must be the same.

    Raises:
        Invalid: the key is none, or another request had it.
        Conflict: the first one is being done, or was cut off.
        Refusal: as many as are kept are kept already.
        MlwrightError: what `do` raised.
    """
    if not _KEY.fullmatch(key):
        raise Invalid(
            "an Idempotency-Key has 1 to 255 letters, digits and signs of ASCII", where="idempotency-key"
        )
    row = {"actor": acting_token() or actor(), "key": key}
    asked, now = digest_of(request), now_us()
    with database.transaction() as tx:
        tx.execute(_SQL["forget_old_answers"], before_us=now - KEPT_US)
        before = tx.read(_SQL["answer_of"], **row)
        if not before:
            _check_room(tx, row["actor"])
            tx.execute(_SQL["claim_answer"], **row, request=asked, at_us=now)
    if before:
        return _again(before[0], asked)
    try:
        answer = do()
    except FateUnknown:
        raise
    except MlwrightError:
        with database.transaction() as tx:
            tx.execute(_SQL["forget_answer"], **row)
        raise
    with database.transaction() as tx:
        tx.execute(
            _SQL["keep_answer"], **row, status=answer.status, location=answer.location, body=answer.body
        )
    return answer


def _check_room(source: Source, who: str) -> None:
    if source.read(_SQL["answers_kept"], actor=who)[0]["answers"] >= MOST_KEYS:
        raise Refusal(
            429,
            f"{MOST_KEYS:,} requests with an Idempotency-Key within a day are as many as are kept",
            hint="leave the key out, or send this again tomorrow",
        )


def _again(before: dict[str, object], asked: str) -> Answer:
    if before["request"] != asked:
        raise Invalid(
            "another request had this Idempotency-Key", where="idempotency-key", hint="send a new key"
        )
    if before["status"] is None:
        raise Conflict(
            "the first request with this Idempotency-Key is being done, or was cut off",
            where="idempotency-key",
            hint="look whether it was done, and send a new key if not",
        )
    return Answer(int(str(before["status"])), str(before["location"]), cast("bytes", before["body"]))
