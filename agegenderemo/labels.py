"""The one order of every label: genders, emotions, doubts, FER+ votes and age bands.

Ages are years. An age band is half open: ``low <= age < high``; the last one has no upper end.
"""

import math
from collections.abc import Sequence

GENDERS = ("female", "male")
"""Index 1 is male, as FFHQ-Features and the gender output of every model have it."""

EMOTIONS = ("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")

DOUBTS = ("small", "blurred", "dark", "turned", "cut off")
"""Reasons to distrust the answer for a face."""

FERPLUS_COLUMNS = (
    "neutral", "happiness", "surprise", "sadness", "anger",
    "disgust", "fear", "contempt", "unknown", "NF",
)  # fmt: skip
"""Order of the ten votes in ``fer2013new.csv``; ``NF`` is "no face"."""

_EMOTION_IN_FERPLUS = tuple(FERPLUS_COLUMNS.index(name) for name in EMOTIONS)

AGE_BANDS: tuple[tuple[float, float], ...] = (
    (0, 10), (10, 20), (20, 30), (30, 40), (40, 50), (50, 60), (60, 70), (70, math.inf),
)  # fmt: skip


def age_band(age: float) -> int:
    """Index in `AGE_BANDS` of an age in years; raises ValueError for a negative or NaN age."""
    for index, (low, high) in enumerate(AGE_BANDS):
        if low <= age < high:
            return index
    raise ValueError(f"no age band holds {age!r}")


def age_band_name(index: int) -> str:
    """The band as tables print it: ``0-9``, …, ``70+``."""
    low, high = AGE_BANDS[index]
    return f"{low:g}+" if math.isinf(high) else f"{low:g}-{high - 1:g}"


def soft_emotion(votes: Sequence[int]) -> tuple[float, ...] | None:
    """Ten FER+ votes as probabilities in the order of `EMOTIONS`, or None.

    Single votes are dropped as noise (Barsoum et al. 2016) unless nothing else is left. None when
    no vote names an emotion, or when "unknown" and "no face" hold at least half of the votes.
    """
    kept = [count if count > 1 else 0 for count in votes]
    if not any(kept):
        kept = list(votes)
    emotions = [kept[i] for i in _EMOTION_IN_FERPLUS]
    total = sum(emotions)
    if total == 0 or 2 * total <= sum(kept):
        return None
    return tuple(count / total for count in emotions)


def majority_emotion(votes: Sequence[int]) -> int | None:
    """FER+ *majority* label (Barsoum et al. 2016): an index into `EMOTIONS`, or None.

    Single votes are dropped, then one of the eight emotions must hold more than half of the rest,
    "unknown" and "no face" included.
    """
    kept = [count if count > 1 else 0 for count in votes]
    top = max(kept)
    if 2 * top <= sum(kept):
        return None
    winner = FERPLUS_COLUMNS[kept.index(top)]
    return EMOTIONS.index(winner) if winner in EMOTIONS else None


def argmax_emotion(votes: Sequence[int]) -> int | None:
    """FER+ *argmax* label: the most voted of the ten columns (the earlier one on a tie) as an
    index into `EMOTIONS`, or None where that is "unknown" or "no face"."""
    winner = FERPLUS_COLUMNS[max(range(len(votes)), key=lambda i: (votes[i], -i))]
    return EMOTIONS.index(winner) if winner in EMOTIONS else None
