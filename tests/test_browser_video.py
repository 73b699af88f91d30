"""The Video page in headless Chromium: upload, wait, seek, download."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from made_films import Place, at_rate, scene, write
from pages import OpenPage, download, fits, focus, needs_browser, open_tab

from agegenderemo.types import RGBImage
from agegenderemo.video.film import Film, Frame

try:
    from playwright.sync_api import Browser, Page, expect
except ImportError:
    Browser = Page = expect = None  # type: ignore[assignment,misc]

pytest_plugins = ["web_fixtures"]
pytestmark = needs_browser

_SECONDS = 2.0
_PATIENCE = 120_000  # milliseconds: a film is read at the lowest priority


def two(time: float) -> RGBImage:
    """One all the time, another in the second half."""
    here: list[Place] = [("astronaut", 80 + 20 * time, 120, 130)]
    return scene([*here, ("lorentz", 240, 120, 120)] if time >= 1 else here)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "holiday.mp4"
    return write(path, at_rate(two, _SECONDS), sound="aac")


def shown(page: "Page") -> float:
    """The moment that the film shows."""
    page.wait_for_function("!document.querySelector('#video-player video').seeking")
    return float(page.evaluate("document.querySelector('#video-player video').currentTime"))


def touch(page: "Page", place: str) -> None:
    page.locator(place).first.click()


def type_(page: "Page", place: str) -> None:
    """By keyboard alone."""
    focus(page, place)
    page.keyboard.press("Enter")


@pytest.mark.parametrize(
    ("width", "theme", "press"), [(390, "dark", touch), (1280, "light", type_)]
)
def test_a_film_is_read_watched_and_kept(
    browser: "Browser",
    open_page: OpenPage,
    tmp_path: Path,
    film: Path,
    width: int,
    theme: str,
    press: Callable[["Page", str], None],
) -> None:
    page = open_page(browser, width, theme)
    open_tab(page, "Video")
    expect(page.locator("#video-message")).to_contain_text("up to 200 MB")
    with page.expect_file_chooser() as chooser:
        press(page, "#video-input button:has(input[type=file])")
    chooser.value.set_files(film)
    expect(page.locator("#video-input")).to_contain_text("holiday")
    press(page, "#video-start")
    expect(page.locator("#video-message")).to_contain_text("2 people were", timeout=_PATIENCE)
    expect(page.locator("#said")).to_have_text(re.compile("^2 people: .* years, .*; .* years, .*"))
    chart = page.locator("#video-timeline .js-plotly-plot")
    expect(chart).to_be_visible(timeout=_PATIENCE)  # brings the chart's library
    expect(page.locator("#video-table tbody tr")).to_have_count(2)
    page.wait_for_function("document.querySelector('#video-player video').readyState >= 2")
    assert page.evaluate("document.querySelector('#video-player video').duration") == pytest.approx(
        _SECONDS, abs=0.1
    )
    assert fits(page)
    lines = page.locator("#video-timeline .annotation-text")
    edge = page.locator("#video-timeline .main-svg").first.bounding_box()
    assert lines.count() == 2
    assert edge
    for line in lines.all():  # none is cut off on a phone
        box = line.bounding_box()
        assert box
        assert box["x"] + box["width"] < edge["x"] + edge["width"]

    second = "#video-table tbody tr:nth-child(2) [data-time]"
    since = page.locator(second).first
    press(page, second)
    assert shown(page) == pytest.approx(float(since.get_attribute("data-time") or -1), abs=0.01)
    area = page.locator("#video-timeline .bglayer, #video-timeline .nsewdrag").last.bounding_box()
    assert area
    page.mouse.click(area["x"] + area["width"] / 4, area["y"] + area["height"] / 2)
    assert shown(page) == pytest.approx(_SECONDS / 4, abs=0.05)

    record = json.loads(download(page, "#video-json", tmp_path).read_text(encoding="utf-8"))
    assert [one["track_id"] for one in record["people"]] == [1, 2]
    assert record["people"][1]["first"] == pytest.approx(1, abs=0.55)
    with download(page, "#video-csv", tmp_path).open(newline="", encoding="utf-8") as rows:
        assert sum(row["track_id"] == "1" for row in csv.DictReader(rows)) == record["frames"] == 50
    with download(page, "#video-film", tmp_path).open("rb") as file:
        items = Film(file, "holiday.mp4", with_sound=True).items()
        assert {isinstance(one, Frame) for one in items} == {True, False}


def test_a_file_that_is_no_film_is_a_sentence(
    browser: "Browser", open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(browser)
    open_tab(page, "Video")
    page.click("#video-start")
    expect(page.locator("#video-message .bad")).to_contain_text("Choose a film")
    fake = tmp_path / "text.mp4"
    fake.write_text("hello")
    page.set_input_files("#video-input input[type=file]", fake)
    expect(page.locator("#video-input")).to_contain_text("text")
    page.click("#video-start")
    expect(page.locator("#video-message .bad")).to_contain_text(
        "Cannot read text.mp4", timeout=_PATIENCE
    )
    expect(page.locator("#video-results")).to_be_hidden()
