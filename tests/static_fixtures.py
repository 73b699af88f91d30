"""The static page of the shipped network, built once a test file, served, and opened as a visitor
has it.

A test file asks for it with ``pytest_plugins = ["web_fixtures", "static_fixtures"]``.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from static_pages import real_runtime

from agegenderemo.model_info import Precision
from agegenderemo.resources import default_checkpoint
from agegenderemo.web.static_site.build import build_site
from agegenderemo.web.static_site.serve import server
from agegenderemo.web.static_site.write import write_site

try:
    from playwright.sync_api import Browser, Page, expect
except ImportError:
    Browser = Page = expect = None  # type: ignore[assignment,misc]

SOON = 60_000
"""Milliseconds until the networks are loaded and a crowd is read, on a busy machine."""

OpenSite = Callable[..., "Page"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("static") / "site", "int8")


def written(folder: Path, precision: Precision) -> Path:
    write_site(build_site(default_checkpoint(), precision, real_runtime()), folder)
    return folder


@contextmanager
def served(site: Path) -> Iterator[str]:
    with server(site, 0) as serving:
        Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_address[1]}/"
        serving.shutdown()


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with served(site) as url:
        yield url


@pytest.fixture
def open_site(address: str) -> Iterator[OpenSite]:
    """Opens the page in a fresh profile; at the end nothing may have gone wrong in it, and nothing
    have been asked of another host."""
    contexts: list[Any] = []
    wrong: list[str] = []
    asked: list[str] = []

    def open_(browser: "Browser", hash_: str = "", **options: Any) -> "Page":
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}, **options})
        contexts.append(context)
        context.on("request", lambda request: asked.append(request.url))
        page: Page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text))
        page.goto(address + hash_)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.startswith((address, "blob:", "data:"))] == []
    assert wrong == []


def ready(page: "Page") -> None:
    """Wait until all is loaded, and kept for the next visit."""
    expect(page.locator('body[data-offline="true"]')).to_be_attached(timeout=SOON)


def saved(page: "Page", button: str) -> Path:
    with page.expect_download() as waited:
        page.click(button)
    return Path(waited.value.path())
