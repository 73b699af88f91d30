"""How fair the demo is under load, by the acceptance of its guard.

``python benchmarks/load.py`` starts the app and prints a table: 64 honest viewers; one viewer at
127.0.0.2, alone and while 63 viewers and every attack come from 127.0.0.3; a photo meanwhile; and
the server's memory. Linux only: every 127.x.y.z is this machine there.
"""

import argparse
import base64
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
ASTRONAUT = ROOT / "examples" / "astronaut.jpg"
_PATIENCE = 120.0  # seconds until the app must be up


class Stranger:
    """Requests from one loopback address to the server's port, each on its own connection."""

    def __init__(self, port: int, address: str) -> None:
        self._port, self.address = port, address

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Status and body of one answer; raises OSError or http.client.HTTPException."""
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(
            "127.0.0.1", self._port, timeout=60, source_address=(self.address, 0)
        )

    def upload(self, content: bytes, name: str) -> str:
        head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + b"\r\n--x--\r\n"
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        status, answer = self.ask("POST", "/gradio_api/upload", body, kind)
        if status != 200:
            raise OSError(f"An upload was refused: {answer.decode()}.")
        return str(json.loads(answer)[0])

    def analyze(self, path: str) -> bytes:
        """The public call, from the upload's path to the end of its events."""
        body = json.dumps({"data": [{"path": path}]}).encode()
        status, answer = self.ask("POST", "/gradio_api/call/analyze", body)
        if status != 200:
            raise OSError(f"A call was refused: {answer.decode()}.")
        event = json.loads(answer)["event_id"]
        return self.ask("GET", f"/gradio_api/call/analyze/{event}")[1]


def watch(stranger: Stranger, component: int, frame: str, until: float) -> int:
    """Be a viewer of Live with one frame after another; the number of frames that were read."""
    viewer, read = uuid.uuid4().hex, 0
    call = {"component_id": component, "fn_name": "read_frame", "session_hash": viewer}
    body = json.dumps({**call, "data": {"viewer": viewer, "frame": frame}}).encode()
    connection = stranger.connect()
    while time.monotonic() < until:
        try:
            connection.request("POST", "/gradio_api/component_server/", body)
            answer = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException):
            connection.close()
            continue
        if "error" in answer or "detail" in answer:
            time.sleep(0.1)
        read += "faces" in answer
    connection.close()
    return read


def rates(strangers: list[Stranger], component: int, frame: str, seconds: float) -> list[float]:
    """Frames a second of each of several viewers at once."""
    counts = [0] * len(strangers)
    until = time.monotonic() + seconds

    def run(index: int) -> None:
        counts[index] = watch(strangers[index], component, frame, until)

    _together([lambda index=index: run(index) for index in range(len(strangers))])  # type: ignore[misc]
    return [count / seconds for count in counts]


