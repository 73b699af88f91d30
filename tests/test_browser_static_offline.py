"""The static site in headless Chromium: without a network, in a new version, under its policy."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from pages import needs_browser
from static_pages import MAIN, page_folder, real_runtime, small_site

from agegenderemo import Analyzer, load_image
from agegenderemo.inference.backends import OnnxBackend
from agegenderemo.inference.graph import read_graph
from agegenderemo.inference.predictor import preprocess
from agegenderemo.model_info import Precision
from agegenderemo.resources import default_checkpoint
from agegenderemo.web.static_site.build import build_site
from agegenderemo.web.static_site.serve import _Handler, server
from agegenderemo.web.static_site.write import write_site

try:
    from playwright.sync_api import Browser, BrowserContext, Page
except ImportError:
    Browser = BrowserContext = Page = None  # type: ignore[assignment,misc]

pytest_plugins = ["web_fixtures"]
pytestmark = needs_browser

SAID = "() => document.getElementById('said')?.textContent"
KEPT = """async () => {
  const found = {};
  for (const name of await caches.keys()) {
    found[name] = (await (await caches.open(name)).keys()).map((one) => new URL(one.url).pathname);
  }
  return found;
}"""
REGISTER = 'document.getElementById("offline")'
LOAD = """\
const address = new URL("./site.json", document.baseURI);
for (const file of Object.values(site.files)) await load(address, file, () => {}, true);
await filesKept();
"""
RUN = """\
const site = await (await fetch("./site.json")).json();
const unpacked = async ({ gzip }) => {
  const stream = (await fetch(gzip)).body.pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};
const ort = await import(new URL(site.files.runtime.path, document.baseURI));
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmBinary = await unpacked(site.files.wasm);
const { graph, weights } = site.files;
const beside = weights && [{ path: weights.location, data: await unpacked(weights) }];
const session = await ort.InferenceSession.create(await unpacked(graph), { externalData: beside });
window.answers = async (data, dims) => {
  const faces = new ort.Tensor("float32", Float32Array.from(data), dims);
  const found = Object.entries(await session.run({ faces }));
  return Object.fromEntries(found.map(([name, one]) => [name, Array.from(one.data)]));
};
document.getElementById("said").textContent = "TEXT";
"""


class Host:
    """A static host of a folder that can go away and come back on its port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self._server: ThreadingHTTPServer | None = None
        self._open: list[socket.socket] = []
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        self._server = server(self.folder, self.port)
        self.port = int(self._server.server_address[1])
        serve, open_ones = self._server.process_request, self._open

        def noted(request: Any, address: Any) -> None:
            open_ones.append(request)
            serve(request, address)

        self._server.process_request = noted  # type: ignore[method-assign,assignment]
        Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Go away, connections that are kept open too."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        while self._open:
            with contextlib.suppress(OSError):  # closed before
                self._open.pop().shutdown(socket.SHUT_RDWR)


@pytest.fixture
def context(browser: "Browser") -> "Iterator[BrowserContext]":
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    (tmp_path / "site").mkdir()
    host = Host(tmp_path / "site")
    yield host
    host.stop()


def publish(host: Host, text: str) -> str:
    """Write a version into the folder that is served; the name of its modules' folder."""
    site = small_site(host.folder.parent / "page", text)
    write_site(site, host.folder)
    return str(json.loads(site.files["site.json"])["app"])


def until(page: "Page", question: str, answer: Any = True) -> None:
    """Wait for an answer of the page; its policy forbids what playwright's own waiting does."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if (got := page.evaluate(question)) == answer:
            return
        time.sleep(0.1)
    raise AssertionError(f"{question} is {got!r}, not {answer!r}")


def says(page: "Page", text: str, app: str) -> None:
    """Wait until the page is that version, its record too."""
    until(page, SAID, f"{text} 30 50\N{NO-BREAK SPACE}% {app}")


def visit(context: "BrowserContext", host: Host, text: str, app: str) -> "Page":
    """Open the page, and wait until it says that it is kept for offline use."""
    page = context.new_page()
    page.goto(host.url)
    says(page, text, app)
    until(page, "() => document.getElementById('offline').textContent", "true")
    return page


def wait_kept(page: "Page", app: str, other: str) -> None:
    """Wait until all of a version is kept and nothing of another."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        kept = page.evaluate(KEPT)
        text = json.dumps(kept)
        if len(kept) == 2 and f"/{app}/main.js" in text and f"/{other}/" not in text:
            return
        time.sleep(0.1)
    raise AssertionError(f"it keeps {json.dumps(kept, indent=1)}")


def test_it_works_when_the_host_is_gone(context: "BrowserContext", host: Host) -> None:
    app = publish(host, "one")
    page = visit(context, host, "one", app)
    host.stop()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.reload()
    says(page, "one", app)
    other = context.new_page()
    other.goto(f"{host.url}index.html?again#photo")
    says(other, "one", app)
    files = json.loads((host.folder / "site.json").read_text())["files"]
    for entry in files.values():
        path = entry.get("gzip", entry["path"])
        size = "async (path) => (await (await fetch(path)).arrayBuffer()).byteLength"
        assert page.evaluate(size, path) == entry["bytes"]  # kept unpacked
    assert wrong == []


