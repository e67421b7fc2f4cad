"""The pages in a real browser: nothing fails, everybody can use them, and no text of others executes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.conftest import COMMAND, mlwright
from tests.processes import until
from tests.server.conftest import Up
from tests.web.filled import PAYLOADS
from tests.web.watched import watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SCREENSHOTS = Path(__file__).parents[2] / ".cache" / "screenshots"
PAGES = {
    "home": "/",
    "runs": "/runs",
    "runs-filtered": "/runs?filter=params.depth+%3E+3&order_by=metrics.loss+desc&columns=metrics.loss",
    "runs-refused": "/runs?filter=metrics.loss+%3E%3E+3",
    "runs-none": "/runs?state=lost",
    "run": "/runs/{ills}",
    "run-failed": "/runs/{hostile}",
    "run-reported": "/runs/{reported}",
    "run-logs": "/runs/{ills}/logs",
    "run-profile": "/runs/{ills}/profile",
    "run-step": "/runs/{ills}/steps/evaluate",
    "run-step-failed": "/runs/{hostile}/steps/break_",
    "runs-diff": "/runs/{first}/diff/{ills}",
    "pipelines": "/pipelines",
    "pipeline": "/pipelines/ills",
    "datasets": "/datasets",
    "datasets-found": "/datasets?words=people",
    "dataset": "/datasets/people",
    "dataset-files": "/datasets/texts",
    "dataset-versions": "/datasets/people/versions",
    "datasets-diff": "/datasets/people@1/diff/people@2",
    "models": "/models",
    "model": "/models/ills@1",
    "models-compare": "/models/ills@1/compare/ills@2",
    "model-versions": "/models/ills/versions",
    "artifact": "/artifacts/{ills}/evaluate",
    "artifact-table": "/artifacts/{ills}/load",
    "run-step-table": "/runs/{ills}/steps/load",
    "lineage": "/lineage?reference=ills@1",
    "lineage-asked": "/lineage",
    "events": "/events",
    "events-none": "/events?verb=nothing",
}
"""Pages as they are looked at, by what their screenshots are called."""
LOOKS = [(390, "dark"), (390, "light"), (1280, "light"), (1280, "dark")]
LOOKED_CLOSELY = {(390, "light"), (1280, "dark")}
"""Both widths and both themes, each once: a barrier is one of the layout or of the colours."""


@pytest.fixture(scope="module")
def places(site: Up) -> dict[str, str]:
    """The runs that pages are of."""

    def newest(query: str, at: int = 0) -> str:
        return str(site.ask("GET", f"/api/v1/runs?{query}").json["found"][at]["run"]["id"])

    return {
        "ills": newest("pipeline=ills"),
        "first": newest("pipeline=ills", 1),
        "hostile": newest("pipeline=hostile"),
        "reported": newest("kind=reported&state=succeeded"),
    }


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_for_everybody(browser: Browser, site: Up, places: dict[str, str], name: str) -> None:
    """On a phone and on a desk, light and dark: no error, nothing missing, no barrier, nothing too wide."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with watched(browser, site.url) as seen:
        seen.go(PAGES[name].format(**places))
        for width, theme in LOOKS:
            seen.look(width, theme)
            seen.page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{theme}.png", full_page=True)
            assert seen.fits(), (width, theme)
            if (width, theme) in LOOKED_CLOSELY:
                assert not seen.barriers(), (width, theme)

        assert seen.page.title().endswith(" · mlwright")
        assert seen.page.locator("h1").count() >= 1
        assert not seen.wrong


def test_a_text_that_looks_like_markup_is_a_text(browser: Browser, site: Up, places: dict[str, str]) -> None:
    """Names, parameters, tags, metrics, logs, errors and the echo of a filter never execute."""
    site.hang_up()
    reported = site.ask("GET", "/api/v1/runs?kind=reported&state=failed&limit=20").json["found"]
    paths = [f"/runs/{each['run']['id']}" for each in reported]
    paths += [f"/runs?filter={quote(payload)}" for payload in PAYLOADS]
    paths += ["/runs?state=failed", "/runs/{hostile}", "/runs/{hostile}/logs", "/runs/{hostile}/steps/say"]
    paths += ["/runs/{hostile}/steps/break_", "/runs/{hostile}/diff/{reported}", "/events?verb=run", "/"]
    with watched(browser, site.url) as seen:
        said = ""
        for path in paths:
            seen.go(path.replace("{hostile}", places["hostile"]).replace("{reported}", places["reported"]))
            seen.page.mouse.move(300, 300)
            said += seen.page.inner_text("main")

            assert seen.page.evaluate("window.hacked") is None, path
            assert not seen.wrong, path

    assert all(payload in said for payload in PAYLOADS)


def test_what_is_kept_with_data_and_models_never_executes(browser: Browser, site: Up) -> None:
    """Messages, tags, reasons, file names and cards of datasets and models are texts on every page."""
    with watched(browser, site.url) as seen:
        for path in ("/datasets", "/datasets/people@1", "/datasets/texts", "/models/ills@1", "/events", "/"):
            seen.go(path)

            assert seen.page.evaluate("window.hacked") is None
            assert not seen.page.locator("main script, main img:not(.preview-image), main [onerror]").count()
        assert not seen.wrong