def _together(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# ------------------------------------------------------------------ attacks


def attacks(port: int, address: str) -> list[Callable[[], object]]:
    """One step of each attack; they are repeated as long as the measurement runs."""
    foe = Stranger(port, address)
    large = _encoded(Image.open(ASTRONAUT).resize((12000, 9000)))
    deep = _encoded(Image.new("F", (7000, 7000)), "TIFF", compression="tiff_deflate")

    def half_upload() -> None:
        with socket.create_connection(("127.0.0.1", port), 5, (address, 0)) as connection:
            head = b"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999"
            connection.sendall(head + b"\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n")
            connection.sendall(b'--x\r\nContent-Disposition: form-data; filename="a.jpg"\r\n\r\n')
            connection.sendall(b"y" * 200_000)

    def half_request() -> None:
        with socket.create_connection(("127.0.0.1", port), 5, (address, 0)) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: lo")
            time.sleep(0.5)

    return [
        lambda: foe.analyze(foe.upload(large, "large.jpg")),
        lambda: foe.analyze(foe.upload(deep, "deep.tiff")),
        lambda: foe.ask("POST", "/gradio_api/queue/join", b"[" * 900_000),
        lambda: foe.ask("POST", "/gradio_api/queue/join", b"[" + b"[]," * 300_000 + b"0]"),
        lambda: foe.ask("POST", "/gradio_api/component_server/", b"x" * 999_000),
        lambda: foe.ask("POST", "/gradio_api/run/analyze", b'{"data": [{"path": "/dev/zero"}]}'),
        lambda: foe.ask("GET", "/pwa_icon/12000"),
        lambda: foe.ask("GET", "/", headers={"Accept-Encoding": "br"}),
        half_upload,
        half_request,
    ]


def _encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@contextmanager
def under_attack(port: int, address: str) -> Iterator[None]:
    """Every attack again and again from a process of its own."""
    command = [sys.executable, __file__, "--attack", str(port), address]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()  # its pictures are made
        yield
    finally:
        process.kill()
        process.communicate()


def attack(port: int, address: str) -> None:
    """What that process does."""
    steps = attacks(port, address)
    print("ready", flush=True)

    def again(step: Callable[[], object]) -> None:
        while True:
            with suppress(OSError, http.client.HTTPException):
                step()
            time.sleep(0.05)

    _together([lambda step=step: again(step) for step in steps])  # type: ignore[misc]


# ------------------------------------------------------------------ the server and the table


@contextmanager
def served(command: list[str]) -> Iterator[tuple[int, int]]:
    """The app on a free port; the context is the port and the process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        _wait(port, process)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _wait(port: int, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError, http.client.HTTPException):
            Stranger(port, "127.0.0.1").ask("GET", "/config")
            return
        time.sleep(0.2)
    raise SystemExit("The app did not come up.")


def _live_component(port: int) -> int:
    config = json.loads(Stranger(port, "127.0.0.1").ask("GET", "/config")[1])
    components = config["components"]
    return next(int(one["id"]) for one in components if one["props"].get("elem_id") == "live-page")


def _peak_megabytes(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _frame() -> str:
    content = _encoded(Image.open(ASTRONAUT).convert("RGB").resize((480, 480)), quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()


def photo_seconds(stranger: Stranger, times: int) -> list[float]:
    """From the upload of a small photo to its answer."""
    spent = []
    for _ in range(times):
        start = time.monotonic()
        answer = stranger.analyze(stranger.upload(ASTRONAUT.read_bytes(), "astronaut.jpg"))
        assert b"complete" in answer, answer[:200]
        spent.append(time.monotonic() - start)
    return spent


def measure(command: list[str], seconds: float) -> None:
    """Print the table."""
    frame = _frame()
    with served(command) as (port, process):
        component = _live_component(port)
        honest = rates([Stranger(port, "127.0.0.1")] * 64, component, frame, seconds)
        mean = sum(honest) / len(honest)
        print(f"64 viewers, frames a second: least {min(honest):.2f}, mean {mean:.2f}")
        one = Stranger(port, "127.0.0.2")
        (alone,) = rates([one], component, frame, seconds / 2)
        with under_attack(port, "127.0.0.3"):
            crowd = [one, *[Stranger(port, "127.0.0.3")] * 63]
            photos: list[float] = []
            asker = threading.Thread(target=lambda: photos.extend(photo_seconds(one, 3)))
            asker.start()
            under = rates(crowd, component, frame, seconds)[0]
            asker.join()
        print(f"one viewer, frames a second: alone {alone:.2f}, under attack {under:.2f}")
        print(f"a photo under attack: slowest {max(photos):.2f} s")
        print(f"memory of the server at most: {_peak_megabytes(process):.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=12.0, help="of each measurement")
    parser.add_argument("--attack", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("command", nargs="*", help="starts the app; python app.py by default")
    arguments = parser.parse_args()
    if arguments.attack:
        attack(int(arguments.attack[0]), arguments.attack[1])
    else:
        measure(arguments.command or [sys.executable, "app.py"], arguments.seconds)


if __name__ == "__main__":
    main()
