"""Labels become tensors in the vocabulary of the network, whatever that of the data set."""

import math
from pathlib import Path

import pytest
import torch
from tiny import GLASSES

from agegenderemo.data.samples import ImageRef, Label, Sample
from agegenderemo.data.targets import (
    BinaryTarget,
    CategoricalTarget,
    RegressionTarget,
    Targets,
    concatenate,
    make_targets,
)
from agegenderemo.errors import TaskError
from agegenderemo.tasks import AGE, DEFAULT_TASKS, EMOTION, EMOTION6, EMOTION7, GENDER, TaskSpec

REF = ImageRef(Path(), "a")
ANGER = (1.0, *[0.0] * 7)


def sample(**labels: Label) -> Sample:
    return Sample(REF, "train", labels)


def distribution(spec: TaskSpec, **share: float) -> tuple[float, ...]:
    return tuple(share.get(name, 0.0) for name in spec.classes)


def regression(targets: Targets, name: str = "age") -> RegressionTarget:
    target = targets[name]
    assert isinstance(target, RegressionTarget)
    return target


def binary(targets: Targets, name: str = "gender") -> BinaryTarget:
    target = targets[name]
    assert isinstance(target, BinaryTarget)
    return target


def categorical(targets: Targets, name: str = "emotion") -> CategoricalTarget:
    target = targets[name]
    assert isinstance(target, CategoricalTarget)
    return target


def test_targets_mask_what_is_not_known() -> None:
    targets = make_targets(
        [sample(age=0.0, gender=0), sample(age=(3, 9)), sample(emotion=ANGER, gender=1)],
        DEFAULT_TASKS,
        DEFAULT_TASKS,
    )
    assert list(targets) == ["age", "gender", "emotion"]
    age, gender, emotion = regression(targets), binary(targets), categorical(targets)
    assert age.mask.tolist() == [True, True, False]
    assert age.low.tolist()[:2] == [0, 3]
    assert age.high.tolist()[:2] == [0, 9]
    assert gender.mask.tolist() == [True, False, True]
    assert gender.value[gender.mask].tolist() == [0, 1]
    assert emotion.mask.tolist() == [False, False, True]
    assert emotion.probabilities.tolist() == [[0.0] * 8, [0.0] * 8, list(ANGER)]
    assert all(value.dtype == torch.float32 for value in (age.low, age.high, gender.value))


def test_the_labels_of_some_faces() -> None:
    samples = [sample(age=1.0, gender=0), sample(age=2.0), sample(emotion=ANGER)]
    targets = make_targets(samples, DEFAULT_TASKS, DEFAULT_TASKS)
    chosen = targets.take(torch.tensor([2, 0]))
    assert regression(chosen).mask.tolist() == [False, True]
    assert regression(chosen).low.tolist()[1] == 1
    assert categorical(chosen).probabilities.shape == (2, 8)
    assert regression(targets.take(slice(1, 2))).low.tolist() == [2]
    fewer = targets.without(torch.tensor([True, False, True]))
    assert {name: target.mask.tolist() for name, target in fewer.items()} == {
        "age": [False, True, False], "gender": [False] * 3, "emotion": [False] * 3,
    }  # fmt: skip
    assert regression(targets.to("meta")).low.device.type == "meta"


def test_an_open_band_has_no_upper_end() -> None:
    targets = make_targets([sample(age=(70, math.inf))], (AGE,), (AGE,))
    assert regression(targets).high.tolist() == [math.inf]


def test_a_task_that_the_set_does_not_know_has_no_labels() -> None:
    tasks = (GLASSES, EMOTION6, AGE)
    targets = make_targets([sample(gender=1)] * 2, (GENDER,), tasks)
    assert list(targets) == ["glasses", "emotion", "age"]
    assert not any(target.mask.any() for target in targets.values())
    assert categorical(targets).probabilities.shape == (2, 6)
    assert make_targets([], (), tasks)["glasses"].mask.shape == (0,)
    assert categorical(make_targets([], (), tasks)).probabilities.shape == (0, 6)


def test_classes_are_matched_by_name() -> None:
    """Eight emotions to six: contempt and disgust go, and their share goes to the others."""
    labels = [
        distribution(EMOTION, happiness=0.5, contempt=0.25, surprise=0.25),
        distribution(EMOTION, contempt=0.5, fear=0.5),  # half is enough
        distribution(EMOTION, contempt=0.375, disgust=0.25, fear=0.375),
        distribution(EMOTION, disgust=1.0),
    ]
    samples = [sample(emotion=label) for label in labels]
    emotion = categorical(make_targets(samples, (EMOTION,), (EMOTION6,)))
    assert emotion.mask.tolist() == [True, True, False, False]
    expected = [
        distribution(EMOTION6, happiness=2 / 3, surprise=1 / 3),
        distribution(EMOTION6, fear=1.0),
    ]
    assert torch.allclose(emotion.probabilities[:2], torch.tensor(expected))
    assert not emotion.probabilities[2:].any()


def test_classes_that_the_set_does_not_know_have_no_probability() -> None:
    label = distribution(EMOTION7, fear=0.5, sadness=0.5)
    emotion = categorical(make_targets([sample(emotion=label)], (EMOTION7,), (EMOTION,)))
    assert emotion.probabilities.tolist() == [list(distribution(EMOTION, fear=0.5, sadness=0.5))]


def test_a_vocabulary_in_another_order_means_the_same() -> None:
    turned = TaskSpec("gender", "binary", ("male", "female"))
    gender = binary(make_targets([sample(gender=0), sample(gender=1)], (turned,), (GENDER,)))
    assert gender.value.tolist() == [1, 0]
    reverse = TaskSpec("emotion", "categorical", EMOTION.classes[::-1])
    emotion = categorical(make_targets([sample(emotion=ANGER)], (EMOTION,), (reverse,)))
    assert emotion.probabilities.tolist() == [list(ANGER[::-1])]


def test_the_same_vocabulary_is_left_to_the_bit() -> None:
    label = (0.1, 0.2, 0.3, 0.1, 0.1, 0.1, 0.05, 0.0499)  # sums to less than one
    emotion = categorical(make_targets([sample(emotion=label)], (EMOTION,), (EMOTION,)))
    assert torch.equal(emotion.probabilities, torch.tensor([label]))


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        (TaskSpec("age", "binary", ("young", "old")), AGE),
        (TaskSpec("gender", "binary", ("a", "b")), GENDER),
        (TaskSpec("emotion", "categorical", ("x", "y", "z")), EMOTION),
    ],
)
def test_another_meaning_of_a_name_is_refused(own: TaskSpec, wanted: TaskSpec) -> None:
    with pytest.raises(TaskError, match=f"{own.name!r} (is|are) .*in the network"):
        make_targets([], (own,), (wanted,))


def test_sets_are_joined() -> None:
    first = make_targets([sample(age=1.0)], (AGE,), DEFAULT_TASKS)
    second = make_targets([sample(emotion=ANGER), sample()], (EMOTION,), DEFAULT_TASKS)
    both = concatenate([first, second])
    assert list(both) == list(first)
    assert regression(both).mask.tolist() == [True, False, False]
    assert categorical(both).mask.tolist() == [False, True, False]
    assert categorical(both).probabilities.shape == (3, 8)
