"""Many in headless Chromium: rows as they are read, cancel, other files, a reload, the end."""

import csv
import json
import zipfile
from pathlib import Path

import pytest
from chromium import App
from pages import (
    ASTRONAUT,
    SOLVAY,
    OpenPage,
    axe_violations,
    download,
    fits,
    needs_browser,
    open_tab,
)

try:
    from playwright.sync_api import Browser, Page, expect
except ImportError:
    Browser = Page = expect = None  # type: ignore[assignment,misc]

pytest_plugins = ["web_fixtures"]
pytestmark = needs_browser

SOON = 30_000
"""Milliseconds until a picture is read or a process has started, on a busy machine."""


def choose(page: "Page", *files: Path) -> None:
    """Choose files, and wait until they are up."""
    page.set_input_files("#batch-input input[type=file]", list(files))
    expect(page.locator("#many-message")).to_have_text("Press Analyze.", timeout=SOON)


def zipped(path: Path, count: int) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            archive.write(ASTRONAUT, f"{number:03}.jpg")
    return path


@pytest.mark.parametrize(("width", "theme"), [(390, "dark"), (1280, "light")])
def test_many_photos_with_a_broken_one(
    browser: "Browser", open_page: OpenPage, tmp_path: Path, width: int, theme: str
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(ASTRONAUT.read_bytes()[:5000])
    page = open_page(browser, width, theme)
    open_tab(page, "Many")
    page.click("#batch-start")
    expect(page.locator("#many-message.bad")).to_have_text(
        "Choose several pictures, or a zip of them."
    )
    assert axe_violations(page) == []
    choose(page, ASTRONAUT, broken, SOLVAY)
    page.click("#batch-start")
    rows = page.locator("#many-table tbody tr")
    expect(rows).to_have_count(31, timeout=SOON)
    expect(page.locator("#many-message")).to_have_text(
        "2 pictures read, 30 faces; 1 could not be read, the table says why.", timeout=SOON
    )
    expect(page.locator("#many-table .row-bad")).to_contain_text("broken.jpg")
    expect(page.locator("#many-table .row-bad")).to_contain_text("damaged or cut off")
    expect(page.locator("#many-table .many-crop")).to_have_count(30)
    sums = page.locator("#many-tallies section")
    assert [sum(map(int, one.locator(".tally-count").all_inner_texts())) for one in sums.all()] == [
        30, 30, 30,
    ]  # fmt: skip
    assert fits(page)
    assert axe_violations(page) == []
    data = json.loads(download(page, "#batch-json", tmp_path).read_text(encoding="utf-8"))
    assert [len(result.get("faces", ())) for result in data] == [1, 0, 29]
    with download(page, "#batch-csv", tmp_path).open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 31
    with zipfile.ZipFile(download(page, "#batch-pictures", tmp_path)) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 2

    # By a button above a column, once up and once down; what has no answer comes last.
    numbers = [face["age"] for result in data for face in result.get("faces", ())]
    for order, chosen in (("ascending", min(numbers)), ("descending", max(numbers))):
        page.get_by_role("button", name="Age").press("Enter")
        expect(page.locator("#many-table th[aria-sort]").nth(2)).to_have_attribute(
            "aria-sort", order
        )
        expect(rows.first.locator("td").nth(2)).to_contain_text(f"{chosen:.0f}, probably")
    expect(rows.last).to_contain_text("broken.jpg")

    # A reload shows the same, and so do its files; another tab does not.
    page.reload()
    expect(rows).to_have_count(31, timeout=SOON)
    assert json.loads(download(page, "#batch-json", tmp_path).read_text(encoding="utf-8")) == data
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.locator("#many-message")).to_have_text(
        "Choose several pictures, or a zip of them."
    )
    expect(other.locator("#many-results")).to_be_hidden()

    # They belong to the files that were chosen.
    choose(page, ASTRONAUT)
    expect(rows).to_have_count(0)
    expect(page.locator("#many-results")).to_be_hidden()


