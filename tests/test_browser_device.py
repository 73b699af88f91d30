"""Live on the visitor's own device, in the app: the same modules, and no frame is sent."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import App, running_app
from pages import OpenPage, frames, needs_browser, page_opener, wait_frames
from static_pages import real_runtime

try:
    from playwright.sync_api import Browser, expect
except ImportError:
    Browser = expect = None  # type: ignore[assignment,misc]

pytest_plugins = ["web_fixtures"]
pytestmark = needs_browser

SOON = 60_000


@pytest.fixture(scope="module")
def offering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    real_runtime()  # or it is skipped
    folder = tmp_path_factory.mktemp("offering")
    with running_app(folder, "--on-device", os.environ["AGEGENDEREMO_RUNTIME"]) as running:
        yield running


@pytest.fixture
def open_offering(offering: App) -> Iterator[OpenPage]:
    yield from page_opener(offering)


def test_no_frame_is_sent(browser: "Browser", open_offering: OpenPage) -> None:
    page = open_offering(browser)
    sent: list[str] = []
    page.on("request", lambda one: sent.append(one.url) if one.method == "POST" else None)
    page.check("#live-local")
    expect(page.locator("#live-message")).to_have_text(
        "The camera is off. Its frames stay on this device."
    )
    page.click("#live-toggle")
    wait_frames(page, 10)
    expect(page.locator(".live-card")).to_have_count(1)
    expect(page.locator(".live-card .bar.top")).to_have_attribute("data-class", "happiness")
    assert [url for url in sent if "component_server" in url] == []
    here = int(page.inner_text(".live-number"))
    page.uncheck("#live-local")  # while it runs
    wait_frames(page, frames(page) + 10)
    assert [url for url in sent if "component_server" in url]
    expect(page.locator(".live-card")).to_have_count(1)
    assert int(page.inner_text(".live-number")) == pytest.approx(here, abs=1)
    page.check("#live-local")
    page.reload()
    expect(page.locator("#live-local")).to_be_checked()  # it is remembered


@pytest.mark.parametrize("lacking", ["WebAssembly", "DecompressionStream"])
def test_where_the_browser_cannot_it_is_not_offered(
    lacking: str, browser: "Browser", offering: App, open_offering: OpenPage
) -> None:
    page = open_offering(browser)
    page.add_init_script(f"delete window.{lacking}")
    page.goto(offering.url)
    expect(page.locator("#live-toggle")).to_be_visible()
    expect(page.locator("#live-local")).to_have_count(0)


def test_networks_that_do_not_come_are_said(browser: "Browser", open_offering: OpenPage) -> None:
    page = open_offering(browser)
    page.route("**/device/*/files/*.onnx.gz", lambda route: route.fulfill(status=503))
    page.check("#live-local")
    page.click("#live-toggle")
    expect(page.locator("#live-message")).to_contain_text(
        "the site answers 503 for a file of theirs", timeout=SOON
    )
    expect(page.locator("#live")).to_have_attribute("data-state", "error")
    page.unroute("**/device/*/files/*.onnx.gz")
    page.click("#live-toggle")
    wait_frames(page, 1)


def test_networks_that_stop_are_opened_anew(
    browser: "Browser", offering: App, open_offering: OpenPage
) -> None:
    page = open_offering(browser)
    page.add_init_script("""(() => {
      window.workers = [];
      window.Worker = class extends Worker {
        constructor(...given) {
          super(...given);
          window.workers.push(this);
        }
      };
    })()""")
    page.goto(offering.url)
    page.check("#live-local")
    page.click("#live-toggle")
    wait_frames(page, 3)
    page.evaluate("workers[0].dispatchEvent(new ErrorEvent('error', { message: 'no memory' }))")
    wait_frames(page, frames(page) + 5)
    assert page.evaluate("workers.length") == 2
    expect(page.locator("#live")).to_have_attribute("data-state", "running")


def test_without_the_runtime_nothing_is_offered(
    browser: "Browser", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGEGENDEREMO_CACHE", str(tmp_path / "empty"))
    (tmp_path / "app").mkdir()
    with running_app(tmp_path / "app") as plain:
        opened = page_opener(plain)
        page = next(opened)(browser)
        expect(page.locator("#live-toggle")).to_be_visible()
        expect(page.locator("#live-local")).to_have_count(0)
        assert page.request.get(f"{plain.url}device/agegendernet/site.json").status == 404
        for _ in opened:
            pass
