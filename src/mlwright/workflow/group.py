"""The attempts of a run by step: all elements of a mapped one together, each with its tries."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from mlwright.kernel.errors import NotFound, nearest
from mlwright.kernel.words import counted
from mlwright.workflow.attempts import Attempt, AttemptState

_ELEMENT = re.compile(r"(.+)\[([0-9]+)\]")


def element_of(node: str) -> tuple[str, int | None]:
    """The step of a node, and which element it is; None for a step as a whole."""
    found = _ELEMENT.fullmatch(node)
    return (found[1], int(found[2])) if found else (node, None)


class Group(Struct, frozen=True):
    """A step of a run, with every attempt at it.

    Args:
        name: `fit`, also of `fit[0]`, `fit[1]`, ...
        mapped: whether these are elements.
        attempts: in the order they began.
    """

    name: str
    mapped: bool
    attempts: tuple[Attempt, ...]

    @property
    def latest(self) -> tuple[Attempt, ...]:
        """The last try of each element; of a step as a whole the one last try."""
        return tuple({attempt.node: attempt for attempt in self.attempts}.values())

    @property
    def counts(self) -> dict[AttemptState, int]:
        """How many elements stand how."""
        return dict(Counter(attempt.state for attempt in self.latest))

    @property
    def elements(self) -> int:
        """How many elements there are, also those that have not begun; of a step as a whole 1."""
        told = (int(each.detail.get("elements", 0)) for each in self.attempts)
        return max(len(self.latest), *told)

    @property
    def waiting(self) -> int:
        """How many elements have not begun."""
        return self.elements - len(self.latest)

    @property
    def retries(self) -> int:
        """How many tries were made again."""
        return len(self.attempts) - len(self.latest)

    @property
    def label(self) -> str:
        """`fit`, or `fit[1000]` for that many elements."""
        return f"{self.name}[{self.elements}]" if self.mapped else self.name


def groups_of(attempts: Iterable[Attempt]) -> list[Group]:
    """The steps of a run, in the order in which each first began."""
    found: dict[str, list[Attempt]] = {}
    mapped = set()
    for attempt in attempts:
        name, index = element_of(attempt.node)
        found.setdefault(name, []).append(attempt)
        if index is not None:
            mapped.add(name)
    return [Group(name, name in mapped, tuple(each)) for name, each in found.items()]


def attempts_at(attempts: Iterable[Attempt], step: str, run: str, *, running: bool = False) -> list[Attempt]:
    """The attempts at a step, at each of its elements when it is mapped, or at one element (`fit[3]`).

    Args:
        attempts: of a run.
        step: a node, or the name of all elements.
        run: how the run is called, for the message.
        running: whether it goes on, so that a step may still begin.

    Raises:
        NotFound: the run has no such step.
    """
    attempts = list(attempts)
    found = [attempt for attempt in attempts if step in {attempt.node, element_of(attempt.node)[0]}]
    if found:
        return found
    groups = groups_of(attempts)
    known = [group.name for group in groups]
    name, index = element_of(step)
    of = next((group for group in groups if group.name == name), None)
    if of is not None and index is not None:
        if of.mapped and index < of.elements:
            raise NotFound(f"`{step}` of run {run} has not begun", hint=f"mlwright runs show {run} --all")
        count = counted(of.elements, "element") if of.mapped else "no elements"
        raise NotFound(f"step `{name}` of run {run} has {count}: there is no `{step}`")
    hint = nearest(step, known)
    if running and not hint.startswith("did you mean"):
        hint = f"if it is still to begin, wait for it: mlwright runs logs {run} {step} --follow"
    raise NotFound(f"run {run} has no step `{step}`{' so far' * running}", hint=hint)
