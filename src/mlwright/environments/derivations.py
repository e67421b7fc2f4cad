"""How uv says that requirements contradict each other: who asks for what, and what is there."""

from __future__ import annotations

import re
from functools import cached_property

from msgspec import Struct

_LETTERS = 50_000
"""More of a derivation is not read, and a longer name is none: how long reading takes is bounded."""
_NAME = r"[A-Za-z0-9](?:[\w.-]{0,100}[A-Za-z0-9])?"
# Atomic groups: what was matched once is not tried in other ways, whose number could be exponential.
_VERSION = r"(?>(?>===|==|>=|<=|~=|!=|<|>)[^\s,]+)"
_VERSIONS = rf"(?>{_VERSION}(?:,{_VERSION})*)"
_EXTRAS = r"(?:\[[^\]]*\])?(?:\{[^}]*\})?"
_ONE = rf"{_NAME}(?::{_NAME})?{_EXTRAS}{_VERSIONS}?"
_VERSIONED = rf"{_NAME}{_EXTRAS}{_VERSIONS}"
_MORE = rf"(?>{_VERSIONED}(?: {_VERSIONED})*)"
# `your project depends on six and two>=2`, but not `... depends on six and five depends on ...`.
_NEXT = (
    rf"(?!(?:all|your|you|only|there|the|we|because)\b){_ONE}"
    r"(?![\w.,:<>=!~\[{-]| (?:depends?|requires?|was|were|has|have|is|are|cannot)\b)"
)
_ASK = re.compile(
    rf"(?<![\w.-])(?P<subject>your project|you|all of: {_MORE}|all versions of {_ONE}|{_ONE})"
    r" (?P<verb>depends? on|requires?)"
    rf" (?P<wanted>one of: {_MORE}|{_ONE}(?: and {_NEXT})*)"
)
_YANKED = re.compile(rf"({_VERSIONED}) was yanked(?: \(reason: (.*?)\))?(?= and |, we can|$)")
_NO_WHEEL = re.compile(
    rf"(?:all versions of )?({_ONE}) (?:has|have) no (?:wheels|usable wheels)"
    r"(?: with a matching (.+?)(?: tag)?(?: \(e\.g\., .*?\))?)?(?= and |, we can|$)"
)


class Wanted(Struct, frozen=True):
    """A requirement as uv shows it: `two>=1.4,<2`."""

    name: str
    versions: str

    def __str__(self) -> str:
        return f"{self.name}{self.versions}"


class Subject(Struct, frozen=True):
    """Who asks.

    Args:
        name: of a package; empty for the project.
        shown: as a sentence has it.
        part: of the project: the group or extra that asks; empty for its own dependencies, and for packages.
        kind: of the part.
    """

    name: str
    shown: str
    part: str = ""
    kind: str = ""

    @property
    def own(self) -> bool:
        """Whether the project itself asks."""
        return not self.name


class Ask(Struct, frozen=True):
    """Somebody asks for a package."""

    subject: Subject
    requirement: Wanted


class Derivation(Struct, frozen=True, dict=True):
    """What a derivation of uv's says, as far as it was understood.

    Args:
        asks: in the order they are told; what uv concludes is left out.
        available: packages of which the versions that there are, are named.
        missing: packages that no index has.
        yanked: `NAME==VERSION` to the reason.
        python: the project's range, a package, and the range that it needs.
        no_wheel: a package, and what its files do not fit: `platform`, `Python version`.
    """

    asks: tuple[Ask, ...]
    available: dict[str, tuple[str, ...]]
    missing: tuple[str, ...]
    yanked: dict[str, str]
    python: tuple[str, str, str] | None
    no_wheel: tuple[str, str] | None

    @cached_property
    def contested(self) -> dict[str, tuple[Ask, ...]]:
        """What is asked for differently, by several or by the project itself; by name."""
        found: dict[str, dict[str, Ask]] = {}
        for ask in self.asks:
            if ask.requirement.versions:
                found.setdefault(ask.requirement.name, {}).setdefault(f"{ask.subject} {ask.requirement}", ask)
        return {
            name: tuple(asks.values())
            for name, asks in found.items()
            if len({ask.requirement.versions for ask in asks.values()}) > 1
            and (
                len({ask.subject for ask in asks.values()}) > 1
                or any(ask.subject.own for ask in asks.values())
            )
        }

    def chain(self, ask: Ask) -> tuple[Ask, ...]:
        """From who asks for a package to whom asks for that, and so on, as far as the project."""
        chain = [ask]
        while not chain[-1].subject.own:
            seen = {each.subject.name for each in chain}
            above = [
                each
                for each in self.asks
                if each.requirement.name == chain[-1].subject.name and each.subject.name not in seen
            ]
            if not above:
                break
            chain.append(next((each for each in above if each.subject.own), above[0]))
        return tuple(chain)


