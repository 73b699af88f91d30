"""The static page where a part of it does not come: what it says, and that it goes on."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import needs_browser
from static_pages import SOON

try:
    from playwright.sync_api import Browser, Page, Route, expect
except ImportError:
    Browser = Page = Route = expect = None  # type: ignore[assignment,misc]

pytest_plugins = ["web_fixtures", "static_fixtures"]
pytestmark = needs_browser


@pytest.fixture
def page(browser: "Browser") -> Iterator["Page"]:
    """Without a service worker, which would fetch past a test."""
    page = browser.new_page(service_workers="block", viewport={"width": 390, "height": 860})
    yield page
    page.close()


def gone(route: "Route") -> None:
    route.fulfill(status=404)


def said(page: "Page") -> str:
    """What stands where the networks are loaded, once that has failed."""
    expect(page.locator("#loading-words")).to_have_class("note bad", timeout=SOON)
    expect(page.locator("#loading-bar")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    return page.inner_text("#loading-words")


def test_a_module_that_is_missing_is_said(page: "Page", address: str) -> None:
    page.route("**/cards.js", gone)
    page.goto(address)
    assert said(page) == "A part of this page did not arrive. Reload it when there is a connection."


def test_a_runtime_that_does_not_start_is_said(page: "Page", address: str) -> None:
    """Though it throws what is no error."""
    bad = "export async function openRuntime() { throw 7; } export const openNetwork = null;"
    page.route(
        "**/networks.js", lambda route: route.fulfill(body=bad, content_type="text/javascript")
    )
    page.goto(address)
    assert said(page).startswith("The networks do not start in this browser (7).")
    page.click("#tab-photo")
    page.click('[data-example*="astronaut"]')
    expect(page.locator("#photo-message")).to_contain_text(
        "The picture was not read: The networks do not start", timeout=SOON
    )


def test_parts_of_two_versions_are_not_mixed(page: "Page", address: str, site: Path) -> None:
    described = json.loads((site / "site.json").read_text())
    other = json.dumps({**described, "app": f"app-{'0' * 16}"})
    page.route("**/site.json", lambda route: route.fulfill(body=other))
    page.goto(address)
    assert said(page) == "There is a new version of this page. Reload it to go on."


def test_live_loads_what_failed_and_nothing_says_that_it_failed(page: "Page", address: str) -> None:
    page.route("**/tracks.js", gone)
    page.goto(address)
    assert "does not start" in said(page)
    expect(page.locator("#loading-again")).to_be_visible()
    page.unroute("**/tracks.js")
    page.click("#live-toggle")
    expect(page.locator("#live")).to_have_attribute("data-state", "running", timeout=SOON)
    expect(page.locator("#loading")).to_be_hidden()


def test_a_browser_that_cannot_is_told_so(page: "Page", address: str) -> None:
    page.add_init_script("delete window.WebAssembly")
    page.goto(address)
    assert said(page).startswith("This browser runs no WebAssembly")
    expect(page.locator("#loading-again")).to_be_hidden()
    page.click("#live-toggle")
    expect(page.locator("#live-message")).to_contain_text("This browser runs no WebAssembly")


@pytest.mark.parametrize("lacking", ["DecompressionStream", "caches", "navigator.serviceWorker"])
def test_a_browser_that_lacks_something_reads_all_the_same(
    lacking: str, page: "Page", address: str
) -> None:
    page.add_init_script(
        """Object.defineProperty(Navigator.prototype, "serviceWorker", {
          get() { throw new DOMException("sandboxed", "SecurityError"); } });"""
        if "." in lacking
        else f"delete self.{lacking};"
    )
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"{address}#photo")
    page.click('[data-example*="astronaut"]')
    expect(page.locator(".face-card")).to_have_count(1, timeout=SOON)
    expect(page.locator("#loading")).to_be_hidden()
    assert wrong == []
