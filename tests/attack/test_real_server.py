"""Everything that was done to the real app, and honest people beside it: issue 21 row by row."""

import base64
import io
import json
import random
import socket
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import fastapi
import httpx
import pytest
from chromium import running_app
from gradio_client import Client, handle_file
from pages import ASTRONAUT, SOLVAY, shown_file, stored
from PIL import Image
from real_server import CODE, Stranger, file, paths_in

from agegenderemo import Analyzer
from agegenderemo.resources import shipped_checkpoints
from agegenderemo.web.app import build_demo
from agegenderemo.web.guard import HostRules
from agegenderemo.web.guard.assembly import mount
from agegenderemo.web.guard.server import running
from agegenderemo.web.options import page_options

pytestmark = pytest.mark.slow

FOREIGN = (str(ASTRONAUT), "/etc/passwd", "/dev/zero", "/dev/ptmx", "http://127.0.0.1:1/a.jpg",
           "https://example.com/a.jpg", "../a.jpg", "")  # fmt: skip


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    """At the end, nothing of what was sent may have made a traceback."""
    # The tests are one busy address; pace and numbers of files have tests of their own.
    code = CODE.format(numbers="address_rate=100, address_files=20_000")
    with running_app(tmp_path_factory.mktemp("app"), code=code) as app:
        one = Stranger(app)
        yield one
        # It is stopped in the middle of a batch.
        photos = zipped({f"{n}.jpg": ASTRONAUT.read_bytes() for n in range(200)})
        (path,) = one.upload([("phone.zip", photos)])
        number = one.function("batch-input", "batch-run")["id"]
        assert one.join(number, [[file(path)]]).status_code == 200
        one.web.close()
        time.sleep(2)
        assert app.stop() == 0
        assert app.files() == []
        assert "Traceback" not in app.log()
        assert "terminate called" not in app.log()


# ------------------------------------------------------------------ honest people


def test_the_page_shows_and_hands_out_what_it_made(stranger: Stranger) -> None:
    (path,) = stranger.upload([("me.jpg", ASTRONAUT.read_bytes())])
    function = stranger.function("photo-input", "photo-picture")
    shown = stranger.run(function, [file(path)])
    paths = paths_in(shown)
    assert sorted(Path(one).name for one in paths) == ["me-faces.jpg", "me.csv", "me.json"]
    for one in [*paths, shown_file(str(shown))]:
        answer = stranger.fetch(one)
        assert answer.status_code == 200
        assert len(answer.content) > 100


def test_the_examples_can_be_chosen(stranger: Stranger) -> None:
    found = [paths_in(one["props"]) for one in stranger.components("photo-examples")]
    assert [len(paths) >= 2 for paths in found] == [True for _ in shipped_checkpoints()]
    for path in {path for paths in found for path in paths}:
        assert stranger.fetch(path).status_code == 200
        function = stranger.function("photo-input", "photo-picture")
        assert stranger.join(function["id"], [file(path)]).status_code == 200


def test_large_and_crowded_pictures_are_answered(stranger: Stranger, tmp_path: Path) -> None:
    client = Client(stranger.url, verbose=False)
    with Image.open(ASTRONAUT) as photo:
        photo.convert("RGB").resize((12_000, 9000)).save(tmp_path / "large.jpg")
    result = client.predict(handle_file(str(tmp_path / "large.jpg")), api_name="/analyze")
    assert (result["width"], result["height"], len(result["faces"])) == (12_000, 9000, 1)
    assert result["faces"][0]["box"][0] > 3000  # in pixels of the original
    with Image.open(SOLVAY) as group:
        crowd = Image.new("RGB", (2 * group.width, 2 * group.height))
        for x, y in ((0, 0), (1, 0), (0, 1), (1, 1)):
            crowd.paste(group, (x * group.width, y * group.height))
    crowd.save(tmp_path / "crowd.jpg")
    result = client.predict(handle_file(str(tmp_path / "crowd.jpg")), api_name="/analyze")
    assert len(result["faces"]) >= 100


def test_a_zip_of_200_photos_is_read(stranger: Stranger) -> None:
    photo = encoded(Image.open(ASTRONAUT).crop((100, 0, 340, 240)), "JPEG")
    records = stranger.many([("phone.zip", zipped({f"{n}.jpg": photo for n in range(200)}))])
    assert [len(one["faces"]) for one in records] == 200 * [1]


