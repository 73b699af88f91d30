"""axe-core on the tabs that have no such test of their own, and Live and Photo by keyboard."""

from pages import (
    ASTRONAUT,
    SOLVAY,
    OpenPage,
    axe_violations,
    focus,
    needs_browser,
    open_tab,
    wait_frames,
)

try:
    from playwright.sync_api import Browser, Page, expect
except ImportError:
    Browser = Page = expect = None  # type: ignore[assignment,misc]

pytest_plugins = ["web_fixtures"]
pytestmark = needs_browser


WIDTHS = (390, 1280)
SOON = 60_000
"""Milliseconds until 29 faces are read, on a busy machine."""
_THEME = """dark => {
    document.body.classList.toggle('dark', dark);
    for (const one of document.getAnimations()) if (one instanceof CSSTransition) one.finish();
}"""


def test_no_tab_violates_axe(browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(browser)
    calm(page)
    page.click("#live-toggle")
    wait_frames(page, 3)
    page.click("#live-freeze")
    calm(page)
    for tab in ("Photo", "Video", "About"):
        open_tab(page, tab)
        calm(page)
    open_tab(page, "Photo")
    page.set_input_files("#photo-input input[type=file]", ASTRONAUT)
    expect(page.locator(".face-card")).to_have_count(1, timeout=SOON)
    expect(page.locator("#photo-chart .bars .point")).not_to_have_count(0, timeout=SOON)
    calm(page)


def calm(page: "Page") -> None:
    """Whether axe finds nothing on what is shown: on a phone and a desktop, light and dark."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 860})
        for dark in (False, True):
            page.evaluate(_THEME, dark)
            assert axe_violations(page) == [], (width, "dark" if dark else "light")


def test_live_and_photo_by_keyboard_alone(browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(browser)
    focus(page, "#live-toggle")
    page.keyboard.press("Enter")
    wait_frames(page, 3)
    expect(page.locator("#live-toggle")).to_be_focused()  # it moved below the stage
    focus(page, "#live-freeze")
    page.keyboard.press("Space")
    expect(page.locator("#live-freeze")).to_have_attribute("aria-pressed", "true")
    open_tab(page, "Photo")
    page.set_input_files("#photo-input input[type=file]", SOLVAY)
    expect(page.locator(".face-card")).to_have_count(29, timeout=SOON)
    focus(page, '.face-card[data-face="0"]')
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator('.face-card[data-face="1"]')).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#photo-chart-title h2")).to_have_attribute("data-face", "1")


def test_about_by_keyboard_alone(browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(browser)
    focus(page, '[role="tab"][data-tab-id="about"]')
    page.keyboard.press("Enter")
    expect(page.locator("#about-page")).to_be_visible()
    focus(page, "#about-page summary")
    page.keyboard.press("Enter")
    expect(page.locator("#about-page details[open]")).to_have_count(1)
    focus(page, "#about-page details[open] .table-scroll")  # so that its table can be scrolled
    count = page.locator("#about-page summary").count()
    page.locator("#about-page summary").nth(count - 2).focus()
    page.keyboard.press("Tab")
    expect(page.locator("#about-page summary").last).to_be_focused()
    focus(page, "#about-page a[href]")
