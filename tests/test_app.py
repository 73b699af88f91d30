"""The app as its clients meet it: the public endpoint, hostile pictures, zips, live frames."""

import base64
import csv
import io
import json
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from agegenderemo.images import load_image
from agegenderemo.labels import EMOTIONS
from agegenderemo.results import CSV_FIELDS
from agegenderemo.tracking import Tracks
from agegenderemo.web import about, batch, live, photo
from agegenderemo.web.downloads import csv_text
from agegenderemo.web.options import launch_options
from app import build_demo

ROOT = Path(__file__).resolve().parents[1]
ASTRONAUT = ROOT / "examples" / "astronaut.jpg"


@pytest.fixture(scope="module")
def server(analyzer, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        demo = build_demo(analyzer)
        _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())
        yield url
        demo.close()


@pytest.fixture(scope="module")
def client(server):
    return Client(server, verbose=False)


# ------------------------------------------------------------------ the public endpoint


def test_gradio_client_reads_the_astronaut(client):
    result = client.predict(handle_file(str(ASTRONAUT)), api_name="/analyze")
    assert list(result) == ["file", "width", "height", "faces"]
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
    assert tuple(face["emotions"]) == EMOTIONS
    assert sum(face["emotions"].values()) == pytest.approx(1, abs=1e-3)
    assert face["emotion"] == max(face["emotions"], key=face["emotions"].get)


def test_only_analyze_is_public(client):
    endpoints = client.view_api(return_format="dict", print_info=False)
    assert list(endpoints["named_endpoints"]) == ["/analyze"]
    assert not endpoints["unnamed_endpoints"]


def test_other_events_refuse_a_client(client, server):
    dependencies = httpx.get(f"{server}config").json()["dependencies"]
    private = [d for d in dependencies if d["api_name"] != "analyze" and d["backend_fn"]]
    assert private
    assert all(d["api_visibility"] == "private" for d in private)
    for name in {d["api_name"] for d in private}:
        with pytest.raises(ValueError, match="Cannot find a function"):
            client.predict(api_name=f"/{name}")


def test_no_picture_is_a_sentence(client):
    with pytest.raises(AppError, match="No picture was sent"):
        client.predict(None, api_name="/analyze")


# ------------------------------------------------------------------ hostile pictures


def _save(path, image, **options):
    image.save(path, **options)
    return path


def _truncated(folder):
    path = folder / "truncated.jpg"
    path.write_bytes(ASTRONAUT.read_bytes()[:20000])
    return path


def _written(name, content):
    def make(folder):
        path = folder / name
        path.write_bytes(content)
        return path

    return make


def _grey16(folder):
    grey = np.asarray(Image.open(ASTRONAUT).convert("L")).astype(np.uint16) * 257
    return _save(folder / "grey16.png", Image.fromarray(grey))


def _palette(folder):
    image = Image.open(ASTRONAUT).convert("P", palette=Image.Palette.ADAPTIVE)
    return _save(folder / "palette.png", image, transparency=0)


def _animation(folder):
    frames = [Image.open(ASTRONAUT), Image.new("RGB", (512, 512))]
    return _save(folder / "moving.gif", frames[0], save_all=True, append_images=frames[1:])


def _plain(name, size, mode="RGB"):
    return lambda folder: _save(folder / name, Image.new(mode, size))


def _cmyk(folder):
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
def test_odd_pictures_are_read(client, analyzer, tmp_path, case):
    make, size, faces = READABLE[case]
    path = str(make(tmp_path))
    result = client.predict(handle_file(path), api_name="/analyze")
    assert (result["width"], result["height"]) == size
    assert len(result["faces"]) == faces
    message, annotated, *_ = photo._photo_shower(analyzer)(path)
    assert ("1 face," if faces else "No face was found") in message
    assert max(annotated["value"].shape) <= photo.MAX_SHOWN_SIDE
    with zipfile.ZipFile(tmp_path / "annotated.zip", "w") as archive:
        assert list(batch.analyze_items(analyzer, batch.read_items([path]), archive)) == [result]


