"""The Photo tab of the static page where it is used hastily, and with odd pictures."""

import json
from pathlib import Path

import pytest
from pages import ASTRONAUT, SOLVAY, needs_browser
from PIL import Image
from static_pages import SOON, OpenSite, expected, ready, saved

from agegenderemo import Analyzer

try:
    from playwright.sync_api import Browser, expect
except ImportError:
    Browser = expect = None  # type: ignore[assignment,misc]

pytest_plugins = ["web_fixtures", "static_fixtures"]
pytestmark = needs_browser

DROP = """(kinds) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.setData("text/plain", "words");
  for (const kind of kinds) {
    const init = { dataTransfer, bubbles: true, cancelable: true };
    document.body.dispatchEvent(new DragEvent(kind, init));
  }
}"""
PEEK = """() => {
  const post = Worker.prototype.postMessage;
  window.photos = [];
  Worker.prototype.postMessage = function (message, moved) {
    if (message.kind === "photo") window.photos.push(message.file);
    return post.call(this, message, moved);
  };
}"""


def test_a_huge_picture_takes_no_huge_canvas(
    browser: "Browser", open_site: OpenSite, tmp_path: Path
) -> None:
    """Nor is one asked for that is longer than any canvas may be."""
    Image.open(ASTRONAUT).resize((6000, 6000)).save(tmp_path / "huge.jpg", quality=80)
    Image.new("1", (70_000, 60)).save(tmp_path / "long.png")
    page = open_site(browser, "#photo")
    page.set_input_files("#photo-input", tmp_path / "huge.jpg")
    expect(page.locator(".face-card")).to_have_count(1, timeout=SOON)
    canvas = "document.querySelector('.photo-place canvas')"
    assert 2**23 < page.evaluate(f"{canvas}.width * {canvas}.height") <= 2**24
    with Image.open(saved(page, "#photo-save")) as image:
        assert image.width * image.height <= 2**24
    page.set_input_files("#photo-input", tmp_path / "long.png")
    expect(page.locator("#photo-message")).to_contain_text("No face was found", timeout=SOON)


def odd_picture(kind: str, folder: Path) -> Path:
    image = Image.open(ASTRONAUT).convert("RGB")
    names = {"turned": "a.jpg", "inks": "b.jpg", "film": "c.gif", "clear": "d.png"}
    path = folder / names[kind]
    if kind == "turned":
        exif = Image.Exif()
        exif[0x112] = 6
        image.rotate(90, expand=True).save(path, exif=exif, quality=95)
    elif kind == "inks":
        image.convert("CMYK").save(path, quality=95)
    elif kind == "film":
        image.save(path, save_all=True, append_images=[Image.new("RGB", image.size)], duration=50)
    else:
        veil = Image.linear_gradient("L").resize(image.size)
        image.putalpha(veil.point(lambda value: 255 if value < 140 else 0))
        image.save(path)
    return path


@pytest.mark.parametrize("kind", ["turned", "inks", "film", "clear"])
def test_an_odd_picture_is_read_as_python_reads_it(
    kind: str, browser: "Browser", open_site: OpenSite, tmp_path: Path
) -> None:
    picture = odd_picture(kind, tmp_path)
    theirs = expected(Analyzer.from_checkpoint(precision="int8"), picture)
    page = open_site(browser, "#photo")
    page.set_input_files("#photo-input", picture)
    expect(page.locator(".face-card")).to_have_count(1, timeout=SOON)
    ours = json.loads(saved(page, "#photo-json").read_text())
    assert (ours["width"], ours["height"]) == (theirs["width"], theirs["height"])
    (one,), (other,) = ours["faces"], theirs["faces"]
    assert one["box"] == pytest.approx(other["box"], abs=0.5)
    assert one["age"] == pytest.approx(other["age"], abs=1)
    assert one["emotions"] == pytest.approx(other["emotions"], abs=0.05)
    assert one["quality_flags"] == other["quality_flags"]