def read_derivation(text: str) -> Derivation:
    """Take apart `Because A depends on B and your project depends on C, we can conclude that ...`."""
    flat = re.sub(r"\s+", " ", text[:_LETTERS])
    told = re.findall(r"(?:Because|And because) (.*?)(?:, we can conclude that|$)", flat)
    premises = [re.sub(r"we know from \(\d+\) that ", "", each) for each in told]
    # The project `depends on` packages, and `requires` its own groups and extras.
    parts = {
        part
        for premise in premises
        for match in _ASK.finditer(premise)
        if match["verb"] == "requires" and match["subject"] == "your project"
        for part in _listed(match["wanted"])
    }
    asks = [ask for premise in premises for match in _ASK.finditer(premise) for ask in _asks(match, parts)]
    all_told = " and ".join(premises)
    return Derivation(
        asks=tuple(dict.fromkeys(asks)),
        available=_available(all_told),
        missing=tuple(re.findall(rf"({_NAME}) was not found in ", all_told)),
        yanked={name: reason or "" for name, reason in _YANKED.findall(all_told)},
        python=_python(all_told),
        no_wheel=(match[1], match[2] or "platform") if (match := _NO_WHEEL.search(all_told)) else None,
    )


def _asks(match: re.Match[str], parts: set[str]) -> list[Ask]:
    subject = _subject(match["subject"], parts)
    wanted = [_wanted(each) for each in _listed(match["wanted"]) if each not in parts]
    if match["wanted"].startswith("one of: "):
        # They are alternatives: one requirement, as a whole.
        wanted = [Wanted(wanted[0].name, " or ".join(each.versions for each in wanted))]
    return [Ask(subject, each) for each in wanted if each.name != "Python"]


def _listed(wanted: str) -> list[str]:
    return [each for each in re.findall(_ONE, wanted.removeprefix("one of: ")) if each != "and"]


def _subject(text: str, parts: set[str]) -> Subject:
    if text in {"your project", "you"}:
        return Subject("", "this project" if text == "your project" else "this environment")
    if text in parts:
        project, colon, group = text.partition(":")
        part = group if colon else project.partition("[")[2].rstrip("]")
        return Subject("", f"the environment `{part}`", part, "group" if colon else "extra")
    if text.startswith("all of: "):
        several = text.removeprefix("all of: ").split(" ")
        return Subject(_wanted(several[0]).name, ", ".join(several))
    name = _wanted(text.removeprefix("all versions of ")).name
    return Subject(name, name if text.startswith("all versions of ") else text)


def _wanted(text: str) -> Wanted:
    match = re.match(rf"({_NAME})(?::{_NAME})?{_EXTRAS}({_VERSIONS})?", text)
    assert match is not None, text
    return Wanted(match[1], match[2] or "")


def _available(told: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {
        _wanted(each).name: (each,) for each in re.findall(rf"only ({_ONE}) (?:is|are) available", told)
    }
    for name, listed in re.findall(
        rf"only the following versions of ({_NAME}) are available: ({_MORE})", told
    ):
        found[name] = tuple(listed.split(" "))
    for each in re.findall(rf"there (?:is|are) no versions? of ({_ONE})", told):
        found.setdefault(_wanted(each).name, ())
    return found


def _python(told: str) -> tuple[str, str, str] | None:
    project = re.search(
        r"the (?:requested|current) Python version \((.+?)\) does not satisfy Python(\S+)", told
    )
    if project is None:
        return None
    package = re.search(rf"({_ONE}) depends on Python{re.escape(project[2].rstrip(','))}", told)
    return (project[1], package[1] if package else "a package", project[2].rstrip(","))
