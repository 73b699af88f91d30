"""Made streams of faces for the tests of tracking: no picture, no network."""

from collections.abc import Callable

import numpy as np

from agegenderemo.inference.tracks import (
    Embedding,
    Observation,
    Thresholds,
    Tracks,
    appearance_embedding,
)
from agegenderemo.model_info import ModelInfo
from agegenderemo.tasks import (
    DEFAULT_TASKS,
    EMOTION,
    decode,
)
from agegenderemo.types import Box, Detection, Face, InputSpec, Landmarks

RATE = 20  # frames a second
HAPPY, CALM = EMOTION.classes.index("happiness"), EMOTION.classes.index("neutral")
INFO = ModelInfo("made", DEFAULT_TASKS, InputSpec(64))


def tracks(**thresholds: float) -> Tracks:
    return Tracks(INFO, Thresholds(**thresholds))


def emotions(top: int, share: float = 0.9) -> tuple[float, ...]:
    return tuple(share if i == top else (1 - share) / 7 for i in range(8))


def embedding(seed: int, noise: float = 0.0, frame: int = 0) -> Embedding:
    """A face of its own; noise makes each frame a little different."""
    crop = np.random.default_rng(seed).uniform(0, 255, (16, 16, 1)).repeat(8, 0).repeat(8, 1)
    crop = crop + noise * np.random.default_rng((seed, frame)).normal(size=crop.shape)
    return appearance_embedding(crop.clip(0, 255).astype(np.uint8).repeat(3, 2))


def detection(x: float, y: float = 100.0, side: float = 80.0) -> Detection:
    box: Box = (x, y, x + side, y + side)
    eyes = ((x + 0.3 * side, y + 0.4 * side), (x + 0.7 * side, y + 0.4 * side))
    nose = (x + 0.5 * side, y + 0.6 * side)
    mouth = ((x + 0.35 * side, y + 0.8 * side), (x + 0.65 * side, y + 0.8 * side))
    points: Landmarks = (*eyes, nose, *mouth)
    return Detection(box, 0.99, points)


def face(
    x: float,
    y: float = 100.0,
    age: float = 30.0,
    male: float = 0.9,
    mood: tuple[float, ...] = emotions(CALM),
    flags: tuple[str, ...] = (),
    look: Embedding | None = None,
) -> Observation:
    values = zip(DEFAULT_TASKS, (age, male, mood), strict=True)
    predictions = {spec.name: decode(spec, value) for spec, value in values}
    return Observation(detection(x, y), embedding(1) if look is None else look, flags, predictions)


def glimpse(x: float, flags: tuple[str, ...] = (), look: int = 1) -> Observation:
    """Seen, and not read."""
    return Observation(detection(x), embedding(look), flags)


Frame = list[tuple[int, Observation]]


def play(frame_at: Callable[[int], Frame], frames: int) -> list[dict[int, tuple[int, Face]]]:
    """Each frame's answer by the true person: the number given and the settled face."""
    state, shown = tracks(), []
    for i in range(frames):
        people = frame_at(i)
        given = state.update([seen for _, seen in people], i / RATE)
        pairs = ((one.track_id, one.face) for one in given)
        shown.append({who: pair for (who, _), pair in zip(people, pairs, strict=True)})
    return shown
