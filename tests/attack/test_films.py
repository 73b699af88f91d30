"""Films as an attacker makes them: lists of other files, bombs, damage; and honest ones beside."""

import io
import random
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import made_films
import pytest
from chromium import running_app
from guard_app import META, WEB, files_in, guarded, upload
from made_films import at_rate, scene, write
from real_server import CODE, Stranger, file, paths_in

from agegenderemo import Analyzer
from agegenderemo.errors import FilmError
from agegenderemo.types import RGBImage
from agegenderemo.video.film import Film, FilmLimits, Frame
from agegenderemo.video.worker import WorkLimits, read_in_process
from agegenderemo.web.guard import Limits

LISTS = {
    "playlist": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
    "concatenation": "ffconcat version 1.0\nfile {url}\n",
    "session": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\n"
    "m=video {port} RTP/AVP 96\n",
    "manifest": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period>'
    "<AdaptationSet><Representation><BaseURL>{url}</BaseURL></Representation></AdaptationSet>"
    "</Period></MPD>",
    "redirection": "[Reference]\nRef1={url}\n",
}
DISGUISES = {
    "plainly": b"",
    "as MP4": b"\0\0\0\x10ftypisom\0\0\0\0",
    "as Matroska": b"\x1a\x45\xdf\xa3\x80",
    "as AVI": b"RIFF\0\x10\0\0AVI ",
}


def still(time: float) -> RGBImage:
    return scene([("astronaut", 160, 120, 150)])


def count(content: bytes, limits: FilmLimits | None = None) -> int:
    items = Film(io.BytesIO(content), "film", limits).items()
    return sum(isinstance(one, Frame) for one in items)


