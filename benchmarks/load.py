"""How fair the demo is under load, by the acceptance of its guard.

``python benchmarks/load.py`` starts the app and prints a table with the bars: 64 honest viewers;
one viewer at 127.0.0.2, alone and while 63 viewers and every attack come from 127.0.0.3; a photo
meanwhile; and the server's memory. It takes three times ``--seconds`` and 20 more. Linux only:
every 127.x.y.z is this machine there.

What measures must be cheap, for it shares the cores with the server: viewers are coroutines of one
loop that send bytes made beforehand, and look for one word in the answer. On a machine that others
use too, the processor time of a frame says more than the frames a second.
"""

import argparse
import asyncio
import base64
import contextlib
import http.client
import io
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
ASTRONAUT = ROOT / "examples" / "astronaut.jpg"
SOLVAY = ROOT / "examples" / "solvay-1927.jpg"
HONEST, ATTACKER = "127.0.0.2", "127.0.0.3"
VIEWERS = 64
_PATIENCE = 120.0  # seconds until the app must be up
_CLOSED = (OSError, http.client.HTTPException)


class Stranger:
    """Requests from one loopback address to the server's port, each on its own connection."""

    def __init__(self, port: int, address: str) -> None:
        self.port, self.address = port, address

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Status and body of one answer; raises OSError or http.client.HTTPException."""
        with contextlib.closing(
            http.client.HTTPConnection(
                "127.0.0.1", self.port, timeout=60, source_address=(self.address, 0)
            )
        ) as connection:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()

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


# ------------------------------------------------------------------ viewers of Live


async def _watch(
    stranger: Stranger, component: int, frames: Sequence[bytes], until: float
) -> tuple[int, float]:
    """Be a viewer of Live with one frame after another; how many were read, and the longest wait
    between two answers."""
    viewer = uuid.uuid4().hex
    bodies = [_live_body(component, viewer, frame) for frame in frames]
    head = "POST /gradio_api/component_server/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
    requests = [f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies]
    read, sent, longest, last = 0, 0, 0.0, time.monotonic()
    writer: asyncio.StreamWriter | None = None
    while time.monotonic() < until:
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", stranger.port, local_addr=(stranger.address, 0)
                )
            writer.write(requests[sent % len(requests)])
            sent += 1
            answer = await _answer(reader)
        except (OSError, asyncio.IncompleteReadError):
            if writer is not None:
                writer.close()
            writer = None
            await asyncio.sleep(0.1)
            continue
        if b'"faces"' not in answer:
            await asyncio.sleep(0.1)
            continue
        read += 1
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    if writer is not None:
        writer.close()
    return read, max(longest, until - last)


def _live_body(component: int, viewer: str, frame: bytes) -> bytes:
    start = {"component_id": component, "fn_name": "read_frame", "session_hash": viewer}
    url = "data:image/jpeg;base64," + base64.b64encode(frame).decode()
    return json.dumps({**start, "data": {"viewer": viewer, "frame": url}}).encode()


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    return await reader.readexactly(int(head.partition(b"content-length:")[2].split()[0]))


def watch(
    strangers: Sequence[Stranger], component: int, frames: Sequence[bytes], seconds: float
) -> tuple[list[float], float]:
    """Frames a second of each of several viewers at once, and the longest wait of any."""

    async def all_of_them() -> list[tuple[int, float]]:
        until = time.monotonic() + seconds
        return await asyncio.gather(*(_watch(one, component, frames, until) for one in strangers))

    counts = asyncio.run(all_of_them())
    return [read / seconds for read, _ in counts], max(wait for _, wait in counts)


def film(frames: int = 8) -> list[bytes]:
    """What a camera of 640×480 sends, as JPEG: a face that moves a little."""
    wide = Image.open(ASTRONAUT).convert("RGB").resize((660, 660))
    lefts = [2 * min(i, frames - i) for i in range(frames)]
    return [_encoded(wide.crop((left, 20, left + 640, 500)), quality=80) for left in lefts]


# ------------------------------------------------------------------ attacks


def attacks(port: int, address: str, component: int) -> list[Callable[[], object]]:
    """One step of each attack; they are repeated as long as the measurement runs."""
    foe = Stranger(port, address)
    batch = _batch_function(foe)
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        for number in range(100):
            archive.write(SOLVAY, f"{number}.jpg")
    large = _encoded(Image.open(ASTRONAUT).resize((12000, 9000)))
    deep = _encoded(Image.new("F", (7000, 7000)), "TIFF", compression="tiff_deflate")
    noise = np.random.default_rng(21).integers(0, 256, (120, 160, 3), np.uint8)
    wild = _encoded(Image.fromarray(noise).resize((1280, 960)), quality=60)

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

    def post(path: str, body: bytes) -> Callable[[], object]:
        return lambda: foe.ask("POST", f"/gradio_api/{path}", body)

    def long_batch() -> None:
        session = uuid.uuid4().hex
        path = foe.upload(zipped.getvalue(), "a.zip")
        call = {"data": [[{"path": path}]], "fn_index": batch, "session_hash": session}
        foe.ask("POST", "/gradio_api/queue/join", json.dumps(call).encode())
        foe.ask("GET", f"/gradio_api/queue/data?session_hash={session}")

    return [
        long_batch,
        lambda: foe.analyze(foe.upload(large, "large.jpg")),
        lambda: foe.analyze(foe.upload(deep, "deep.tiff")),
        # Large frames without a face, each of another viewer.
        lambda: post("component_server/", _live_body(component, uuid.uuid4().hex, wild))(),
        post("queue/join", b"[" * 900_000),
        post("queue/join", b"[" + b"[]," * 300_000 + b"0]"),
        post("component_server/", b"x" * 999_000),
        post("run/analyze", b'{"data": [{"path": "/dev/zero"}]}'),
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
def under_attack(port: int, address: str, component: int) -> Iterator[None]:
    """Every attack again and again from a process of its own."""
    command = [sys.executable, __file__, "--attack", str(port), address, str(component)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()  # its pictures are made
        yield
    finally:
        process.kill()
        process.communicate()


def attack(port: int, address: str, component: int) -> None:
    """What that process does."""
    steps = attacks(port, address, component)
    print("ready", flush=True)

    def again(step: Callable[[], object]) -> None:
        while True:
            with suppress(*_CLOSED):
                step()
            time.sleep(0.05)

    for step in steps:
        threading.Thread(target=again, args=(step,)).start()


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
        with suppress(*_CLOSED):
            Stranger(port, "127.0.0.1").ask("GET", "/config")
            return
        time.sleep(0.2)
    raise SystemExit("The app did not come up.")


def _live_component(port: int) -> int:
    config = json.loads(Stranger(port, "127.0.0.1").ask("GET", "/config")[1])
    components = config["components"]
    return next(int(one["id"]) for one in components if one["props"].get("elem_id") == "live-page")


def _batch_function(stranger: Stranger) -> int:
    config = json.loads(stranger.ask("GET", "/config")[1])
    components = config["components"]
    (own,) = (one["id"] for one in components if one["props"].get("elem_id") == "batch-input")
    return next(int(one["id"]) for one in config["dependencies"] if one["inputs"] == [own])


def _peak_megabytes(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _processor_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def photo_seconds(stranger: Stranger, until: float) -> list[float]:
    """From the upload of a small photo to its answer, one after another."""
    spent = []
    while time.monotonic() < until:
        start = time.monotonic()
        answer = stranger.analyze(stranger.upload(ASTRONAUT.read_bytes(), "astronaut.jpg"))
        assert b"complete" in answer, answer[:200]
        spent.append(time.monotonic() - start)
        time.sleep(1)
    return spent


def _row(what: str, measured: str, bar: str, held: bool) -> None:
    print(f"| {what} | {measured} | {bar} | {'yes' if held else 'no'} |", flush=True)


def measure(command: list[str], seconds: float, viewers: int) -> None:
    """Print the table."""
    frames = film()
    print("| what | measured | bar | held |\n| --- | --- | --- | --- |")
    with served(command) as (port, process):
        component = _live_component(port)
        began, used, server = time.monotonic(), _own_seconds(), _processor_seconds(process)
        all_, wait = watch([Stranger(port, "127.0.0.1")] * viewers, component, frames, seconds)
        mean, least = sum(all_) / len(all_), min(all_)
        share = (_own_seconds() - used) / (time.monotonic() - began)
        _row(f"{viewers} viewers, frames a second", f"{least:.2f} to {max(all_):.2f}, mean "
             f"{mean:.2f}; longest wait {wait:.1f} s", "each 1 and half of the mean",
             least >= max(1, mean / 2))  # fmt: skip
        spent = (_processor_seconds(process) - server) / max(1, sum(all_) * seconds)
        _row("processor time a frame", f"{1000 * spent:.1f} ms", "", True)
        _row("memory so far", f"{_peak_megabytes(process):.0f} MB", "", True)
        one = Stranger(port, HONEST)
        (alone,), _ = watch([one], component, frames, seconds)
        with under_attack(port, ATTACKER, component):
            photos: list[float] = []
            until = time.monotonic() + seconds
            asker = threading.Thread(target=lambda: photos.extend(photo_seconds(one, until)))
            asker.start()
            crowd = [one, *[Stranger(port, ATTACKER)] * (viewers - 1)]
            (under, *others), _ = watch(crowd, component, frames, seconds)
            asker.join()
        _row("one viewer, frames a second", f"alone {alone:.1f}, under attack {under:.1f}; the "
             f"{len(others)} viewers beside the attacks {sum(others) / len(others):.2f} each",
             "half of alone", under >= alone / 2)  # fmt: skip
        slowest = max(photos, default=float("inf"))
        _row(f"{len(photos)} photos meanwhile", f"slowest {slowest:.2f} s", "3 s", slowest <= 3)
        peak = _peak_megabytes(process)
        _row("memory of the server at most", f"{peak:.0f} MB", "1000 MB", peak < 1000)
        print(f"The viewers of the first row took {share:.0%} of a core themselves.")


def _own_seconds() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--viewers", type=int, default=VIEWERS)
    parser.add_argument("--attack", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("command", nargs="*", help="starts the app; python app.py by default")
    arguments = parser.parse_args()
    if arguments.attack:
        port, address, component = arguments.attack
        attack(int(port), address, int(component))
    else:
        command = arguments.command or [sys.executable, "app.py"]
        measure(command, arguments.seconds, arguments.viewers)


if __name__ == "__main__":
    main()