def test_what_stands_on_a_card_and_in_the_table(browser: "Browser", open_site: OpenSite) -> None:
    page = open_site(browser, "#photo")
    page.click('[data-example*="solvay"]')
    expect(page.locator(".face-card")).to_have_count(29, timeout=SOON)
    with page.expect_download() as waited:
        page.click("#photo-json")
    assert waited.value.suggested_filename == "solvay-1927.json"
    faces = json.loads(Path(waited.value.path()).read_text())["faces"]
    texts = page.locator(".face-card .face-text").all_inner_texts()
    rows = page.locator("#photo-table tbody tr").all_inner_texts()
    for index, (face, text, row) in enumerate(zip(faces, texts, rows, strict=True), 1):
        low, high = (f"{end:.0f}" for end in face["age_interval"])
        hedge = "" if face["emotion_confident"] else "probably "
        assert row.startswith(f"{index}\t{face['age']:.0f}, probably {low} to {high}\t")
        for words in (text, row):
            assert f"probably {low} to {high}" in words
            assert face["gender"] in words
            assert f"{hedge}{face['emotion']}" in words
            assert f"{100 * face['gender_probability']:.0f}" in words
            assert ", ".join(face["quality_flags"]) in words


def test_the_example_that_was_chosen_last_is_read(browser: "Browser", open_site: OpenSite) -> None:
    """Though one that was chosen before arrives later."""
    page = open_site(browser, "#photo")
    ready(page)
    page.evaluate("""() => {
      const get = window.fetch;
      window.fetch = async (address, options) => {
        if (String(address).includes("solvay")) await new Promise((done) => setTimeout(done, 3000));
        return get(address, options);
      };
    }""")
    page.click('[data-example*="solvay"]')
    page.click('[data-example*="astronaut"]')
    expect(page.locator(".face-card")).to_have_count(1, timeout=SOON)
    page.wait_for_timeout(4000)
    expect(page.locator(".face-card")).to_have_count(1, timeout=SOON)
    assert json.loads(saved(page, "#photo-json").read_text())["file"] == "astronaut.jpg"


def test_only_the_last_of_many_is_read(browser: "Browser", open_site: OpenSite) -> None:
    page = open_site(browser, "#photo")
    ready(page)
    page.evaluate(PEEK)
    for picture in (SOLVAY, SOLVAY, SOLVAY, SOLVAY, ASTRONAUT):
        page.set_input_files("#photo-input", picture)
        page.wait_for_timeout(200)
    expect(page.locator(".face-card")).to_have_count(1, timeout=SOON)
    photos = page.evaluate("window.photos")
    assert photos[-1] == "astronaut.jpg"
    assert len(photos) <= 3


def test_dropped_words_are_no_picture(browser: "Browser", open_site: OpenSite) -> None:
    page = open_site(browser, "#photo")
    page.evaluate(DROP, ["dragover"])
    expect(page.locator("#photo-drop")).to_have_class("drop over")
    page.evaluate(DROP, ["dragleave"])
    expect(page.locator("#photo-drop")).to_have_class("drop")
    page.evaluate(DROP, ["dragover", "drop"])
    expect(page.locator("#said")).to_contain_text("What you dropped is no picture.")
    expect(page.locator("#photo-drop")).to_have_class("drop")


def test_a_long_name_stays_on_the_page(
    browser: "Browser", open_site: OpenSite, tmp_path: Path
) -> None:
    (tmp_path / f"{'x' * 180}.jpg").write_text("no picture")
    page = open_site(browser, "#photo", viewport={"width": 390, "height": 860})
    page.set_input_files("#photo-input", tmp_path / f"{'x' * 180}.jpg")
    expect(page.locator("#photo-message")).to_contain_text("knows no such picture", timeout=SOON)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>.jpg", "=cmd|' 'x.jpg"])
def test_a_name_is_only_a_name(
    name: str, browser: "Browser", open_site: OpenSite, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(ASTRONAUT.read_bytes())
    page = open_site(browser, "#photo")
    page.set_input_files("#photo-input", tmp_path / name)
    expect(page.locator(".face-card")).to_have_count(1, timeout=SOON)
    assert json.loads(saved(page, "#photo-json").read_text())["file"] == name
    rows = saved(page, "#photo-csv").read_text().splitlines()
    assert not rows[1].startswith("=")
