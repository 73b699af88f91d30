"""``evaluate``, ``calibrate`` and ``card`` on a network of one's own: what they say of it, and what
a kill leaves behind."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import tiny  # noqa: F401 - registers the network of this name
import torch
from synthetic import prepared_sets

from agegenderemo import Analyzer
from agegenderemo.cli import main
from agegenderemo.data.dataset import PreparedSet
from agegenderemo.errors import CheckpointError
from agegenderemo.export.onnx import write_checkpoint
from agegenderemo.model_info import ModelInfo
from agegenderemo.models import create_model
from agegenderemo.models.checkpoint import load_checkpoint
from agegenderemo.report import load_card
from agegenderemo.resources import default_checkpoint
from agegenderemo.tasks import AGE, EMOTION6, GENDER
from agegenderemo.training.settings import set_digest
from agegenderemo.types import InputSpec
from agegenderemo.web.about import about_html
from agegenderemo.web.guard import Limits

TASKS = (AGE, GENDER, EMOTION6)
PAGE = "".join(
    f"<!-- table {name} -->\n<!-- end -->\n"
    for name in ("results", "goals", "bands", "confident", "fairface-groups", "pipeline", "history")
)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_sets(tmp_path_factory.mktemp("sets"), count=520)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A weak network of one set, not calibrated."""
    path = tmp_path / "mine.safetensors"
    torch.manual_seed(0)
    info = ModelInfo("tiny", TASKS, InputSpec(32), provenance={"training_faces": {"faces": 416}})
    write_checkpoint(path, create_model("tiny", TASKS), info)
    return path


def evaluate(sets: Path, checkpoint: Path, *options: str, data: str = "faces") -> int:
    command = ["evaluate", "--data", data, "--root", str(sets), "--checkpoint", str(checkpoint)]
    return main([*command, *options])


def calibrate(sets: Path, checkpoint: Path) -> int:
    return main(["calibrate", "--prepared", str(sets), "--checkpoint", str(checkpoint)])


