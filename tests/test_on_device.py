"""The files with which browsers read frames themselves, as the app has them."""

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from static_pages import FAKE

from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.resources import default_checkpoint
from agegenderemo.web.on_device import DeviceFiles, find_for_app


def get(files: DeviceFiles, path: str, method: str = "GET") -> Any:
    return TestClient(files).request(method, path)


@pytest.fixture(scope="module")
def files() -> DeviceFiles:
    return DeviceFiles({"net": default_checkpoint()}, FAKE)


def test_it_has_what_the_page_asks_for(files: DeviceFiles) -> None:
    answer = get(files, "/net/site.json")
    assert answer.headers["cache-control"] == "no-cache"
    site: dict[str, Any] = answer.json()
    module = get(files, f"/net/{site['app']}/device.js")
    assert module.headers["content-type"].startswith("text/javascript")
    assert "immutable" in module.headers["cache-control"]
    assert "export class Device" in module.text
    for entry in site["files"].values():
        path = entry.get("gzip", entry["path"])
        answer = get(files, f"/net/{path}")
        assert len(answer.content) == entry.get("gzip_bytes", entry["bytes"])
        assert answer.headers["content-length"] == str(len(answer.content))
    assert site["network"]["precision"] == "int8"


def test_head_has_no_body(files: DeviceFiles) -> None:
    answer = get(files, "/net/site.json", "HEAD")
    assert answer.content == b""
    assert int(answer.headers["content-length"]) > 100


@pytest.mark.parametrize(
    "path",
    [
        "/net/index.html",
        "/net/sw.js",
        "/",
        "/net",
        "/net/files/",
        "/net/app-0/main.js",
        "/other/site.json",
        "/site.json",
    ],
)
def test_nothing_else_is_there(files: DeviceFiles, path: str) -> None:
    assert get(files, path).status_code == 404


def test_a_checkpoint_without_an_int8_graph_is_offered_in_float(tmp_path: Path) -> None:
    for suffix in (".safetensors", ".onnx"):
        source = default_checkpoint().with_suffix(suffix)
        (tmp_path / source.name).write_bytes(source.read_bytes())
    files = DeviceFiles({"net": tmp_path / default_checkpoint().name}, FAKE)
    data = files.get("net/site.json")
    assert data is not None
    site = json.loads(data)
    assert site["network"]["precision"] == "float"
    assert files.get(f"net/{site['files']['weights']['gzip']}")


def test_what_cannot_be_made_is_not_there(tmp_path: Path) -> None:
    assert DeviceFiles({"net": tmp_path / "gone.safetensors"}, FAKE).get("net/site.json") is None


def test_which_runtime_an_app_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGEGENDEREMO_CACHE", str(tmp_path))
    assert find_for_app(None) is None  # nothing is fetched unasked
    with pytest.raises(AgeGenderEmoError, match="onnxruntime-web"):
        find_for_app(str(tmp_path))
