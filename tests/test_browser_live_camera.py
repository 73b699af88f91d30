"""Live as people use it: several cameras, a crowd, another tab, a slow line, a recording."""

import base64
import csv
import io
import json
import time
from pathlib import Path

import pytest
from pages import OpenPage, film_faces, fits, frames, needs_browser, open_tab, wait_frames
from PIL import Image

try:
    from playwright.sync_api import Browser, Dialog, Page, Route, expect
except ImportError:
    Browser = Dialog = Page = Route = expect = None  # type: ignore[assignment,misc]

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


_HIDE = """hidden => {
    Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
    document.dispatchEvent(new Event('visibilitychange'));
}"""


def test_the_camera_rests_while_the_browser_hides_the_page(
    browser: "Browser", open_page: OpenPage
) -> None:
    page = open_page(browser)
    page.click("#live-toggle")
    wait_frames(page, 3)
    page.evaluate("window.track = document.querySelector('#live-video').srcObject.getTracks()[0]")
    page.evaluate(_HIDE, True)
    assert page.evaluate("window.track.readyState") == "ended"  # its light is off
    expect(page.locator("#live-message")).to_contain_text("rests while this page is hidden")
    page.evaluate(_HIDE, False)
    expect(page.locator("#live")).to_have_attribute("data-state", "running")
    wait_frames(page, frames(page) + 3)


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


_TWO_CAMERAS = """([phone, ...names]) => {
    // Those of a phone say where they look; others have only their names.
    const film = Object.assign(document.createElement('canvas'), {width: 640, height: 480});
    const pen = film.getContext('2d');
    setInterval(() => pen.fillRect(0, 0, 640, 480), 30);
    const devices = navigator.mediaDevices;
    devices.getUserMedia = async ({video}) => {
        const stream = film.captureStream(30);
        const facingMode = video.facingMode?.ideal ?? 'user';
        window.opened = phone ? facingMode : video.deviceId?.exact ?? names[0];
        const settings = {deviceId: window.opened, ...(phone ? {facingMode} : {})};
        stream.getVideoTracks()[0].getSettings = () => settings;
        return stream;
    };
    devices.enumerateDevices = async () => names.map(
        name => ({deviceId: name, kind: 'videoinput', label: 'The ' + name + ' camera'}));
}"""


def test_two_cameras_are_chosen_by_name(browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(browser)
    page.evaluate(_TWO_CAMERAS, [False, "desk", "lid"])
    page.click("#live-toggle")
    choice = page.locator("#live-camera")
    expect(choice.locator("option")).to_have_text(["The desk camera", "The lid camera"])
    expect(choice).to_have_value("desk")
    expect(page.locator("#live-flip")).to_be_hidden()
    choice.select_option(label="The lid camera")
    page.wait_for_function("window.opened === 'lid'")
    expect(page.locator("#live")).to_have_attribute("data-state", "running")
    expect(choice).to_have_value("lid")
    page.reload()
    page.wait_for_selector("#live-toggle")
    page.evaluate(_TWO_CAMERAS, [False, "desk", "lid"])
    page.click("#live-toggle")
    expect(choice).to_have_value("lid")  # the choice is remembered


def test_a_phone_on_its_side_shows_stage_and_faces_at_once(
    browser: "Browser", open_page: OpenPage
) -> None:
    page = open_page(browser)
    page.set_viewport_size({"width": 844, "height": 390})
    page.click("#live-toggle")
    wait_frames(page, 3)
    assert fits(page)
    page.locator(".live-stage").scroll_into_view_if_needed()
    stage, card = (
        page.locator(place).bounding_box() for place in (".live-stage", ".live-card.selected")
    )
    toggle = page.locator("#live-toggle").bounding_box()
    assert stage
    assert card
    assert toggle
    assert card["x"] >= stage["x"] + stage["width"]
    assert abs(card["y"] - stage["y"]) < 5
    assert toggle["y"] + toggle["height"] - stage["y"] <= 390  # both fit on the screen
    assert stage["height"] > 250


def test_cards_stand_in_the_order_of_the_page(browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(browser, 390)
    film_faces(page, [(0, 0, 240), (320, 0, 240), (0, 240, 240)])
    page.click("#live-toggle")
    wait_frames(page, 5)
    cards = page.locator(".live-card")
    expect(cards).to_have_count(3)
    before = cards.evaluate_all("all => all.map(one => one.dataset.face)")
    for index in (2, 1):
        cards.nth(index).click()
        expect(cards.nth(index)).to_have_class("live-card selected")
        places = cards.evaluate_all(
            "all => all.map(one => [one.offsetTop, one.offsetLeft, one.dataset.face])"
        )
        assert [face for *_, face in sorted(places)] == before


def test_a_phone_flips_between_its_cameras(browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(browser)
    page.evaluate(_TWO_CAMERAS, [True, "user", "environment"])
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


def test_a_page_that_records_asks_before_it_goes(browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(browser)
    page.click("#live-toggle")
    wait_frames(page, 3)
    asked: list[str] = []

    def stay(dialog: "Dialog") -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.click("#live-record")
    page.close(run_before_unload=True)
    end = time.monotonic() + 10
    while not asked and time.monotonic() < end:
        page.wait_for_timeout(50)
    assert asked == ["beforeunload"]
    wait_frames(page, frames(page) + 3)  # it goes on, and nothing is lost
    with page.expect_download():
        page.click("#live-record")
    with page.expect_event("close"):
        page.close(run_before_unload=True)
    assert asked == ["beforeunload"]