@pytest.mark.parametrize("trouble", ["fails", "hangs"])
def test_a_host_in_trouble_does_not_stop_it(
    trouble: str, context: "BrowserContext", host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that answers with an error, or accepts and never answers."""
    app = publish(host, "one")
    page = visit(context, host, "one", app)
    over = Event()

    def troubled(handler: _Handler) -> None:
        if trouble == "hangs":
            over.wait(60)
        handler.send_error(503)

    monkeypatch.setattr(_Handler, "do_GET", troubled)
    try:
        page.reload()
        says(page, "one", app)
    finally:
        over.set()


def test_nothing_is_fetched_twice(
    context: "BrowserContext", host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the page has loaded before, its worker finds in the browser's own cache."""
    asked: list[str] = []
    monkeypatch.setattr(
        _Handler, "log_message", lambda self, form, *given: asked.append(given[0].split()[1])
    )
    main = MAIN.replace(REGISTER, LOAD + REGISTER).replace("{ keep", "{ filesKept, keep")
    main = f'import {{ load }} from "./load.js";\n{main}'
    site = small_site(host.folder.parent / "page", "one", main)
    write_site(site, host.folder)
    app = str(json.loads(site.files["site.json"])["app"])
    visit(context, host, "one", app)
    hashed = [path for path in asked if path.startswith((f"/{app}/", "/files/"))]
    assert any(path.endswith(".onnx.gz") for path in hashed)
    assert sorted(hashed) == sorted(set(hashed))


def test_what_is_not_kept_is_not_made_up(context: "BrowserContext", host: Host) -> None:
    page = visit(context, host, "one", publish(host, "one"))
    assert page.evaluate("async () => (await fetch('./gone.json')).status") == 404
    kept = page.evaluate(KEPT)
    paths = [path for found in kept.values() for path in found]
    assert len(paths) == len(set(paths))
    assert not [path for path in paths if path.endswith((".wasm", ".onnx"))]  # gzipped alone
    host.stop()
    failed = "async () => { try { await fetch('./gone.json') } catch { return 'failed' } }"
    assert page.evaluate(failed) == "failed"


def test_a_reload_brings_the_new_version_and_it_stays(
    context: "BrowserContext", host: Host
) -> None:
    old = publish(host, "one")
    page = visit(context, host, "one", old)
    new = publish(host, "two")
    page.reload()
    says(page, "two", new)
    wait_kept(page, new, old)
    host.stop()
    page.reload()
    says(page, "two", new)


def test_an_old_page_that_is_open_keeps_its_files(context: "BrowserContext", host: Host) -> None:
    old = publish(host, "one")
    first = visit(context, host, "one", old)
    second = visit(context, host, "one", old)
    new = publish(host, "two")
    second.reload()
    says(second, "two", new)
    waiting = "async () => Boolean((await navigator.serviceWorker.getRegistration()).waiting)"
    until(second, waiting)
    second.wait_for_timeout(500)
    assert first.evaluate(waiting)
    fetched = f"async () => (await fetch('./{old}/engine/deep.js')).status"
    assert first.evaluate(fetched) == 200  # the host has it no more
    first.close()
    second.reload()
    says(second, "two", new)
    wait_kept(second, new, old)


def test_what_a_page_kept_is_checked(context: "BrowserContext", host: Host) -> None:
    """A file that came damaged to the page is fetched anew by the worker."""
    site = small_site(host.folder.parent / "page", "one")
    write_site(site, host.folder)
    (host.folder / "empty.html").write_text("<!doctype html>")
    page = context.new_page()
    page.goto(f"{host.url}empty.html")
    described = json.loads(site.files["site.json"])
    entry = described["files"]["pnet"]
    path = entry["gzip"]
    lay = """async ([root, path]) => (await caches.open("agegenderemo " + root + " files"))
        .put(root + path, new Response("damaged"))"""
    page.evaluate(lay, [host.url, path])
    page.close()
    page = visit(context, host, "one", described["app"])
    host.stop()
    size = "async (path) => (await (await fetch(path)).arrayBuffer()).byteLength"
    assert page.evaluate(size, path) == entry["bytes"]


def test_a_version_that_is_not_whole_does_not_replace_one(
    context: "BrowserContext", host: Host
) -> None:
    old = publish(host, "one")
    page = visit(context, host, "one", old)
    new = publish(host, "two")
    broken = host.folder / new / "engine" / "deep.js"
    broken.write_text(broken.read_text() + "// of another version\n")
    page.reload()
    says(page, "two", new)
    again = """async () => {
      const found = await navigator.serviceWorker.getRegistration();
      await found.update();
      const worker = found.installing;
      if (!worker) return "none";
      await new Promise((done) => worker.addEventListener("statechange", done));
      return worker.state;
    }"""
    assert page.evaluate(again) == "redundant"
    host.stop()
    page.reload()
    says(page, "one", old)


@pytest.mark.parametrize(("precision", "apart"), [("int8", 0.01), ("float", 1e-4)])
def test_the_real_runtime_under_the_policy_answers_as_python(
    precision: Precision, apart: float, context: "BrowserContext", host: Host, examples: Path
) -> None:
    source = page_folder(host.folder.parent / "page", "ready", RUN)
    write_site(build_site(default_checkpoint(), precision, real_runtime(), source), host.folder)
    page = context.new_page()
    wrong: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(host.url)
    until(page, SAID, "ready")
    before = len(asked)
    analyzer = Analyzer.from_checkpoint()
    image = load_image(examples / "solvay-1927.jpg")
    found = [face.detection for face in analyzer.analyze(image)][:4]
    faces = preprocess(np.asarray(analyzer.crops(image, found)), analyzer.info.input)
    ours: dict[str, Any] = page.evaluate(
        "([data, dims]) => answers(data, dims)", [faces.ravel().tolist(), list(faces.shape)]
    )
    info, graph, weights, _ = read_graph(default_checkpoint(), precision)
    for name, expected in OnnxBackend(graph, info, weights)(faces).items():
        # Another engine adds in another order; int8 rounds some of it to the next step.
        np.testing.assert_allclose(ours[name], expected.ravel(), rtol=0, atol=apart)
    assert len(asked) == before
    assert all(url.startswith(host.url) for url in asked)
    assert wrong == []
