"""The static site: what the builder makes, and where and how it writes it."""

import gzip
import io
import json
import posixpath
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from static_pages import FAKE, page_folder, real_runtime, small_site

from agegenderemo import Analyzer, load_image
from agegenderemo.files import sha256
from agegenderemo.inference.backends import OnnxBackend
from agegenderemo.inference.graph import read_graph
from agegenderemo.inference.predictor import preprocess
from agegenderemo.inference.protobuf import external_tensors
from agegenderemo.model_info import seal_holds
from agegenderemo.resources import default_checkpoint
from agegenderemo.web.static_site.build import Site, build_site
from agegenderemo.web.static_site.standalone import standalone

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
        "main.js", "load.js", "offline.js", "page.css", "engine/deep.js",
        "web/js/words.js", "web/js/ribbon.js", "web/css/base.css",
    }  # fmt: skip
    # As they are written: what others name before those, the page last.
    names = list(site.files)
    assert names[-1] == "index.html"
    assert all(name.startswith((f"{app}/", "files/")) for name in names[: names.index("site.json")])
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


def test_a_network_of_any_name_has_addresses(tmp_path: Path) -> None:
    """What means something in an address does not stand in one; records have its name as it is."""
    name = "my #1 mod\u00e8l? 100%.v2"
    for path in default_checkpoint().parent.glob("agegendernet.*"):
        shutil.copy(path, tmp_path / f"{name}{path.name.removeprefix('agegendernet')}")
    checkpoint = tmp_path / f"{name}.safetensors"
    site = build_site(checkpoint, "int8", FAKE, page_folder(tmp_path / "page"))
    described = json.loads(site.files["site.json"])
    assert described["network"]["model"] == name
    assert described["files"]["graph"]["path"].startswith("files/my-1-mod-l-100-.v2.int8-")
    assert [path for path in site.files if not re.fullmatch(r"[\w./-]+", path, re.ASCII)] == []


# ---------------------------------------------------------------- the runtime


def test_the_real_runtime_is_what_the_code_says() -> None:
    runtime = real_runtime()
    assert len(runtime.wasm) > 10e6
    # Nothing that the policy forbids.
    assert not re.search(rb"\beval\(|new Function\(", runtime.module)