def test_weights_of_a_run_that_has_not_ended_are_named(
    sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "these weights are of epoch 2 of 6"
    for epoch in (2, 6):
        known = {"training_faces": {"faces": 416}, "epoch": epoch, "epochs": 6}
        info = ModelInfo("tiny", TASKS, InputSpec(32), provenance=known)
        write_checkpoint(tmp_path / "a.safetensors", create_model("tiny", TASKS), info)
        assert evaluate(sets, tmp_path / "a.safetensors") == 0
        assert (said in capsys.readouterr().out) == (epoch == 2)


def test_a_weak_network_of_one_set_has_blanks(
    sets: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(sets, checkpoint, "--card") == 0
    text = capsys.readouterr().out
    assert "confident" not in text  # it is not calibrated
    assert "emotion" not in text  # this set has no labels for it
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert main(["card", str(page), "--checkpoint", str(checkpoint)]) == 0
    filled = page.read_text()
    assert filled.count("*Not measured.*") == 5
    assert "| faces, test | 52 |" in filled
    html = about_html(Analyzer.from_checkpoint(checkpoint).card, TASKS, Limits())
    assert "trained on faces." in html
    assert "UTKFace" not in html
    assert f"{load_card(checkpoint)['faces']['tasks']['age']['mae']:.2f}" in html


def test_figures_are_not_shown_for_other_weights(
    sets: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(sets, checkpoint, "--card") == 0
    card = checkpoint.with_suffix(".json")
    before = card.read_bytes()
    assert calibrate(sets, checkpoint) == 0  # the weights' file is another one now
    assert card.read_bytes() == before
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert main(["card", str(page), "--checkpoint", str(checkpoint)]) == 2
    assert "holds figures of other weights than mine.safetensors" in capsys.readouterr().err
    assert page.read_text() == PAGE
    html = about_html(Analyzer.from_checkpoint(checkpoint).card, TASKS, Limits())
    assert "No measured figures" in html
    assert evaluate(sets, checkpoint, "--card") == 0
    assert main(["card", str(page), "--checkpoint", str(checkpoint)]) == 0


@pytest.mark.parametrize("survives", [0, 1])
def test_a_kill_of_calibrate_leaves_nothing_that_is_taken_for_whole(
    survives: int, sets: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before its first file is in place, and between weights and graph."""
    before = checkpoint.read_bytes()
    replace = os.replace
    done: list[Any] = []

    def killed(source: Any, target: Any) -> None:
        if len(done) == survives:
            raise KeyboardInterrupt
        done.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    assert calibrate(sets, checkpoint) == 130
    monkeypatch.undo()
    if survives == 0:
        assert checkpoint.read_bytes() == before
        assert Analyzer.from_checkpoint(checkpoint).info.calibration == {}
    else:
        with pytest.raises(CheckpointError, match="made for other weights"):
            Analyzer.from_checkpoint(checkpoint)
    assert calibrate(sets, checkpoint) == 0
    assert Analyzer.from_checkpoint(checkpoint).info.calibration


def test_the_set_that_calibration_saw_is_told(
    sets: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = "the calibration was fitted on these faces"
    assert evaluate(sets, checkpoint, "--split", "val") == 0
    assert seen not in capsys.readouterr().out  # there is none
    assert calibrate(sets, checkpoint) == 0
    assert set(load_checkpoint(checkpoint).info.provenance["calibration_faces"]) == {
        "faces", "moods", "bands",
    }  # fmt: skip
    for split, told in (("val", True), ("test", False)):
        assert evaluate(sets, checkpoint, "--split", split) == 0
        assert (seen in capsys.readouterr().out) == told


def test_training_faces_are_told(
    sets: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(sets, checkpoint, "--split", "train") == 0
    assert "on which this network was trained" in capsys.readouterr().out
    assert evaluate(sets, checkpoint, "--split", "train", data="bands") == 0
    assert "faces of the training split" in capsys.readouterr().out.splitlines()[0]
    assert evaluate(sets, checkpoint, "--split", "all") == 0
    assert "was trained on 416; the validation figures" in capsys.readouterr().out


def test_a_set_that_is_not_there_names_those_that_are(
    sets: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(sets, checkpoint, data="fases") == 2
    assert "no prepared set 'fases', but bands, faces, moods; as raw" in capsys.readouterr().err
    command = ["evaluate", "--data", "faces", "faces", "--root", str(sets)]
    assert main([*command, "--checkpoint", str(checkpoint)]) == 2
    assert "--data names faces twice" in capsys.readouterr().err


def test_a_set_is_known_by_its_faces_not_by_its_name(
    sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = tmp_path / "mine.safetensors"
    data = {"bands": set_digest(PreparedSet.open(sets / "faces")), "moods": "0" * 64}
    known = {"training_faces": {"bands": 416, "moods": 416}, "data": data}
    info = ModelInfo("tiny", TASKS, InputSpec(32), provenance=known)
    write_checkpoint(network, create_model("tiny", TASKS), info)
    assert evaluate(sets, network, "--split", "train") == 0  # it was called bands then
    text = capsys.readouterr().out
    assert "on which this network was trained" in text
    changed = "this set is not as it was when the network was trained"
    assert changed not in text
    assert evaluate(sets, network, data="moods") == 0
    assert changed in capsys.readouterr().out


def test_what_cannot_be_drawn_or_written_takes_no_figures_with_it(
    sets: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    drawn = ["--figure", str(tmp_path / "bands.png"), "--card", "--json", str(out)]
    assert evaluate(sets, checkpoint, *drawn, data="moods") == 2
    shown = capsys.readouterr()
    assert "emotion_accuracy_majority" in shown.out
    assert "nothing to draw by band" in shown.err
    assert set(json.loads(out.read_text())["figures"]) == set(load_card(checkpoint)) == {"moods"}
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert evaluate(sets, checkpoint, "--json", str(blocked / "out.json"), data="moods") == 2
    shown = capsys.readouterr()
    assert "emotion_accuracy_majority" in shown.out
    assert "could not be written" in shown.err


def test_the_shipped_files_are_never_written_by_default(
    sets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [default_checkpoint().with_suffix(s) for s in (".safetensors", ".onnx", ".json")]
    before = [path.stat().st_mtime_ns for path in files]
    assert main(["evaluate", "--data", "faces", "--root", str(sets), "--card"]) == 2
    assert "Give --checkpoint with --card" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["calibrate", "--prepared", str(sets)])
    assert [path.stat().st_mtime_ns for path in files] == before


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--device", "abacus"], "The device 'abacus' cannot be used here"),
        (["--latency"], "Give --json FILE with --latency"),
        (["--figure", "a.gif"], "--figure must end in .png or .html"),
        (["--data", "strangers"], "known are utkface"),
    ],
)
def test_bad_options_are_one_sentence(
    options: list[str],
    sentence: str,
    sets: Path,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert evaluate(sets, checkpoint, *options) == 2
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert shown.out == ""


def test_a_set_without_test_faces_is_measured_on_its_validation_faces(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = prepared_sets(tmp_path / "sets")
    lines = sets / "faces" / "samples.jsonl"
    lines.write_text(lines.read_text().replace('"test"', '"val"'))
    assert evaluate(sets, checkpoint) == 0
    assert capsys.readouterr().out.startswith("faces val: 12 faces")
