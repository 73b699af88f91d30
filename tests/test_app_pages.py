"""Photo, Many photos and About without a browser, and how the page is launched."""

import argparse
import csv
import io
import json
import os
import re
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import unquote

import httpx
import numpy as np
import pytest
from chromium import ROOT
from pages import ASTRONAUT, SOLVAY, run_many, shown_file
from PIL import Image

from agegenderemo import Analyzer
from agegenderemo.results import csv_fields, error_record
from agegenderemo.tasks import DEFAULT_TASKS
from agegenderemo.web import about, batch, photo
from agegenderemo.web.app import add_arguments, serve_options
from agegenderemo.web.downloads import csv_text
from agegenderemo.web.guard import Limits, Store
from agegenderemo.web.options import PORTS, listening_address
from agegenderemo.web.privacy import privacy_html, privacy_sentence

pytest_plugins = ["web_fixtures"]

# ------------------------------------------------------------------ Photo


def test_photo_shows_every_face_of_solvay(analyzer: Analyzer, store: Store) -> None:
    shown = photo._photo_shower(analyzer, store)(str(store.keep(SOLVAY)))
    message, shown_picture, _, cards, title, chart, table, json_path, csv_path, jpeg, faces = shown
    assert "29 faces" in message
    assert len(faces) == 29
    assert cards.count('class="face-card"') == 29
    assert cards.count('aria-pressed="true"') == 1
    assert 'data-said="29 faces: 73, male, neutral; ' in message
    with Image.open(SOLVAY) as original:
        wanted = np.asarray(original.convert("RGB"), int)
    for path, drawn in ((shown_file(shown_picture["value"]), False), (jpeg, True)):
        with store.open(path) as opened, Image.open(opened) as picture:
            assert picture.size == (1400, 1013)
            # Boxes are in the file to keep, and not in the one that is shown.
            assert (np.abs(np.asarray(picture, int) - wanted).max() > 100) == drawn
    drawn_faces = json.loads(unquote(re.findall('data-faces="([^"]+)"', shown_picture["value"])[0]))
    box = [round(v / n, 5) for v, n in zip(faces[0].box, (1400, 1013) * 2, strict=True)]
    assert (len(drawn_faces), drawn_faces[0]["box"]) == (29, box)
    assert drawn_faces[0]["words"] == "73 · male · neutral"
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


def test_csv_keeps_errors_and_disarms_formulas() -> None:
    rows = list(
        csv.DictReader(io.StringIO(csv_text([error_record("=1+1.png", "Broken.")], DEFAULT_TASKS)))
    )
    assert tuple(rows[0]) == csv_fields(DEFAULT_TASKS)
    assert (rows[0]["file"], rows[0]["error"]) == ("'=1+1.png", "Broken.")


# ------------------------------------------------------------------ Many photos


@pytest.fixture
def odd_zip(tmp_path: Path) -> Path:
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


def test_a_zip_with_escaping_names_is_read_in_memory(odd_zip: Path, store: Store) -> None:
    uploaded = store.keep(odd_zip)
    around = odd_zip.parent.parent
    before = sorted(p for p in around.rglob("*") if p.is_file())
    items = {item.name: item for item in batch.read_items([uploaded], store)}
    assert sorted(p for p in around.rglob("*") if p.is_file()) == before
    assert set(items) == {
        "escape.jpg", "windows.jpg", "place.jpg", "notes.txt", "inner.zip", "broken.jpg",
        "empty.png",
    }  # fmt: skip
    assert items["escape.jpg"].content == ASTRONAUT.read_bytes()
    assert "Not a picture" in (items["notes.txt"].error or "")
    assert "zip inside a zip" in (items["inner.zip"].error or "")


