"""The real page of the static site, as the builder fills it in."""

import json
import posixpath
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from static_pages import FAKE, page_folder

from agegenderemo import Analyzer
from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.resources import default_checkpoint
from agegenderemo.tasks import TaskSpec
from agegenderemo.web.static_site.build import Site, build_site
from agegenderemo.web.static_site.modules import app_files
from agegenderemo.web.static_site.page import POLICY, with_head
from agegenderemo.web.static_site.pieces import page_pieces


@pytest.fixture(scope="module")
def site() -> Site:
    return build_site(default_checkpoint(), "int8", FAKE)


@pytest.fixture(scope="module")
def described(site: Site) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(site.files["site.json"])
    return found


# ---------------------------------------------------------------- the modules


def imported(text: str) -> set[str]:
    """Whatever stands where a module or a sheet is named, found in another way than the builder."""
    clause = r"(?:[\w*{}\s,$]+\sfrom\s+)?"
    statements = re.findall(
        rf"^(?:import|export)\s+{clause}[\"']([^\"']+)[\"']", text, re.MULTILINE
    )
    dynamic = re.findall(r"(?:import|Worker|URL)\(\s*[\"']([^\"']+\.(?:m?js|css))[\"']", text)
    return {*statements, *dynamic}


def check_imports(files: dict[str, bytes]) -> int:
    count = 0
    for name, data in files.items():
        if not name.endswith((".js", ".mjs")):
            continue
        for given in imported(data.decode()):
            assert given.startswith("."), f"{name}: {given}"
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), given))
            assert target in files, f"{name}: {given}"
            count += 1
    return count


def test_no_import_is_left_unresolved(site: Site, described: dict[str, Any]) -> None:
    app = f"{described['app']}/"
    files = {name[len(app) :]: data for name, data in site.files.items() if name.startswith(app)}
    assert check_imports(files) > 40
    assert not [name for name in files if "test" in name]
    assert not [name for name, data in files.items() if b"agegenderemo/web/" in data]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('import "./gone.js";', "gone.js"),
        ('import { a } from "onnxruntime-web";', "onnxruntime-web"),
        ('const a = await import("./gone.js");', "gone.js"),
        ('new Worker(new URL("./gone.js", import.meta.url));', "gone.js"),
        ('export { a } from "../../agegenderemo/web/js/words.js";', "agegenderemo/web/js/words.js"),
        ('import { a } from "../agegenderemo/web/js/gone.js";', "web/js/gone.js"),
    ],
)
def test_an_import_that_leads_nowhere_is_told(line: str, name: str, tmp_path: Path) -> None:
    page_folder(tmp_path, main=line)
    with pytest.raises(AgeGenderEmoError, match=re.escape(name)):
        app_files(tmp_path)


# ---------------------------------------------------------------- the page


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_policy_stands_first_and_nothing_is_inline(
    site: Site, described: dict[str, Any]
) -> None:
    page = site.files["index.html"].decode()
    tags = Tags(page).tags
    head = [attrs for tag, attrs in tags if tag == "meta"]
    assert head[0] == {"charset": "utf-8"}
    assert head[1] == {"http-equiv": "Content-Security-Policy", "content": POLICY}
    assert tags.index(("meta", head[1])) < min(i for i, t in enumerate(tags) if t[0] == "script")
    assert "unsafe-inline" not in POLICY
    assert "'unsafe-eval'" not in POLICY
    for tag, attrs in tags:
        assert tag != "style"
        assert tag != "script" or attrs.get("src")
        assert not [name for name in attrs if name == "style" or name.startswith("on")]
        for key in ("src", "href"):
            target = attrs.get(key) or ""
            linked = tag == "a" and target.startswith("https://")  # to read on, not to load
            assert not target or linked or posixpath.normpath(target) in site.files
    assert f"./{described['app']}/main.js" in page
    assert re.findall(r"@\w+@", page) == []


def test_the_page_has_what_the_network_has(site: Site) -> None:
    page = site.files["index.html"].decode()
    assert "Age, gender and emotion of every face" in page
    (given,) = re.findall(r'data-tasks="([^"]+)"', page)
    record = json.loads(unquote(given))
    analyzer = Analyzer.from_checkpoint(precision="int8")
    assert record["specs"] == [spec.to_dict() for spec in analyzer.tasks]
    assert [one["name"] for one in record["tasks"]] == [spec.name for spec in analyzer.tasks]
    assert "What it is bad at" in page
    assert "no server" in page
    assert "goes to the server" not in page
    examples = re.findall(r'data-example="([^"]+)" aria-label="Example: ([\w ]+)"', page)
    assert [told for _, told in examples] == ["astronaut", "grace hopper", "solvay 1927"]
    assert all(path in site.files for path, _ in examples)


def test_what_the_page_imports_is_fetched_at_once(site: Site, described: dict[str, Any]) -> None:
    page = site.files["index.html"].decode()
    links = re.findall(r'<link rel="modulepreload" href="\./([^"]+)">', page)
    app = described["app"]
    assert {f"{app}/web/js/live.js", f"{app}/web/js/line.js", f"{app}/photo.js"} <= set(links)
    assert f"{app}/engine/mtcnn.js" not in links  # the worker's
    assert len(links) == len(set(links))


def test_a_network_with_other_tasks_has_a_page_of_them() -> None:
    tasks = (
        TaskSpec("head_cover", "binary", ("without", "with")),
        TaskSpec("height", "regression"),
    )
    info = replace(Analyzer.from_checkpoint().info, tasks=tasks, calibration={})
    pieces = page_pieces(info, "", ["files/a-b-0.jpg"])
    assert pieces["names"] == "Head cover and height"
    assert "head_cover" in pieces["live"]
    assert "gender" not in pieces["live"]
    assert 'aria-label="Example: a b"' in pieces["examples"]


@pytest.mark.parametrize(
    ("tag", "what"),
    [
        ("<script>let a</script>", "script"),
        ("<style>p {}</style>", "style"),
        ('<p style="x">', "style"),
        ('<p onclick="a()">', "onclick"),
    ],
)
def test_a_page_that_the_policy_would_break_is_refused(tag: str, what: str) -> None:
    with pytest.raises(AgeGenderEmoError, match=f"inline {what}"):
        with_head(f"<head></head><body>{tag}</body>")
