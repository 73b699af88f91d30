"""The pages around networks with other tasks say what those have, and nothing else."""

import csv
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from chromium import App, running_app
from other_networks import NETWORKS, write_network
from pages import (
    ASTRONAUT,
    SOLVAY,
    data_url,
    download,
    needs_browser,
    open_tab,
    page_opener,
    run_many,
    wait_frames,
)
from PIL import Image

from agegenderemo import Analyzer, load_image
from agegenderemo.results import csv_fields
from agegenderemo.tasks import AGE, EMOTION, EMOTION6, GENDER, SMILE
from agegenderemo.web import about, live, photo, words
from agegenderemo.web.app import build_demo
from agegenderemo.web.guard import Limits, Store

try:
    from playwright.sync_api import Browser, expect
except ImportError:
    Browser = expect = None  # type: ignore[assignment,misc]

pytest_plugins = ["web_fixtures"]

# What the page must not say, by network; words, not parts of words.
STRANGE = {
    "age and glasses": {"gender", "emotion", "emotions", "emotional", "sadness", "female", "male"},
    "six emotions and age": {"gender", "female", "male", "contempt", "disgust", "glasses", "eight"},
}
FAMILIAR = {
    "age and glasses": {"age", "glasses"},
    "six emotions and age": {"age", "emotion"},
}


@pytest.fixture(scope="module", params=NETWORKS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def checkpoint(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("network") / "other.safetensors", NETWORKS[name])


@pytest.fixture(scope="module")
def other(checkpoint: Path) -> Analyzer:
    return Analyzer.from_checkpoint(checkpoint)


def said(text: str) -> set[str]:
    # Pictures within the page are letters too.
    text = re.sub(r"data:image/\w+;base64,[\w+/=]+", "", text)
    return {word.lower() for word in re.findall("[A-Za-z]+", text)}


def check(name: str, text: str) -> None:
    assert STRANGE[name] & said(text) == set()
    assert FAMILIAR[name] <= said(text)


def test_photo(name: str, other: Analyzer, store: Store) -> None:
    shown = photo._photo_shower(other, store)(str(store.keep(SOLVAY)))
    message, _, _, cards, title, chart, table, json_path, csv_path, _, faces = shown
    assert ">29 faces, the largest first.</p>" in message
    check(name, " ".join((cards, title, table, Path(json_path).read_text(encoding="utf-8"))))
    assert "probably" not in cards + table  # it is not calibrated, so it does not know
    assert len(faces) == cards.count("<img") == 29
    with open(csv_path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == csv_fields(NETWORKS[name])
    if name == "age and glasses":
        assert re.search(r"<span>Glasses: (without|with) \d+ %</span>", cards)
        assert re.search(r"<td>(without|with) <small>\d+ %</small></td>", table)
        assert (title, chart) == ("", None)
    else:
        assert title == '<h2 data-face="0">Face 1: emotions</h2>'
        assert tuple(chart.layout.yaxis.ticktext) == EMOTION6.classes


def test_many(name: str, other: Analyzer, store: Store) -> None:
    _, line, end = run_many(other, store, [str(store.keep(ASTRONAUT))])
    assert end["message"] == "1 picture read, 1 face."
    table = "".join(cell["html"] for face in line["faces"] for cell in face["cells"])
    check(name, table + Path(end["downloads"]["JSON"]).read_text(encoding="utf-8"))


def test_live(name: str, other: Analyzer) -> None:
    html = live.live_html(other.tasks)
    check(name, html + repr(described(html)))
    read = live.frame_reader(live.Viewers(other.tracker))
    frame = data_url(Image.fromarray(load_image(ASTRONAUT)))
    (face,) = read({"viewer": "a-viewer-of-the-tests", "frame": frame})["faces"]
    check(name, json.dumps(face))


def described(html: str) -> Any:
    match = re.search('data-tasks="([^"]*)"', html)
    assert match is not None
    return json.loads(unquote(match[1]))


def test_about(name: str, other: Analyzer) -> None:
    html = about.about_html(other.card, other.tasks, Limits())
    assert STRANGE[name] & said(html) == set()
    assert "trained on fer." in html
    reads = {"age and glasses": "age and glasses", "six emotions and age": "six emotions and age"}
    assert f"reads {reads[name]} together" in html
    assert "UTKFace" not in html


def test_all_that_the_page_holds(name: str, other: Analyzer, store: Store) -> None:
    config = build_demo(other, store).get_config_file()
    # The scripts are the same for all; the product has its own name.
    text = json.dumps([{**c["props"], "js_on_load": ""} for c in config["components"]], default=str)
    text += json.dumps([d.get("api_description") for d in config["dependencies"]])
    check(name, re.sub("AgeGenderEmo|agegenderemo", "", text))


def test_the_shipped_tasks_are_put_into_words() -> None:
    assert words.names_of((AGE, GENDER, EMOTION)) == "Age, gender and emotion"
    assert words.counted((AGE, GENDER, EMOTION)) == "age, gender and eight emotions"
    assert words.counted((SMILE,)) == "smile"


# ------------------------------------------------------------------ in a browser


@pytest.fixture(scope="module")
def other_app(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running_app(tmp_path_factory.mktemp("app"), "--checkpoint", str(checkpoint)) as app:
        yield app


def in_browser(test: Any) -> Any:
    for mark in needs_browser:
        test = mark(test)
    return test


@in_browser
def test_the_page_draws_what_the_network_has(
    name: str, other_app: App, browser: "Browser", tmp_path: Path
) -> None:
    for open_page in page_opener(other_app):
        page = open_page(browser)
        expect(page.locator(".site-header p")).to_contain_text(words.names_of(NETWORKS[name]))
        page.click("#live-toggle")
        wait_frames(page, 10)
        card = page.locator(".live-card.selected")
        headline = card.locator(".live-headline")
        if name == "age and glasses":
            expect(headline).to_have_text(re.compile(r"^\d+ years · Glasses: with(out)? \d+\s%$"))
            expect(card.locator(".bar, .live-ribbon")).to_have_count(0)
        else:
            expect(headline).to_have_text(re.compile(r"^\d+ years · [a-z]+$"))
            expect(card.locator(".bar")).to_have_count(6)
            expect(card.locator(".live-ribbon")).to_have_count(1)
            total = card.locator(".bar").evaluate_all(
                "bars => bars.reduce((sum, bar) => sum + Number(bar.dataset.value), 0)"
            )
            assert total == pytest.approx(1, abs=0.01)
        page.click("#live-toggle")
        open_tab(page, "Photo")
        page.set_input_files("#photo-input input[type=file]", ASTRONAUT)
        expect(page.locator(".face-card")).to_have_count(1)
        bars = page.locator("#photo-chart .bars .point")
        expect(bars).to_have_count(6 if EMOTION6 in NETWORKS[name] else 0)
        record = json.loads(download(page, "#photo-json", tmp_path).read_text(encoding="utf-8"))
        assert AGE.name in record["faces"][0]
        assert STRANGE[name] & said(page.inner_text("body").replace("AgeGenderEmo", "")) == set()