# ------------------------------------------------------------------ nothing else is opened


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("kind", LISTS)
def test_a_list_of_other_films_is_no_film(kind: str, disguise: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = LISTS[kind].format(url=f"http://127.0.0.1:{port}/a.ts", port=port)
        with pytest.raises(FilmError):
            count(DISGUISES[disguise] + text.encode())
        server.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody called
            server.accept()


def test_a_film_that_names_another_file_gets_nothing_of_it(tmp_path: Path) -> None:
    """QuickTime may say that its pictures lie in another file, by an alias."""
    whole = write(tmp_path / "a.mov", at_rate(still, 0.2))
    content = whole.read_bytes()
    start = content.index(b"dref") - 4
    (old,) = struct.unpack(">I", content[start : start + 4])
    secret = str(whole).encode()
    alias = bytes(150) + struct.pack(">hH", 2, len(secret)) + secret + struct.pack(">h", -1)
    entry = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    box = struct.pack(">I4sII", 16 + len(entry), b"dref", 0, 1) + entry
    outer = content[:start] + box + content[start + old :]
    for name in (b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        at = outer.rindex(name, 0, start) - 4
        (size,) = struct.unpack(">I", outer[at : at + 4])
        grown = struct.pack(">I", size + len(box) - old)
        outer = outer[:at] + grown + outer[at + 4 :]
    assert count(content) == 5
    with pytest.raises(FilmError, match="holds no frames"):
        count(outer)


# ------------------------------------------------------------------ bombs


def test_frames_that_grow_in_the_middle_are_not_decoded(tmp_path: Path) -> None:
    small = write(tmp_path / "a.ts", at_rate(still, 0.4)).read_bytes()
    large = write(
        tmp_path / "b.ts", at_rate(lambda time: scene([], size=(1280, 960)), 0.4)
    ).read_bytes()
    assert count(small + large) > 15
    film = Film(io.BytesIO(small + large), "film", FilmLimits(pixels=100_000))
    shapes = {one.image.shape for one in film.items() if isinstance(one, Frame)}
    assert shapes == {(240, 320, 3)}
    assert film.problem is not None
    with pytest.raises(FilmError, match="make it smaller"):
        count(large, FilmLimits(pixels=100_000))


def bomb(folder: Path) -> bytes:
    """An index of a hundred million frames, in the place of one of five."""
    content = bytearray(write(folder / "a.mp4", at_rate(still, 0.2)).read_bytes())
    many = 100_000_000
    at = content.index(b"stsz")
    content[at + 8 : at + 16] = struct.pack(">II", 1, many)
    at = content.index(b"stsc")
    content[at + 16 : at + 20] = struct.pack(">I", many)
    return bytes(content)


def read(analyzer: Analyzer, folder: Path, content: bytes, memory: int, work: float) -> float:
    """Seconds until a film was refused by the process that read it."""
    limits = WorkLimits(10**7, 60, 1000, work, memory, 10**7)
    (folder / "film.mp4").write_bytes(content)
    start = time.monotonic()
    with (
        (folder / "film.mp4").open("rb") as film,
        (folder / "a.csv").open("wb") as table,
        (folder / "b.mp4").open("wb") as drawn,
        pytest.raises(FilmError, match=r"^[^.]*film\.mp4[^.]*\.$"),
    ):
        read_in_process(analyzer, "film.mp4", film, table, drawn, limits, lambda done, whole: None)
    return time.monotonic() - start


@pytest.mark.slow
def test_a_bomb_ends_its_own_process_alone(analyzer: Analyzer, tmp_path: Path) -> None:
    assert read(analyzer, tmp_path, bomb(tmp_path), 1000 << 20, 60) < 60
    # As a hole in a decoder would end it: without a word.
    good = write(tmp_path / "good.mp4", at_rate(still, 0.2)).read_bytes()
    assert read(analyzer, tmp_path, good, 1 << 20, 60) < 60


@pytest.mark.parametrize("codec", ["libx264", "libvpx-vp9", "mpeg4"])
def test_mutated_films_are_films_or_sentences(tmp_path: Path, codec: str) -> None:
    suffix = {"libx264": "mp4", "libvpx-vp9": "webm", "mpeg4": "avi"}[codec]
    path = write(tmp_path / f"a.{suffix}", at_rate(still, 0.3), codec=codec)
    whole, draw, kinds = path.read_bytes(), random.Random(24), set()
    for _ in range(25):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 30)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        try:
            kinds.add(count(bytes(content), FilmLimits(10**6, 60, 1000, 10)) > 0)
        except FilmError:
            kinds.add(False)
    assert True in kinds


# ------------------------------------------------------------------ the server


@pytest.mark.slow
def test_uploads_of_films_are_bounded_and_sent_in_parts(tmp_path: Path) -> None:
    limits = Limits(picture_bytes=1000, film_bytes=1500, zip_bytes=3000, address_rate=100)
    with guarded(tmp_path, limits) as one:
        for name in ("a.mp4", "a.MOV", "b.webm"):
            assert upload(one.url, b"x" * 1501, name).status_code == 413
        assert files_in(one) == []
        content = random.Random(1).randbytes(1500)
        (path,) = upload(one.url, content, "a.mp4").json()
        address = f"{one.url}gradio_api/file={path}"
        for asked, low, high in (
            ("bytes=0-99", 0, 100), ("bytes=1400-", 1400, 1500), ("bytes=-10", 1490, 1500),
            ("bytes=1499-9999", 1499, 1500), ("bytes=-9999", 0, 1500), 
        ):  # fmt: skip
            answer = WEB.get(address, headers={"range": asked})
            assert answer.status_code == 206
            assert answer.content == content[low:high]
            assert answer.headers["content-range"] == f"bytes {low}-{high - 1}/1500"
            assert answer.headers["content-type"] == "video/mp4"
        for asked in ("bytes=1500-", "bytes=5-1", "bytes=-0", "bytes=-", "bytes=0-1,3-4", "x",
                      "bytes=" + "9" * 400 + "-"):  # fmt: skip
            answer = WEB.get(address, headers={"range": asked})
            assert (answer.status_code, answer.content) == (200, content)
        head = WEB.head(address, headers={"range": "bytes=0-9"})
        assert (head.status_code, head.headers["content-length"]) == (200, "1500")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    numbers = "address_rate=100, keep_seconds=60, sweep_seconds=0.5, film_seconds=0.5"
    with running_app(tmp_path_factory.mktemp("app"), code=CODE.format(numbers=numbers)) as app:
        one = Stranger(app)
        yield one
        one.web.close()
        assert app.stop() == 0
        assert app.files() == []
        assert "Traceback" not in app.log()


@pytest.mark.slow
def test_the_page_reads_a_film_and_refuses_what_is_none(stranger: Stranger, tmp_path: Path) -> None:
    function = stranger.function("video-input", "video-player")
    good = write(tmp_path / "me.mp4", at_rate(still, 1), sound="aac").read_bytes()
    films = [("me.mp4", good), ("list.mp4", LISTS["playlist"].format(url="/etc/passwd").encode()),
             ("bomb.mp4", bomb(tmp_path))]  # fmt: skip
    first, *others = stranger.upload(films)
    output = stranger.run(function, [file(first)])
    assert "Only the first" in output["data"][0]  # of the seconds that this server reads
    paths = paths_in(output)
    assert sorted(Path(one).suffix for one in paths) == [".csv", ".json", ".mp4"]
    for one in paths:
        assert len(stranger.fetch(one).content) > 100
    for path in others:
        output = stranger.run(function, [file(path)])
        assert "Cannot read" in output["data"][0]
        assert paths_in(output) == []


@pytest.mark.slow
def test_the_page_reads_no_film_that_was_not_sent(stranger: Stranger) -> None:
    number = stranger.function("video-input", "video-player")["id"]
    foreign = [str(made_films.EXAMPLES / "astronaut.jpg"), "/dev/zero", "http://127.0.0.1:1/a.mp4",
               "concat:/etc/passwd", "file:///etc/passwd"]  # fmt: skip
    for path in foreign:
        for value in ({"path": path}, {"path": path, "meta": META, "url": path}, [file(path)]):
            assert stranger.join(number, [value]).status_code == 422
