"""Age bands: half open, ``low <= age < high``; the last one has no upper end."""

import math

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
