"""A browser logs in at a provider, which is another site: what cookies it sends where is its own decision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests import oidc
from tests.conftest import PYPROJECT, write
from tests.server.conftest import Up
from tests.server.test_oidc import login

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_a_browser_logs_in_and_stays_logged_in(browser: Browser, tmp_path: Path) -> None:
    """From a page, by the button, to the provider and back to that page, now as somebody; then out again."""
    with oidc.provider() as provider:
        provider.asks = True  # so that it is their page which sends the browser back
        text = PYPROJECT + login(provider.issuer)
        up = Up(write(tmp_path / "small", {"pyproject.toml": text}), LOGIN_SECRET=oidc.SECRET)
        page = browser.new_page()
        said: list[str] = []
        page.on("console", lambda each: said.append(each.text) if up.url in each.location["url"] else None)

        page.goto(f"{up.url}/login?next=/events")
        page.get_by_role("link", name="Log in with localhost").click()
        page.get_by_role("link", name="Yes, I am Ana").click()
        page.wait_for_url(f"{up.url}/events")
        inside = page.get_by_role("button", name="Log out").get_attribute("title")
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url(f"{up.url}/login")

        assert inside == "ana@example.com, admin"
        assert said == []
        page.close()
        up.close()
