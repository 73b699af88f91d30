"""Helpers of the browser tests: the real app as a process, Chromium, and a made-up camera."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def free_port() -> int:
    """A TCP port of localhost that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class App:
    """``python app.py`` with some options on a port of its own, or some code in its place; it can
    be stopped and started again there."""

    def __init__(self, folder: Path, *options: str, code: str = "") -> None:
        self.command = ["-c", code] if code else ["app.py"]
        self.options = options
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self._log = folder / "app.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, timeout: float = 90) -> None:
        self.start_command([sys.executable, *self.command, *self.options], {}, timeout)

    def start_command(
        self, command: list[str], changes: dict[str, str | None], timeout: float
    ) -> None:
        """Start it by any command, in a changed environment; None takes a variable away."""
        own = {"GRADIO_SERVER_PORT": str(self.port), "TMPDIR": str(self.temporary)}
        changed = {**os.environ, **own, **changes}
        environment = {name: value for name, value in changed.items() if value is not None}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            assert self._process.poll() is None, f"app.py ended:\n{self._log.read_text()}"
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
                return
            except OSError:
                time.sleep(0.2)
        raise TimeoutError(f"app.py did not answer in {timeout} s:\n{self._log.read_text()}")

    def stop(self) -> int | None:
        """The exit status, where it ran."""
        if self._process is None:
            return None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        status = self._process.returncode
        self._process = None
        return status

    def kill(self) -> None:
        """As the system does where memory is short: nothing is cleaned up."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def files(self) -> list[Path]:
        """Everything that the app has written to disk and not deleted yet."""
        # Folders go while they are walked.
        found = (
            Path(place) / name for place, _, names in os.walk(self.temporary) for name in names
        )
        return [path for path in found if path.is_file()]

    def log(self) -> str:
        return self._log.read_text()


@contextmanager
def running_app(folder: Path, *options: str, code: str = "") -> Iterator[App]:
    app = App(folder, *options, code=code)
    try:
        app.start()
        yield app
    finally:
        app.stop()


def write_camera(path: Path, picture: Path, frames: int = 10) -> Path:
    """A y4m film of 640×480 that pans slightly over a picture, for Chromium's fake camera."""
    wide = Image.open(picture).convert("RGB").resize((660, 660))
    with path.open("wb") as film:
        film.write(b"YUV4MPEG2 W640 H480 F30:1 Ip A1:1 C420jpeg\n")
        for i in range(frames):
            left = 2 * min(i, frames - i)
            frame = wide.crop((left, 20, left + 640, 500)).convert("YCbCr")
            y, cb, cr = (np.asarray(channel) for channel in frame.split())
            film.write(b"FRAME\n" + y.tobytes() + cb[::2, ::2].tobytes() + cr[::2, ::2].tobytes())
    return path
