"""Live in headless Chromium: cameras, several faces, and a server that goes and returns."""

from pathlib import Path

import pytest
from chromium import running_app
from pages import (
    ASTRONAUT,
    OpenPage,
    film_faces,
    frames,
    needs_browser,
    open_tab,
    page_opener,
    wait_frames,
)

try:
    from playwright.sync_api import Browser, Page, expect
except ImportError:
    Browser = Page = expect = None  # type: ignore[assignment,misc]

pytest_plugins = ["web_fixtures"]
pytestmark = needs_browser


def _painted(page: Page) -> dict[str, float]:
    """Bounding box of what is drawn over the video, in shares of the stage."""
    found: dict[str, float] = page.evaluate(
        """() => {
        const canvas = document.querySelector('#live-overlay');
        const {width, height} = canvas;
        const data = canvas.getContext('2d').getImageData(0, 0, width, height).data;
        let x1 = width, y1 = height, x2 = -1, y2 = -1;
        for (let i = 0; i < width * height; i++) if (data[4 * i + 3]) {
            const x = i % width, y = (i - x) / width;
            x1 = Math.min(x1, x); x2 = Math.max(x2, x); y1 = Math.min(y1, y); y2 = Math.max(y2, y);
        }
        return {x1: x1 / width, y1: y1 / height, x2: x2 / width, y2: y2 / height};
    }"""
    )
    return found


def test_mirror_flips_the_boxes_with_the_video(browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(browser)
    page.click("#live-toggle")
    wait_frames(page, 5)
    mirrored = _painted(page)  # her face is left of the middle, so on the right in a mirror
    page.uncheck("#live-mirror")
    wait_frames(page, frames(page) + 3)
    plain = _painted(page)
    assert plain["x1"] < 0.42
    assert mirrored["x2"] > 0.58
    expect(page.locator("#live-video.mirrored")).to_have_count(0)


def test_a_refused_camera_is_one_sentence(blind_browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(blind_browser)
    page.click("#live-toggle")
    expect(page.locator("#live-message")).to_contain_text("not allowed to use the camera")
    expect(page.locator("#live")).to_have_attribute("data-state", "error")
    expect(page.locator("#live-toggle")).to_have_text("Start camera")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NotFoundError", "No camera was found"),
        ("NotReadableError", "in use by another program"),
        (None, "only to pages on https"),
    ],
)
def test_other_camera_troubles(
    browser: "Browser", open_page: OpenPage, name: str | None, words: str
) -> None:
    page = open_page(browser)
    page.evaluate(
        """name => Object.defineProperty(navigator, 'mediaDevices', {value: name && {
        getUserMedia: () => Promise.reject(new DOMException('', name))}})""",
        name,
    )
    page.click("#live-toggle")
    expect(page.locator("#live-message")).to_contain_text(words)


def test_several_faces_and_a_selection_that_stays(browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(browser)
    film_faces(page, [(0, 60, 360), (370, 100, 260)])
    page.click("#live-toggle")
    wait_frames(page, 3)
    expect(page.locator(".live-card")).to_have_count(2)
    expect(page.locator("#live-status")).to_contain_text("2 faces")
    chosen = page.locator(".live-card:not(.selected)").get_attribute("data-face")
    page.locator(".live-card:not(.selected)").click()
    wait_frames(page, frames(page) + 5)
    expect(page.locator(".live-card.selected")).to_have_attribute("data-face", chosen)
    # A click on the other face, on the video: it is the larger one, right in the mirror.
    stage = page.locator("#live-overlay").bounding_box()
    assert stage
    page.mouse.click(stage["x"] + 0.76 * stage["width"], stage["y"] + 0.4 * stage["height"])
    expect(page.locator(".live-card.selected")).not_to_have_attribute("data-face", chosen)


def test_no_face_is_said(browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(browser)
    page.evaluate(
        """() => {
        const black = Object.assign(document.createElement('canvas'), {width: 640, height: 480});
        const pen = black.getContext('2d');
        setInterval(() => pen.fillRect(0, 0, 640, 480), 30);
        navigator.mediaDevices.getUserMedia = async () => black.captureStream(30);
    }"""
    )
    page.click("#live-toggle")
    expect(page.locator("#live-message")).to_contain_text("No face is seen")


def test_a_server_that_stops_and_returns(browser: "Browser", tmp_path: Path) -> None:
    with running_app(tmp_path) as app:
        for open_page in page_opener(app):
            page = open_page(browser)
            open_tab(page, "Photo")
            page.set_input_files("#photo-input input[type=file]", ASTRONAUT)
            expect(page.locator(".face-card")).to_have_count(1)
            open_tab(page, "Live")
            page.click("#live-toggle")
            wait_frames(page, 5)
            assert app.files()  # what was uploaded and made
            app.stop()
            assert app.files() == []
            expect(page.locator("#live")).to_have_attribute("data-state", "gone")
            expect(page.locator("#live-message")).to_contain_text("server does not answer")
            expect(page.locator(".live-card").first).to_have_css("opacity", "0.4")  # it is old
            gone = frames(page)
            app.start()
            running = page.locator('#live[data-state="running"]')
            expect(running).to_have_count(1, timeout=60_000)
            wait_frames(page, gone + 5)
            expect(page.locator("#live-message")).to_be_hidden()
