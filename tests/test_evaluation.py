"""What a network that is known to answer the same for every face measures, and the metrics."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from synthetic import prepared_sets
from tiny import GLASSES

from agegenderemo.data.dataset import PreparedSet
from agegenderemo.data.readers.ferplus_votes import soft_label
from agegenderemo.data.samples import ImageRef, Sample
from agegenderemo.errors import TaskError
from agegenderemo.evaluation.evaluate import Measurement, answer, evaluate, measure
from agegenderemo.evaluation.metrics import Accuracy, Confusion, MeanError
from agegenderemo.evaluation.predict import TorchPredictor
from agegenderemo.model_info import ModelInfo
from agegenderemo.models import create_model
from agegenderemo.report import flat, tables
from agegenderemo.tasks import (
    AGE,
    DEFAULT_TASKS,
    EMOTION,
    EMOTION6,
    EMOTION7,
    GENDER,
    CategoricalPrediction,
    ClassCalibration,
    Prediction,
    RegressionPrediction,
    TaskSpec,
    activate,
    predict,
)
from agegenderemo.types import InputSpec


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_sets(tmp_path_factory.mktemp("sets"))


def constant(tasks: tuple[TaskSpec, ...], **outputs: Any) -> TorchPredictor:
    """A network whose raw outputs are these for every face."""
    model = create_model("tiny", tasks)
    for name, bias in outputs.items():
        output = model.head_output(name)
        torch.nn.init.zeros_(output.weight)
        output.bias.data = torch.tensor(bias, dtype=torch.float32).reshape(output.bias.shape)
    return TorchPredictor(model, InputSpec(32))


def always() -> TorchPredictor:
    return constant(DEFAULT_TASKS, age=35.0, gender=-2.0, emotion=np.eye(8)[4])


def rows(prepared: PreparedSet) -> Any:
    return np.arange(len(prepared.samples))


def test_numbers_are_measured_by_band(sets: Path) -> None:
    faces = PreparedSet.open(sets / "faces")
    figures = evaluate(always(), faces, rows(faces), progress=False)
    ages = np.array([s.labels["age"] for s in faces.samples])
    errors = np.abs(ages - 35)
    assert figures["n"] == len(ages)
    age = figures["tasks"]["age"]
    assert age["unit"] == "years"
    assert age["mae"] == pytest.approx(errors.mean(), abs=1e-4)
    assert age["sd"] == pytest.approx(errors.std(), abs=1e-4)
    women = np.mean([s.labels["gender"] == 0 for s in faces.samples])
    assert figures["tasks"]["gender"]["accuracy"] == women
    thirties = next(b for b in figures["bands"] if b["band"] == "30-39")
    inside = (ages >= 30) & (ages < 40)
    assert (thirties["by"], thirties["n"], thirties["n_predicted"]) == (
        "age", inside.sum(), len(ages),
    )  # fmt: skip
    assert thirties["tasks"]["age"]["mae"] == pytest.approx(errors[inside].mean(), abs=1e-4)
    adults = (ages >= 21) & (ages <= 60)
    assert figures["adults"]["n"] == adults.sum()
    assert figures["adults"]["tasks"]["age"]["mae"] == pytest.approx(errors[adults].mean())
    assert "emotion" not in figures["tasks"]
    assert "confident_share" not in figures["tasks"]["gender"]  # not calibrated
    assert flat(figures, "val")["val_age_mae"] == age["mae"]


def test_classes_are_measured_by_both_protocols(sets: Path) -> None:
    moods = PreparedSet.open(sets / "moods")
    figures = evaluate(always(), moods, rows(moods), progress=False)
    own = figures["tasks"]["emotion"]
    glad = np.mean([s.labels["emotion"] == tuple(np.eye(8)[4]) for s in moods.samples])
    assert own["accuracy_majority"] == own["accuracy_argmax"] == glad
    assert sum(map(sum, own["confusion"])) == own["n_majority"] == len(moods.samples)
    assert [sum(column) for column in zip(*own["confusion"], strict=True)][4] == own["n_majority"]
    assert list(figures["tasks"]) == ["emotion"]
    assert "bands" not in figures


def test_intervals_are_met_anywhere_in_their_last_year(sets: Path) -> None:
    bands = PreparedSet.open(sets / "bands")
    low = np.array([s.labels["age"] for s in bands.samples])[:, 0]
    for said in (30.0, 39.9):
        figures = evaluate(
            constant(DEFAULT_TASKS, age=said, gender=-2.0), bands, rows(bands), progress=False
        )
        assert figures["tasks"]["age"]["band_accuracy"] == np.mean(low == 30)
        assert "mae" not in figures["tasks"]["age"]


def test_votes_may_disagree_between_the_protocols() -> None:
    # The majority counts "unknown" too; the argmax takes the largest.
    votes = (0, 4, 0, 3, 0, 0, 0, 0, 3, 0)
    sample = Sample(ImageRef(Path(), "a"), "test", {"emotion": tuple(np.eye(8)[4])}, votes)
    said = CategoricalPrediction(EMOTION, tuple(np.eye(8)[4]))
    own = measure([sample], (EMOTION,), [{"emotion": said}], (EMOTION,))["tasks"]["emotion"]
    assert (own["n_majority"], own["n_argmax"], own["accuracy_argmax"]) == (0, 1, 1)
    assert "accuracy_majority" not in own


def test_vocabularies_are_matched_by_name(sets: Path) -> None:
    """A network of six emotions on a set of eight, and one task that the set knows nothing of."""
    moods = PreparedSet.open(sets / "moods")
    glad = EMOTION6.classes.index("happiness")
    predictor = constant((GLASSES, EMOTION6), emotion=9 * np.eye(6)[glad])
    figures = evaluate(predictor, moods, rows(moods), progress=False)
    own = figures["tasks"]["emotion"]
    assert own["classes"] == list(EMOTION6.classes)
    truths = np.array([s.labels["emotion"] for s in moods.samples])
    assert own["accuracy_majority"] == truths[:, 4].mean()
    assert list(figures["tasks"]) == ["emotion"]
    # A class that the network does not know cannot be told, and is not counted.
    contempt = Sample(ImageRef(Path(), "a"), "test", {"emotion": tuple(np.eye(8)[1])})
    said = CategoricalPrediction(EMOTION6, tuple(np.eye(6)[glad]))
    only = measure([contempt], (EMOTION,), [{"emotion": said}], (EMOTION6,))
    assert only["tasks"]["emotion"]["n_majority"] == 0


VOTES = {  # of neutral, happiness, surprise, sadness, anger, disgust, fear, contempt, unknown, NF
    "happiness": (0, 9, 1, 0, 0, 0, 0, 0, 0, 0),
    "fear": (0, 0, 4, 0, 0, 0, 6, 0, 0, 0),
    "disgust": (0, 0, 0, 0, 3, 7, 0, 0, 0, 0),
    "contempt": (2, 0, 0, 0, 0, 0, 0, 8, 0, 0),
    "": (5, 5, 0, 0, 0, 0, 0, 0, 0, 0),  # no majority
}


def test_six_emotions_are_measured_on_the_faces_whose_majority_is_one_of_them() -> None:
    """Also by the argmax; and so is a network of seven, of which disgust is one."""
    samples, counts = [], {"happiness": 5, "fear": 3, "disgust": 2, "contempt": 4, "": 1}
    for name, count in counts.items():
        soft = soft_label(VOTES[name])
        assert soft is not None
        one = Sample(ImageRef(Path(), name), "test", {"emotion": soft}, VOTES[name])
        samples += [one] * count
    for spec, known in ((EMOTION6, 8), (EMOTION7, 10), (EMOTION, 14)):
        happy = np.eye(len(spec.classes))[spec.classes.index("happiness")]
        said = [{"emotion": CategoricalPrediction(spec, tuple(happy))}] * len(samples)
        figures = measure(samples, (EMOTION,), said, (spec,))
        own = figures["tasks"]["emotion"]
        assert (own["n_majority"], own["n_argmax"]) == (known, known + 1)
        assert own["accuracy_majority"] == 5 / known
        assert own["accuracy_argmax"] == 5 / (known + 1)  # of the tie the first: neutral
        assert sum(own["confusion"][spec.classes.index("fear")]) == 3
        assert own.get("left_out", {}) == {
            name: counts[name] for name in ("contempt", "disgust") if name not in spec.classes
        }
        note = tables({"ferplus": {"data": "ferplus", "split": "test", **figures}})["results"].note
        assert ("4 of contempt" in note) == (spec is not EMOTION)
        assert ("2 of disgust" in note) == (spec is EMOTION6)


def test_bands_are_there_for_a_network_that_knows_no_age(sets: Path) -> None:
    faces = PreparedSet.open(sets / "faces")
    figures = evaluate(constant((GENDER,), gender=-2.0), faces, rows(faces), progress=False)
    assert sum(band["n"] for band in figures["bands"]) == len(faces.samples)
    assert all(set(band["tasks"]) <= {"gender"} for band in figures["bands"])


def test_coverage_is_of_true_and_of_predicted_bands() -> None:
    samples = [Sample(ImageRef(Path(), "a"), "test", {"age": age}) for age in (5.0, 15.0)]
    said: list[dict[str, Prediction]] = [
        {"age": RegressionPrediction(AGE, 12.0, interval, 3.0)} for interval in ((4, 13), (8, 13))
    ]
    figures = measure(samples, (AGE,), said, (AGE,))
    child, teen = (band["tasks"]["age"] for band in figures["bands"][:2])
    assert (child["coverage"], teen["coverage"], teen["coverage_predicted"]) == (1, 0, 0.5)
    assert "coverage_predicted" not in child  # nobody was said to be one
    assert (figures["tasks"]["age"]["coverage"], figures["tasks"]["age"]["width"]) == (0.5, 7)


def test_sets_can_be_measured_together(sets: Path) -> None:
    measurement = Measurement(DEFAULT_TASKS)
    predictor = always()
    for name in ("faces", "moods", "bands"):
        own = PreparedSet.open(sets / name)
        measurement.add(own.samples, own.tasks, answer(predictor, own, rows(own), mirror=False))
    figures = measurement.figures()
    assert figures["n"] == 180
    assert figures["tasks"]["gender"]["n"] == 120
    assert {"mae", "band_accuracy"} <= set(figures["tasks"]["age"])
    assert "accuracy_majority" in figures["tasks"]["emotion"]


def test_a_name_that_means_two_things_is_one_sentence() -> None:
    other = TaskSpec("age", "categorical", ("young", "middle", "old"))
    with pytest.raises(TaskError, match="'age' is categorical"):
        measure([], (other,), [], (AGE,))


def test_the_answer_is_the_mean_over_the_mirror_image(sets: Path) -> None:
    crops = PreparedSet.open(sets / "faces").crops[:5].copy()
    crops[:, :, :20] //= 2  # not symmetric
    torch.manual_seed(0)
    predictor = TorchPredictor(create_model("tiny", DEFAULT_TASKS), InputSpec(32))
    one, other = predictor.raw(crops), predictor.raw(crops, flip=True)
    mirrored = predictor.raw(np.ascontiguousarray(crops[:, :, ::-1]))
    assert not torch.equal(one["emotion"], other["emotion"])
    assert torch.allclose(other["emotion"], mirrored["emotion"], atol=1e-6)
    both = predictor.predict(crops)
    single = predictor.predict(crops, mirror=False)
    for spec in DEFAULT_TASKS:
        views = [activate(spec, view[spec.name].numpy()) for view in (one, other)]
        for index, (face, alone) in enumerate(zip(both, single, strict=True)):
            assert face[spec.name] == predict(spec, (views[0][index] + views[1][index]) / 2, None)
            assert alone[spec.name] == predict(spec, views[0][index], None)
    assert predictor.predict(crops[:0]) == []


def test_a_checkpoints_calibration_is_used(sets: Path) -> None:
    faces = PreparedSet.open(sets / "faces")
    own = {"gender": ClassCalibration(1.0, 0.9)}
    info = ModelInfo("tiny", DEFAULT_TASKS, InputSpec(32), calibration=own)
    predictor = TorchPredictor(always().model, info)
    figures = evaluate(predictor, faces, rows(faces), progress=False)
    assert figures["tasks"]["gender"]["confident_share"] == 0  # sigmoid(2) is 0.88
    assert "selective_accuracy" not in figures["tasks"]["gender"]
    assert (
        "confident_share"
        not in evaluate(
            TorchPredictor(predictor.model, predictor.input), faces, rows(faces), progress=False
        )["tasks"]["gender"]
    )


def test_metrics_without_anything_are_none() -> None:
    assert MeanError().mean() is None
    assert MeanError().deviation() is None
    assert Accuracy().compute() is None


def test_metrics() -> None:
    error, accuracy, confusion = MeanError(), Accuracy(), Confusion(2)
    for value in (-1.0, 3.0):
        error.update(value)
    for right in (True, True, False, True):
        accuracy.update(right)
    confusion.update(0, 1)
    assert (error.mean(), error.deviation()) == (2, 1)
    assert accuracy.compute() == 0.75
    assert confusion.counts == [[0, 1], [0, 0]]
