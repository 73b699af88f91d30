"""The static page in headless Chromium: frames a second, first answer, memory. Prints a table.

The page is built anew, served from this machine (also at 10 Mbit/s) and shown a film of a real face
as its camera. "Cold" is the first visit, "warm" the next one.

    python benchmarks/browser.py
    python benchmarks/browser.py --precision float
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from chromium import CHROMIUM, FLAGS
from films import write_film

ROOT = Path(__file__).resolve().parents[1]
SLOW = 10e6 / 8  # bytes a second of a line of 10 Mbit/s
LATENCY = 0.04  # seconds that it adds to each request
CHUNK = 16_384

# When each frame was asked for and answered, by wrapping what the page calls; in ms.
STOPWATCH = """(() => {
  const trips = (window.trips = []);
  const sent = new Map();
  const post = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (message, ...rest) {
    if (message?.kind === "frame") {
      sent.set(message.id, performance.now());
      if (!this.timed) {
        this.timed = true;
        this.addEventListener("message", ({ data }) => {
          if (!sent.has(data.id)) return;
          trips.push(performance.now() - sent.get(data.id));
          sent.delete(data.id);
        });
      }
    }
    return post.call(this, message, ...rest);
  };
})()"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--precision", choices=("float", "int8"), default="int8")
    parser.add_argument(
        "--model", help="a network or a file of weights; by default the shipped one"
    )
    parser.add_argument("--runtime", help="the runtime's package, where it is not fetched yet")
    args = parser.parse_args()
    if CHROMIUM is None:
        sys.exit("Chromium is not installed.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        site = _built(folder / "site", args.precision, args.model, args.runtime)
        films = {count: write_film(folder / f"{count}.y4m", count, rate=60) for count in (1, 4)}
        with _served(site) as fast, _served(site, SLOW) as slow:
            print(f"\n| {args.model or 'the shipped network'}, {args.precision} | |\n| --- | --- |")
            for label, address in (("a fast line", fast), ("10 Mbit/s", slow)):
                visits = [_visits(address, films[1]) for _ in range(args.runs)]
                cold, warm = (statistics.median(column) for column in zip(*visits, strict=True))
                print(f"| first answer on {label}, cold | {cold:.2f} s |")
                print(f"| the same, warm | {warm:.2f} s |")
            for count, film in films.items():
                _print_live(count, [_watch(fast, film, args.seconds) for _ in range(args.runs)])


def _print_live(count: int, runs: list[tuple[float, float, float, float]]) -> None:
    rate, middle, late, memory = (statistics.median(one) for one in zip(*runs, strict=True))
    faces = f"{count} face{'s'[: count > 1]}"
    print(f"| {faces}, 640×480, a camera of 60 | {rate:.1f} frames a second |")
    print(
        f"| {faces}, a frame's way there and back, median, p95 | {middle:.0f} ms, {late:.0f} ms |"
    )
    print(f"| {faces}, renderer | {memory:.0f} MB |")


def _built(out: Path, precision: str, model: str | None, runtime: str | None) -> Path:
    command = [sys.executable, "-m", "agegenderemo", "static", "--out", str(out)]
    command += ["--precision", precision]
    command += ["--model", model] if model else []
    command += ["--runtime", runtime] if runtime else []
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, check=True, env=environment)
    return out


# ------------------------------------------------------------------ serving


class _Line:
    """What all requests together may send."""

    def __init__(self, rate: float) -> None:
        self._rate, self._free, self._lock = rate, time.monotonic(), threading.Lock()

    def wait(self, count: int) -> None:
        with self._lock:
            now = time.monotonic()
            self._free = max(self._free, now) + count / self._rate
            left = self._free - now
        time.sleep(left)


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    line: _Line | None = None

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def copyfile(self, source: Any, outputfile: IO[bytes]) -> None:  # type: ignore[override]
        if self.line is None:
            super().copyfile(source, outputfile)
            return
        time.sleep(LATENCY)
        while chunk := source.read(CHUNK):
            self.line.wait(len(chunk))
            outputfile.write(chunk)


