"""A small page in the layout of ``browser/``, and a stand-in for the runtime: what tests of the
static site build from, whatever the real page is by now."""

import os
import shutil
from pathlib import Path

import pytest
from chromium import ROOT

from agegenderemo.resources import default_checkpoint
from agegenderemo.web.static_site.build import Site, build_site
from agegenderemo.web.static_site.runtime import Runtime, find_runtime

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
