"""The words of a filter and of an order: `metrics.auc > 0.9 and tags."team" = 'a'`, `metrics.auc DESC`.

A superset of the grammar of MLflow's searches: comparisons joined by `and`. What the words mean is said
where they are searched with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from mlwright.kernel.errors import Invalid, nearest

MOST_COMPARISONS = 100
MOST_VALUES = 10_000
LONGEST = 1_000_000
"""Letters in one filter: as many values as there may be, and their names."""
SIGNS = ("=", "!=", "<", "<=", ">", ">=", "LIKE", "ILIKE", "IN", "NOT IN", "IS NULL", "IS NOT NULL")
ENTITIES = {
    **dict.fromkeys(("metric", "metrics"), "metric"),
    **dict.fromkeys(("param", "params", "parameter", "parameters"), "param"),
    **dict.fromkeys(("tag", "tags"), "tag"),
    **dict.fromkeys(("dataset", "datasets"), "dataset"),
    **dict.fromkeys(("attribute", "attributes", "attr", "run"), "attribute"),
}

_QUOTED = r"""'[^']*(?:''[^']*)*'|"[^"]*(?:""[^"]*)*"|`[^`]*(?:``[^`]*)*`"""
_WORD = r"""[^\s'"`=<>!(),;]+"""
_TOKEN = re.compile(
    rf"(?P<sign>==|!=|<=|>=|<|>|=)|(?P<mark>[(),])|(?P<word>{_WORD}(?:(?<=\.)(?:{_QUOTED}))?)|(?P<quoted>{_QUOTED})"
)
_MORE = re.compile(r"\S")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SHOWN = 40
_LARGEST = 2**63 - 1

Scalar = str | int | float


class Spelled(Struct, frozen=True):
    """A value that is kept as JSON in one of these ways."""

    kept: tuple[str, ...]


Among = tuple[tuple[tuple[str, str], ...], ...]
"""Any of these, each some marks (`Side.marks`) with their values; none for all there are."""


class Comparison(Struct, frozen=True):
    """One comparison of a filter.

    Args:
        entity: `metric`, `param`, `tag`, `dataset` or `attribute`.
        key: which of them.
        sign: one of `SIGNS`.
        value: a text was quoted, a number was not; the values of a list; None where the sign takes none.
        raw: the value as it was written, without quotes.
        among: of which it speaks, where there are several with that key.
    """

    entity: str
    key: str
    sign: str
    value: Scalar | tuple[Scalar, ...] | Spelled | None = None
    raw: str = ""
    among: Among = ()

    @property
    def name(self) -> str:
        """What it speaks of, for messages."""
        return self.key if self.entity == "attribute" else f"{self.entity}s.{self.key}"

    @property
    def values(self) -> tuple[Scalar, ...]:
        """What is on its right, one or several."""
        if isinstance(self.value, tuple):
            return self.value
        return () if self.value is None or isinstance(self.value, Spelled) else (self.value,)


class Order(Struct, frozen=True):
    """By what to order, and which way.

    Args:
        among: as in `Comparison`.
    """

    entity: str
    key: str
    descending: bool = False
    among: Among = ()

    @property
    def name(self) -> str:
        """What it speaks of, for messages."""
        return self.key if self.entity == "attribute" else f"{self.entity}s.{self.key}"


class _Token(Struct, frozen=True):
    kind: str
    text: str
    at: int

    @property
    def word(self) -> str:
        """A keyword it can be."""
        return self.text.upper() if self.kind == "word" else ""


def parse_filter(text: str) -> tuple[Comparison, ...]:
    """Take a filter apart.

    Args:
        text: comparisons joined by `and`; nothing, or only space, for none.

    Raises:
        Invalid: it cannot be understood; says where.
    """
    reader = _Reader(text, "filter")
    found: list[Comparison] = []
    values = 0
    while not reader.ended:
        if found:
            reader.want_and()
        if len(found) == MOST_COMPARISONS:
            raise Invalid(
                f"the filter has more than {MOST_COMPARISONS} comparisons",
                hint="ask for less, or name several values at once: key IN ('a', 'b')",
            )
        found.append(reader.comparison())
        values += len(found[-1].values)
        if values > MOST_VALUES:
            raise Invalid(f"the filter names more than {MOST_VALUES} values", hint="ask in several parts")
    return tuple(found)


def parse_order(text: str) -> Order:
    """Take an order apart: `metrics.auc DESC`; ascending when nothing is said.

    Raises:
        Invalid: it cannot be understood; says where.
    """
    reader = _Reader(text, "order")
    entity, key = reader.identifier()
    way = "ASC" if reader.ended else reader.take("asc or desc").word
    if way not in ("ASC", "DESC") or not reader.ended:
        raise Invalid(
            f"{_shown(text)} is no order",
            where="the order",
            hint="write a key, then asc or desc: metrics.auc desc",
        )
    return Order(entity, key, way == "DESC")


def read_number(text: str) -> int | float | None:
    """A number as a database holds it: whole ones of 64 bits exactly; None when it is none."""
    if not _NUMBER.fullmatch(text):
        return None
    if len(text) <= 20 and not set(text) & set(".eE") and -_LARGEST <= int(text) <= _LARGEST:
        return int(text)
    return float(text)


def check_text(text: str, what: str, longest: int = LONGEST) -> None:
    """Refuse text that no record can have.

    Raises:
        Invalid: a NUL or half a letter stands in it, or it is too long.
    """
    if len(text) > longest:
        raise Invalid(f"the {what} is {len(text)} letters long; at most {longest} are read")
    if "\0" in text:
        raise Invalid(f"the {what} has a NUL in it, at letter {text.index(chr(0)) + 1}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Invalid(f"the {what} has half a letter in it, at letter {error.start + 1}") from error


class _Reader:
    """Reads one text from left to right."""

    def __init__(self, text: str, what: str) -> None:
        check_text(text, what)
        self._text = text
        self._what = what
        self._tokens = self._split()
        self._next = next(self._tokens, None)

    @property
    def ended(self) -> bool:
        """Whether all is read."""
        return self._next is None

    def _split(self) -> Iterator[_Token]:
        at = 0
        while more := _MORE.search(self._text, at):
            found = _TOKEN.match(self._text, more.start())
            if found is None:
                told = f"{more[0]!r} means nothing here"
                if more[0] in "'\"`":
                    told = "a quote begins that does not end"
                raise self._refusal(told, more.start(), "quote texts like 'this', keys like \"this\"")
            yield _Token(str(found.lastgroup), found[0], found.start())
            at = found.end()

    def _refusal(self, told: str, at: int, hint: str | None = None) -> Invalid:
        return Invalid(told, where=f"the {self._what}, letter {at + 1}", hint=hint)

    def take(self, wanted: str) -> _Token:
        """The next piece."""
        if self._next is None:
            raise self._refusal(f"{wanted} is missing at the end of the {self._what}", len(self._text))
        taken = self._next
        self._next = next(self._tokens, None)
        return taken

    def want_and(self) -> None:
        """Between comparisons stands `and`."""
        token = self.take("and")
        if token.word == "OR":
            raise self._refusal(
                "`or` is not understood",
                token.at,
                "comparisons are joined by `and`; several values: IN ('a', 'b')",
            )
        if token.word != "AND":
            raise self._refusal(
                f"between comparisons stands {_shown(token.text)}", token.at, "join them by `and`"
            )

    def identifier(self) -> tuple[str, str]:
        """`metrics.auc`, `params."learning rate"`, or an attribute alone."""
        token = self.take("a key")
        if token.kind == "quoted" and token.text[0] != "'":
            return "attribute", _unquoted(token.text)
        if token.kind != "word":
            hint = "only `and` joins comparisons, without parentheses" if token.text == "(" else None
            raise self._refusal(f"{_shown(token.text)} stands where a key should be", token.at, hint)
        entity, dot, key = token.text.partition(".")
        if not dot:
            return "attribute", entity
        if entity not in ENTITIES:
            hint = nearest(entity, [*ENTITIES])
            raise self._refusal(f"there is nothing called {_shown(entity)} to search in", token.at, hint)
        if not key:
            raise self._refusal(f"after {_shown(token.text)} a key is missing", token.at)
        return ENTITIES[entity], _unquoted(key) if key[0] in "\"'`" else key

    def comparison(self) -> Comparison:
        """A key, a sign and what it is compared with."""
        entity, key = self.identifier()
        sign = self._sign()
        if sign.startswith("IS"):
            return Comparison(entity, key, sign)
        if sign in ("IN", "NOT IN"):
            return Comparison(entity, key, sign, self._values())
        value, raw = self._value()
        return Comparison(entity, key, sign, value, raw)

    def _sign(self) -> str:
        token = self.take("a comparison")
        sign = token.word
        if token.kind == "sign":
            return "=" if token.text == "==" else token.text
        if sign in ("NOT", "IS"):
            sign += f" {self.take('the rest of the comparison').word}"
        if sign == "IS NOT":
            sign += f" {self.take('null').word}"
        if sign not in SIGNS:
            raise self._refusal(
                f"{_shown(token.text)} stands where a comparison should be",
                token.at,
                f"one of {', '.join(SIGNS)}",
            )
        return sign

    def _value(self) -> tuple[Scalar, str]:
        token = self.take("a value")
        if token.kind == "quoted" and token.text[0] != "`":
            text = _unquoted(token.text)
            return text, text
        number = read_number(token.text) if token.kind == "word" else None
        if number is None:
            raise self._refusal(
                f"{_shown(token.text)} is no number and not quoted", token.at, "quote texts: 'like this'"
            )
        return number, token.text

    def _values(self) -> tuple[Scalar, ...]:
        opened = self.take("a list")
        if opened.text != "(":
            raise self._refusal(f"{_shown(opened.text)} is no list", opened.at, "write IN ('a', 'b')")
        found: list[Scalar] = []
        while True:
            if self._next is not None and self._next.text == ")" and found:
                break
            if len(found) == MOST_VALUES:
                raise Invalid(f"the filter names more than {MOST_VALUES} values", hint="ask in several parts")
            found.append(self._value()[0])
            if self._next is None or self._next.text != ",":
                break
            self.take(",")
        closed = self.take("a closing parenthesis")
        if closed.text != ")":
            raise self._refusal(f"{_shown(closed.text)} stands where the list should go on", closed.at)
        return tuple(found)


def _unquoted(text: str) -> str:
    """Without its quotes; one that is doubled inside stands for itself."""
    quote = text[0]
    return text[1:-1].replace(quote * 2, quote)


def _shown(text: str) -> str:
    """A piece of the text for a message."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