def test_a_small_table_is_shown_row_by_row(browser: Browser, site: Up, places: dict[str, str]) -> None:
    """What a step made is shown beside it: of a table its columns and first rows."""
    with watched(browser, site.url) as seen:
        seen.go(f"/runs/{places['ills']}/steps/load")

        assert seen.page.locator("table.rows thead th").all_inner_texts() == ["age", "size", "ill", "group"]
        assert seen.page.locator("table.rows tbody tr").count() == 20
        assert seen.page.locator("table.rows tbody tr").first.inner_text().split() == [
            "18",
            "4",
            "0",
            "young",
        ]


def test_a_filter_that_is_wrong_is_told_where(browser: Browser, site: Up) -> None:
    """The page stays, the filter stands in its box, and the message says what is wrong."""
    with watched(browser, site.url) as seen:
        seen.go("/runs")
        seen.page.fill("input[name=filter]", "metrics.loss >> 3")
        seen.page.press("input[name=filter]", "Enter")
        seen.page.wait_for_selector("[role=alert]")

        assert seen.page.input_value("input[name=filter]") == "metrics.loss >> 3"
        assert not seen.wrong


def test_runs_are_sorted_and_paged_and_compared(browser: Browser, site: Up) -> None:
    """A column sorts, the next page goes on where this one ends, two ticked rows are put side by side."""
    with watched(browser, site.url) as seen:
        seen.go("/runs?kind=reported&state=succeeded")
        seen.page.click("thead a:has-text('val/loss')")
        seen.page.wait_for_selector("th[aria-sort=descending]")
        first = seen.page.locator("tbody th a").all_inner_texts()
        seen.page.click("a[rel=next]")
        seen.page.wait_for_selector("text=First page")
        second = seen.page.locator("tbody th a").all_inner_texts()
        boxes = seen.page.locator("input[name=pick]")
        boxes.nth(0).check()
        boxes.nth(1).check()
        seen.page.click("[data-compare]")
        seen.page.wait_for_url("**/diff/**")

        assert (first[0], len(first), len(second)) == ("trial 59", 50, 10)
        assert not set(first) & set(second)
        assert not seen.wrong


def test_a_choice_of_theme_and_language_is_kept(browser: Browser, site: Up) -> None:
    """Who switches to dark and to Korean gets every later page so."""
    with watched(browser, site.url) as seen:
        seen.go("/")
        seen.page.click("#theme")
        seen.page.select_option("#language", "ko")
        seen.page.wait_for_selector("html[lang=ko]")
        seen.go("/runs")

        assert seen.page.get_attribute("html", "data-theme") == "dark"
        assert seen.page.inner_text("h1") == "실행"
        assert not seen.wrong


def test_a_browser_that_asks_for_korean_gets_korean(browser: Browser, site: Up) -> None:
    """Without a choice the browser's language counts."""
    with watched(browser, site.url, language="ko-KR") as seen:
        seen.go("/models")

        assert seen.page.inner_text("h1") == "모델"


def test_a_page_that_is_not_there_is_told_in_the_shell(browser: Browser, site: Up) -> None:
    """What is wrong is said where the reader can go on, with the status that it has."""
    with watched(browser, site.url) as seen:
        answer = seen.page.goto(f"{site.url}/runs/nothing")

        assert answer is not None
        assert answer.status == 404
        assert "nothing" in seen.page.inner_text("main")
        assert seen.page.locator("nav a[href='/runs']").count()


def test_who_may_cancels_and_resumes_a_run(
    browser: Browser, site: Up, workspace: Path, tmp_path: Path
) -> None:
    """Who is logged in ends a run that goes, and lets it go on; who is not sees no such button."""
    site.hang_up()
    door = tmp_path / "door"
    run = subprocess.Popen(
        [str(COMMAND), "run", "slow", "-p", f"until={door}"],
        cwd=workspace,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: site.ask("GET", "/api/v1/runs?pipeline=slow&state=running").json["found"])
        with watched(browser, site.url) as stranger, watched(browser, site.url) as seen:
            stranger.page.goto(f"{site.url}/runs/latest")
            assert not stranger.page.locator("[data-do]").count()

            link = json.loads(mlwright("login", "--json", cwd=workspace).stdout)["login"]
            seen.agrees = True
            seen.page.goto(link)
            seen.page.goto(f"{site.url}/runs/latest")
            seen.page.click("button.danger")
            seen.page.wait_for_selector("h1 + .state-cancelled")
            cancelled = seen.page.url
            door.touch()
            seen.page.click("[data-do$=resume]")
            seen.page.wait_for_url(lambda url: "/runs/01" in url and url != cancelled)
            seen.page.wait_for_selector("h1 + .state-succeeded", timeout=60_000)
    finally:
        run.terminate()
        run.wait(30)


def test_a_run_is_watched_while_it_goes(browser: Browser, site: Up, workspace: Path, tmp_path: Path) -> None:
    """Lines come as they are printed, and the page shows by itself that the run has ended."""
    site.hang_up()
    door = tmp_path / "door"
    run = subprocess.Popen(
        [str(COMMAND), "run", "slow", "-p", f"until={door}"], cwd=workspace, stdout=subprocess.DEVNULL
    )
    try:
        until(lambda: site.ask("GET", "/api/v1/runs?pipeline=slow&state=running").json["found"])
        with watched(browser, site.url) as log, watched(browser, site.url) as page:
            log.page.goto(f"{site.url}/runs/latest/logs")
            page.page.goto(f"{site.url}/runs/latest")
            log.page.wait_for_selector("text=waiting for")
            page.page.wait_for_selector("h1 + .state-running")

            door.touch()
            log.page.wait_for_selector("text=it is there")
            page.page.wait_for_selector("h1 + .state-succeeded")

            assert not log.wrong
            assert not page.wrong
    finally:
        run.terminate()
        run.wait(30)
