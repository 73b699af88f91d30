"""A small page in the layout of ``browser/``, and a stand-in for the runtime: what tests of the
static site build from, whatever the real page is by now. And the real one, as a visitor has it."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from chromium import ROOT

from agegenderemo import Analyzer, load_image
from agegenderemo.model_info import Precision
from agegenderemo.resources import default_checkpoint
from agegenderemo.results import picture_record
from agegenderemo.web.static_site.build import Site, build_site
from agegenderemo.web.static_site.runtime import Runtime, find_runtime
from agegenderemo.web.static_site.serve import server
from agegenderemo.web.static_site.write import write_site

try:
    from playwright.sync_api import Page, expect
except ImportError:
    Page = expect = None  # type: ignore[assignment,misc]

FAKE = Runtime(b"export default 0;\n", b"\0asm\1\0\0\0" * 512)

INDEX = """\
<!doctype html>
<html lang="en">
<head>
<title>Test</title>
<link rel="stylesheet" href="./@app@/page.css">
<link rel="stylesheet" href="./@app@/web/css/base.css">
<script type="module" src="./@app@/main.js"></script>
</head>
<body><p id="said"></p><p id="offline"></p></body>
</html>
"""
MAIN = """\
import { percent } from "../agegenderemo/web/js/words.js";
import { deep } from "./engine/deep.js";
import { keepForOffline } from "./offline.js";

const site = await (await fetch("./site.json")).json();
document.getElementById("said").textContent = ["TEXT", deep, percent(0.5), site.app].join(" ");
document.getElementById("offline").textContent = String(await keepForOffline());
"""
DEEP = """\
import { RIBBON_SECONDS } from "../../agegenderemo/web/js/ribbon.js";

export const deep = RIBBON_SECONDS;
"""


def page_folder(folder: Path, text: str = "one", main: str = MAIN) -> Path:
    """A folder like ``browser/``, with its real service worker, whose page says ``text``."""
    (folder / "engine").mkdir(parents=True, exist_ok=True)
    (folder / "tests").mkdir(exist_ok=True)
    for name in ("sw.js", "offline.js", "load.js"):
        shutil.copy(ROOT / "browser" / name, folder / name)
    (folder / "index.html").write_text(INDEX, encoding="utf-8")
    (folder / "main.js").write_text(main.replace("TEXT", text), encoding="utf-8")
    (folder / "page.css").write_text("p { color: teal; }\n", encoding="utf-8")
    (folder / "engine" / "deep.js").write_text(DEEP, encoding="utf-8")
    (folder / "package.json").write_text('{"type": "module"}\n', encoding="utf-8")  # for node
    (folder / "tests" / "deep.test.mjs").write_text('import "node:test";\n', encoding="utf-8")
    return folder


def small_site(folder: Path, text: str = "one", main: str = MAIN) -> Site:
    """The site of that page, with the shipped network and the stand-in."""
    return build_site(default_checkpoint(), "int8", FAKE, page_folder(folder, text, main))


def real_runtime() -> Runtime:
    """What AGEGENDEREMO_RUNTIME names; the test is skipped, saying so, without it."""
    given = os.environ.get("AGEGENDEREMO_RUNTIME")
    if given:
        return find_runtime(Path(given))
    reason = "AGEGENDEREMO_RUNTIME is not set: onnxruntime-web is not at hand"
    if os.environ.get("AGEGENDEREMO_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


# ---------------------------------------------------------------- the real page

SOON = 60_000
"""Milliseconds until the networks are loaded and a crowd is read, on a busy machine."""

OpenSite = Callable[..., "Page"]


def written(folder: Path, precision: Precision) -> Path:
    write_site(build_site(default_checkpoint(), precision, real_runtime()), folder)
    return folder


@contextmanager
def served(site: Path) -> Iterator[str]:
    with server(site, 0) as serving:
        Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_address[1]}/"
        serving.shutdown()


def ready(page: "Page") -> None:
    """Wait until all is loaded, and kept for the next visit."""
    expect(page.locator('body[data-offline="true"]')).to_be_attached(timeout=SOON)


def saved(page: "Page", button: str) -> Path:
    with page.expect_download() as waited:
        page.click(button)
    return Path(waited.value.path())


def expected(analyzer: Analyzer, picture: Path) -> dict[str, Any]:
    """The record of a photo that the package writes."""
    image = load_image(picture)
    found = analyzer.find(image)
    faces = analyzer.read_faces(image, found.detections)
    record = picture_record(picture.name, image, faces, found.search, analyzer.network)
    plain: dict[str, Any] = json.loads(json.dumps(record))
    return plain
