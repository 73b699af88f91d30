"""The public endpoint as its clients meet it, with good pictures and hostile ones."""

import shutil
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from pages import ASTRONAUT, shown_file
from PIL import Image

from agegenderemo import Analyzer
from agegenderemo.cli.sources import collect
from agegenderemo.imaging.draw import annotate
from agegenderemo.tasks import EMOTION
from agegenderemo.web import batch, many, photo
from agegenderemo.web.guard import Store
from agegenderemo.web.reading import read_photo

pytest_plugins = ["web_fixtures"]

Make = Callable[[Path], Path]

# ------------------------------------------------------------------ the public endpoint


def test_gradio_client_reads_the_astronaut(client: Client) -> None:
    result = client.predict(handle_file(str(ASTRONAUT)), api_name="/analyze")
    keys = ["schema_version", "file", "width", "height", "search", "faces", "network"]
    assert list(result) == keys
    assert (result["file"], result["width"], result["height"]) == ("astronaut.jpg", 512, 512)
    (face,) = result["faces"]
    x1, y1, x2, y2 = face["box"]
    assert 160 < x1 < 200
    assert 40 < y1 < 90
    assert 250 < x2 < 290
    assert 150 < y2 < 200
    assert 0 <= face["age"] <= 110
    assert face["gender"] in ("female", "male")
    assert 0.5 <= face["gender_probability"] <= 1
    assert tuple(face["emotions"]) == EMOTION.classes
    assert sum(face["emotions"].values()) == pytest.approx(1, abs=1e-3)
    assert face["emotion"] == max(face["emotions"], key=face["emotions"].get)


def test_only_analyze_is_public(client: Client) -> None:
    endpoints = client.view_api(return_format="dict", print_info=False)
    assert list(endpoints["named_endpoints"]) == ["/analyze"]
    assert not endpoints["unnamed_endpoints"]


def test_other_events_refuse_a_client(client: Client, server: str) -> None:
    dependencies = httpx.get(f"{server}config").json()["dependencies"]
    private = [d for d in dependencies if d["api_name"] != "analyze" and d["backend_fn"]]
    assert private
    assert all(d["api_visibility"] == "private" for d in private)
    for name in {d["api_name"] for d in private}:
        with pytest.raises(ValueError, match="Cannot find a function"):
            client.predict(api_name=f"/{name}")


def test_no_picture_is_a_sentence(client: Client) -> None:
    with pytest.raises(AppError, match="No picture was sent"):
        client.predict(None, api_name="/analyze")


# ------------------------------------------------------------------ hostile pictures


