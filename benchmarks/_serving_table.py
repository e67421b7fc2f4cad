"""All servers side by side, and ours beside the best of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isnan, nan

from _figures import Figure
from _serving_servers import CONSTANT, NATIVE, OURS, Server

_OURS = {each.name for each in (OURS, NATIVE, CONSTANT)}


def say_table(what: str, columns: Sequence[str], rows: Mapping[str, Mapping[str, float]]) -> None:
    """Print it; a value that is not there is a dash.

    Args:
        what: stands above.
        columns: their names, which rows give their values by.
        rows: by what each is of.
    """
    print(f"\n{what:32}" + "".join(f"{each:>13}" for each in columns))
    for title, values in rows.items():
        print(f"  {title:30}" + "".join(f"{_told(values.get(each, nan)):>13}" for each in columns))
    print(flush=True)


def beside_best(
    what: str,
    took: Mapping[str, float],
    servers: Sequence[Server],
    best: Callable[[Iterator[float]], float],
    reach: str = "",
) -> Iterator[Figure]:
    """Ours beside the best of the peers; nothing where either was not measured.

    Args:
        took: by the server's name.
        best: `min` or `max`.
    """
    peers = {
        each.title: took[each.name]
        for each in servers
        if each.name not in _OURS and not isnan(took.get(each.name, nan))
    }
    if OURS.name in took and peers:
        value = best(iter(peers.values()))
        title = next(each for each, its in peers.items() if its == value)
        yield Figure(what, took[OURS.name], value, title, reach)


def _told(value: float) -> str:
    if isnan(value):
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
