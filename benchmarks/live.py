"""The Live page as a viewer has it, and where the time of a frame goes.

Chromium, headless and on the same machine, plays a film of real faces as its camera; the figures
are medians over several runs. Prints Markdown tables.

    python benchmarks/live.py
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from chromium import CHROMIUM, FLAGS, App, free_port, running_app
from films import jpeg, write_film

from agegenderemo import Analyzer
from agegenderemo.imaging.quality import measure_quality
from agegenderemo.inference.tracks import appearance_embedding
from agegenderemo.model_info import Precision
from agegenderemo.types import RGBImage
from agegenderemo.web.live import decode_frame

ROOT = Path(__file__).resolve().parents[1]
Options = Sequence[str]

STOPWATCH = (Path(__file__).parent / "stopwatch.js").read_text()
# gradio's page asks for no rate, and gets 30 frames a second.
FAST_CAMERA = """(() => {
  const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = (wish) =>
    open({ ...wish, video: { ...wish.video, frameRate: { ideal: 60 } } });
})()"""
PAGE_PARTS = {
    "copy the picture from the camera": "copy",
    "encode it as JPEG": "encode",
    "send, decode, reply": "wire",
    "find and read the faces": "server",
    "show and draw the answer": "draw",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--precision", choices=("float", "int8"), default="float")
    parser.add_argument("--viewers", type=int, default=8)
    parser.add_argument("--frames", type=int, default=10_000, help="of all viewers together")
    args = parser.parse_args()
    options = ("--precision", args.precision)
    if CHROMIUM is None:
        sys.exit("Chromium is not installed.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        films = {
            (count, rate): write_film(folder / f"{count}-{rate}.y4m", count, rate=rate)
            for rate in (30, 60)
            for count in (1, 4)
        }
        _stages(args.precision)
        _start_up(folder, options)
        _end_to_end(folder, options, films, args.runs, args.seconds)
        _plain(folder, options, films[1, 60], args.runs, args.seconds)
        _load(folder, options, args.viewers, args.frames)


# ------------------------------------------------------------------ stages


def _stages(precision: Precision) -> None:
    """Where the server's time goes, part by part, on one thread."""
    analyzer = Analyzer.from_checkpoint(precision=precision)
    detector, template = analyzer.detector, analyzer.info.input.template
    print("\n| one thread, ms | 1 face | 4 faces |\n| --- | --- | --- |")
    table: dict[str, list[float]] = {}
    for count in (1, 4):
        data = jpeg(count)
        frame: RGBImage = decode_frame(data)
        found = detector.detect(frame, min_face_size=30, max_side=320)
        assert len(found) == count, f"{len(found)} faces were found instead of {count}"
        boxes = [face.box for face in found]
        crops = analyzer.crops(frame, found)
        followed, idle = _Clock(analyzer, 0.06), _Clock(analyzer, 0.001)
        parts: dict[str, Callable[[], object]] = {
            "decode the frame": lambda: decode_frame(data),  # noqa: B023
            "follow the faces (last MTCNN stage)": lambda: detector.refine(frame, boxes),  # noqa: B023
            "align": lambda: analyzer.crops(frame, found),  # noqa: B023
            "network, all faces": lambda: analyzer.read(crops, mirror=False),  # noqa: B023
            "quality and appearance": lambda: [
                (measure_quality(c, f.landmarks, 640, 480, template), appearance_embedding(c))
                for c, f in zip(crops, found, strict=True)  # noqa: B023
            ],
            "**a followed frame, all together**": lambda: followed.show(frame),  # noqa: B023
            "the same, nothing read": lambda: idle.show(frame),  # noqa: B023
            "search of the whole frame, twice a second": lambda: detector.detect(
                frame,  # noqa: B023
                min_face_size=30,
                max_side=320,
            ),
        }
        for name, call in parts.items():
            table.setdefault(name, []).append(1000 * _median_time(call))
    for name, times in table.items():
        print(f"| {name} | " + " | ".join(f"{t:.1f}" for t in times) + " |")


class _Clock:
    """A stream whose frames come at a steady rate, however long each takes."""

    def __init__(self, analyzer: Analyzer, step: float) -> None:
        self._tracker, self._step, self._time = analyzer.tracker(), step, 0.0

    def show(self, frame: RGBImage) -> None:
        self._tracker.update(frame, self._time)
        self._time += self._step