def test_a_mounted_app_is_answered_and_guarded(analyzer: Analyzer, tmp_path: Path) -> None:
    with stored(tmp_path) as store:
        web = fastapi.FastAPI()
        page = page_options(store.limits)
        rules = HostRules.of_server("127.0.0.1")
        mount(web, build_demo(analyzer, store), store, page, "/faces", rules)
        with running(web) as url:
            client = Client(f"{url}faces/", verbose=False)
            result = client.predict(handle_file(str(ASTRONAUT)), api_name="/analyze")
            assert len(result["faces"]) == 1
            body = {"data": [{"path": str(ASTRONAUT)}]}
            closed = httpx.post(f"{url}faces/gradio_api/run/analyze", json=body)
            assert closed.status_code == 404


# ------------------------------------------------------------------ what is not theirs


@pytest.mark.parametrize("path", FOREIGN)
def test_no_call_reads_what_was_not_sent(stranger: Stranger, path: str) -> None:
    answers = set()
    for value in ({"path": path}, file(path), {"path": path, "url": path}):
        body = {"data": [value]}
        for closed in ("run/analyze", "run/predict", "api/analyze", "api/predict"):
            answer = stranger.web.post(stranger.api + closed, json=body)
            assert answer.status_code == 404
        answers.add(stranger.web.post(f"{stranger.api}call/analyze", json=body))
        for number, data in _file_functions(stranger, value):
            answers.add(stranger.join(number, data))
    assert {answer.status_code for answer in answers} == {422}
    assert len({answer.text for answer in answers}) == 1  # it does not tell which files exist


def _file_functions(stranger: Stranger, value: Any) -> Iterator[tuple[int, list[Any]]]:
    """Functions that take a picture or files, also the private ones, with what to give them."""
    kinds = {one["id"]: one["type"] for one in stranger.config["components"]}
    found = 0
    for one in stranger.config["dependencies"]:
        inputs = [kinds[number] for number in one["inputs"]]
        if one["backend_fn"] and {"image", "file", "picturefile", "filesinput"} & set(inputs):
            found += 1
            yield one["id"], [[value] if kind[:4] == "file" else value for kind in inputs]
    assert found >= 3


@pytest.mark.parametrize("path", [*FOREIGN, "%2fetc%2fpasswd", "../../etc/passwd"])
def test_no_file_is_served_that_was_not_made_here(stranger: Stranger, path: str) -> None:
    for kind in ("file=", "file/", "proxy="):
        assert stranger.web.get(f"{stranger.api}{kind}{path}").status_code == 404


