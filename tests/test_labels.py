import itertools
import math

import pytest

from agegenderemo.labels import (
    AGE_BANDS,
    EMOTIONS,
    FERPLUS_COLUMNS,
    age_band,
    age_band_name,
    argmax_emotion,
    majority_emotion,
    soft_emotion,
)


def votes(**counts: int) -> tuple[int, ...]:
    return tuple(counts.get(column, 0) for column in FERPLUS_COLUMNS)


def test_the_order_of_emotions_is_alphabetical() -> None:
    assert tuple(sorted(EMOTIONS)) == EMOTIONS
    assert len(EMOTIONS) == 8


@pytest.mark.parametrize(
    ("age", "name"), [(0, "0-9"), (9.99, "0-9"), (10, "10-19"), (69.9, "60-69"), (70, "70+")]
)
def test_age_bands_are_half_open(age: float, name: str) -> None:
    assert age_band_name(age_band(age)) == name


@pytest.mark.parametrize("age", [-0.1, math.nan])
def test_no_band_holds_what_is_no_age(age: float) -> None:
    with pytest.raises(ValueError, match="no age band"):
        age_band(age)


def test_age_bands_leave_no_gap() -> None:
    assert all(a[1] == b[0] for a, b in itertools.pairwise(AGE_BANDS))


def test_majority_drops_single_votes_and_wants_more_than_half() -> None:
    happiness = EMOTIONS.index("happiness")
    assert majority_emotion(votes(happiness=6, neutral=4)) == happiness
    assert majority_emotion(votes(happiness=5, neutral=5)) is None
    # Five of ten is no majority, but five of seven is, once three single votes are gone.
    single = votes(happiness=5, neutral=2, fear=1, anger=1, surprise=1)
    assert majority_emotion(single) == happiness
    assert majority_emotion(votes(happiness=3, unknown=7)) is None
    assert majority_emotion(votes(NF=10)) is None


def test_argmax_takes_the_earlier_column_on_a_tie() -> None:
    assert argmax_emotion(votes(sadness=4, anger=4, unknown=2)) == EMOTIONS.index("sadness")
    assert argmax_emotion(votes(contempt=5, unknown=5)) == EMOTIONS.index("contempt")
    assert argmax_emotion(votes(contempt=4, NF=6)) is None


def test_soft_labels_sum_to_one_without_single_votes() -> None:
    soft = soft_emotion(votes(neutral=6, sadness=3, fear=1))
    assert soft is not None
    assert dict(zip(EMOTIONS, soft, strict=True)) == pytest.approx(
        {name: {"neutral": 2 / 3, "sadness": 1 / 3}.get(name, 0) for name in EMOTIONS}
    )
    assert soft_emotion(votes(neutral=4, unknown=6)) is None
    assert soft_emotion(votes(neutral=1, anger=1)) is not None  # nothing but single votes
    assert soft_emotion(votes(NF=10)) is None
