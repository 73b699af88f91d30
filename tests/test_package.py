"""The package as a stranger gets it: a wheel, an environment without torch, an empty folder."""

import json
import os
import re
import subprocess
import sys
import time
import tomllib
import urllib.request
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from chromium import free_port

from agegenderemo import __version__
from agegenderemo.cli.version import CODE_LICENCE, WEIGHTS_LICENCE

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w-]", one.strip().lower())[0] for one in requirements}


def test_the_version_stands_in_two_places() -> None:
    assert PROJECT["version"] == __version__


def test_the_light_way_is_four_packages() -> None:
    assert names(PROJECT["dependencies"]) == {"numpy", "pillow", "onnxruntime", "tqdm"}


def test_the_whole_set_stands_in_requirements() -> None:
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    whole = names([line for line in lines if line and not line.startswith("#")])
    assert whole == names(PROJECT["dependencies"] + EXTRAS["app"] + EXTRAS["train"])


def test_all_is_every_extra() -> None:
    (everything,) = EXTRAS["all"]
    listed = re.findall(r"\[(.*)\]", everything)[0].split(",")
    assert set(listed) == set(EXTRAS) - {"all", "dev"}


def test_the_licence_names_code_and_weights() -> None:
    code, _, weights = PROJECT["license"].partition(" AND ")
    assert code == CODE_LICENCE
    assert weights == "LicenseRef-NonCommercial-Research"
    assert WEIGHTS_LICENCE == "non-commercial research"
    notice = (ROOT / "NOTICE").read_text("utf-8")
    for part in (weights, "UTKFace", "FairFace", "FER+", "HSE_FaceRec_tf", "facenet-pytorch 2.5.3"):
        assert part in notice


def run(*command: str | Path, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this working tree, built by the backend itself."""
    if not find_spec("hatchling"):
        if os.environ.get("CI") == "true":
            pytest.fail("CI must build the package: pip install -r requirements-dev.txt")
        pytest.skip("hatchling is not installed: pip install -r requirements-dev.txt")
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``bin`` of a fresh environment that holds the wheel and the page's extra."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, f"{wheel}[app]"], capture_output=True, text=True)
    if done.returncode:
        reason = f"no package index is reachable: {done.stderr.strip().splitlines()[-1]}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder / "bin"


@pytest.fixture
def photo(examples: Path, tmp_path: Path) -> Path:
    """A copy of an example in a folder that holds nothing else."""
    copy = tmp_path / "photo.jpg"
    copy.write_bytes((examples / "astronaut.jpg").read_bytes())
    return copy


@pytest.mark.slow
def test_the_wheel_holds_what_it_needs_and_no_more(wheel: Path) -> None:
    files = {name.partition("/")[2]: name for name in zipfile.ZipFile(wheel).namelist()}
    for needed in (
        "py.typed", "checkpoints/agegendernet.safetensors", "checkpoints/agegendernet.onnx",
        "checkpoints/agegendernet.json", "checkpoints/mtcnn-pnet.onnx",
        "checkpoints/mtcnn-rnet.onnx", "checkpoints/mtcnn-onet.onnx", "examples/astronaut.jpg",
        "web/favicon.png", "browser/sw.js", "browser/offline.js",
    ):  # fmt: skip
        assert needed in files
    for suffix in (".css", ".js", ".html"):
        assert any(name.startswith("web/") and name.endswith(suffix) for name in files)
    assert {name.split("/")[0] for name in files.values()} == {
        "agegenderemo", f"agegenderemo-{__version__}.dist-info",
    }  # fmt: skip
    assert not [name for name in files if "test" in name or "__pycache__" in name]
    assert wheel.stat().st_size < 25e6


@pytest.mark.slow
def test_a_photo_is_analyzed_from_an_empty_folder(installed: Path, photo: Path) -> None:
    command = installed / "agegenderemo"
    record = json.loads(run(command, "analyze", photo.name, "--json", "-", cwd=photo.parent))
    assert len(record["faces"]) == 1
    assert list(photo.parent.iterdir()) == [photo]
    for heavy in ("torch", "facenet_pytorch", "matplotlib"):
        code = f"import importlib.util as u, sys; sys.exit(u.find_spec({heavy!r}) is not None)"
        run(installed / "python", "-c", code, cwd=photo.parent)


@pytest.mark.slow
def test_it_says_its_version_and_licences(installed: Path, tmp_path: Path) -> None:
    text = run(installed / "agegenderemo", "--version", cwd=tmp_path)
    assert f"agegenderemo {__version__}" in text
    assert re.search(r"sha256 [0-9a-f]{64}\n", text)
    assert f"{CODE_LICENCE} (code), {WEIGHTS_LICENCE} (weights)" in text


@pytest.mark.slow
def test_training_says_what_to_install(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [installed / "agegenderemo", "models"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr == (
        "error: agegenderemo models needs more packages: pip install 'agegenderemo[train]'.\n"
    )


@pytest.mark.slow
def test_the_demo_answers_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [installed / "agegenderemo", "demo"],
        cwd=tmp_path,
        env=os.environ | {"GRADIO_SERVER_PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert "AgeGenderEmo" in page(f"http://127.0.0.1:{port}/", process)
    finally:
        process.terminate()
        process.wait(30)
    assert list(tmp_path.iterdir()) == []


def page(url: str, process: subprocess.Popen[bytes]) -> str:
    """The page once it answers, within a minute and a half."""
    end = time.monotonic() + 90
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the page did not answer")
