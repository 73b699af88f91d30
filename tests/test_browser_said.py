"""What people meet who see little or nothing: results that are read out, bars that stand out."""

import re
from pathlib import Path

import pytest
from pages import (
    ASTRONAUT,
    SOLVAY,
    OpenPage,
    film_faces,
    frames,
    needs_browser,
    open_tab,
    wait_frames,
)

from agegenderemo.imaging.palette import contrast

try:
    from playwright.sync_api import Browser, Page, expect
except ImportError:
    Browser = Page = expect = None  # type: ignore[assignment,misc]

pytest_plugins = ["web_fixtures"]
pytestmark = needs_browser


def listen(page: "Page") -> None:
    """Keep what is read out from now on in the page's ``told``."""
    page.evaluate(
        """() => {
        window.told = [];
        const said = document.querySelector('#said');
        new MutationObserver(() => said.textContent && window.told.push(said.textContent))
            .observe(said, {childList: true, characterData: true, subtree: true});
    }"""
    )


def test_who_comes_before_the_camera_is_read_out_once(
    browser: "Browser", open_page: OpenPage
) -> None:
    page = open_page(browser)
    listen(page)
    film_faces(page, [(0, 60, 360)])
    page.click("#live-toggle")
    said = page.locator("#said[role=status]")
    expect(said).to_have_text(re.compile(r"^1 face: \d+, (probably )?female, happiness\.$"))
    wait_frames(page, frames(page) + 10)
    assert len(page.evaluate("told")) == 1
    page.evaluate("places.push([370, 100, 260])")
    expect(said).to_have_text(re.compile(r"^2 faces: \d+, .*; \d+, .*\.$"))
    assert len(page.evaluate("told")) == 2


def test_results_are_read_out(browser: "Browser", open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(browser)
    listen(page)
    said = page.locator("#said[role=status]")
    open_tab(page, "Photo")
    page.set_input_files("#photo-input input[type=file]", ASTRONAUT)
    expect(said).to_have_text(re.compile(r"^1 face: \d+, (probably )?female, happiness\.$"))
    fake = tmp_path / "text.png"
    fake.write_text("hello")
    page.set_input_files("#photo-input input[type=file]", fake)
    expect(said).to_contain_text("Cannot read text.png")
    open_tab(page, "Many")
    page.set_input_files("#batch-input input[type=file]", [ASTRONAUT, SOLVAY])
    expect(said).to_have_text("Press Analyze.")
    page.focus("#batch-start")
    page.keyboard.press("Enter")
    expect(page.locator("#batch-cancel")).to_be_focused()  # it took the other button's place
    expect(said).to_have_text("2 pictures read, 30 faces.", timeout=30_000)
    expect(page.locator("#batch-start")).to_be_focused()
    assert not [text for text in page.evaluate("told") if " of 2 pictures" in text]


def _colors(page: "Page", *places: str) -> list[str]:
    """The backgrounds of some elements, as #rrggbb."""
    return [
        "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", color)[:3])
        for color in page.evaluate(
            """places => places.flatMap(place => [...document.querySelectorAll(place)].map(
            one => getComputedStyle(one).backgroundColor))""",
            places,
        )
    ]


def test_bars_stand_out_from_what_is_behind(browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(browser)
    page.click("#live-toggle")
    wait_frames(page, 3)
    for dark in (False, True):
        page.evaluate("dark => document.body.classList.toggle('dark', dark)", dark)
        (track,) = set(_colors(page, ".bar-track"))
        fills = _colors(page, ".live-card.selected .bar-fill")
        assert len(fills) == 8
        assert min(contrast(fill, track) for fill in fills) >= 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_where_the_system_chooses_the_colours(
    browser: "Browser", open_page: OpenPage, scheme: str
) -> None:
    page = open_page(browser)
    page.emulate_media(forced_colors="active", color_scheme=scheme)  # type: ignore[arg-type]
    page.click("#live-toggle")
    wait_frames(page, 3)
    fill, track = _colors(page, ".live-card .bar.top .bar-fill", ".live-card .bar.top .bar-track")
    assert contrast(fill, track) >= 3
    open_tab(page, "Photo")
    page.set_input_files("#photo-input input[type=file]", ASTRONAUT)
    bars = page.locator("#photo-chart .bars .point text")
    expect(bars).not_to_have_count(0, timeout=20_000)
    ink, text = page.evaluate(
        """() => [getComputedStyle(document.querySelector('#photo-chart text')).fill,
        getComputedStyle(document.querySelector('#photo-chart-title h2')).color]"""
    )
    assert ink == text  # of the axis, as of all words
    # What is chosen is framed or underlined: its colour would not show.
    styles = "one => [getComputedStyle(one).outlineStyle, getComputedStyle(one).textDecorationLine]"
    assert page.locator('.face-card[aria-pressed="true"]').evaluate(styles)[0] == "solid"
    tabs = page.locator('#pages [role="tab"]:visible')
    lines = {tab.get_attribute("aria-selected"): tab.evaluate(styles)[1] for tab in tabs.all()}
    assert lines == {"true": "underline", "false": "none"}
    button = page.locator("#photo-json")
    assert button.evaluate("one => getComputedStyle(one).borderTopStyle") == "solid"