def _save(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def _truncated(folder: Path) -> Path:
    path = folder / "truncated.jpg"
    path.write_bytes(ASTRONAUT.read_bytes()[:20000])
    return path


def _written(name: str, content: bytes) -> Make:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return make


def _grey16(folder: Path) -> Path:
    grey = np.asarray(Image.open(ASTRONAUT).convert("L")).astype(np.uint16) * 257
    return _save(folder / "grey16.png", Image.fromarray(grey))


def _palette(folder: Path) -> Path:
    image = Image.open(ASTRONAUT).convert("P", palette=Image.Palette.ADAPTIVE)
    return _save(folder / "palette.png", image, transparency=0)


def _animation(folder: Path) -> Path:
    frames = [Image.open(ASTRONAUT), Image.new("RGB", (512, 512))]
    return _save(folder / "moving.gif", frames[0], save_all=True, append_images=frames[1:])


def _plain(name: str, size: tuple[int, int], mode: str = "RGB") -> Make:
    return lambda folder: _save(folder / name, Image.new(mode, size))


def _cmyk(folder: Path) -> Path:
    return _save(folder / "cmyk.jpg", Image.open(ASTRONAUT).convert("CMYK"))


READABLE = {
    "16-bit grey": (_grey16, (512, 512), 1),
    "CMYK": (_cmyk, (512, 512), 1),
    "palette with transparency": (_palette, (512, 512), 1),
    "animated GIF": (_animation, (512, 512), 1),
    "1x1": (_plain("dot.png", (1, 1)), (1, 1), 0),
    "20000x2": (_plain("line.png", (20000, 2)), (20000, 2), 0),
    "70000x2": (_plain("thread.png", (70000, 2)), (70000, 2), 0),
    "no face": (_plain("black.jpg", (640, 480)), (640, 480), 0),
}
UNREADABLE = {
    "truncated JPEG": (_truncated, "damaged or cut off"),
    "empty file": (_written("empty.jpg", b""), "is empty"),
    "text named .png": (_written("text.png", b"hello " * 50), "not an image"),
    "200 megapixels": (_plain("bomb.png", (20000, 10000), "1"), "megapixels"),
    "120 megapixels": (_plain("big.png", (12000, 10000), "1"), "megapixels"),
}


@pytest.mark.parametrize("case", READABLE)
def test_odd_pictures_are_read(
    client: Client, analyzer: Analyzer, store: Store, tmp_path: Path, case: str
) -> None:
    make, size, faces = READABLE[case]
    path = make(tmp_path)
    result = client.predict(handle_file(str(path)), api_name="/analyze")
    uploaded = str(store.keep(path))
    assert (result["width"], result["height"]) == size
    assert len(result["faces"]) == faces
    message, shown, *_ = photo._photo_shower(analyzer, store)(uploaded)
    assert ("1 face." if faces else "No face was found") in message
    with store.open(shown_file(shown["value"])) as file, Image.open(file) as picture:
        assert max(picture.size) <= photo.MAX_SHOWN_SIDE
    items = batch.read_items([uploaded], store)
    assert [batch.read_item(analyzer, one).record for one in items] == [result]


@pytest.mark.parametrize("case", UNREADABLE)
def test_broken_pictures_are_one_sentence(
    client: Client, analyzer: Analyzer, store: Store, tmp_path: Path, case: str
) -> None:
    make, words = UNREADABLE[case]
    path = make(tmp_path)
    with pytest.raises(AppError, match=words) as raised:
        client.predict(handle_file(str(path)), api_name="/analyze")
    assert "Traceback" not in str(raised.value)
    message = photo._photo_shower(analyzer, store)(str(store.keep(path)))[0]
    assert words in message
    assert 'class="note bad"' in message


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(client: Client, tmp_path: Path, orientation: int) -> None:
    upright = Image.open(ASTRONAUT).convert("RGB").crop((100, 0, 400, 400))
    undo = {  # what a camera that writes this orientation stores
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = upright if undo is None else upright.transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = _save(tmp_path / "turned.jpg", stored, exif=exif.tobytes(), quality=95)
    result = client.predict(handle_file(str(path)), api_name="/analyze")
    assert (result["width"], result["height"]) == (300, 400)
    (face,) = result["faces"]
    assert face["box"] == pytest.approx([81, 63, 169, 174], abs=15)


# ------------------------------------------------------------------ zips of many makers


def _legacy_zip(path: Path, names: list[bytes], content: bytes, extra: bytes = b"") -> Path:
    """A zip whose names are these bytes, as old programs write them: no flag says what they are."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            member = zipfile.ZipInfo("QZ"[number] * len(name))
            member.extra = extra
            archive.writestr(member, content)
    data = path.read_bytes()
    for number, name in enumerate(names):
        data = data.replace(b"QZ"[number : number + 1] * len(name), name)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("utf-8", ["café.jpg", "ünïcode/日本.jpg"]),
        ("cp437", ["Müller/Straße.jpg", "ÄÖÜ.jpg"]),
        ("cp1252", ["été à la mer.jpg", "plain.jpg"]),
        ("cp866", ["Отпуск/Ёлка в лесу.jpg", "Фото 1.jpg"]),
        ("cp1251", ["Мама и папа.jpg"]),
        ("cp932", ["写真/海の家.jpg", "カメラ.jpg"]),
        ("cp949", ["사진/가족 여행.jpg"]),
        ("gbk", ["照片/北京 长城.jpg"]),
    ],
)
def test_names_of_zips_are_shown_as_they_were_meant(
    encoding: str, names: list[str], store: Store, tmp_path: Path
) -> None:
    raw = [one.encode(encoding) for one in names]
    path = _legacy_zip(tmp_path / "legacy.zip", raw, ASTRONAUT.read_bytes())
    items = list(batch.read_items([store.keep(path)], store))
    assert [one.name for one in items] == [batch.base_name(one) for one in names]
    assert all(one.content == ASTRONAUT.read_bytes() for one in items)


def test_a_long_name_keeps_its_suffix(store: Store, tmp_path: Path) -> None:
    names = ["x" * 251 + ".jpg", "y" * 300 + ".HEIC", "z." + "z" * 300]
    with zipfile.ZipFile(tmp_path / "long.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    items = list(batch.read_items([store.keep(tmp_path / "long.zip")], store))
    assert [len(one.name) for one in items] == [200] * 3
    assert [one.error for one in items[:2]] == [None, None]
    assert [one.content for one in items[:2]] == [b"content"] * 2
    assert "Not a picture" in (items[2].error or "")


def test_a_name_that_a_zip_states_in_utf8_is_taken(store: Store, tmp_path: Path) -> None:
    raw = "naïve.jpg".encode("cp850")
    for crc, name in ((zlib.crc32(raw), "naïve ✓.jpg"), (7, "naïve.jpg")):
        field = b"\1" + struct.pack("<I", crc) + "naïve ✓.jpg".encode()
        extra = struct.pack("<HH", 0x7075, len(field)) + field
        path = _legacy_zip(tmp_path / "stated.zip", [raw], b"x", extra)
        (item,) = batch.read_items([store.keep(path)], store)
        assert item.name == name


def test_zips_folders_and_uploads_have_one_rule(
    analyzer: Analyzer, store: Store, tmp_path: Path
) -> None:
    face = Image.open(ASTRONAUT).crop((100, 0, 350, 250))
    heic = ASTRONAUT.parent.parent / "tests" / "files" / "phone.heic"
    files = {"a.jfif": "JPEG", "b.avif": "AVIF", "c.jp2": "JPEG2000", "d.TIF": "TIFF"}
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, kind in files.items():
        face.save(folder / name, kind)
    shutil.copy(heic, folder / "e.heic")
    (folder / "._a.jfif").write_bytes(b"\0\x05\x16\x07" + bytes(80))
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"photos/{path.name}")
            archive.write(path, f"__MACOSX/photos/._{path.name}")
    wanted = [*files, "e.heic"]
    assert [one.path.name for one in collect([folder]).found] == wanted
    uploads = [store.keep(path) for path in sorted(folder.iterdir())]
    for paths, shadows in (([store.keep(tmp_path / "photos.zip")], 7), (uploads, 1)):
        left: Counter[str] = Counter()
        items = list(batch.read_items(paths, store, left))
        assert [one.name for one in items] == wanted
        assert left.total() == shadows
        results = [batch.read_item(analyzer, one).record for one in items]
        assert [len(one["faces"]) for one in results] == [1] * 5
    assert many.summary(results, Counter(), Counter(a=1)).endswith(" 1 macOS shadow left out.")


def test_one_picture_never_ends_the_batch(
    analyzer: Analyzer, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = ASTRONAUT.read_bytes()
    items = [batch.Item(f"{number}.jpg", content) for number in range(3)]
    calls: list[int] = []

    def failing(real: Any, at: int) -> Any:
        def call(*given: Any) -> Any:
            calls.append(at)
            if calls.count(at) == at:
                raise RuntimeError("no sentence")
            return real(*given)

        return call

    monkeypatch.setattr(batch, "read_photo", failing(read_photo, 1))
    monkeypatch.setattr(batch, "annotate", failing(annotate, 2))
    first, second, third = (batch.read_item(analyzer, one) for one in items)
    assert first.record["error"] == "It could not be analyzed."
    assert len(second.record["faces"]) == len(third.record["faces"]) == 1
    assert [bool(one.drawn) for one in (first, second, third)] == [False, True, False]
