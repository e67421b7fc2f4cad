"""What makes a page of one file."""

from __future__ import annotations

import pytest

from mlwright.server.api import OPERATIONS
from mlwright.server.permissions import Permission
from mlwright.web.declared import Page, find_pages, read_page
from mlwright.web.routes import PAGES, ROUTES

KNOWN = {each.name: each for each in OPERATIONS}


def read(toml: str) -> Page:
    return read_page("x.html", "{# page:\n" + toml + "\n#}", KNOWN)


def test_who_may_not_read_gets_no_page() -> None:
    """Every page is for those who may read, whatever it asks; what stands still is for anyone."""
    needed = {route.path: route.permission for route in ROUTES}

    assert needed.pop("/static/{version}/{name:path}") is Permission.ANYONE
    assert needed.keys() == {page.path for page in PAGES}
    assert set(needed.values()) == {Permission.READ}


def test_a_page_takes_from_its_query_what_its_operations_take_and_no_more() -> None:
    """The names that a query may have are known before it is asked."""
    plain = read('path = "/r"\ntitle = "R"\n[asks]\na = "list_runs"')
    taken = '[asks.a]\ndo = "list_runs"\ntakes = ["filter", "order_by"]'
    narrow = read(f'path = "/r"\ntitle = "R"\nquery = ["x"]\n{taken}')

    assert {"filter", "token", "limit"} <= plain.singles
    assert {"order_by", "params", "metrics"} == plain.lists
    assert (narrow.singles, narrow.lists) == ({"filter", "x"}, {"order_by"})


@pytest.mark.parametrize(
    ("toml", "why"),
    [
        ('path = "/r"\ntitle = "R"\n[asks]\na = "no_such"', "no operation"),
        ('path = "/r/{run}"\ntitle = "R"\n[asks]\na = "cancel_run"', "changes something"),
        ('path = "/r/{run}"\ntitle = "R"\n[asks]\na = "follow_logs"', "does not end"),
        ('path = "/r"\ntitle = "R"\n[asks.a]\ndo = "list_runs"\ntakes = ["nothing"]', "no parameter"),
    ],
)
def test_a_page_that_asks_wrongly_is_named(toml: str, why: str) -> None:
    """A page asks only what is an operation, ends and changes nothing."""
    with pytest.raises(AssertionError, match=why):
        read(toml)


def test_no_page_hides_another() -> None:
    """Every path is answered by one page, and one without variables before one with."""
    pages = find_pages(OPERATIONS)
    paths = [page.path for page in pages]

    assert len(set(paths)) == len(paths)
    assert [path for path in paths if "{" in path] == paths[sum("{" not in path for path in paths) :]
