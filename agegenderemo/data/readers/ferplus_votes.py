"""The ten votes of FER+ (Barsoum et al. 2016), and the labels that they stand for."""

from collections.abc import Sequence

from agegenderemo.tasks import EMOTION

VOTED = EMOTION
"""The task that the votes answer."""

FERPLUS_COLUMNS = (
    "neutral", "happiness", "surprise", "sadness", "anger",
    "disgust", "fear", "contempt", "unknown", "NF",
)  # fmt: skip
"""Order of the ten votes in ``fer2013new.csv``; ``NF`` is "no face"."""

_COLUMN_OF_CLASS = tuple(FERPLUS_COLUMNS.index(name) for name in VOTED.classes)


def soft_label(votes: Sequence[int]) -> tuple[float, ...] | None:
    """Ten votes as probabilities in the order of ``VOTED.classes``, or None.

    Single votes are dropped as noise (Barsoum et al. 2016) unless nothing else is left. None when
    no vote names an emotion, or when "unknown" and "no face" hold at least half of the votes.
    """
    kept = [count if count > 1 else 0 for count in votes]
    if not any(kept):
        kept = list(votes)
    emotions = [kept[i] for i in _COLUMN_OF_CLASS]
    total = sum(emotions)
    if total == 0 or 2 * total <= sum(kept):
        return None
    return tuple(count / total for count in emotions)


def majority_label(votes: Sequence[int]) -> str | None:
    """The *majority* label (Barsoum et al. 2016): an emotion, or None.

    Single votes are dropped, then one of the eight emotions must hold more than half of the rest,
    "unknown" and "no face" included.
    """
    kept = [count if count > 1 else 0 for count in votes]
    top = max(kept)
    if 2 * top <= sum(kept):
        return None
    return _named(kept.index(top))


def argmax_label(votes: Sequence[int]) -> str | None:
    """The *argmax* label: the most voted of the ten columns (the earlier one on a tie), or None
    where that is "unknown" or "no face"."""
    return _named(max(range(len(votes)), key=lambda i: (votes[i], -i)))


def _named(column: int) -> str | None:
    winner = FERPLUS_COLUMNS[column]
    return winner if winner in VOTED.classes else None
