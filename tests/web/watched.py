"""A page of the browser that is watched: what it says in its console, what it asked for and did not get."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_AXE = Path(__file__).parent / "vendor" / "axe.min.js"
_SERIOUS = ("serious", "critical")


class Watched:
    """A page, and all that went wrong on it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self._url = page, url
        self.wrong: list[str] = []
        page.on("console", lambda said: self._note(said.type in {"error", "warning"}, "says", said.text))
        page.on("pageerror", lambda error: self._note(True, "raised", str(error)))
        page.on(
            "requestfailed",
            lambda asked: self._note("ERR_ABORTED" not in str(asked.failure), "did not get", asked.url),
        )
        page.on("response", lambda given: self._note(given.status >= 400, str(given.status), given.url))
        page.on(
            "request", lambda asked: self._note(not asked.url.startswith((url, "data:")), "left", asked.url)
        )
        page.on("dialog", lambda dialog: (self._note(True, "asked", dialog.message), dialog.dismiss()))

    def _note(self, wrong: bool, how: str, what: str) -> None:
        if wrong:
            self.wrong.append(f"{how}: {what}")

    def go(self, path: str) -> None:
        """Open a page of the site, and wait until it is quiet."""
        self.page.goto(self._url + path, wait_until="load")
        self.quiet()

    def quiet(self) -> None:
        """Wait for what the page still fetches: curves, and parts that come later."""
        self.page.wait_for_function(
            "() => !document.querySelector('.htmx-request, [hx-trigger=load]:empty,"
            " [hx-trigger=load][hx-swap=outerHTML]')"
            " && [...document.querySelectorAll('figure[data-series]')].every((each) => each.dataset.drawn)",
            timeout=15_000,
        )

    def look(self, width: int, theme: str) -> None:
        """Look at it on a screen of this width, light or dark."""
        self.page.set_viewport_size({"width": width, "height": 844 if width < 600 else 800})
        self.page.emulate_media(color_scheme="dark" if theme == "dark" else "light")

    def fits(self) -> bool:
        """Whether nothing is wider than the screen."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"))

    def barriers(self) -> list[str]:
        """What keeps somebody from using the page, as axe-core finds it."""
        # Not as a script of the page: its policy would refuse it.
        self.page.evaluate(_AXE.read_text())
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}"
            for each in found["violations"]
            if each["impact"] in _SERIOUS
        ]


@contextmanager
def watched(browser: Browser, url: str, *, language: str = "en-GB") -> Iterator[Watched]:
    """A page of a reader who has never been here."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, locale=language, reduced_motion="reduce"
    )
    try:
        yield Watched(context.new_page(), url)
    finally:
        context.close()