@contextmanager
def _served(site: Path, rate: float | None = None) -> Iterator[str]:
    """The address of the site, on a line of so many bytes a second."""
    line = None if rate is None else _Line(rate)
    handler = type("Handler", (_Handler,), {"line": line})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()


# ------------------------------------------------------------------ looking


@contextmanager
def _browser(film: Path, profile: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    camera = [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    ]
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=CHROMIUM,
            args=[*FLAGS, *camera],
            viewport={"width": 1280, "height": 860},
        )
        yield context
        context.close()


# Somebody who starts the camera the moment that the page can, and when the first answer is shown,
# in ms from asking for the page.
EAGER = """document.addEventListener("DOMContentLoaded", () => {
  const look = () => {
    const [live, local] = ["#live", "#live-local"].map((one) => document.querySelector(one));
    if (local) return setTimeout(look, 5); // main.js takes it away when it has run
    document.querySelector("#live-toggle").click();
    new MutationObserver(() => (window.answered ??= performance.now())).observe(live, {
      attributeFilter: ["data-frames"],
    });
  };
  look();
})"""
FRAMES = "() => Number(document.querySelector('#live').dataset.frames)"
OFFLINE = "() => document.body.dataset.offline === 'true'"
PATIENCE = 120  # seconds


def _wait(page: Any, question: str) -> None:
    """Until the page says yes: its policy forbids what playwright's own waiting evaluates."""
    end = time.monotonic() + PATIENCE
    while not page.evaluate(question):
        if time.monotonic() > end:
            raise TimeoutError(page.inner_text("body"))
        time.sleep(0.01)


def _visits(address: str, film: Path) -> tuple[float, float]:
    """Seconds from asking for the page to the first answer of the camera: the first visit, and the
    next one, once the worker that keeps the page offline has all of it."""
    with tempfile.TemporaryDirectory() as profile, _browser(film, profile) as context:
        cold = _first_answer(context, address)
        page = context.new_page()
        page.goto(address)
        _wait(page, OFFLINE)
        page.close()
        return cold, _first_answer(context, address)


def _first_answer(context: Any, address: str) -> float:
    page = context.new_page()
    page.add_init_script(EAGER)
    page.goto(address, wait_until="commit")
    _wait(page, "() => window.answered > 0")
    spent = float(page.evaluate("window.answered"))
    page.close()
    return spent / 1000


def _watch(address: str, film: Path, seconds: float) -> tuple[float, float, float, float]:
    """Frames a second, the median and the 95th percentile of their ways there and back in ms, and
    the renderer's memory in MB."""
    with tempfile.TemporaryDirectory() as profile, _browser(film, profile) as context:
        page = context.new_page()
        page.add_init_script(STOPWATCH)
        page.goto(address)
        page.click("#live-toggle")
        _wait(page, f"() => ({FRAMES})() >= 40")
        page.evaluate("window.trips.length = 0")
        before, start = page.evaluate(FRAMES), time.monotonic()
        page.wait_for_timeout(1000 * seconds)
        rate = (page.evaluate(FRAMES) - before) / (time.monotonic() - start)
        trips = page.evaluate("window.trips")
        memory = _renderer(context)
    return rate, statistics.median(trips), float(np.quantile(trips, 0.95)), memory


def _renderer(context: Any) -> float:
    """Resident memory of the largest renderer, in MB."""
    session = context.browser.new_browser_cdp_session() if context.browser else None
    if session is not None:
        found = session.send("SystemInfo.getProcessInfo")["processInfo"]
        numbers = [one["id"] for one in found if one["type"] == "renderer"]
    else:
        listed = subprocess.run(["pgrep", "-f", "type=renderer"], capture_output=True, text=True)
        numbers = [int(one) for one in listed.stdout.split()]
    return max(_resident(number) for number in numbers)


def _resident(process: int) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return kilobytes / 1000


if __name__ == "__main__":
    main()
