"""Photo and About in headless Chromium, at phone and desktop width, light and dark."""

import base64
import csv
import io
import json
from pathlib import Path

import pytest
from pages import SOLVAY, OpenPage, download, fits, needs_browser, open_tab
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
    expect(page.locator("#photo-annotated img")).to_be_visible()
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


def test_picture_cards_and_table_speak_of_the_same_face(
    browser: "Browser", open_page: OpenPage
) -> None:
    page = open_page(browser, 390)
    open_tab(page, "Photo")
    page.set_input_files("#photo-input input[type=file]", SOLVAY)
    expect(page.locator(".face-card")).to_have_count(29, timeout=20_000)
    expect(page.locator("#photo-message")).to_be_in_viewport()  # below the input on a phone
    expect(page.locator("#photo-table tr.chosen")).to_contain_text("1")

    def chosen(index: int) -> None:
        card = page.locator('.face-card[aria-pressed="true"]')
        expect(card).to_have_attribute("data-face", str(index))
        expect(page.locator("#photo-table tbody tr").nth(index)).to_have_class("chosen")
        expect(page.locator("#photo-chart-title")).to_have_text(f"Face {index + 1}: emotions")
        x1, y1, x2, y2 = map(float, (card.get_attribute("data-box") or "").split())
        image = page.locator("#photo-annotated img").bounding_box()
        mark = page.locator("#photo-mark").bounding_box()
        assert image
        assert mark
        assert mark["x"] == pytest.approx(image["x"] + x1 * image["width"], abs=3)
        assert mark["width"] == pytest.approx((x2 - x1) * image["width"], abs=3)
        assert mark["y"] == pytest.approx(image["y"] + y1 * image["height"], abs=3)
        assert mark["height"] == pytest.approx((y2 - y1) * image["height"], abs=3)

    page.locator("#photo-table tbody tr").nth(7).click()
    chosen(7)
    box = page.locator('.face-card[data-face="20"]').get_attribute("data-box") or ""
    x1, y1, x2, y2 = map(float, box.split())
    image = page.locator("#photo-annotated img")
    size = image.bounding_box()
    assert size
    image.click(position={"x": (x1 + x2) / 2 * size["width"], "y": (y1 + y2) / 2 * size["height"]})
    chosen(20)


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


def test_about_has_what_it_promises(browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(browser, 390)
    open_tab(page, "About")
    text = page.inner_text("#about-page")
    for words in ("guesses", "not facts", "bad at", "never written down"):
        assert words in text
    assert fits(page)
