"""What the tests of the page share beside fixtures: example photos, marks, what a user does.

Tests in the browser are skipped where Chromium or playwright is missing, unless
AGEGENDEREMO_REQUIRE_BROWSER=1.
"""

import base64
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from chromium import CHROMIUM, ROOT, App
from PIL import Image

from agegenderemo import Analyzer
from agegenderemo.web import many
from agegenderemo.web.app import build_demo
from agegenderemo.web.guard import Limits, Store
from agegenderemo.web.guard.assembly import guarded
from agegenderemo.web.guard.server import running
from agegenderemo.web.options import page_options

try:
    from playwright.sync_api import Browser, BrowserContext, Page
except ImportError:
    Browser = BrowserContext = Page = None  # type: ignore[assignment,misc]

ASTRONAUT = ROOT / "examples" / "astronaut.jpg"
SOLVAY = ROOT / "examples" / "solvay-1927.jpg"

_missing = "playwright" if Page is None else "" if CHROMIUM else "chromium"
if _missing and os.environ.get("AGEGENDEREMO_REQUIRE_BROWSER") == "1":
    pytest.fail(f"{_missing} is missing", pytrace=False)
needs_browser = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(bool(_missing), reason=f"{_missing} is not installed"),
]
"""The marks of a file of such tests."""

GRADIOS_OWN = ("nested-interactive",)
"""Rules of axe that gradio's markup violates: a button to choose more files holds their input."""

OpenPage = Callable[..., "Page"]


@contextmanager
def stored(folder: Path) -> Iterator[Store]:
    """A store that gradio takes for its temporary folder. All tests together are one busy client,
    so its pace is not bounded."""
    store = Store(Limits(address_rate=100), folder)
    with closing(store), pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(store.folder))
        yield store


@contextmanager
def serving(analyzer: Analyzer | Sequence[Analyzer], store: Store) -> Iterator[str]:
    """The page around an analyzer, or several, behind its guard: its address."""
    demo = build_demo(analyzer, store)
    with running(guarded(demo, store, page_options(store.limits), host="127.0.0.1")) as url:
        yield url


def run_many(analyzer: Analyzer, store: Store, paths: Sequence[str]) -> list[dict[str, Any]]:
    """The lines of the file that the Many page makes of some uploaded files."""
    first, *_ = many.batch_runner(analyzer, store, many.Runs())(list(paths))
    return run_lines(first)


def run_lines(told: str) -> list[dict[str, Any]]:
    """The lines of a run's file, of which the page was told."""
    (path,) = re.findall(r'data-path="([^"]+)"', told)
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def shown_file(html: str) -> str:
    """The file of the store that a piece of HTML shows."""
    (path,) = re.findall(r'src="gradio_api/file=([^"]+)"', html)
    return unquote(path)


def data_url(image: Image.Image, kind: str = "JPEG") -> str:
    """A picture as a live frame."""
    stream = io.BytesIO()
    image.save(stream, kind)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def page_opener(app: App) -> Iterator[OpenPage]:
    """Opens an app in a fresh profile and, at the end, looks at what the page asked for."""
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
        page.on("console", lambda message: problems.extend(_violations(message.text)))
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


def _violations(text: str) -> list[str]:
    """A message of the console, where the page's own policy forbade it something."""
    return [text] if "Content Security Policy" in text else []


def _is_local(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob") or parts.hostname in ("127.0.0.1", "localhost")


# ------------------------------------------------------------------ what a user does and sees


def open_tab(page: "Page", name: str) -> None:
    """Show one of the pages."""
    page.get_by_role("tab", name=name, exact=True).click()


def wait_frames(page: "Page", count: int) -> None:
    """Until so many live frames were answered."""
    page.wait_for_function(
        "n => Number(document.querySelector('#live').dataset.frames) >= n", arg=count
    )


def frames(page: "Page") -> int:
    """Live frames that were answered."""
    return int(page.get_attribute("#live", "data-frames") or 0)


def fits(page: "Page") -> bool:
    """Whether the page is no wider than the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def film_faces(page: "Page", places: Sequence[tuple[int, int, int]]) -> None:
    """Let the camera of a page see the astronaut's face at some places: x, y and side in pixels of
    640×480. The page's ``places`` has them, to be changed."""
    page.evaluate(
        """async ([picture, places]) => {
        const image = new Image();
        image.src = picture;
        await image.decode();
        const film = Object.assign(document.createElement('canvas'), {width: 640, height: 480});
        const pen = film.getContext('2d');
        window.places = places;
        setInterval(() => {
            pen.fillRect(0, 0, 640, 480);
            for (const [x, y, side] of window.places)
                pen.drawImage(image, 100, 0, 300, 300, x, y, side, side);
        }, 30);
        navigator.mediaDevices.getUserMedia = async () => film.captureStream(30);
    }""",
        ["data:image/jpeg;base64," + base64.b64encode(ASTRONAUT.read_bytes()).decode(), places],
    )


def focus(page: "Page", wanted: str) -> None:
    """Press Tab until it is there, as who has no mouse."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("wanted => document.activeElement.matches(wanted)", wanted):
            return
    raise AssertionError(f"{wanted} is not reached by Tab")


def axe_violations(page: "Page") -> list[str]:
    """What axe-core finds on what is shown, less what is gradio's own."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html']}"
        for one in found
        if one["id"] not in GRADIOS_OWN
        for node in one["nodes"]
    ]


def download(page: "Page", button: str, folder: Path) -> Path:
    """The file behind a download button."""
    with page.expect_download() as waiting:
        page.click(button)
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path