@pytest.mark.parametrize("case", UNREADABLE)
def test_broken_pictures_are_one_sentence(client, analyzer, tmp_path, case):
    make, words = UNREADABLE[case]
    path = make(tmp_path)
    with pytest.raises(AppError, match=words) as raised:
        client.predict(handle_file(str(path)), api_name="/analyze")
    assert "Traceback" not in str(raised.value)
    message = photo._photo_shower(analyzer)(str(path))[0]
    assert words in message
    assert 'class="note bad"' in message


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(client, tmp_path, orientation):
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


# ------------------------------------------------------------------ Photo


def test_photo_shows_every_face_of_solvay(analyzer, server):
    shown = photo._photo_shower(analyzer)(str(ROOT / "examples" / "solvay-1927.jpg"))
    message, annotated, _, cards, title, chart, table, json_path, csv_path, faces = shown
    assert "29 faces" in message
    assert len(faces) == 29
    assert cards.count('class="face-card"') == 29
    assert cards.count('aria-pressed="true"') == 1
    assert annotated["value"].shape == (1013, 1400, 3)
    assert "Face 1" in title
    assert len(chart.data[0].x) == 8
    assert table.count("<tr>") == 30
    result = json.loads(Path(json_path).read_text(encoding="utf-8"))
    assert result["file"] == "solvay-1927.jpg"
    assert len(result["faces"]) == 29
    with open(csv_path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["face"] for row in rows] == [str(i) for i in range(1, 30)]
    assert float(rows[0]["age"]) == result["faces"][0]["age"]


def test_csv_keeps_errors_and_disarms_formulas():
    rows = list(csv.DictReader(io.StringIO(csv_text([{"file": "=1+1.png", "error": "Broken."}]))))
    assert tuple(rows[0]) == CSV_FIELDS
    assert (rows[0]["file"], rows[0]["error"]) == ("'=1+1.png", "Broken.")


# ------------------------------------------------------------------ Many photos


@pytest.fixture
def odd_zip(tmp_path):
    path = tmp_path / "odd.zip"
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.write(ASTRONAUT, "a.jpg")
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(ASTRONAUT, "../../escape.jpg")
        archive.write(ASTRONAUT, "..\\..\\windows.jpg")
        archive.write(ASTRONAUT, "/absolute/place.jpg")
        archive.writestr("folder/", b"")
        archive.writestr("__MACOSX/._a.jpg", b"x")
        archive.writestr("notes.txt", b"x")
        archive.writestr("inner.zip", inner.getvalue())
        archive.writestr("broken.jpg", b"x" * 100)
        archive.writestr("empty.png", b"")
    return path


def test_a_zip_with_escaping_names_is_read_in_memory(odd_zip, tmp_path):
    before = sorted(p for p in tmp_path.parent.rglob("*") if p.is_file())
    items = {item.name: item for item in batch.read_items([odd_zip])}
    assert sorted(p for p in tmp_path.parent.rglob("*") if p.is_file()) == before
    assert set(items) == {
        "escape.jpg", "windows.jpg", "place.jpg", "notes.txt", "inner.zip", "broken.jpg",
        "empty.png",
    }  # fmt: skip
    assert items["escape.jpg"].content == ASTRONAUT.read_bytes()
    assert "Not a picture" in items["notes.txt"].error
    assert "zip inside a zip" in items["inner.zip"].error


def test_batch_has_a_row_for_every_picture(analyzer, server, odd_zip, tmp_path):
    text = tmp_path / "text.png"
    text.write_text("hello")
    shown = batch._batch_shower(analyzer)([str(odd_zip), str(text), str(ASTRONAUT)])
    message, _, table, json_path, csv_path, zip_path = shown
    assert "4 pictures read, 4 faces; 5 could not be read" in message
    results = json.loads(Path(json_path).read_text(encoding="utf-8"))
    errors = {r["file"]: r["error"] for r in results if "error" in r}
    assert set(errors) == {"notes.txt", "inner.zip", "broken.jpg", "empty.png", "text.png"}
    assert errors["text.png"] == (
        "Cannot read text.png: it is not an image that can be opened (JPEG, PNG, WebP, …)."
    )
    assert all(error in table for error in errors.values())
    with open(csv_path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows if row["error"]] == list(errors)
    with zipfile.ZipFile(zip_path) as archive:
        assert len(archive.namelist()) == 4 == len(set(archive.namelist()))
        with Image.open(io.BytesIO(archive.read(archive.namelist()[0]))) as picture:
            assert picture.size == (512, 512)


