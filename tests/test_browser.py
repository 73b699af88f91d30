"""The real app in headless Chromium, at phone and desktop width, in light and dark.

Skipped where Chromium or playwright is missing, unless AGEGENDEREMO_REQUIRE_BROWSER=1.
"""

import base64
import csv
import io
import json
import os
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from agegenderemo.web.live import Viewers
from agegenderemo.web.options import launch_options
from app import build_demo
from tests.browser import CHROMIUM, FLAGS, ROOT, App, running_app, write_camera

try:
    from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
except ImportError:
    sync_playwright = Browser = BrowserContext = Page = expect = None  # type: ignore[assignment,misc]

_missing = "playwright" if sync_playwright is None else "" if CHROMIUM else "chromium"
if _missing and os.environ.get("AGEGENDEREMO_REQUIRE_BROWSER") == "1":
    pytest.fail(f"{_missing} is missing", pytrace=False)
pytestmark = pytest.mark.skipif(bool(_missing), reason=f"{_missing} is not installed")

ASTRONAUT = ROOT / "examples" / "astronaut.jpg"
SOLVAY = ROOT / "examples" / "solvay-1927.jpg"
WIDTHS = (390, 1280)
THEMES = ("light", "dark")
EMOTIONS = 8


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with running_app(tmp_path_factory.mktemp("app")) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Callable[..., Browser]]:
    """Starts a browser with extra flags; all are closed at the end."""
    with sync_playwright() as playwright:
        browsers: list[Browser] = []

        def start(*flags: str) -> Browser:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
            browsers.append(browser)
            return browser

        yield start
        for browser in browsers:
            browser.close()


@pytest.fixture(scope="module")
def browser(chromium: Callable[..., Browser], tmp_path_factory: Any) -> Browser:
    film = write_camera(tmp_path_factory.mktemp("camera") / "face.y4m", ASTRONAUT)
    return chromium(
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    )


@pytest.fixture(scope="module")
def blind_browser(chromium: Callable[..., Browser]) -> Browser:
    return chromium("--use-fake-device-for-media-stream", "--deny-permission-prompts")