def test_a_long_batch_grows_and_is_cancelled(
    browser: "Browser", open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(browser)
    open_tab(page, "Many")
    choose(page, zipped(tmp_path / "many.zip", 300))
    page.click("#batch-start")
    rows = page.locator("#many-table tbody tr")
    expect(rows.nth(2)).to_be_visible(timeout=SOON)
    expect(page.locator("#many-message")).to_contain_text("of 300 pictures read.", timeout=SOON)
    expect(page.locator("#batch-start")).to_be_hidden()
    page.click("#batch-cancel")
    expect(page.locator("#many-message")).to_contain_text("Cancelled.", timeout=SOON)
    count = rows.count()
    assert 3 <= count < 300
    data = json.loads(download(page, "#batch-json", tmp_path).read_text(encoding="utf-8"))
    assert len(data) == count

    # Again, and left by a reload: what was read until then stays.
    page.click("#batch-start")
    expect(page.locator("#many-message")).to_contain_text("of 300 pictures read.", timeout=SOON)
    expect(rows.nth(2)).to_be_visible(timeout=SOON)
    page.reload()
    expect(page.locator("#many-message")).to_contain_text("Cancelled.", timeout=SOON)
    assert 3 <= rows.count() < 300

    # Another file ends it, and nothing of it is shown for them together.
    choose(page, zipped(tmp_path / "more.zip", 300))
    page.click("#batch-start")
    expect(rows.nth(1)).to_be_visible(timeout=SOON)
    choose(page, ASTRONAUT)
    expect(rows).to_have_count(0)
    page.click("#batch-start")
    expect(page.locator("#many-message")).to_contain_text("of 301 pictures read.", timeout=SOON)
    page.click("#batch-cancel")
    expect(page.locator("#many-message")).to_contain_text("Cancelled.", timeout=SOON)


def test_results_that_are_deleted_are_told_so(
    browser: "Browser", open_page: OpenPage, app: App
) -> None:
    page = open_page(browser)
    open_tab(page, "Many")
    choose(page, ASTRONAUT)
    page.click("#batch-start")
    expect(page.locator("#many-message")).to_have_text("1 picture read, 1 face.", timeout=SOON)
    path = page.evaluate("sessionStorage.getItem('agegenderemo-run:/')")
    assert Path(path) in app.files()
    Path(path).unlink()  # as the sweep does
    page.reload()
    expect(page.locator("#many-message")).to_have_text(
        "The results are deleted; choose the pictures again."
    )
    assert page.evaluate("sessionStorage.getItem('agegenderemo-run:/')") is None
    expect(page.locator("#many-results")).to_be_hidden()


def test_names_of_files_are_shown_not_run(
    browser: "Browser", open_page: OpenPage, tmp_path: Path
) -> None:
    name = "<img src=x onerror=window.ran=1>${window.ran=1}{{value}}.jpg"
    path = tmp_path / "names.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, b"no picture")
    page = open_page(browser)
    open_tab(page, "Many")
    choose(page, path)
    page.click("#batch-start")
    expect(page.locator("#many-table tbody th")).to_have_text(name)
    assert page.evaluate("window.ran") is None


def test_many_by_keyboard_alone(browser: "Browser", open_page: OpenPage) -> None:
    page = open_page(browser)
    open_tab(page, "Many")
    choose(page, ASTRONAUT)
    tab_to(page, "Analyze")
    page.keyboard.press("Enter")
    expect(page.locator("#many-message")).to_have_text("1 picture read, 1 face.", timeout=SOON)
    for name in ("Name", "Face", "Download JSON", "Download CSV", "Download pictures"):
        tab_to(page, name)


def tab_to(page: "Page", name: str) -> None:
    """Press Tab until something of that name has the focus."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == name:
            return
    pytest.fail(f"{name} is not reached by Tab")