def test_zip_limits(tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "MAX_PICTURES", 3)
    monkeypatch.setattr(batch, "MAX_PICTURE_BYTES", 1000)
    monkeypatch.setattr(batch, "MAX_TOTAL_BYTES", 1500)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, size in {"big.png": 5000, "a.png": 900, "b.png": 900, "c.png": 1}.items():
            archive.writestr(name, b"\0" * size)
    big, a, b, c = batch.read_items([path])
    assert big.content is None
    assert "Larger than" in big.error
    assert a.content is not None
    assert b.content is None
    assert "unpacks to more than" in b.error
    assert c.content is None
    assert "Only 3 pictures" in c.error


def test_encrypted_and_damaged_zips_are_rows(tmp_path):
    path = tmp_path / "locked.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"abc")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of an encrypted member
    path.write_bytes(content)
    (item,) = batch.read_items([path])
    assert "password" in item.error
    path.write_bytes(b"PK\x03\x04 nonsense")
    (item,) = batch.read_items([path])
    assert "damaged" in item.error


# ------------------------------------------------------------------ Live


def _data_url(image, kind="JPEG"):
    stream = io.BytesIO()
    image.save(stream, kind)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


VIEWER = "a-viewer-of-the-tests"


def read_frames(analyzer, viewers=None):
    read = live.frame_reader(analyzer, live.Viewers() if viewers is None else viewers)
    return lambda frame, viewer=VIEWER: read({"viewer": viewer, "frame": frame})


