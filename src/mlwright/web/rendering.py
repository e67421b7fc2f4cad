"""Templates into pages: every text is escaped, a name that is not there is our mistake, and shows at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mlwright.kernel.errors import MlwrightError
from mlwright.kernel.version import VERSION
from mlwright.web import assets, drawn, words
from mlwright.web.catalogue import LANGUAGES, words_of
from mlwright.web.declared import PACKAGE, Page
from mlwright.web.reader import Reader
from mlwright.web.written import written
from mlwright.workflow.drawing import picture_of

SHELL, ERROR = "web/shell/layout.html", "web/shell/error.html"


@cache
def environment(language: str) -> Environment:
    """The templates of all rooms, which speak a language."""
    made = Environment(
        loader=FileSystemLoader(PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    said = words_of(language)
    made.globals.update(
        _=said,
        static=assets.address,
        languages=LANGUAGES,
        version=VERSION,
        graph=drawn.graph,
        histogram=drawn.histogram,
    )
    made.filters.update(
        number=words.number,
        size=words.size,
        seconds=words.seconds,
        age=lambda at_us: words.age(at_us, said),
        moment=words.moment,
        machine_moment=words.machine_moment,
        short=words.short,
        value=words.value,
        column=words.column,
        column_name=words.column_name,
        segment=_segment,
        gantt=drawn.bars,
        picture=picture_of,
        step_links=drawn.step_links,
        spread=drawn.spread,
        lineage=drawn.lineage,
        leads_to=drawn.leads_to,
        written=written,
    )
    made.tests["refused"] = lambda thing: isinstance(thing, MlwrightError)
    return made


def rendered(
    page: Page, pages: Sequence[Page], reader: Reader, path: str, told: Mapping[str, Any], query: Any
) -> bytes:
    """A page in its shell.

    Args:
        pages: all that there are, for the navigation.
        path: as it was asked for.
        told: the variables of its template.
        query: what its query has.
    """
    context = _context(pages, reader, path, query)
    context |= {"page": page, **told}
    module = environment(reader.language).get_template(page.template).make_module(context)
    title = getattr(module, "title", None) or words_of(reader.language)(page.title)
    return _in_shell(reader, {**context, "title": title, "content": module, "scripts": page.scripts})


def rendered_error(error: Mapping[str, Any], pages: Sequence[Page], reader: Reader, path: str) -> bytes:
    """A problem in the shell.

    Args:
        error: the fields of its document.
        pages: all that there are.
        path: as it was asked for.
    """
    context = _context(pages, reader, path, {})
    context |= {"page": None, "error": error}
    module = environment(reader.language).get_template(ERROR).make_module(context)
    title = words_of(reader.language)(str(error["title"]))
    return _in_shell(reader, {**context, "title": title, "content": module, "scripts": ()})


def rendered_alone(name: str, reader: Reader, told: Mapping[str, Any]) -> bytes:
    """A page outside the shell, for who is nobody yet.

    Args:
        name: of its template.
        told: the variables of that.
    """
    template = environment(reader.language).get_template(f"web/shell/{name}.html")
    return template.render({"reader": reader, **told}).encode("utf-8", "backslashreplace")


def _in_shell(reader: Reader, context: Mapping[str, Any]) -> bytes:
    # A template has rendered it, and escaped what is not its own.
    content = Markup(context["content"].__html__())  # noqa: S704
    shell = environment(reader.language).get_template(SHELL)
    return shell.render({**context, "content": content}).encode("utf-8", "backslashreplace")


def _context(pages: Sequence[Page], reader: Reader, path: str, query: Any) -> dict[str, Any]:
    return {
        "reader": reader,
        "path": path,
        "query": query,
        "url": _url(path, query),
        "navigation": sorted((each for each in pages if each.place), key=lambda each: each.place),
    }


def _url(path: str, query: Mapping[str, Any]) -> Callable[..., str]:
    """Makes the address of the same page with some of its query changed; None leaves a name out."""

    def url(**changes: Any) -> str:
        asked = {name: each for name, each in {**query, **changes}.items() if each}
        here = quote(path, safe="/")
        return f"{here}?{urlencode(asked, doseq=True)}" if asked else here

    return url


def _segment(text: object) -> str:
    """A text as one part of a path."""
    return quote(str(text), safe="")
