"""Photo and About in headless Chromium, at phone and desktop width, light and dark."""

import base64
import csv
import io
import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from pages import (
    ASTRONAUT,
    SOLVAY,
    OpenPage,
    axe_violations,
    data_url,
    download,
    fits,
    needs_browser,
    open_tab,
)
from PIL import Image

from agegenderemo.tasks import EMOTION

try:
    from playwright.sync_api import Browser, Page, expect
except ImportError:
    Browser = Page = expect = None  # type: ignore[assignment,misc]

pytest_plugins = ["web_fixtures"]
pytestmark = needs_browser

EXAMPLES = Path(__file__).parent.parent / "examples"
WIDTHS = (390, 1280)
THEMES = ("light", "dark")


_CHARTED = "Array.from(document.querySelector('#photo-chart .js-plotly-plot').data[0].x)"


def _charted(page: Page) -> list[float]:
    """The values of the bars in the chart, in percent."""
    return list(page.evaluate(_CHARTED))


# ------------------------------------------------------------------ Photo


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_photo_solvay(
    browser: "Browser", open_page: OpenPage, tmp_path: Path, width: int, theme: str
) -> None:
    page = open_page(browser, width, theme)
    open_tab(page, "Photo")
    page.set_input_files("#photo-input input[type=file]", SOLVAY)
    expect(page.locator(".face-card")).to_have_count(29, timeout=20_000)
    expect(page.locator("#photo-message")).to_contain_text("29 faces")
    expect(page.locator("#photo-table tbody tr")).to_have_count(29)
    expect(page.locator("#photo-picture img")).to_be_visible()
    bars = page.locator("#photo-chart .bars .point text")
    expect(bars).to_have_count(len(EMOTION.classes), timeout=20_000)  # brings the chart's library
    assert fits(page)

    data = json.loads(download(page, "#photo-json", tmp_path).read_text(encoding="utf-8"))
    assert len(data["faces"]) == 29
    assert data["width"] == 1400
    with download(page, "#photo-csv", tmp_path).open(newline="", encoding="utf-8") as file:
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


_WHITE = """index => {
    // Whether a white frame stands round a face on the picture: at one side, for labels cover some.
    const stage = document.querySelector('.photo-place');
    const canvas = stage.querySelector('canvas');
    const {width, height} = canvas;
    const [x1, y1, x2, y2] = JSON.parse(decodeURIComponent(stage.dataset.faces))[index].box;
    const off = 3 * width / stage.clientWidth;
    const [x, y] = [(x1 + x2) / 2 * width, (y1 + y2) / 2 * height];
    const pen = canvas.getContext('2d');
    return [[x1 * width - off, y], [x2 * width + off, y], [x, y2 * height + off]].some(
        ([x, y]) => pen.getImageData(x, y, 1, 1).data.every(one => one > 250));
}"""


def test_picture_cards_and_table_speak_of_the_same_face(
    browser: "Browser", open_page: OpenPage
) -> None:
    page = open_page(browser, 390)
    open_tab(page, "Photo")
    page.evaluate(
        """() => {
        window.words = [];
        const pen = CanvasRenderingContext2D.prototype;
        const write = pen.fillText;
        pen.fillText = function (text, ...place) { window.words.push(text); write.call(this, text, ...place); };
    }"""  # noqa: E501
    )
    page.set_input_files("#photo-input input[type=file]", SOLVAY)
    expect(page.locator(".face-card")).to_have_count(29, timeout=20_000)
    expect(page.locator("#photo-message")).to_be_in_viewport()  # below the input on a phone
    expect(page.locator("#photo-table tr.chosen")).to_contain_text("1")
    # Every face has its number on the picture, the chosen one all its answers.
    page.wait_for_function("window.words.length >= 29")
    words = page.evaluate("window.words.slice(-29)")
    assert re.fullmatch(r"1 · \d+ · (probably )?male · .*", words[0])
    assert words[1:] == [str(number) for number in range(2, 30)]
    expect(page.locator(".face-index")).to_have_text([str(number) for number in range(1, 30)])

    def chosen(index: int) -> None:
        card = page.locator('.face-card[aria-pressed="true"]')
        expect(card).to_have_attribute("data-face", str(index))
        expect(page.locator("#photo-table tbody tr").nth(index)).to_have_class("chosen")
        expect(page.locator("#photo-chart-title")).to_have_text(f"Face {index + 1}: emotions")
        marked = [face for face in range(29) if page.evaluate(_WHITE, face)]
        assert marked == [index]

    chosen(0)
    page.locator("#photo-table tbody tr").nth(7).click()
    chosen(7)
    # A finger beside a small face means that face.
    stage = page.locator(".photo-place")
    stage.scroll_into_view_if_needed()
    size = stage.bounding_box()
    data = json.loads(unquote(stage.get_attribute("data-faces") or ""))
    assert size
    x1, y1, x2, _ = data[19]["box"]
    x, y = size["x"] + (x1 + x2) / 2 * size["width"], size["y"] + y1 * size["height"] - 8
    page.mouse.click(x, y)
    chosen(19)
    page.set_viewport_size({"width": 700, "height": 860})  # it is drawn anew
    page.wait_for_function(_WHITE, arg=19)