def _median_time(call: Callable[[], object], runs: int = 40) -> float:
    times = []
    for _ in range(runs + 3):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times[3:])


# ------------------------------------------------------------------ the page


def _start_up(folder: Path, options: Options) -> None:
    app = App(_made(folder / "start"), *options)
    start = time.monotonic()
    try:
        app.start()
        ready = time.monotonic() - start
        start = time.monotonic()
        reply = _poster(app)(_request(app, 1))
        first = time.monotonic() - start
        assert len(reply["faces"]) == 1
    finally:
        app.stop()
    print(f"\nPage ready after {ready:.1f} s, its first frame answered {first:.2f} s later.")


def _end_to_end(
    folder: Path,
    options: Options,
    films: dict[tuple[int, int], Path],
    runs: int,
    seconds: float,
) -> None:
    print("\n| live, 640×480 | camera | frames a second | round trip, median | p95 |")
    print("| --- | --- | --- | --- | --- |")
    parts: dict[str, list[str]] = {name: [] for name in PAGE_PARTS}
    with running_app(_made(folder / "live"), *options) as app:
        for (count, camera), film in films.items():
            watched = [_watch(app.url, film, count, seconds) for _ in range(runs)]
            figures, times = zip(*watched, strict=True)
            rate, middle, late = (
                statistics.median(column) for column in zip(*figures, strict=True)
            )
            print(
                f"| {count} face{'s'[: count > 1]} | {camera} | {rate:.1f} "
                f"| {middle:.0f} ms | {late:.0f} ms |"
            )
            if camera != 30:
                continue
            for name, key in PAGE_PARTS.items():
                spent = statistics.median(t for one in times for t in one[key])
                parts[name].append(f"{spent:.1f}")
    print("\n| a frame as the page has it, medians in ms | 1 face | 4 faces |")
    print("| --- | --- | --- |")
    for name, cells in parts.items():
        print(f"| {name} | {' | '.join(cells)} |")


@contextmanager
def _page(film: Path) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    camera = [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *camera])
        yield browser.new_context(viewport={"width": 1280, "height": 860}).new_page()
        browser.close()


def _watch(
    url: str, film: Path, count: int, seconds: float
) -> tuple[tuple[float, float, float], dict[str, list[float]]]:
    """Frames a second, the median and 95th percentile of their round trips, and the times of the
    parts of each, in ms."""
    frames = "() => Number(document.querySelector('#live').dataset.frames)"
    with _page(film) as page:
        page.add_init_script(STOPWATCH)
        page.goto(url)
        page.evaluate("performance.setResourceTimingBufferSize(100000)")
        page.click("#live-toggle")
        page.wait_for_function(f"({frames})() >= 40", timeout=60_000)
        page.wait_for_function(
            f"document.querySelectorAll('.live-card').length === {count}", timeout=20_000
        )
        page.evaluate(
            """() => {
            performance.clearResourceTimings();
            for (const kept of Object.values(window.times)) kept.length = 0;
        }"""
        )
        before, start = page.evaluate(frames), time.monotonic()
        page.wait_for_timeout(1000 * seconds)
        rate = (page.evaluate(frames) - before) / (time.monotonic() - start)
        trips = page.evaluate(
            """() => performance.getEntriesByType('resource')
            .filter(entry => entry.name.includes('component_server'))
            .map(entry => entry.duration)"""
        )
        times = page.evaluate("window.times")
    return (rate, statistics.median(trips), float(np.quantile(trips, 0.95))), times


def _plain(folder: Path, options: Options, film: Path, runs: int, seconds: float) -> None:
    """The same analyzer behind gradio's own streaming parts; neither page waits for the camera."""
    with running_app(_made(folder / "fast"), *options) as app:
        watched = [_watch(app.url, film, 1, seconds)[0][0] for _ in range(runs)]
        ours = statistics.median(watched)
    port = free_port()
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "PYTHONPATH": str(ROOT)}
    program = ROOT / "benchmarks" / "plain_gradio.py"
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, str(program)], env=environment, **quiet)
    try:
        url = f"http://127.0.0.1:{port}/"
        _wait_for(url)
        rate = statistics.median(_watch_plain(url, film, seconds) for _ in range(runs))
    finally:
        process.terminate()
        process.wait()
    print(
        "\n| one face, 640×480, a camera of 60 frames a second | frames a second |\n| --- | --- |"
    )
    print(f"| plain gradio: streamed picture in, annotated picture and chart out | {rate:.1f} |")
    print(f"| this page | {ours:.1f} ({ours / rate:.1f} times) |")


