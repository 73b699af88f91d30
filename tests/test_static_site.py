"""The static site: what the builder makes, and where and how it writes it."""

import gzip
import io
import json
import posixpath
import re
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest
import yaml
from chromium import ROOT
from PIL import Image
from static_pages import FAKE, page_folder, real_runtime, small_site

from agegenderemo import Analyzer, load_image
from agegenderemo.cli import main
from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.files import sha256, write_atomically
from agegenderemo.inference.backends import OnnxBackend
from agegenderemo.inference.graph import read_graph
from agegenderemo.inference.predictor import preprocess
from agegenderemo.inference.protobuf import external_tensors
from agegenderemo.model_info import seal_holds
from agegenderemo.resources import default_checkpoint, resource_folder
from agegenderemo.web.static_site import write
from agegenderemo.web.static_site.build import Site, build_site
from agegenderemo.web.static_site.serve import server
from agegenderemo.web.static_site.standalone import standalone
from agegenderemo.web.static_site.write import write_site

HASH = "[0-9a-f]{16}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return small_site(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def described(site: Site) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(site.files["site.json"])
    return found


def kept_offline(site: Site) -> dict[str, Any]:
    """What the service worker is told."""
    text = site.files["sw.js"].decode()
    (given,) = re.findall(r"^const SITE = (\{.*\});", text, re.MULTILINE)
    found: dict[str, Any] = json.loads(given)
    return found


# ---------------------------------------------------------------- what is built


def test_the_layout(site: Site, described: dict[str, Any]) -> None:
    app = described["app"]
    assert re.fullmatch(f"app-{HASH}", app)
    tops = {name for name in site.files if "/" not in name}
    assert tops == {"index.html", "site.json", "sw.js", "manifest.webmanifest", "README.md"}
    assert {name.split("/")[0] for name in site.files} - tops == {app, "files", "icons"}
    modules = {name.removeprefix(f"{app}/") for name in site.files if name.startswith(app)}
    assert modules == {
        "main.js", "offline.js", "page.css", "engine/deep.js",
        "web/js/words.js", "web/js/ribbon.js", "web/css/base.css",
    }  # fmt: skip
    assert set(described["files"]) == {"pnet", "rnet", "onet", "graph", "runtime", "wasm"}
    for path in described["licences"]:
        assert path in site.files


def test_names_are_hashes_and_the_gzipped_is_the_same(
    site: Site, described: dict[str, Any]
) -> None:
    for name, data in site.files.items():
        if not name.startswith("files/"):
            continue
        assert re.fullmatch(rf"files/[\w.-]+-{HASH}\.\w+(\.gz)?", name)
        plain = site.files[name.removesuffix(".gz")]
        assert sha256(plain)[:16] in name
        if name.endswith(".gz"):
            assert gzip.decompress(data) == plain
    for entry in described["files"].values():
        data = site.files[entry["path"]]
        assert (len(data), sha256(data)) == (entry["bytes"], entry["sha256"])
        if "gzip" in entry:
            assert len(site.files[entry["gzip"]]) == entry["gzip_bytes"] < len(data)
    assert {key for key, entry in described["files"].items() if "gzip" not in entry} == {"runtime"}


def test_the_same_inputs_give_the_same_bytes(site: Site, tmp_path: Path) -> None:
    again = small_site(tmp_path)
    assert list(again.files) == list(site.files)
    assert again.files == site.files


def test_another_page_has_another_name(site: Site, tmp_path: Path) -> None:
    other = small_site(tmp_path, "two")
    old, new = (json.loads(one.files["site.json"])["app"] for one in (site, other))
    assert old != new
    assert kept_offline(site)["build"] != kept_offline(other)["build"]
    assert {n for n in site.files if n.startswith("files/")} <= set(other.files)


def test_the_record_is_that_of_python(described: dict[str, Any]) -> None:
    analyzer = Analyzer.from_checkpoint(precision="int8")
    assert described["network"] == analyzer.network
    assert described["info"] == json.loads(json.dumps(analyzer.info.to_dict()))


def test_the_worker_keeps_all_that_the_page_needs(site: Site, described: dict[str, Any]) -> None:
    kept = kept_offline(site)
    assert kept["app"] == described["app"]
    listed = {path: digests for path, *digests in (*kept["hashed"], *kept["plain"])}
    assert set(listed) == set(site.files) - {"sw.js", "README.md"}
    for path, digests in listed.items():
        assert digests[0] == sha256(site.files[path])
        whole = site.files[path.removesuffix(".gz")]
        assert digests[-1] == sha256(whole)


