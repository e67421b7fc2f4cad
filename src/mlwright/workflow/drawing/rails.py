"""A graph for the terminal: a line for each box, and left of them a rail for each that is still needed.

    ◎         patients@latest
    ●         load
    ●         split
    ├─●       train
    ├─┼─●     evaluate
    │ │ ├─◆   gate
    ●─┤ │ │   signature
    ■─┴─┴─╯   register

A box stands on a rail of its own, or goes on with one that ends at it. Its horizontal stroke takes from every
rail that it bends into or meets in a `┼`; a rail that it merely crosses stays whole (`─│─`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct
from rich.cells import cell_len, chop_cells

from mlwright.workflow.drawing.picture import TIMES, Box, Kind, Picture

_MARKS: dict[Kind, str] = {"step": "●", "gate": "◆", "register": "■", "dataset": "◎", "model": "□"}
# Of a rail at which a stroke arrives: (from its left, from its right, the rail goes on) to what is drawn.
_JOINTS = {
    (False, True, True): "├",
    (True, False, True): "┤",
    (True, True, True): "┼",
    (False, True, False): "╰",
    (True, False, False): "╯",
    (True, True, False): "┴",
}
_FANCY = f"●◆■◎□├┤┼╰╯┴│─{TIMES}"
_ASCII = str.maketrans(_FANCY, "*?#o@+++`'+|-x")
_LONGEST_HEAD = 32
_LEAST_TAIL = 24


class Row(Struct, frozen=True):
    """A line on the screen.

    Args:
        rails: as wide in every row.
        head: the name and what is special; empty where a row goes on with the one above.
        tail: where it comes from, and its options.
    """

    rails: str
    head: str
    tail: str

    @property
    def text(self) -> str:
        """The line without style."""
        return f"{self.rails} {self.head}{self.tail}".rstrip()


class _Stretch(Struct, frozen=True):
    """The rails at a box, and below it: where its words need another line, the rails go on."""

    here: str
    below: str


def rails(picture: Picture, *, width: int = 80, encoding: str = "utf-8") -> list[Row]:
    """The rows to print.

    Args:
        picture: of the graph.
        width: of the screen, in cells. Names are never cut; what is behind them goes on in the next line.
        encoding: of the screen: one without box characters gets ASCII, and what it lacks is escaped.
    """
    plain = not _can_show(_FANCY, encoding)
    stretches = _stretches(picture)
    gutter = max((len(each.here) for each in stretches), default=0)
    # Beside rails that leave no room for words, the words say what a box takes.
    listed = gutter > max(width - 48, 16)
    if listed:
        stretches = [_Stretch(_MARKS[box.kind], " ") for box in picture.boxes]
        gutter = 1
    heads = [_shown(_head(box), plain, encoding) for box in picture.boxes]
    longest = max((cell_len(head) for head in heads if cell_len(head) <= _LONGEST_HEAD), default=0)
    room = width - gutter - longest - 3
    rows = []
    for place, (box, head, stretch) in enumerate(zip(picture.boxes, heads, stretches, strict=True)):
        words = [_shown(word, plain, encoding) for word in _tail(picture, place, box, listed)]
        indent = longest + 2 if room >= _LEAST_TAIL else 2
        tails = list(_wrapped(words, max(width - gutter - 1 - indent, _LEAST_TAIL)))
        beside = indent > 2 and cell_len(head) <= longest
        first = tails.pop(0) if beside and tails else ""
        rows.append(Row(_drawn(stretch.here, gutter, plain), head, _behind(head, first, indent)))
        rows += [Row(_drawn(stretch.below, gutter, plain), "", " " * indent + tail) for tail in tails]
    return rows


def _stretches(picture: Picture) -> list[_Stretch]:
    """The rails, box by box: on which column it stands, and what goes past it."""
    sources: list[set[int]] = [set() for _ in picture.boxes]
    waiting = [0] * len(picture.boxes)
    for line in picture.lines:
        if line.source not in sources[line.target]:
            sources[line.target].add(line.source)
            waiting[line.source] += 1
    columns: list[int | None] = []  # on each column the box whose rail it is
    ended_at = -1  # a box right below one that nobody takes from would look as if it went on with it
    found = []
    for place, needed in enumerate(sources):
        taken = {column for column, owner in enumerate(columns) if owner in needed}
        for source in needed:
            waiting[source] -= 1
        after = [None if owner is None or not waiting[owner] else owner for owner in columns]
        ending = [column for column in sorted(taken) if after[column] is None]
        own = ending[0] if ending else _free(columns, ended_at)
        after += [None] * (own + 1 - len(after))
        mark = _MARKS[picture.boxes[place].kind]
        here = _across(columns, after, taken, own, mark)
        after[own] = place if waiting[place] else None
        ended_at = -1 if waiting[place] else own
        while after and after[-1] is None:
            after.pop()
        columns = after
        found.append(_Stretch(here, " ".join(" " if owner is None else "│" for owner in columns)))
    return found


def _free(columns: Sequence[int | None], avoided: int) -> int:
    free = (column for column, owner in enumerate(columns) if owner is None and column != avoided)
    return next(free, len(columns) + (avoided == len(columns)))


def _across(
    before: Sequence[int | None], after: Sequence[int | None], taken: set[int], own: int, mark: str
) -> str:
    """The rails at a box that stands on the column `own` and takes from the rails `taken`."""
    first, last = min({own, *taken}), max({own, *taken})
    letters = []
    for column in range(len(after)):
        left, right = first < column <= last, first <= column < last
        if column == own:
            letter = mark
        elif column in taken:
            letter = _JOINTS[left, right, after[column] is not None]
        elif column < len(before) and before[column] is not None:
            letter = "│"
        else:
            letter = "─" if left and right else " "
        letters += [letter, "─" if right else " "]
    return "".join(letters).rstrip()


def _head(box: Box) -> str:
    return f"{box.title}  when {box.condition}" if box.condition else box.title


def _tail(picture: Picture, place: int, box: Box, listed: bool) -> Iterator[str]:
    if box.kind in {"dataset", "model"}:
        yield box.kind
    yield from box.about
    yield from box.options
    if listed:
        sources = {line.source: None for line in picture.lines if line.target == place}
        for number, source in enumerate(sources):
            yield picture.boxes[source].name if number else f"takes {picture.boxes[source].name}"


def _wrapped(words: Iterable[str], room: int) -> Iterator[str]:
    """Words in lines, with commas; a word that is longer than a line is broken."""
    line = ""
    for word in words:
        if line and cell_len(line) + cell_len(word) + 3 > room:
            yield f"{line},"
            line = ""
        line += f", {word}" if line else word
        while cell_len(line) > room:
            begun = chop_cells(line, room)[0]
            yield begun
            line = line.removeprefix(begun)
    if line:
        yield line


def _behind(head: str, tail: str, indent: int) -> str:
    return " " * (indent - cell_len(head)) + tail if tail else ""


def _drawn(letters: str, gutter: int, plain: bool) -> str:
    padded = letters.ljust(gutter)
    return padded.translate(_ASCII) if plain else padded


def _shown(text: str, plain: bool, encoding: str) -> str:
    return text.translate(_ASCII).encode(encoding, "backslashreplace").decode(encoding) if plain else text


def _can_show(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
