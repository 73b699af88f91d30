"""Fixtures of the tests of the page: the page in this process, and in a browser.

A test file asks for them with ``pytest_plugins = ["web_fixtures"]``.
"""

from collections.abc import Callable, Iterator

import pytest
from chromium import CHROMIUM, FLAGS, App, running_app, write_camera
from gradio_client import Client
from pages import ASTRONAUT, OpenPage, page_opener, serving, stored

from agegenderemo import Analyzer
from agegenderemo.web.guard import Store

try:
    from playwright.sync_api import Browser, sync_playwright
except ImportError:
    sync_playwright = Browser = None  # type: ignore[assignment,misc]


# ------------------------------------------------------------------ in this process


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Where the page of this process has its files."""
    with stored(tmp_path_factory.mktemp("store")) as one:
        yield one


@pytest.fixture(scope="session")
def server(analyzer: Analyzer, store: Store) -> Iterator[str]:
    """Address of the page around the shipped network."""
    with serving(analyzer, store) as url:
        yield url


@pytest.fixture(scope="session")
def client(server: str) -> Client:
    """As someone has it who calls the page from Python."""
    return Client(server, verbose=False)


# ------------------------------------------------------------------ in a browser


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """``python app.py`` in a process of its own."""
    with running_app(tmp_path_factory.mktemp("app")) as running:
        yield running


@pytest.fixture(scope="session")
def chromium() -> Iterator[Callable[..., "Browser"]]:
    """Starts a browser with extra flags; all are closed at the end."""
    with sync_playwright() as playwright:
        browsers: list[Browser] = []

        def start(*flags: str) -> Browser:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
            browsers.append(browser)
            return browser

        yield start
        for browser in browsers:
            browser.close()


@pytest.fixture(scope="session")
def browser(
    chromium: Callable[..., "Browser"], tmp_path_factory: pytest.TempPathFactory
) -> "Browser":
    """With a camera that sees the astronaut."""
    film = write_camera(tmp_path_factory.mktemp("camera") / "face.y4m", ASTRONAUT)
    return chromium(
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    )


@pytest.fixture(scope="session")
def blind_browser(chromium: Callable[..., "Browser"]) -> "Browser":
    """Whose user refuses the camera."""
    return chromium("--use-fake-device-for-media-stream", "--deny-permission-prompts")


@pytest.fixture
def open_page(app: App) -> Iterator[OpenPage]:
    """Opens the app in a fresh profile and, at the end, looks at what the page asked for."""
    yield from page_opener(app)