def test_photo_example_then_a_file_that_is_no_picture(
    browser: "Browser", open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(browser)
    open_tab(page, "Photo")
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


# A file whose kind the browser does not know, as those of phones on a desktop.
_HAND_OVER = """([name, text, way]) => {
    const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], name));
    const input = document.querySelector('#photo-input input[type=file]');
    if (way === 'dialog') {
        input.files = dataTransfer.files;
        input.dispatchEvent(new Event('change', {bubbles: true}));
    } else {
        const event = new DragEvent('drop', {dataTransfer, bubbles: true, cancelable: true});
        input.parentElement.dispatchEvent(event);
    }
}"""


@pytest.mark.parametrize("way", ["dialog", "drop"])
def test_a_picture_that_the_browser_has_no_name_for(
    browser: "Browser", open_page: OpenPage, way: str
) -> None:
    page = open_page(browser)
    open_tab(page, "Photo")
    accepted = page.locator("#photo-input input[type=file]").get_attribute("accept") or ""
    assert {"image/*", ".heic", ".heif", ".avif", ".jfif", ".tif"} <= set(accepted.split(","))
    avif, jp2 = io.BytesIO(), io.BytesIO()
    with Image.open(EXAMPLES / "astronaut.jpg") as photo:
        photo.crop((100, 0, 350, 250)).save(avif, "AVIF")
    Image.new("RGB", (40, 30), "gray").save(jp2, "JPEG2000")
    for name, content, said in (
        ("IMG_0001.HEIC", avif.getvalue(), "1 face"),
        ("text.heic", b"hello", "Cannot read text.heic"),
        ("scan.jp2", jp2.getvalue(), "No face was found"),
    ):
        page.evaluate(_HAND_OVER, [name, base64.b64encode(content).decode(), way])
        expect(page.locator("#photo-message")).to_contain_text(said, timeout=20_000)
        page.click("#photo-input button[aria-label='Remove Image']")
        expect(page.locator("#photo-message")).to_contain_text("Choose a picture")
    page.evaluate(_HAND_OVER, ["text.pdf", base64.b64encode(b"hello").decode(), way])
    expect(page.locator(".toast-body")).to_contain_text("Invalid file type")


def test_photo_snapshot(browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(browser)
    open_tab(page, "Photo")
    page.click("#photo-input button[aria-label='Capture from camera']")
    page.get_by_text("Click to Access Webcam").click()
    page.click("#photo-input button[aria-label='capture photo']")
    expect(page.locator(".face-card")).to_have_count(1)


def test_photo_paste(browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(browser)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_tab(page, "Photo")
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


_COPY = """async picture => {
    const image = new Image();
    image.src = picture;
    await image.decode();
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    canvas.getContext('2d').drawImage(image, 0, 0);
    const file = await new Promise(done => canvas.toBlob(done, 'image/png'));
    await navigator.clipboard.write([new ClipboardItem({'image/png': file})]);
}"""


def test_what_is_pasted_anywhere_goes_to_photo(browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(browser)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    # While writing it is not the page's.
    page.evaluate(_COPY, astronauts(1))
    page.evaluate("document.body.append(document.createElement('textarea'))")
    page.focus("textarea")
    page.keyboard.press("Control+V")
    page.evaluate("document.querySelector('textarea').remove()")
    expect(page.get_by_role("tab", name="Live", exact=True)).to_have_attribute(
        "aria-selected", "true"
    )
    page.focus("#live-toggle")
    page.keyboard.press("Control+V")
    expect(page.locator(".face-card")).to_have_count(1)
    assert page.url.endswith("#photo")
    # A second one replaces it, from another tab too, and though its camera was on.
    page.click("#photo-input button[aria-label='Remove Image']")
    page.click("#photo-input button[aria-label='Capture from camera']")
    open_tab(page, "About")
    page.evaluate(_COPY, astronauts(2))
    page.keyboard.press("Control+V")
    expect(page.locator(".face-card")).to_have_count(2)
    page.evaluate(_COPY, astronauts(1))
    page.keyboard.press("Control+V")
    expect(page.locator(".face-card")).to_have_count(1)
    # What is no picture is told so, and seen.
    page.evaluate("navigator.clipboard.writeText('hello')")
    page.keyboard.press("Control+V")
    expect(page.locator("#said.shown")).to_have_text(
        "What you pasted is no picture. Copy a picture, then paste it here."
    )
    assert page.evaluate("document.querySelector('#said').clientHeight") > 20
    assert axe_violations(page) == []
    expect(page.locator(".face-card")).to_have_count(1)


def astronauts(count: int) -> str:
    """Her picture, so many times side by side."""
    with Image.open(ASTRONAUT) as picture:
        row = Image.new("RGB", (count * picture.width, picture.height))
        for number in range(count):
            row.paste(picture, (number * picture.width, 0))
    return data_url(row)


def test_about_has_what_it_promises(browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(browser, 390)
    open_tab(page, "About")
    text = page.inner_text("#about-page")
    for words in ("guesses", "not facts", "bad at", "never written down"):
        assert words in text
    assert fits(page)