def test_batch_has_a_row_for_every_picture(
    analyzer: Analyzer, store: Store, odd_zip: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.png"
    text.write_text("hello")
    paths = [str(store.keep(path)) for path in (odd_zip, text, ASTRONAUT)]
    head, *lines, end = run_many(analyzer, store, paths)
    assert head == {"total": 9}
    assert end["message"].startswith("4 pictures read, 4 faces; 5 could not be read")
    json_path, csv_path, zip_path = (end["downloads"][key] for key in ("JSON", "CSV", "pictures"))
    results = json.loads(Path(json_path).read_text(encoding="utf-8"))
    errors = {r["file"]: r["error"] for r in results if "error" in r}
    assert set(errors) == {"notes.txt", "inner.zip", "broken.jpg", "empty.png", "text.png"}
    assert errors["text.png"] == (
        "Cannot read text.png: it is not an image that can be opened (JPEG, PNG, WebP, …)."
    )
    assert {one["file"]: one["error"] for one in lines if "error" in one} == errors
    assert all(len(one["crops"]) == len(one["faces"]) == 1 for one in lines if "faces" in one)
    with open(csv_path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows if row["error"]] == list(errors)
    with zipfile.ZipFile(zip_path) as archive:
        assert len(archive.namelist()) == 4 == len(set(archive.namelist()))
        with Image.open(io.BytesIO(archive.read(archive.namelist()[0]))) as picture:
            assert picture.size == (512, 512)


def test_zip_limits(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MAX_PICTURES", 3)
    monkeypatch.setattr(batch, "MAX_PICTURE_BYTES", 1000)
    monkeypatch.setattr(batch, "MAX_TOTAL_BYTES", 2500)  # what failed counts too
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, size in {"big.png": 5000, "a.png": 900, "b.png": 900, "c.png": 1}.items():
            archive.writestr(name, b"\0" * size)
    big, a, b, c = batch.read_items([store.keep(path)], store)
    assert big.content is None
    assert "Larger than" in (big.error or "")
    assert a.content is not None
    assert b.content is None
    assert "unpacks to too much" in (b.error or "")
    assert c.content is None
    assert "Only 3 pictures" in (c.error or "")


def test_encrypted_and_damaged_zips_are_rows(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "locked.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"abc")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of an encrypted member
    path.write_bytes(content)
    (item,) = batch.read_items([store.keep(path)], store)
    assert "password" in (item.error or "")
    path.write_bytes(b"PK\x03\x04 nonsense")
    (item,) = batch.read_items([store.keep(path)], store)
    assert "damaged" in (item.error or "")


# ------------------------------------------------------------------ About and launching


def test_about_names_no_terms_for_pictures_that_it_does_not_know() -> None:
    for known, told in (
        ({"training_faces": {"mine": 200}}, False),
        ({"training_faces": {"mine": 200, "utkface": 9}}, True),
        ({"training_faces": {"mine": 200}, "begin_with": [{"path": "a/b"}]}, True),
    ):
        html = about.about_html({"provenance": known}, DEFAULT_TASKS, Limits())
        assert ("trained on such pictures are for non-commercial" in html) == told
        assert ("The terms of these pictures are those of its weights" in html) != told


def test_about_shows_the_figures_of_the_card_only() -> None:
    tasks = {
        "age": {"kind": "regression", "unit": "years", "mae": 5.4321, "sd": 6.5},
        "gender": {"kind": "binary", "classes": ["female", "male"], "n": 4741, "accuracy": 0.9123},
    }
    measured = {"data": "utkface", "split": "test", "n": 4741, "tasks": tasks}
    card = {"name": "some-name", "parameters": 1234567, "figures": {"utkface": measured}}
    html = about.about_html(card, DEFAULT_TASKS, Limits()).replace("\N{NO-BREAK SPACE}", " ")
    for text in (
        "some-name",
        "1,234,567",
        "5.43 years",
        "6.50 years",
        "91.2 %",
        "4,741",
        "UTKFace, test",
    ):
        assert text in html
    assert "FER+" not in html
    assert "No measured figures" in about.about_html({}, DEFAULT_TASKS, Limits())


def test_about_says_of_the_shipped_network_what_it_is(analyzer: Analyzer) -> None:
    html = about.about_html(analyzer.card, analyzer.tasks, Limits())
    for text in (
        "an AgeGenderNet (9,365,552 parameters, faces of 96×96 pixels)",
        "trained on UTKFace, FER+ and FairFace",
        "reads age, gender and eight emotions together",
        "not their age, not their gender, not what they feel.",
        "Contempt, disgust and fear: rare",
    ):
        assert text in html


def test_launch_binds_localhost_except_on_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPACE_ID", "GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT"):
        monkeypatch.delenv(name, raising=False)
    host, port = listening_address()
    assert host == "127.0.0.1"
    assert port in PORTS
    monkeypatch.setenv("SPACE_ID", "someone/space")
    assert listening_address()[0] == "0.0.0.0"
    assert listening_address("127.0.0.1")[0] == "127.0.0.1"
    monkeypatch.setenv("GRADIO_SERVER_NAME", "127.0.0.1")
    assert listening_address()[0] == "127.0.0.1"
    monkeypatch.setenv("GRADIO_SERVER_PORT", "x")
    with pytest.raises(OSError, match="GRADIO_SERVER_PORT is 'x', not a port"):
        listening_address()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("GRADIO_SERVER_PORT", str(taken.getsockname()[1]))
        with pytest.raises(OSError, match="is taken"):
            listening_address()


def test_one_sentence_says_what_is_kept(analyzer: Analyzer, server: str, store: Store) -> None:
    sentence = privacy_sentence(store.limits)
    assert "31 minutes" in sentence
    assert "3 seconds" in privacy_sentence(Limits(keep_seconds=2, sweep_seconds=1))
    assert sentence in about.about_html(analyzer.card, analyzer.tasks, store.limits)
    config = httpx.get(f"{server}config").json()
    (line,) = (c for c in config["components"] if c["props"].get("elem_id") == "privacy")
    assert line["props"]["value"] == privacy_html(store.limits)
    assert (
        f"deleted {Limits().keep_seconds // 60:.0f} minutes after"
        in (ROOT / "SECURITY.md").read_text()
    )


def test_the_page_keeps_nothing(server: str) -> None:
    config = httpx.get(f"{server}config").json()
    assert config["analytics_enabled"] is False
    assert httpx.get(f"{server}gradio_api/runs").status_code == 404


# ------------------------------------------------------------------ the command


def run_app(*options: str, code: str = "", **environment: str) -> tuple[int, str]:
    """Exit status and error text of ``python app.py``, after some code."""
    script = f"{code}\nfrom agegenderemo.web.app import main\nraise SystemExit(main())"
    result = subprocess.run(
        [sys.executable, "-c", script, *options],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return result.returncode, result.stderr


def test_unknown_options_are_refused() -> None:
    status, text = run_app("--checkpiont", "x")
    assert status == 2
    assert "unrecognized arguments: --checkpiont" in text


def test_hosts_and_proxies_are_options() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    words = ["--allowed-host", "a.example", "--allowed-host", "b.example", "--trusted-proxy", "::1"]
    options = serve_options(parser.parse_args(words))
    assert options["allowed_hosts"] == ["a.example", "b.example"]
    assert options["trusted_proxies"] == ["::1/128"]
    status, text = run_app("--trusted-proxy", "nonsense")
    assert status == 2
    assert "--trusted-proxy" in text


@pytest.mark.parametrize("way", ["option", "environment"])
def test_a_missing_checkpoint_is_one_sentence(way: str) -> None:
    if way == "option":
        status, text = run_app("--checkpoint", "nowhere.safetensors")
    else:
        status, text = run_app(AGEGENDEREMO_CHECKPOINT="nowhere.safetensors")
    assert status == 2
    assert text.startswith("error: ")
    assert "nowhere.safetensors" in text
    assert text.count("\n") == 1


@pytest.mark.parametrize("package", ["gradio", "plotly"])
def test_a_missing_package_is_one_sentence(package: str) -> None:
    status, text = run_app(code=f"import sys; sys.modules[{package!r}] = None")
    assert status == 2
    assert text == "error: The page needs more packages: pip install 'agegenderemo[app]'.\n"


def test_a_page_that_is_up_has_not_drawn_yet() -> None:
    """What only a first chart needs would cost everyone's start."""
    code = """
import sys
from agegenderemo import Analyzer
from agegenderemo.web.app import build_demo
from agegenderemo.web.guard import Store
store = Store()
build_demo(Analyzer.from_checkpoint(), store)
store.close()
print([name for name in ("torch", "plotly.graph_objects", "matplotlib") if name in sys.modules])
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
