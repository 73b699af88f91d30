"""The choice of a network, in a browser: each has its own pages, and a visitor goes to and fro."""

import re
from collections.abc import Iterator

import pytest
from chromium import App, running_app
from other_networks import NETWORKS, write_network
from pages import (
    ASTRONAUT,
    OpenPage,
    axe_violations,
    fits,
    needs_browser,
    open_tab,
    page_opener,
    wait_frames,
)

from agegenderemo.resources import DEFAULT_MODEL

try:
    from playwright.sync_api import Browser, Page, expect
except ImportError:
    Browser = Page = expect = None  # type: ignore[assignment,misc]

pytestmark = needs_browser
pytest_plugins = ["web_fixtures"]

USUAL, SMALL = DEFAULT_MODEL, "small"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    folder = tmp_path_factory.mktemp("networks")
    small = write_network(folder / f"{SMALL}.safetensors", NETWORKS["six emotions and age"])
    with running_app(folder, "--model", USUAL, "--model", str(small)) as running:
        yield running


@pytest.fixture
def open_page(app: App) -> Iterator[OpenPage]:
    yield from page_opener(app)


def chosen(page: Page) -> str:
    """The name of the network whose page this is, by its link."""
    return page.locator(".networks a[aria-current=page] b").inner_text()


def go_to(page: Page, network: str) -> None:
    page.locator(".networks a", has_text=network).click()
    page.wait_for_url(re.compile(r"/(with-\w+)?(#\w+)?$"))
    page.wait_for_selector("#live-toggle", state="attached")


def test_a_visitor_goes_to_another_network_and_back(
    app: App, browser: Browser, open_page: OpenPage
) -> None:
    page = open_page(browser)
    assert chosen(page) == USUAL
    open_tab(page, "About")
    go_to(page, SMALL)
    assert page.url == f"{app.url}with-{SMALL}#about"
    assert chosen(page) == SMALL
    about = page.locator("#about-page")
    expect(about).to_contain_text(f"The checkpoint {SMALL} is a network of the family tiny")
    assert axe_violations(page) == []
    go_to(page, USUAL)
    assert page.url == f"{app.url}#about"
    expect(page.locator("#about-page")).to_contain_text(
        f"The checkpoint {USUAL} is an AgeGenderNet"
    )


def test_the_other_network_reads_live_and_photos(browser: Browser, open_page: OpenPage) -> None:
    page = open_page(browser)
    go_to(page, SMALL)
    page.click("#live-toggle")
    wait_frames(page, 5)
    expect(page.locator(".live-card.selected .bar")).to_have_count(6)
    page.click("#live-toggle")
    open_tab(page, "Photo")
    page.set_input_files("#photo-input input[type=file]", ASTRONAUT)
    expect(page.locator(".face-card")).to_have_count(1, timeout=30_000)
    expect(page.locator("#photo-chart .bars .point")).to_have_count(6, timeout=30_000)


def test_results_of_one_network_are_not_shown_by_another(
    browser: Browser, open_page: OpenPage
) -> None:
    page = open_page(browser)
    open_tab(page, "Many")
    page.set_input_files("#batch-input input[type=file]", ASTRONAUT)
    page.click("#batch-start")
    expect(page.locator("#batch-board tbody tr")).to_have_count(1)
    go_to(page, SMALL)
    expect(page.get_by_role("tab", name="Many")).to_have_attribute("aria-selected", "true")
    page.wait_for_timeout(500)  # in which it would have come back
    expect(page.locator("#batch-board tbody tr")).to_have_count(0)
    go_to(page, USUAL)
    expect(page.locator("#batch-board tbody tr")).to_have_count(1)


@pytest.mark.parametrize("width", [320, 390])
def test_the_choice_fits_a_phone(browser: Browser, open_page: OpenPage, width: int) -> None:
    page = open_page(browser, width)
    assert fits(page)
    for link in page.locator(".networks a").all():
        box = link.bounding_box()
        assert box is not None
        assert box["height"] >= 40  # a finger's
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