@pytest.fixture
def open_page(app: App) -> Iterator[Callable[..., Page]]:
    """Opens the app in a fresh profile and, at the end, looks at what the page asked for."""
    contexts: list[BrowserContext] = []
    requests: list[str] = []
    problems: list[str] = []

    def open_(browser: Browser, width: int = 1280, theme: str = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": 860})
        contexts.append(context)
        context.on("request", lambda request: requests.append(request.url))
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{app.url}?__theme={theme}")
        page.wait_for_selector("#live-toggle")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert requests
    assert [url for url in requests if not _is_local(url)] == []
    assert problems == []
    assert "Traceback" not in app.log()


def _is_local(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob") or parts.hostname in ("127.0.0.1", "localhost")


def _tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def _wait_frames(page: Page, count: int) -> None:
    page.wait_for_function(
        "n => Number(document.querySelector('#live').dataset.frames) >= n", arg=count
    )


def _frames(page: Page) -> int:
    return int(page.get_attribute("#live", "data-frames") or 0)


def _fits(page: Page) -> bool:
    """Whether the page is no wider than the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def _painted(page: Page) -> dict[str, float]:
    """Bounding box of what is drawn over the video, in shares of the stage."""
    return page.evaluate(
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


# ------------------------------------------------------------------ Live


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_live_reads_a_face(browser, open_page, width, theme):
    page = open_page(browser, width, theme)
    assert ("dark" in (page.get_attribute("body", "class") or "")) == (theme == "dark")
    page.click("#live-toggle")
    _wait_frames(page, 30)
    card = page.locator(".live-card.selected")
    expect(card).to_have_count(1)
    text = card.locator(".live-headline").inner_text()
    assert re.fullmatch(r"\d{1,3}\s+years · (female|male)\?? \d{2,3} % · [a-z]+\??", text), text
    assert int(text.split()[0]) <= 110
    bars = page.evaluate(
        """() => [...document.querySelectorAll('.live-card.selected .bar')].map(bar =>
        [Number(bar.dataset.value), bar.querySelector('.bar-track').clientWidth,
         bar.querySelector('.bar-fill').getBoundingClientRect().width])"""
    )
    assert len(bars) == EMOTIONS
    assert sum(value for value, _, _ in bars) == pytest.approx(1, abs=0.01)
    assert all(track > 50 for _, track, _ in bars)
    assert re.fullmatch(
        r"\d+ frames a second · \d+ ms round trip · 1 face", page.inner_text("#live-status")
    )
    expect(page.locator("#live-message")).to_be_hidden()
    assert _fits(page)
    page.click("#live-toggle")
    expect(page.locator("#live-toggle")).to_have_text("Start camera")
    stopped = _frames(page)
    page.wait_for_timeout(400)
    assert _frames(page) == stopped
    expect(page.locator(".live-card")).to_have_count(0)


def test_a_frozen_frame_can_be_saved(browser, open_page, tmp_path):
    page = open_page(browser)
    expect(page.locator("#live-freeze")).to_be_hidden()
    page.click("#live-toggle")
    _wait_frames(page, 20)
    expect(page.locator("#live-save-picture")).to_be_hidden()
    page.click("#live-freeze")
    page.wait_for_timeout(600)
    frames = _frames(page)
    page.wait_for_timeout(600)
    assert _frames(page) == frames
    with page.expect_download() as download:
        page.click("#live-save-json")
    download.value.save_as(tmp_path / "faces.json")
    saved = json.loads((tmp_path / "faces.json").read_text())
    assert (saved["width"], saved["height"]) == (640, 480)
    shown = int(page.inner_text(".live-card.selected .live-age"))
    assert abs(saved["faces"][0]["age"] - shown) <= 1
    with page.expect_download() as download:
        page.click("#live-save-picture")
    download.value.save_as(tmp_path / "faces.png")
    with Image.open(tmp_path / "faces.png") as picture:
        assert picture.width / picture.height == pytest.approx(4 / 3, rel=0.01)
        assert picture.convert("L").getextrema()[1] > 100
    page.click("#live-freeze")
    _wait_frames(page, frames + 5)


def test_the_ribbon_fills_with_the_seconds(browser, open_page):
    page = open_page(browser)
    page.click("#live-toggle")
    _wait_frames(page, 5)
    painted = """() => {
        const ribbon = document.querySelector('.live-card.selected .live-ribbon');
        const data = ribbon.getContext('2d').getImageData(0, 32, ribbon.width, 1).data;
        return data.filter((value, i) => i % 4 === 3 && value).length / ribbon.width;
    }"""
    page.wait_for_timeout(2000)
    first = page.evaluate(painted)
    page.wait_for_timeout(3000)
    assert 0 < first < page.evaluate(painted) < 0.9


def test_live_sends_small_frames_and_writes_nothing(app, browser, open_page):
    page = open_page(browser)
    sent: list[str] = []
    page.on(
        "request",
        lambda request: "component_server" in request.url and sent.append(request.post_data),
    )
    before = app.files()
    page.click("#live-toggle")
    _wait_frames(page, 10)
    assert app.files() == before
    assert len(sent) >= 10
    for body in sent:
        content = base64.b64decode(json.loads(body)["data"]["frame"].split(",")[1])
        assert len(content) < 150_000
        with Image.open(io.BytesIO(content)) as frame:
            assert (frame.format, frame.size) == ("JPEG", (640, 480))


@pytest.mark.parametrize("how", ["stop", "close"])
def test_who_goes_is_forgotten(analyzer, browser, monkeypatch, tmp_path, how):
    """By the button or by closing the tab, though a frame is under way."""
    viewers = Viewers()
    monkeypatch.setattr("agegenderemo.web.live.Viewers", lambda: viewers)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    demo = build_demo(analyzer)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    context = browser.new_context()  # stays open, as a browser does when a tab is closed
    page = context.new_page()
    try:
        page.goto(url)
        page.click("#live-toggle")
        _wait_frames(page, 3)
        assert len(viewers) == 1
        if how == "stop":
            page.click("#live-toggle")
        else:
            page.close()
        end = time.monotonic() + 5
        while len(viewers) and time.monotonic() < end:
            time.sleep(0.05)
        assert len(viewers) == 0
    finally:
        context.close()
        demo.close()


def test_mirror_flips_the_boxes_with_the_video(browser, open_page):
    page = open_page(browser)
    page.click("#live-toggle")
    _wait_frames(page, 5)
    mirrored = _painted(page)  # her face is left of the middle, so on the right in a mirror
    page.uncheck("#live-mirror")
    _wait_frames(page, _frames(page) + 3)
    plain = _painted(page)
    assert plain["x1"] < 0.42
    assert mirrored["x2"] > 0.58
    expect(page.locator("#live-video.mirrored")).to_have_count(0)


def test_a_refused_camera_is_one_sentence(blind_browser, open_page):
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
def test_other_camera_troubles(browser, open_page, name, words):
    page = open_page(browser)
    page.evaluate(
        """name => Object.defineProperty(navigator, 'mediaDevices', {value: name && {
        getUserMedia: () => Promise.reject(new DOMException('', name))}})""",
        name,
    )
    page.click("#live-toggle")
    expect(page.locator("#live-message")).to_contain_text(words)


def test_several_faces_and_a_selection_that_stays(browser, open_page):
    page = open_page(browser)
    page.evaluate(
        """async picture => {
        const image = new Image();
        image.src = picture;
        await image.decode();
        const film = Object.assign(document.createElement('canvas'), {width: 640, height: 480});
        const pen = film.getContext('2d');
        setInterval(() => {
            pen.fillRect(0, 0, 640, 480);
            pen.drawImage(image, 100, 0, 300, 300, 0, 60, 360, 360);
            pen.drawImage(image, 100, 0, 300, 300, 370, 100, 260, 260);
        }, 30);
        navigator.mediaDevices.getUserMedia = async () => film.captureStream(30);
    }""",
        "data:image/jpeg;base64," + base64.b64encode(ASTRONAUT.read_bytes()).decode(),
    )
    page.click("#live-toggle")
    _wait_frames(page, 3)
    expect(page.locator(".live-card")).to_have_count(2)
    expect(page.locator("#live-status")).to_contain_text("2 faces")
    chosen = page.locator(".live-card:not(.selected)").get_attribute("data-face")
    page.locator(".live-card:not(.selected)").click()
    _wait_frames(page, _frames(page) + 5)
    expect(page.locator(".live-card.selected")).to_have_attribute("data-face", chosen)
    # A click on the other face, on the video: it is the larger one, right in the mirror.
    stage = page.locator("#live-overlay").bounding_box()
    page.mouse.click(stage["x"] + 0.76 * stage["width"], stage["y"] + 0.4 * stage["height"])
    expect(page.locator(".live-card.selected")).not_to_have_attribute("data-face", chosen)


def test_no_face_is_said(browser, open_page):
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


# ------------------------------------------------------------------ Photo


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_photo_solvay(browser, open_page, tmp_path, width, theme):
    page = open_page(browser, width, theme)
    _tab(page, "Photo")
    page.set_input_files("#photo-input input[type=file]", SOLVAY)
    expect(page.locator(".face-card")).to_have_count(29)
    expect(page.locator("#photo-message")).to_contain_text("29 faces")
    expect(page.locator("#photo-table tbody tr")).to_have_count(29)
    expect(page.locator("#photo-annotated img")).to_be_visible()
    bars = page.locator("#photo-chart .bars .point text")
    expect(bars).to_have_count(EMOTIONS)
    assert _fits(page)

    data = json.loads(_download(page, "#photo-json", tmp_path).read_text(encoding="utf-8"))
    assert len(data["faces"]) == 29
    assert data["width"] == 1400
    with _download(page, "#photo-csv", tmp_path).open(newline="", encoding="utf-8") as file:
        assert [row["face"] for row in csv.DictReader(file)] == [str(i) for i in range(1, 30)]

    percent = [[100 * p for p in face["emotions"].values()] for face in data["faces"]]
    first = _charted(page)
    assert first == pytest.approx(percent[0], abs=1e-3)
    page.locator('.face-card[data-face="28"]').click()
    expect(page.locator("#photo-chart-title")).to_have_text("Face 29: emotions")
    page.wait_for_function(_CHARTED + f"[0] !== {first[0]!r}")
    assert _charted(page) == pytest.approx(percent[28], abs=1e-3)
    assert percent[28] != percent[0]
    expect(page.locator('.face-card[aria-pressed="true"]')).to_have_attribute("data-face", "28")


def test_photo_example_then_a_file_that_is_no_picture(browser, open_page, tmp_path):
    page = open_page(browser)
    _tab(page, "Photo")
    page.locator("#photo-examples .gallery-item").first.click()
    expect(page.locator(".face-card")).to_have_count(1)
    page.click("#photo-input button[aria-label='Remove Image']")
    expect(page.locator("#photo-message")).to_contain_text("Choose a picture")
    fake = tmp_path / "text.png"
    fake.write_text("hello")
    page.set_input_files("#photo-input input[type=file]", fake)
    expect(page.locator("#photo-message .bad")).to_contain_text("Cannot read text.png")
    expect(page.locator("#photo-results")).to_be_hidden()
    assert "Traceback" not in page.inner_text("body")


# ------------------------------------------------------------------ Many photos


@pytest.mark.parametrize(("width", "theme"), [(390, "dark"), (1280, "light")])
def test_many_photos_with_a_broken_one(browser, open_page, tmp_path, width, theme):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(ASTRONAUT.read_bytes()[:5000])
    page = open_page(browser, width, theme)
    _tab(page, "Many photos")
    page.set_input_files("#batch-input input[type=file]", [ASTRONAUT, broken, SOLVAY])
    expect(page.locator("#batch-input")).to_contain_text("broken")
    page.click("#batch-start")
    expect(page.locator("#batch-table tbody tr")).to_have_count(31)
    expect(page.locator("#batch-table .row-bad")).to_contain_text("broken.jpg")
    expect(page.locator("#batch-table .row-bad")).to_contain_text("damaged or cut off")
    assert _fits(page)
    data = json.loads(_download(page, "#batch-json", tmp_path).read_text(encoding="utf-8"))
    assert [len(result.get("faces", ())) for result in data] == [1, 0, 29]
    with _download(page, "#batch-csv", tmp_path).open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 31
    with zipfile.ZipFile(_download(page, "#batch-zip", tmp_path)) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 2


def test_photo_snapshot(browser, open_page):
    page = open_page(browser)
    _tab(page, "Photo")
    page.click("#photo-input button[aria-label='Capture from camera']")
    page.get_by_text("Click to Access Webcam").click()
    page.click("#photo-input button[aria-label='capture photo']")
    expect(page.locator(".face-card")).to_have_count(1)


def test_photo_paste(browser, open_page):
    page = open_page(browser)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    _tab(page, "Photo")
    page.evaluate(
        """async () => {
        const image = document.querySelector('#photo-examples img');
        await image.decode();
        const canvas = document.createElement('canvas');
        canvas.width = image.naturalWidth;
        canvas.height = image.naturalHeight;
        canvas.getContext('2d').drawImage(image, 0, 0);
        const file = await new Promise(done => canvas.toBlob(done, 'image/png'));
        await navigator.clipboard.write([new ClipboardItem({'image/png': file})]);
    }"""
    )
    page.click("#photo-input button[aria-label='Paste from clipboard']")
    expect(page.locator(".face-card")).to_have_count(1)


def test_names_of_files_are_shown_not_run(browser, open_page, tmp_path):
    name = "<img src=x onerror=window.ran=1>${window.ran=1}{{value}}.jpg"
    path = tmp_path / "names.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, b"no picture")
    page = open_page(browser)
    _tab(page, "Many photos")
    page.set_input_files("#batch-input input[type=file]", path)
    expect(page.locator("#batch-input")).to_contain_text("names")
    page.click("#batch-start")
    expect(page.locator("#batch-table tbody th")).to_have_text(name)
    assert page.evaluate("window.ran") is None


def test_about_has_what_it_promises(browser, open_page):
    page = open_page(browser, 390)
    _tab(page, "About")
    text = page.inner_text("#about-page")
    for words in ("guesses", "not facts", "bad at", "never written down"):
        assert words in text
    assert _fits(page)


_CHARTED = "Array.from(document.querySelector('#photo-chart .js-plotly-plot').data[0].x)"


def _charted(page: Page) -> list[float]:
    """The values of the bars in the chart, in percent."""
    return list(page.evaluate(_CHARTED))


def _download(page: Page, button: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.click(button)
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


# ------------------------------------------------------------------ last: it stops the server


def test_a_server_that_stops_and_returns(app, browser, open_page):
    page = open_page(browser)
    page.click("#live-toggle")
    _wait_frames(page, 5)
    assert app.files()  # what the tests before have uploaded and made
    app.stop()
    assert app.files() == []
    expect(page.locator("#live")).to_have_attribute("data-state", "gone")
    expect(page.locator("#live-message")).to_contain_text("server does not answer")
    gone = _frames(page)
    app.start()
    expect(page.locator("#live")).to_have_attribute("data-state", "running", timeout=60_000)
    _wait_frames(page, gone + 5)
    expect(page.locator("#live-message")).to_be_hidden()