@pytest.mark.parametrize(
    "path",
    ["pwa_icon/12000", "pwa_icon", "openapi.json", "docs", "redoc", "monitoring",
     "monitoring/summary", "manifest.json", "gradio_api/openapi.json", "gradio_api/deep_link",
     "gradio_api/process_recording", "gradio_api/runs", "gradio_api/token", "login", "svelte/x",
     "gradio_api/queue/status", "gradio_api/vibe-code", "gradio_api/dev/reload"],
)  # fmt: skip
def test_what_the_page_does_not_need_is_closed(stranger: Stranger, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE"):
        assert stranger.web.request(method, stranger.url + path).status_code == 404


def test_bodies_have_a_megabyte(stranger: Stranger) -> None:
    body = json.dumps({"data": ["x" * 1_000_000]}).encode()
    for path in ("queue/join", "call/analyze", "component_server/", "cancel", "reset"):
        assert stranger.web.post(stranger.api + path, content=body).status_code == 413


def test_other_names_and_other_sites_are_refused(stranger: Stranger) -> None:
    get, post = stranger.web.get, stranger.web.post
    assert get(stranger.url, headers={"host": "rebound.example"}).status_code == 421
    call, body = f"{stranger.api}call/analyze", {"data": [None]}
    for origin in ("http://evil.example", "null", "http://localhost:1"):
        assert post(call, json=body, headers={"origin": origin}).status_code == 403
    own = stranger.url.rstrip("/")
    assert post(call, json=body, headers={"origin": own}).status_code == 200


def test_every_answer_carries_the_headers(stranger: Stranger) -> None:
    (made,) = stranger.upload([("a.jpg", b"x")])
    for path in ("", "config", "nothing", "theme.css", f"gradio_api/file={made}"):
        headers = stranger.web.get(stranger.url + path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "default-src 'self'" in headers["content-security-policy"]


def test_a_chosen_face_is_a_number_in_the_list(stranger: Stranger) -> None:
    functions = stranger.config["dependencies"]
    kinds = {one["id"]: one["type"] for one in stranger.config["components"]}
    choosers = [f for f in functions if [kinds[n] for n in f["inputs"]] == ["state"]]
    assert len(choosers) == len(shipped_checkpoints())  # one on the page of each network
    asked: list[Any] = [{"face": one} for one in (0, -1, True, "0", None, 1e9, [0], {"a": 1})]
    asked += [None, {}, {"fac": 0}, {"_data": 0}, 0, "face", [0]]
    for number, (chooser, data) in enumerate(product(choosers, asked)):
        session = f"chooser-{number}"
        body = {"data": [None], "fn_index": chooser["id"], "session_hash": session,
                "event_data": data}  # fmt: skip
        answer = stranger.web.post(f"{stranger.api}queue/join", json=body)
        assert answer.status_code == (200 if data is None or isinstance(data, dict) else 422)
        if answer.status_code == 200:
            told = stranger.web.get(f"{stranger.api}queue/data?session_hash={session}").text
            assert "That face is gone" in told


# ------------------------------------------------------------------ forged and mutated


def encoded(image: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    image.convert("RGB").save(stream, kind)
    return stream.getvalue()


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


def mutated(draw: random.Random, whole: bytes, most: int = 20) -> bytes:
    content = bytearray(whole)
    for _ in range(draw.randint(1, most)):
        content[draw.randrange(len(content))] = draw.randrange(256)
    return bytes(content[: draw.randrange(len(content))] if draw.random() < 0.1 else content)


def _forged(draw: random.Random) -> Any:
    frame = encoded(Image.new("RGB", (64, 48)), "JPEG")
    url = "data:image/jpeg;base64,"
    right = {"viewer": "a-forged-viewer", "frame": url + base64.b64encode(frame).decode()}
    broken = url + base64.b64encode(mutated(draw, frame)).decode()
    odd: list[Any] = [
        None,
        True,
        -1,
        1e308,
        "",
        "x" * 5000,
        "\0",
        "\ud800",
        [],
        {},
        [[]],
        {"a": [1]},
        url,
    ]
    changes: list[Any] = [
        {**right, "frame": broken},
        {**right, "viewer": draw.choice(odd)},
        {**right, "frame": draw.choice(odd)},
        {"viewer": draw.choice(odd)},
        {**right, draw.choice(["path", "meta", "__class__", "face"]): draw.choice(odd)},
        draw.choice(odd),
    ]
    return draw.choice(changes)


def test_200_forged_live_messages_are_answers_or_refusals(stranger: Stranger) -> None:
    draw = random.Random(21)
    for _ in range(200):
        answer = stranger.live(_forged(draw))
        assert answer.status_code < 500
        if answer.status_code == 200:
            reply = answer.json()
            assert ("faces" in reply) != ("error" in reply)


def test_300_mutated_pictures_are_rows(stranger: Stranger) -> None:
    draw, count = random.Random(21), 300
    small = Image.open(ASTRONAUT).resize((64, 64))
    whole = [encoded(small, kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")]
    files = [(f"{n}.jpg", mutated(draw, whole[n % 6])) for n in range(count)]
    records = stranger.many(files)
    assert [one["file"] for one in records] == [name for name, _ in files]
    assert {"error" in one for one in records} == {True, False}
    # The public endpoint meets some of them too.
    for path in stranger.upload(files[:6]):
        call = f"{stranger.api}call/analyze"
        event = stranger.web.post(call, json={"data": [file(path)]}).json()["event_id"]
        answer = stranger.web.get(f"{call}/{event}").text
        assert "event: complete" in answer or "Cannot read" in answer or "picture" in answer


def test_300_mutated_zips_are_rows(stranger: Stranger) -> None:
    draw, count = random.Random(21), 300
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    picture = encoded(Image.open(ASTRONAUT).resize((64, 64)), "JPEG")
    whole = [zipped({"a.jpg": picture, "b/c.jpg": picture, "d.png": b"no"}, one) for one in methods]
    records: list[dict[str, Any]] = []
    for start in range(0, count, 60):
        numbers = range(start, min(count, start + 60))
        records += stranger.many([(f"{n}.zip", mutated(draw, whole[n % 4], 4)) for n in numbers])
    assert len(records) >= count
    assert {"error" in one for one in records} == {True, False}


def test_a_damaged_entry_costs_its_own_row_only(stranger: Stranger) -> None:
    noise = random.Random(1).randbytes(5000)
    photo = ASTRONAUT.read_bytes()
    content = bytearray(zipped({"a.jpg": noise, "b.jpg": photo}, zipfile.ZIP_LZMA))
    content[200:1500] = bytes(1300)
    records = stranger.many([("a.zip", bytes(content)), ("c.jpg", photo)])
    assert [one["file"] for one in records] == ["a.jpg", "b.jpg", "c.jpg"]
    assert ["error" in one for one in records] == [True, False, False]


# ------------------------------------------------------------------ nothing stays


_SMALL_DISK = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))  # a disk that fills up
"""


def bad_ends() -> Iterator[tuple[str, bytes, bool]]:
    """Uploads that no honest page makes: what is sent after the request's head, and whether the
    connection stays open after it."""
    photo = ASTRONAUT.read_bytes()

    def form(content: bytes, name: str = "me.jpg", field: str = "files", end: bool = True) -> bytes:
        head = f'content-disposition: form-data; name="{field}"; filename="{name}"'
        return (
            b"--x\r\n" + head.encode() + b"\r\n\r\n" + content + (b"\r\n--x--\r\n" if end else b"")
        )

    yield "cut off", form(photo, end=False)[:-1000], False
    yield "left open", form(photo, end=False)[:-1000], True
    yield "longer than its form", form(photo) + b"more", False
    yield "another name of the field", form(photo, field="other"), False
    yield "a name that climbs", form(photo, "../../../me.jpg"), False
    yield "no picture", form(b"\0" * 1000, "me.exe"), False
    yield "more parts than may be", (form(b"x", end=False) + b"\r\n") * 600, False
    yield "no end of the form", form(photo, end=False), False
    yield "too large for the disk", form(b"\0" * 6_000_000, "me.zip"), False
    yield "cut off before its picture", b"--x\r\ncontent-disposition: form-data; name=", False


def test_bad_ends_of_uploads_a_kill_and_a_restart_leave_nothing(tmp_path: Path) -> None:
    long, short = (
        _SMALL_DISK + CODE.format(numbers=f"keep_seconds={n}, sweep_seconds=0.2, address_rate=100")
        for n in (600, 2)
    )
    with running_app(tmp_path, code=long) as app:
        own = len(app.files())  # the examples
        stranger = Stranger(app)
        (path,) = stranger.upload([("me.jpg", ASTRONAUT.read_bytes())])
        stranger.run(stranger.function("photo-input", "photo-picture"), [file(path)])
        open_ones = []
        for what, body, stays in bad_ends():
            length = len(body) + (1000 if what in ("cut off", "left open") else 0)
            connection = socket.create_connection(("127.0.0.1", app.port), timeout=10)
            connection.sendall(
                b"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
                + str(length).encode()
                + b"\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n"
            )
            with suppress(BrokenPipeError, ConnectionResetError):  # refused while it was sent
                connection.sendall(body)
            if stays:
                open_ones.append(connection)
            else:
                if what != "cut off":
                    with suppress(ConnectionResetError):
                        connection.recv(1000)
                connection.close()
        until(lambda: len(app.files()) > own + 1)  # a photo, its answer, and what is left open
        app.kill()
        for connection in open_ones:
            connection.close()
        assert Path(path).exists()  # it is a kill: nothing could be cleaned up
        app.command = ["-c", short]
        app.start()
        assert len(app.files()) == own
        # What came after the start is gone when it is old, and at the end.
        stranger = Stranger(app)
        (path,) = stranger.upload([("me.jpg", ASTRONAUT.read_bytes())])
        stranger.run(stranger.function("photo-input", "photo-picture"), [file(path)])
        until(lambda: len(app.files()) == own)
        assert stranger.fetch(path).status_code == 404
        assert "Traceback" not in app.log()
        app.stop()
        assert app.files() == []


def until(condition: Callable[[], bool], seconds: float = 6) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)