def test_the_description_of_a_static_space(site: Site) -> None:
    _, front, text = site.files["README.md"].decode().split("---\n", 2)
    matter = yaml.safe_load(front)
    assert (matter["sdk"], matter["app_file"]) == ("static", "index.html")
    assert len(matter["short_description"]) <= 60
    assert "agegendernet in int8" in " ".join(text.split())


def test_an_installed_app_has_icons(site: Site) -> None:
    manifest = json.loads(site.files["manifest.webmanifest"])
    assert {one["purpose"] for one in manifest["icons"]} == {"any", "maskable"}
    assert {"192x192", "512x512"} == {one["sizes"] for one in manifest["icons"]}
    for one in manifest["icons"]:
        image = Image.open(io.BytesIO(site.files[posixpath.normpath(one["src"])]))
        assert f"{image.width}x{image.height}" == one["sizes"]
        pixels = np.asarray(image.convert("RGBA"))
        # A launcher may cut a circle of 80 % out of the maskable one: its corners are empty paper.
        corner = pixels[: image.height // 5, : image.width // 5]
        if one["purpose"] == "maskable":
            assert (corner == corner[0, 0]).all()
            assert corner[0, 0, 3] == 255
        else:
            assert len(np.unique(corner.reshape(-1, 4), axis=0)) > 1


# ---------------------------------------------------------------- the network


@pytest.fixture(scope="module")
def crops(examples: Path) -> Any:
    analyzer = Analyzer.from_checkpoint()
    image = load_image(examples / "solvay-1927.jpg")
    found = analyzer.analyze(image)
    return preprocess(
        np.asarray(analyzer.crops(image, [face.detection for face in found])), analyzer.info.input
    )


def test_the_int8_graph_stands_alone_and_answers_the_same(
    site: Site, described: dict[str, Any], crops: Any
) -> None:
    graph = site.files[described["files"]["graph"]["path"]]
    info, linked, weights, _ = read_graph(default_checkpoint(), "int8")
    assert external_tensors(linked)
    assert external_tensors(graph) == []
    assert seal_holds(graph)
    assert len(graph) < 11e6
    ours, theirs = OnnxBackend(graph, info), OnnxBackend(linked, info, weights)
    assert len(crops) > 20
    for name, expected in theirs(crops).items():
        np.testing.assert_allclose(ours(crops)[name], expected, rtol=0, atol=1e-6)


def test_a_graph_that_stands_alone_is_not_changed(site: Site, described: dict[str, Any]) -> None:
    graph = site.files[described["files"]["graph"]["path"]]
    assert standalone(graph, None) is graph


def test_a_float_graph_has_its_weights_beside_it(tmp_path: Path) -> None:
    site = build_site(default_checkpoint(), "float", FAKE, page_folder(tmp_path))
    described = json.loads(site.files["site.json"])
    graph, weights = (described["files"][key] for key in ("graph", "weights"))
    assert site.files[weights["path"]] == default_checkpoint().read_bytes()
    places = external_tensors(site.files[graph["path"]])
    assert {one.location for one in places} == {weights["location"]}
    assert described["network"]["precision"] == "float"
    assert weights["sha256"] == described["network"]["weights_sha256"]


# ---------------------------------------------------------------- on the disk


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_site_is_updated_and_what_is_not_ours_stays(site: Site, tmp_path: Path) -> None:
    out = tmp_path / "site"
    write_site(site, out)
    assert contents(out) == site.files
    (out / "CNAME").write_text("example.org")
    (out / "files" / f"old-{'0' * 16}.onnx").write_bytes(b"old")
    (out / "files" / f"old-{'0' * 16}.onnx.tmp").write_bytes(b"a part")
    (out / "files" / "mine.txt").write_bytes(b"mine")
    newer = small_site(tmp_path / "page", "two")
    write_site(newer, out)
    assert contents(out) == {**newer.files, "CNAME": b"example.org", "files/mine.txt": b"mine"}
    assert len(list(out.glob("app-*"))) == 1


@pytest.mark.parametrize("name", ["index.html", "site.json", "files/photo.jpg", ".git/config"])
def test_a_folder_of_somebody_else_is_refused(
    name: str, site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("{}")
    with pytest.raises(AgeGenderEmoError, match="other files than a site"):
        write_site(site, tmp_path)
    assert main(["static", "--out", str(tmp_path)]) == 2
    assert contents(tmp_path) == {name: b"{}"}
    assert capsys.readouterr().err.count("\n") == 1


def test_a_file_in_its_place_is_refused(site: Site, tmp_path: Path) -> None:
    out = tmp_path / "site"
    out.write_text("mine")
    with pytest.raises(AgeGenderEmoError, match="is no folder"):
        write_site(site, out)


@pytest.mark.parametrize("last", ["files/", "site.json", "index.html"])
def test_a_run_that_was_killed_left_the_old_site(
    last: str, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next one goes on, from an empty folder too."""
    out = tmp_path / "site"
    newer = small_site(tmp_path / "page", "two")
    real = write_atomically

    def until(path: Path, data: bytes) -> None:
        if path.relative_to(out).as_posix().startswith(last):
            raise KeyboardInterrupt
        real(path, data)

    for old in (None, site):
        with monkeypatch.context() as patch:
            if old:
                write_site(old, out)
            for stale in (out / "files").glob("*"):
                stale.unlink()  # so that there is something of each kind to write
            patch.setattr(write, "write_atomically", until)
            with pytest.raises(KeyboardInterrupt):
                write_site(newer, out)
        if old:
            assert (out / "index.html").read_bytes() == old.files["index.html"]
            modules = [name for name in old.files if name.startswith("app-")]
            assert all((out / name).is_file() for name in modules)
        write_site(newer, out)
        assert contents(out) == newer.files


# ---------------------------------------------------------------- the command

WITHOUT = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnx", "gradio", "fastapi", "starlette", "safetensors"):
            raise ImportError(f"blocked: {name}")

sys.meta_path.insert(0, Blocked())
from pathlib import Path
from agegenderemo.web.static_site import build, runtime
from agegenderemo.cli import main

runtime.find_runtime = lambda given: runtime.Runtime(b"export default 0;", given.read_bytes())
build.resource_folder = lambda name, real=build.resource_folder: (
    Path(sys.argv[1]) if name == "browser" else real(name))
sys.exit(main(sys.argv[2:]))
"""


def test_the_command_needs_the_light_installation_alone(tmp_path: Path) -> None:
    page_folder(tmp_path / "page")
    (tmp_path / "wasm").write_bytes(FAKE.wasm)
    options = ["static", "--out", str(tmp_path / "site"), "--runtime", str(tmp_path / "wasm")]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(tmp_path / "page"), *options],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""
    written = contents(tmp_path / "site")
    for path, data in written.items():
        if path.startswith("files/") and not path.endswith(".gz"):
            (line,) = [one for one in done.stdout.splitlines() if one.startswith(f"{path} ")]
            assert f"{len(data) / 1e3:,.1f}" in line.split()
    total = sum(map(len, written.values()))
    assert f"{total / 1e6:.1f} MB in {len(written)} files" in done.stdout


def test_every_byte_is_in_the_list(site: Site) -> None:
    total = sum(row.bytes + (row.gzip_bytes or 0) for row in site.rows)
    assert total == sum(map(len, site.files.values()))


def test_the_package_has_the_real_page() -> None:
    assert (resource_folder("browser") / "sw.js").is_file()


# ---------------------------------------------------------------- to look at it


def test_the_server_sends_files_with_their_kinds(site: Site, tmp_path: Path) -> None:
    write_site(site, tmp_path / "site")
    with server(tmp_path / "site", 0) as serving:
        Thread(target=serving.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{serving.server_address[1]}/"
        kinds = {}
        for name, data in site.files.items():
            with urlopen(address + name) as answer:
                assert answer.read() == data
                assert answer.headers.get("Content-Encoding") is None
                kinds[Path(name).suffix] = answer.headers.get_content_type()
                kept = "immutable" in answer.headers["Cache-Control"]
                assert kept == name.startswith(("app-", "files/"))
        with pytest.raises(HTTPError, match="404"):
            urlopen(f"{address}files/")
        with urlopen(address) as answer:
            assert answer.read() == site.files["index.html"]
        serving.shutdown()
    assert kinds[".mjs"] == kinds[".js"] == "text/javascript"
    assert kinds[".wasm"] == "application/wasm"
    assert kinds[".webmanifest"] == "application/manifest+json"
    assert kinds[".gz"] == "application/gzip"


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    with server(tmp_path, 0) as first:
        for port in (first.server_address[1], 70000):
            with pytest.raises(AgeGenderEmoError, match="cannot be had"):
                server(tmp_path, port)


def test_the_real_runtime_is_what_the_code_says() -> None:
    runtime = real_runtime()
    assert len(runtime.wasm) > 10e6
    # Nothing that the policy forbids.
    assert not re.search(rb"\beval\(|new Function\(", runtime.module)
