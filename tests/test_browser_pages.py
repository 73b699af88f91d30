"""What holds for the page as a whole, in headless Chromium: addresses, language, lines of code."""

import json
import subprocess
import sys
from pathlib import Path
from shutil import copy, which

import httpx
import pytest
from chromium import ROOT, App
from pages import ASTRONAUT, OpenPage, axe_violations, fits, needs_browser, open_tab

from agegenderemo import Analyzer, json_schema
from agegenderemo.web.from_code import fields

try:
    from playwright.sync_api import Browser, expect
except ImportError:
    Browser = expect = None  # type: ignore[assignment,misc]

pytest_plugins = ["web_fixtures"]
pytestmark = needs_browser

TABS = {"live": "Live", "photo": "Photo", "many": "Many", "video": "Video", "code": "Code",
        "about": "About"}  # fmt: skip


@pytest.mark.parametrize("name", TABS)
def test_every_tab_has_an_address(
    browser: "Browser", open_page: OpenPage, app: App, name: str
) -> None:
    page = open_page(browser, 390)
    page.goto("about:blank")
    page.goto(f"{app.url}#{name}")
    tab = page.get_by_role("tab", name=TABS[name], exact=True)
    expect(tab).to_have_attribute("aria-selected", "true")
    assert fits(page)
    others = [title for title in TABS.values() if title != TABS[name]]
    for title in others:  # none is folded away on a phone
        expect(page.get_by_role("tab", name=title, exact=True)).to_be_visible()


def test_back_goes_back(browser: "Browser", open_page: OpenPage, app: App) -> None:
    page = open_page(browser)
    for name in ("Photo", "About"):
        open_tab(page, name)
    assert page.url.endswith("#about")
    page.go_back()
    expect(page.get_by_role("tab", name="Photo", exact=True)).to_have_attribute(
        "aria-selected", "true"
    )
    page.go_back()
    expect(page.get_by_role("tab", name="Live", exact=True)).to_have_attribute(
        "aria-selected", "true"
    )


@pytest.mark.parametrize("language", ["de-DE", "ar", "zh-CN"])
def test_another_language_of_the_browser_changes_nothing(
    browser: "Browser", open_page: OpenPage, app: App, language: str
) -> None:
    english = open_page(browser)
    open_tab(english, "Photo")
    context = browser.new_context(locale=language)
    page = context.new_page()
    page.goto(f"{app.url}#photo")
    place = "#photo-input"
    expect(page.locator(place)).to_be_visible()
    expect(english.locator(place)).to_be_visible()
    assert page.inner_text(place) == english.inner_text(place)
    assert page.get_attribute("html", "lang") == "en"
    assert page.evaluate("[navigator.language, ...navigator.languages]") == ["en", "en"]
    context.close()


def test_a_link_to_the_page_is_shown_as_ours(app: App) -> None:
    page = httpx.get(app.url)
    assert "Gradio" not in page.text.partition("<script>")[0]
    assert '<html\n\tlang="en"' in page.text
    assert f'<meta property="og:url" content="{app.url}" />' in page.text
    address = f"{app.url}preview.jpg"
    assert f'<meta property="og:image" content="{address}" />' in page.text
    assert page.text.count('"og:title"') == 1
    picture = httpx.get(address)
    assert picture.headers["content-type"] == "image/jpeg"
    assert httpx.head(app.url).status_code == 200


# ------------------------------------------------------------------ lines of code


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the picture that the lines name."""
    copy(ASTRONAUT, tmp_path / "photo.jpg")
    return tmp_path


def test_every_line_of_code_works_as_it_is_printed(
    browser: "Browser", open_page: OpenPage, analyzer: Analyzer, place: Path
) -> None:
    page = open_page(browser, 390, "dark")
    open_tab(page, "Code")
    assert axe_violations(page) == []
    printed = {
        str(one.get_attribute("data-code")): one.inner_text()
        for one in page.locator("#code-page pre").all()
    }
    assert set(printed) == {"python", "shell", "client", "curl"}
    assert len(printed) == page.locator("#code-page pre").count()
    assert fits(page)
    (wanted,) = (face.to_dict() for face in analyzer.analyze(ASTRONAUT))
    box = repr(wanted["box"])
    for name in ("python", "client"):
        told = _run([sys.executable, "-c", printed[name]], place)
        assert box in told, told
    command = f"{sys.executable} -m agegenderemo"
    told = _run(["bash", "-ec", printed["shell"].replace("agegenderemo", command, 1)], place)
    assert json.loads(told)["faces"][0]["box"] == wanted["box"]
    if which("curl"):
        told = _run(["bash", "-ec", printed["curl"]], place)
        (record,) = json.loads(told.partition("data: ")[2])
        assert record["faces"][0]["box"] == wanted["box"]


def _run(command: list[str], place: Path) -> str:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_field_of_an_answer_is_documented(
    browser: "Browser", open_page: OpenPage, analyzer: Analyzer
) -> None:
    page = open_page(browser, 390)
    open_tab(page, "Code")
    assert axe_violations(page) == []
    # On a phone names are broken between their words.
    name = page.locator("#code-page th code", has_text="faces[].gender_probability")
    lines = "one => new Set([...one.getClientRects()].map(line => Math.round(line.top))).size"
    assert name.evaluate(lines) == len(["faces[].", "gender_", "probability"])
    assert fits(page)
    rows = page.locator("#code-page table tbody tr")
    shown = [tuple(row.locator("th, td").all_inner_texts()) for row in rows.all()]
    assert shown == list(fields(json_schema(analyzer.tasks)))
    assert all(meaning for _, _, meaning in shown)
    names = {name for name, _, _ in shown}
    record = analyzer.analyze(ASTRONAUT)[0].to_dict()
    assert {f"faces[].{key}" for key in record} <= names