def _watch_plain(url: str, film: Path, seconds: float) -> float:
    with _page(film) as page:
        page.add_init_script(FAST_CAMERA)
        page.goto(url)
        page.get_by_text("Click to Access Webcam").click()
        page.locator("#camera video").wait_for(timeout=20_000)
        page.locator(
            "#camera button[aria-label*='stream' i], #camera .button-wrap button"
        ).first.click()
        page.locator("#answer img").wait_for(timeout=60_000)
        page.evaluate(
            """() => {
            window.answers = 0;
            new MutationObserver(() => { window.answers += 1; }).observe(
                document.querySelector('#answer'),
                {subtree: true, attributes: true, attributeFilter: ['src']});
        }"""
        )
        page.wait_for_timeout(2000)
        before, start = page.evaluate("window.answers"), time.monotonic()
        page.wait_for_timeout(1000 * seconds)
        return float((page.evaluate("window.answers") - before) / (time.monotonic() - start))


# ------------------------------------------------------------------ many viewers


def _load(folder: Path, options: Options, viewers: int, frames: int) -> None:
    """Viewers who each send the next frame when the last one is answered, without a browser; their
    requests are made beforehand, for they share the cores with the server."""
    with running_app(_made(folder / "load"), *options) as app:
        counts = [0] * viewers
        longest = [0.0] * viewers
        memory = []
        end = threading.Event()

        def view(index: int) -> None:
            post, name = _poster(app), uuid.uuid4().hex
            pictures = [_request(app, 1, shift, name) for shift in range(0, 40, 8)]
            while not end.is_set():
                start = time.monotonic()
                reply = post(pictures[counts[index] % len(pictures)])
                if "error" not in reply:
                    counts[index] += 1
                longest[index] = max(longest[index], time.monotonic() - start)

        threads = [threading.Thread(target=view, args=(i,)) for i in range(viewers)]
        for thread in threads:
            thread.start()
        start = time.monotonic()
        while sum(counts) < frames:
            time.sleep(0.5)
            memory.append((sum(counts), _resident(app)))
        spent = time.monotonic() - start
        end.set()
        for thread in threads:
            thread.join()
    tenth = next(used for done, used in memory if done >= frames / 10)
    print(f"\n{viewers} viewers, {sum(counts):,} frames: each {min(counts) / spent:.1f} to "
          f"{max(counts) / spent:.1f} frames a second, the longest wait {max(longest):.2f} s; "
          f"memory {tenth:.0f} MiB after a tenth of the frames, {memory[-1][1]:.0f} MiB at the end."
          )  # fmt: skip


def _resident(app: App) -> float:
    """MiB of memory that the app holds."""
    assert app._process is not None
    status = Path(f"/proc/{app._process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def _request(app: App, count: int, shift: float = 0.0, viewer: str = "benchmark") -> bytes:
    """The body of a live call."""
    config = httpx.get(f"{app.url}config").json()
    (component,) = (c for c in config["components"] if c["props"].get("elem_id") == "live-page")
    call = {"component_id": component["id"], "fn_name": "read_frame", "session_hash": "benchmark"}
    return json.dumps({**call, "data": {"viewer": viewer, "frame": jpeg(count, shift)}}).encode()


def _poster(app: App) -> Callable[[bytes], dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=60)
    head = {"Content-Type": "application/json"}

    def post(body: bytes) -> dict[str, Any]:
        connection.request("POST", "/gradio_api/component_server/", body, head)
        reply: dict[str, Any] = json.loads(connection.getresponse().read())
        return reply

    return post


def _wait_for(url: str, timeout: float = 90) -> None:
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            httpx.get(url, timeout=5)
            return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise TimeoutError(f"{url} did not answer in {timeout} s")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
