"""Votes of annotators, and the one class that a face is measured against."""

from pathlib import Path

import pytest

from agegenderemo.data.hard_labels import hard_label
from agegenderemo.data.readers.ferplus_votes import (
    FERPLUS_COLUMNS,
    argmax_label,
    majority_label,
    soft_label,
)
from agegenderemo.data.samples import ImageRef, Sample
from agegenderemo.errors import TaskError
from agegenderemo.tasks import AGE, EMOTION, EMOTION6, GENDER


def votes(**counts: int) -> tuple[int, ...]:
    return tuple(counts.get(column, 0) for column in FERPLUS_COLUMNS)


def test_majority_drops_single_votes_and_wants_more_than_half() -> None:
    assert majority_label(votes(happiness=6, neutral=4)) == "happiness"
    assert majority_label(votes(happiness=5, neutral=5)) is None
    # Five of ten is no majority, but five of seven is, once three single votes are gone.
    single = votes(happiness=5, neutral=2, fear=1, anger=1, surprise=1)
    assert majority_label(single) == "happiness"
    assert majority_label(votes(happiness=3, unknown=7)) is None
    assert majority_label(votes(NF=10)) is None


def test_argmax_takes_the_earlier_column_on_a_tie() -> None:
    assert argmax_label(votes(sadness=4, anger=4, unknown=2)) == "sadness"
    assert argmax_label(votes(contempt=5, unknown=5)) == "contempt"
    assert argmax_label(votes(contempt=4, NF=6)) is None


def test_soft_labels_sum_to_one_without_single_votes() -> None:
    soft = soft_label(votes(neutral=6, sadness=3, fear=1))
    assert soft is not None
    assert dict(zip(EMOTION.classes, soft, strict=True)) == pytest.approx(
        {name: {"neutral": 2 / 3, "sadness": 1 / 3}.get(name, 0) for name in EMOTION.classes}
    )
    assert soft_label(votes(neutral=4, unknown=6)) is None
    assert soft_label(votes(neutral=1, anger=1)) is not None  # nothing but single votes
    assert soft_label(votes(NF=10)) is None


REF = ImageRef(Path(), "a")


def test_votes_give_the_class_by_either_protocol() -> None:
    sample = Sample(REF, "test", votes=votes(contempt=5, unknown=5))
    assert hard_label(sample, EMOTION, "majority") is None
    assert hard_label(sample, EMOTION, "argmax") == "contempt"
    # By name, so that a network of six knows whether the class is one of its own.
    assert hard_label(sample, EMOTION6, "argmax") == "contempt"


def test_labels_without_votes_are_their_own_class() -> None:
    emotion = (0.1, 0.0, 0.0, 0.3, 0.3, 0.3, 0.0, 0.0)
    sample = Sample(REF, "test", {"age": 3.0, "gender": 1, "emotion": emotion})
    for protocol in ("majority", "argmax"):
        assert hard_label(sample, EMOTION, protocol) == "fear"
        assert hard_label(sample, GENDER, protocol) == "male"
    assert hard_label(Sample(REF, "test"), EMOTION) is None
    voted = Sample(REF, "test", {"gender": 0}, votes=votes(fear=10))
    assert hard_label(voted, GENDER) == "female"


def test_numbers_have_no_class() -> None:
    with pytest.raises(TaskError, match="which has no classes"):
        hard_label(Sample(REF, "test", {"age": 3.0}), AGE)