def test_a_live_frame_is_read_and_nothing_is_written(server, analyzer, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    frame = Image.fromarray(load_image(ASTRONAUT)).resize((480, 480))
    reply = read_frames(analyzer)(_data_url(frame))
    assert (reply["width"], reply["height"]) == (480, 480)
    assert len(reply["faces"]) == 1
    assert json.loads(json.dumps(reply)) == reply
    assert not list(tmp_path.iterdir())


def test_bad_frames_are_refused_before_decoding(analyzer, monkeypatch):
    read = read_frames(analyzer)
    prefix = "data:image/jpeg;base64,"
    monkeypatch.setattr(live.np, "array", pytest.fail)
    cases = {
        "JPEG data URL": (None, 7, "", "hello", ["x"], "data:image/png;base64,AAAA"),
        "can be read": (prefix, prefix + "%%%%", prefix + "AAAA",
                        _data_url(Image.new("RGB", (9, 9)), "PNG")),
        "1280×960": (_data_url(Image.new("RGB", (4000, 3000))),),
        "300 kB": (prefix + "A" * 500_000,),
    }  # fmt: skip
    for words, frames in cases.items():
        for data in frames:
            reply = read(data)
            assert words in reply["error"]
            assert not reply["busy"]


def test_a_truncated_frame_is_refused(analyzer):
    whole = _data_url(Image.fromarray(load_image(ASTRONAUT)))
    half = whole[: len(whole) // 8 * 4 + 3]  # the prefix has 23 characters, so whole groups of 4
    assert "can be read" in read_frames(analyzer)(half)["error"]


def test_live_calls_wait_their_turn(analyzer, monkeypatch):
    monkeypatch.setattr(live, "FRAMES_AT_ONCE", 0)
    monkeypatch.setattr(live, "WAIT_SECONDS", 0.01)
    reply = read_frames(analyzer)("x")
    assert reply["busy"]
    assert "busy" in reply["error"]


def test_live_messages_must_name_their_viewer(analyzer):
    read = live.frame_reader(analyzer, live.Viewers())
    for message in (None, "x", [], {}, {"viewer": 7}, {"viewer": "short"}, {"viewer": "x" * 65}):
        assert "viewer" in read(message)["error"]


def test_a_viewer_keeps_the_person_and_leaves(analyzer):
    viewers = live.Viewers()
    read = read_frames(analyzer, viewers)
    frame = _data_url(Image.fromarray(load_image(ASTRONAUT)))
    numbers = [read(frame)["faces"][0]["person"] for _ in range(3)]
    assert numbers == [1, 1, 1]
    assert read(frame, "another-viewer")["faces"][0]["person"] == 1
    assert len(viewers) == 2
    assert live.frame_reader(analyzer, viewers)({"viewer": VIEWER}) == {"faces": []}
    assert len(viewers) == 1


def test_a_viewer_has_one_frame_under_way():
    viewers = live.Viewers()
    with viewers.turn(VIEWER, 0.0), viewers.turn("another-viewer", 0.0):
        with pytest.raises(live.FrameError) as refused, viewers.turn(VIEWER, 0.0):
            pass
        assert refused.value.busy
    with viewers.turn(VIEWER, 0.0):
        pass


def test_no_frame_brings_back_who_left():
    viewers = live.Viewers()
    with viewers.turn(VIEWER, 0.0) as keep:  # under way
        viewers.leave(VIEWER)
        keep(Tracks(searched=0.0))
    assert len(viewers) == 0
    with viewers.turn(VIEWER, 1.0) as keep:  # overtaken by the message that says so
        keep(Tracks(searched=1.0))
    assert len(viewers) == 0
    with viewers.turn("the next start", 2.0) as keep:
        keep(Tracks(searched=2.0))
    assert len(viewers) == 1


def test_viewers_who_left_cost_nothing():
    viewers = live.Viewers(most=3)
    for number in range(10):
        with viewers.turn(f"viewer-{number}", 0.0) as keep:
            keep(Tracks(searched=0.0))
    assert len(viewers) == 3
    with viewers.turn("viewer-9", live.STATE_SECONDS + 1.0) as keep:
        assert keep(None) == Tracks(searched=0.0)  # its own state stays while it is here
        assert len(viewers) == 1


def test_live_over_http(server):
    config = httpx.get(f"{server}config").json()
    (component,) = (c for c in config["components"] if c["props"].get("elem_id") == "live-page")
    call = {"component_id": component["id"], "fn_name": "read_frame", "session_hash": "test"}
    url = f"{server}gradio_api/component_server/"
    frame = _data_url(Image.fromarray(load_image(ASTRONAUT)))
    message = {"viewer": VIEWER, "frame": frame}
    reply = httpx.post(url, json={**call, "data": message}).json()
    assert len(reply["faces"]) == 1
    large = json.dumps({**call, "data": "x" * 10**6}).encode()
    assert httpx.post(url, content=large).status_code == 413
    chunks = (large[i : i + 50_000] for i in range(0, len(large), 50_000))
    assert httpx.post(url, content=chunks).status_code in (400, 413)
    assert httpx.post(url, json={**call, "fn_name": "preprocess", "data": ""}).status_code == 404


# ------------------------------------------------------------------ About and launching


def test_about_shows_the_figures_of_the_card_only():
    measured = {"data": "utkface", "split": "test", "n": 4741, "bands": []}
    measured |= {"age_mae": 5.4321, "age_sd": 6.5, "gender_accuracy": 0.9123}
    card = {"name": "some-name", "parameters": 1234567, "figures": {"utkface": measured}}
    html = about.about_html(card).replace("\N{NO-BREAK SPACE}", " ")
    for text in ("some-name", "1,234,567", "5.43 ± 6.50 years", "91.2 %", "4,741", "UTKFace, test"):
        assert text in html
    assert "FER+" not in about.figures_html(card["figures"])
    assert "No measured figures" in about.about_html({})


def test_launch_binds_localhost_except_on_spaces(monkeypatch):
    for name in ("SPACE_ID", "GRADIO_SERVER_NAME"):
        monkeypatch.delenv(name, raising=False)
    assert "server_name" not in launch_options()
    monkeypatch.setenv("SPACE_ID", "someone/space")
    assert launch_options()["server_name"] == "0.0.0.0"
    monkeypatch.setenv("GRADIO_SERVER_NAME", "127.0.0.1")
    assert "server_name" not in launch_options()


def test_the_page_keeps_nothing(server):
    config = httpx.get(f"{server}config").json()
    assert config["analytics_enabled"] is False
    assert httpx.get(f"{server}gradio_api/runs").status_code == 404
