"""Live as people use it: several cameras, a crowd, another tab, a slow line, a recording."""

import base64
import csv
import io
import json
import time
from pathlib import Path

import pytest
from pages import OpenPage, film_faces, frames, needs_browser, open_tab, wait_frames
from PIL import Image

try:
    from playwright.sync_api import Browser, Page, Route, expect
except ImportError:
    Browser = Page = Route = expect = None  # type: ignore[assignment,misc]

pytest_plugins = ["web_fixtures"]
pytestmark = needs_browser


def test_every_face_has_a_box_and_the_largest_have_cards(
    browser: "Browser", open_page: OpenPage
) -> None:
    page = open_page(browser)
    film_faces(page, [(160 * (n % 4), 160 * (n // 4), 160) for n in range(12)])
    page.click("#live-toggle")
    wait_frames(page, 5)
    expect(page.locator("#live-status")).to_contain_text("12 faces")
    expect(page.locator(".live-card")).to_have_count(8)
    cards = set(page.locator(".live-card").evaluate_all("all => all.map(one => one.dataset.face)"))
    # A click on a face without a card gives it one.
    stage = page.locator("#live-overlay").bounding_box()
    assert stage
    for row, column in ((row, column) for row in range(3) for column in range(4)):
        x, y = (column + 0.5) / 4, (row + 0.5) / 3
        page.mouse.click(stage["x"] + x * stage["width"], stage["y"] + y * stage["height"])
        chosen = page.locator(".live-card.selected").get_attribute("data-face")
        if chosen not in cards:
            break
    else:
        pytest.fail("no face without a card was found")
    wait_frames(page, frames(page) + 3)
    expect(page.locator(".live-card.selected")).to_have_attribute("data-face", chosen or "")
    shown = page.locator(".live-picture").first.evaluate(
        "one => one.getContext('2d').getImageData(48, 48, 1, 1).data[3]"
    )
    assert shown == 255


def test_a_camera_that_nobody_sees_is_off(browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(browser)
    page.click("#live-toggle")
    wait_frames(page, 3)
    open_tab(page, "Photo")
    page.wait_for_function("document.querySelector('#live-video').srcObject === null")
    open_tab(page, "Live")
    expect(page.locator("#live")).to_have_attribute("data-state", "running")
    wait_frames(page, frames(page) + 3)
    page.click("#live-toggle")  # who stops it himself finds it stopped
    open_tab(page, "Photo")
    open_tab(page, "Live")
    expect(page.locator("#live")).to_have_attribute("data-state", "idle")


def test_the_wait_for_the_browser_can_be_cancelled(browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(browser)
    page.evaluate(
        """() => {
        window.asking = new Promise(() => {});
        navigator.mediaDevices.getUserMedia = () => window.asking;
    }"""
    )
    page.click("#live-toggle")
    expect(page.locator("#live-toggle")).to_have_text("Cancel")
    page.click("#live-toggle")
    expect(page.locator("#live-toggle")).to_have_text("Start camera")
    expect(page.locator("#live")).to_have_attribute("data-state", "idle")


_TWO_CAMERAS = """() => {
    const film = Object.assign(document.createElement('canvas'), {width: 640, height: 480});
    const pen = film.getContext('2d');
    setInterval(() => pen.fillRect(0, 0, 640, 480), 30);
    const devices = navigator.mediaDevices;
    devices.getUserMedia = async ({video}) => {
        const stream = film.captureStream(30);
        const facingMode = video.facingMode?.ideal ?? 'user';
        stream.getVideoTracks()[0].getSettings = () => ({facingMode, deviceId: facingMode});
        return stream;
    };
    devices.enumerateDevices = async () =>
        ['user', 'environment'].map(deviceId => ({deviceId, kind: 'videoinput', label: deviceId}));
}"""


def test_a_phone_flips_between_its_cameras(browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(browser)
    page.evaluate(_TWO_CAMERAS)
    page.click("#live-toggle")
    expect(page.locator("#live-flip")).to_be_visible()
    expect(page.locator("#live-camera")).to_be_hidden()
    expect(page.locator("#live-mirror")).to_be_checked()
    page.click("#live-flip")
    expect(page.locator("#live-mirror")).not_to_be_checked()  # what is behind is no mirror
    expect(page.locator("#live")).to_have_attribute("data-state", "running")
    page.click("#live-toggle")
    page.click("#live-toggle")
    expect(page.locator("#live-mirror")).not_to_be_checked()  # the choice is remembered
    page.click("#live-flip")
    expect(page.locator("#live-mirror")).to_be_checked()


def test_a_slow_line_gets_smaller_frames(browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(browser)
    widths: list[int] = []

    def slowly(route: "Route") -> None:
        frame = json.loads(route.request.post_data or "{}").get("data", {}).get("frame")
        if frame:
            data = base64.b64decode(frame.partition(",")[2])
            widths.append(Image.open(io.BytesIO(data)).width)
            time.sleep(1.2)
        route.continue_()

    page.route("**/component_server/", slowly)
    page.click("#live-toggle")
    wait_frames(page, 7)
    expect(page.locator("#live-status")).to_contain_text("s behind")
    assert widths[0] == 640
    assert widths[-1] == 320
    page.unroute("**/component_server/")


def test_two_frames_are_under_way_on_a_quick_line_alone(
    browser: "Browser", open_page: OpenPage
) -> None:
    page = open_page(browser)
    page.evaluate(
        """() => {
        const ask = window.fetch;
        let underWay = 0;
        window.line = 60;
        window.most = 0;
        window.fetch = async (...args) => {
            if (!String(args[0]?.url ?? args[0]).includes('component_server')) return ask(...args);
            underWay += 1;
            window.most = Math.max(window.most, underWay);
            await new Promise(done => setTimeout(done, window.line));
            underWay -= 1; // a quick server, however busy this machine is
            return new Response('{"width": 640, "height": 480, "ms": 1, "faces": []}');
        };
    }"""
    )
    page.click("#live-toggle")
    page.wait_for_function("window.most > 1")
    page.evaluate("window.line = 600")
    wait_frames(page, frames(page) + 10)  # the mean is known by then
    page.evaluate("window.most = 0")
    wait_frames(page, frames(page) + 4)
    assert page.evaluate("window.most") == 1


def test_a_session_is_recorded(browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(browser)
    page.click("#live-toggle")
    wait_frames(page, 5)
    page.click("#live-record")
    wait_frames(page, frames(page) + 10)
    found: dict[str, Path] = {}
    page.on("download", lambda one: found.update({Path(one.suggested_filename).suffix: one.path()}))
    page.click("#live-record")
    end = time.monotonic() + 10
    while len(found) < 3 and time.monotonic() < end:
        page.wait_for_timeout(50)
    assert set(found) == {".json", ".csv", ".webm"}
    moments = json.loads(found[".json"].read_text())
    rows = list(csv.DictReader(io.StringIO(found[".csv"].read_text())))
    assert len(moments) >= 10
    assert len(rows) == sum(len(one["faces"]) for one in moments)
    assert 0 < float(rows[0]["age_low"]) < float(rows[0]["age"]) < float(rows[0]["age_high"])
    assert float(rows[-1]["seconds"]) > float(rows[0]["seconds"])
    assert found[".webm"].read_bytes()[:4] == b"\x1aE\xdf\xa3"
