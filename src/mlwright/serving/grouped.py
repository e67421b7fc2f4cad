"""Where the versions of a group are asked: who answers is decided for each request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlwright.serving.groups import KEY, Split
from mlwright.serving.prediction import Predicting
from mlwright.serving.quick import AtOnce
from mlwright.serving.request import Reply, Request
from mlwright.wire.exchange import Exchange

_KEY = KEY.encode()


class Grouped:
    """An endpoint of a protocol that asks one of several versions.

    Args:
        split: decides which.
        members: in the order of its models.
    """

    def __init__(self, split: Split, members: Sequence[Predicting]) -> None:
        self._split = split
        self._members = members

    async def __call__(self, request: Request) -> Reply:
        """Answer, in time."""
        return await self._members[self._split.place(key_of(request.scope["headers"]))](request)

    def quick(self, request: Request) -> AtOnce | None:
        """As of `Predicting`: of one member where the head has a key, else of one for each request.

        Raises:
            Problem: the head is wrong.
        """
        split = self._split
        if key := key_of(request.scope["headers"]):
            return self._members[split.place(key)].quick(request)
        found = [each.quick(request) for each in self._members]
        members = [each for each in found if each is not None]
        if len(members) < len(found):
            return None

        def answer(exchange: Exchange) -> None:
            members[split.place()](exchange)

        return answer


def key_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """For what a request is to be answered by the same version always; empty if it does not say.

    Args:
        headers: with names in small letters.
    """
    return next((value for name, value in headers if name == _KEY), b"")
