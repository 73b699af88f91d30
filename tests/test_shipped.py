"""The shipped checkpoint on the real test sets, by the command that the README names."""

import json
from pathlib import Path
from typing import Any

import pytest
from pages import ASTRONAUT, data_url
from PIL import Image

from agegenderemo import Analyzer, load_image
from agegenderemo.cli import main
from agegenderemo.model_info import Precision
from agegenderemo.report import flat, load_card
from agegenderemo.resources import default_checkpoint, resource_folder
from agegenderemo.web import live, photo
from agegenderemo.web.guard import Store

pytestmark = pytest.mark.slow
pytest_plugins = ["web_fixtures"]

SHIPPED = sorted(path.stem for path in resource_folder("checkpoints").glob("*.safetensors"))


def evaluate(data: str, root: Path, out: Path) -> dict[str, Any]:
    options = ["--data", data, "--root", str(root), "--json", str(out)]
    assert main(["evaluate", *options]) == 0
    figures: dict[str, Any] = json.loads(out.read_text())["figures"][data]
    return figures


def test_utkface(data_root: Path, tmp_path: Path) -> None:
    figures = evaluate("utkface", data_root, tmp_path / "figures.json")
    assert figures["n"] == 2456
    assert list(figures["tasks"]) == ["age", "gender"]
    age, gender = figures["tasks"].values()
    assert age["mae"] <= 4.9
    assert gender["accuracy"] >= 0.935
    assert sum(band["n"] for band in figures["bands"]) == 2456
    assert 0.78 <= age["coverage"] <= 0.82
    assert gender["calibration_error"] <= 0.02
    assert gender["selective_accuracy"] >= 0.96
    same_as_the_card("utkface", figures)


def test_ferplus(data_root: Path, tmp_path: Path) -> None:
    figures = evaluate("ferplus", data_root, tmp_path / "figures.json")
    assert list(figures["tasks"]) == ["emotion"]
    own = figures["tasks"]["emotion"]
    assert (own["n_majority"], own["n_argmax"]) == (3153, 3546)
    assert own["accuracy_majority"] >= 0.87
    assert own["calibration_error"] <= 0.02
    assert own["selective_accuracy"] >= 0.88
    same_as_the_card("ferplus", figures)


def test_fairface(data_root: Path, tmp_path: Path) -> None:
    figures = evaluate("fairface", data_root, tmp_path / "figures.json")
    assert figures["n"] == 1995
    assert figures["tasks"]["gender"]["accuracy"] >= 0.9
    assert figures["tasks"]["age"]["band_accuracy"] >= 0.5
    assert figures["tasks"]["gender"]["calibration_error"] <= 0.02
    assert len([group for group in figures["groups"] if group["by"] == "race"]) == 7
    assert (figures["split"], figures["calibrated_here"]) == ("val", True)
    gap = figures["disparities"][0]
    assert gap["interval"] == pytest.approx([0.042, 0.12], abs=0.01)
    assert gap["chance"] == pytest.approx(0.044, abs=0.005)
    same_as_the_card("fairface", figures)


def same_as_the_card(data: str, figures: dict[str, Any]) -> None:
    """To a face or two: another CPU may round an answer on the edge the other way."""
    measured, card = flat(figures), flat(load_card(default_checkpoint())[data])
    assert measured.keys() == card.keys()
    for key, value in measured.items():
        assert card[key] == pytest.approx(value, abs=0.02 if "age_" in key else 0.002), key
    shown = load_card(default_checkpoint())[data]["tasks"]
    for name, own in figures["tasks"].items():
        for key, ends in own["intervals"].items():
            assert shown[name]["intervals"][key] == pytest.approx(ends, abs=0.02), key


@pytest.mark.parametrize("precision", ["float", "int8"])
@pytest.mark.parametrize("network", SHIPPED)
def test_every_shipped_network_runs_on_photo_live_and_the_command_line(
    network: str, precision: Precision, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    analyzer = Analyzer.from_checkpoint(network, precision=precision)
    (face,) = analyzer.analyze(ASTRONAUT)
    words = ["analyze", str(ASTRONAUT), "--model", network, "--precision", precision]
    assert main(words) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["network"]["model"], record["network"]["precision"]) == (network, precision)
    assert record["faces"] == [json.loads(json.dumps(face.to_dict()))]
    shown = photo._photo_shower(analyzer, store)(str(store.keep(ASTRONAUT)))
    assert ">1 face" in shown[0]
    read = live.frame_reader(live.Viewers(analyzer.tracker))
    frame = data_url(Image.fromarray(load_image(ASTRONAUT)))
    (followed,) = read({"viewer": "a-viewer-of-the-tests", "frame": frame})["faces"]
    assert {spec.name for spec in analyzer.tasks} <= followed.keys()


def test_solvay_has_28_men_and_marie_curie(analyzer: Analyzer, examples: Path) -> None:
    faces = analyzer.analyze(examples / "solvay-1927.jpg")
    assert len(faces) == 29
    # Front row, third from the left.
    curie = [f for f in faces if f.box[0] < 420 < f.box[2] and f.box[1] < 559 < f.box[3]]
    assert len(curie) == 1
    right = sum(f.gender == ("female" if f in curie else "male") for f in faces)
    assert right >= 26
