"""The static page of the shipped network, built once a test file, served, and opened as a visitor
has it.

A test file asks for it with ``pytest_plugins = ["web_fixtures", "static_fixtures"]``.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from static_pages import OpenSite, served, written

try:
    from playwright.sync_api import Browser, Page
except ImportError:
    Browser = Page = None  # type: ignore[assignment,misc]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("static") / "site", "int8")


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
