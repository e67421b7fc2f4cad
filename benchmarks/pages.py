"""Claim: on a workspace of 100,000 runs a page is seen within 0.5 s, and weighs at most 100 KB.

Unit: milliseconds from the click until something is seen (first contentful paint), and until the page is
there as a whole, in Debian's Chromium; the median of five, after one that does not count. The browser keeps
nothing from one page to the next. Baseline, in the same rounds: a page of one word of the same server, which
is the least that a browser and a connection need. KB are as they were sent, style and scripts included.

The runs are those of `tracking.py`: ten parameters and five metrics each.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from _figures import Figure, medians, say_figures
from _filled import fill_ours
from _servers import make_project, ours

if TYPE_CHECKING:
    from playwright.sync_api import Browser

RUNS = 100_000
PAGES = {
    "home": "/",
    "runs, the newest": "/runs",
    "runs, one state": "/runs?state=succeeded",
    "runs, best of a metric": f"/runs?order_by={quote('metrics.m4 desc')}",
    "runs, a filter": f"/runs?filter={quote('metrics.m4 > 0.99 and params.p3 = 2')}",
    "one run": "/runs/latest",
    "events": "/events",
}
_PAINTED = """() => new Promise((done) => {
    new PerformanceObserver((list) => {
        const found = list.getEntriesByName('first-contentful-paint')[0];
        if (found) done(found.startTime);
    }).observe({type: 'paint', buffered: true});
})"""
_WHOLE = """() => {
    const page = performance.getEntriesByType('navigation')[0];
    const parts = [page, ...performance.getEntriesByType('resource')];
    return {ms: page.loadEventEnd, bytes: parts.reduce((sum, each) => sum + each.encodedBodySize, 0)};
}"""


def pages() -> Iterator[Figure]:
    """Each page beside a page of one word."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("error: there is no chromium\nhint: apt-get install chromium")
    alone = ["--no-sandbox"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        root = Path(folder)
        make_project(root)
        fill_ours(root, RUNS)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--disable-gpu", *alone])
        with ours(root) as served:

            def measure(_: int) -> dict[str, float]:
                found: dict[str, float] = {}
                for name, path in {"one word": "/version", **PAGES}.items():
                    seen, whole = _open(browser, served.url + path)
                    found |= {
                        f"{name} seen": seen,
                        f"{name} whole": whole["ms"],
                        f"{name} KB": whole["bytes"] / 1000,
                    }
                return found

            found = medians(measure)
        browser.close()
    for name in PAGES:
        word = "a page of one word"
        yield Figure(
            f"{name}: first content, ms", found[f"{name} seen"], found["one word seen"], word, "<= 500"
        )
        yield Figure(f"{name}: whole, ms", found[f"{name} whole"], found["one word whole"], word)
        yield Figure(f"{name}: sent, KB", found[f"{name} KB"], found["one word KB"], word, "<= 100")


def _open(browser: Browser, url: str) -> tuple[float, dict[str, Any]]:
    """When something was seen and when all was there, in a browser that keeps nothing."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(url, wait_until="load")
    seen, whole = page.evaluate(_PAINTED), page.evaluate(_WHOLE)
    context.close()
    return float(seen), whole


if __name__ == "__main__":
    say_figures(pages)
