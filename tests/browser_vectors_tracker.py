"""Made streams for the browser's tracking, with what Python answers frame by frame."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from browser_vectors_reader import CALIBRATION, INFO, TASKS, coded, plain
from made_streams import RATE, detection, embedding

from agegenderemo.inference.tracks import Embedding, Observation, Thresholds, Tracks
from agegenderemo.tasks import Prediction, TaskSpec, decode, predict

SLOW = 5  # frames a second of the stream that is long

People = Sequence[Observation]
"""The faces of a frame, all of them read; which of them the tracks see read, they say."""


def write_tracker(folder: Path) -> None:
    """``tracker.json``: each stream with its thresholds, frames and answers."""
    streams = [{"name": make.__name__, **_played(make)} for make in _STREAMS]
    vectors = {"info": INFO.to_dict(), "streams": streams}
    (folder / "tracker.json").write_text(json.dumps(vectors), encoding="utf-8")


def _played(make: Callable[[], Iterator[tuple[People, bool]]]) -> dict[str, Any]:
    given = _THRESHOLDS.get(make.__name__, {})
    state = Tracks(INFO, Thresholds(**given))
    looks: list[str] = []
    frames = []
    for number, (people, cut) in enumerate(make()):
        time = number / (SLOW if make is leaving else RATE)
        if cut:
            state.cut()
        expected = state.expected(time)
        boxes = [one.detection.box for one in people]
        due = state.due(boxes, [one.embedding for one in people], time)
        seen = [one if i in due else replace(one, predictions=None) for i, one in enumerate(people)]
        shown = state.update(seen, time)
        looks += [text for one in people if (text := coded(one.embedding)) not in looks]
        frames.append({
            "time": time,
            "cut": cut,
            "expected": expected,
            "due": due,
            "faces": [
                {
                    "detection": {
                        "box": one.detection.box,
                        "score": one.detection.score,
                        "landmarks": one.detection.landmarks,
                    },
                    "look": looks.index(coded(one.embedding)),
                    "flags": one.quality_flags,
                    "predictions": _plain(one.predictions),
                }
                for one in seen
            ],
            "shown": [
                {
                    "trackId": one.track_id,
                    "settled": one.settled,
                    "predictions": _plain(one.face.predictions),
                }
                for one in shown
            ],
        })  # fmt: skip
    names = {name: _camel(name) for name in given}
    return {
        "thresholds": {names[name]: value for name, value in given.items()},
        "looks": looks,
        "frames": frames,
        "nextId": state.next_id,
    }


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _plain(predictions: Mapping[str, Prediction] | None) -> dict[str, Any] | None:
    if predictions is None:
        return None
    return {name: plain(one) for name, one in predictions.items()}


# --- streams -----------------------------------------------------------------------------------


def _read(seed: int, frame: int, spec: TaskSpec, noise: float = 0.1) -> Prediction:
    """What a network says of someone in one task: about the same in each frame."""
    own, rng = np.random.default_rng(seed), np.random.default_rng((seed, frame))
    if spec.kind == "regression":
        return predict(spec, own.uniform(5, 70) + 30 * noise * rng.normal(), CALIBRATION.get("age"))
    if spec.kind == "binary":
        logit = own.choice([-2.5, 2.5]) + 10 * noise * rng.normal()
        return predict(spec, 1 / (1 + math.exp(-logit)), CALIBRATION.get(spec.name))
    powers = np.exp(own.normal(0, 2, len(spec.classes)) + 8 * noise * rng.normal())
    values = powers + rng.uniform(0, noise, len(powers))
    return predict(spec, values / values.sum(), CALIBRATION.get(spec.name))


def _seen(
    who: int,
    frame: int,
    x: float,
    y: float = 100.0,
    *,
    side: float = 80.0,
    flags: tuple[str, ...] = (),
    look: Embedding | None = None,
    noise: float = 0.1,
    mood: int | None = None,
) -> Observation:
    predictions = {spec.name: _read(who, frame, spec, noise) for spec in TASKS}
    for spec in TASKS:
        if spec.kind == "categorical" and mood is not None:
            predictions[spec.name] = _read(mood, frame, spec, noise)
    own = embedding(who, 12, frame) if look is None else look
    return Observation(detection(x, y, side), own, flags, predictions)


def crossing() -> Iterator[tuple[People, bool]]:
    """Two who pass each other, one hidden by the other for a moment."""
    for i in range(2 * RATE):
        left, right = 50 + 150 * i / RATE, 350 - 150 * i / RATE
        people = [_seen(1, i, left), _seen(2, i, right, 104)]
        yield people[:1] if abs(left - right) < 40 else people, False


def leaving() -> Iterator[tuple[People, bool]]:
    """One leaves, comes back elsewhere, leaves for long and is forgotten; another stays."""
    for i in range(37 * SLOW):
        here = i < 10 or 20 <= i < 25 or i >= 35 * SLOW
        first = [_seen(1, i, 100 + (i >= 20) * 200)] if here else []
        yield [*first, _seen(2, i, 420 + 10 * math.sin(i / 9))], False


def replaced() -> Iterator[tuple[People, bool]]:
    """Someone takes a place without a gap, then the first comes back to it."""
    for i in range(4 * RATE):
        who = 1 if i < RATE or i >= 3 * RATE else 2
        yield [_seen(who, i, 100 + i)], False


def contradicted() -> Iterator[tuple[People, bool]]:
    """The first readings are of a face half out of the picture: later ones contradict them."""
    for i in range(3 * RATE):
        wrong = i < 6 or 30 < i < 36
        flags = ("cut off", "dark") if wrong else ("turned",)
        yield (
            [_seen(3 if wrong else 4, i, 100 + 2 * i, look=embedding(1, 12, i), flags=flags)],
            False,
        )


def cut() -> Iterator[tuple[People, bool]]:
    """Another shot: the same two elsewhere, then strangers in their places."""
    for i in range(3 * RATE):
        shot = i // RATE
        people = [[(1, 100), (2, 300)], [(2, 110), (1, 310)], [(5, 100), (6, 300)]][shot]
        yield [_seen(who, i, x) for who, x in people], i in (RATE, 2 * RATE)


def moods() -> Iterator[tuple[People, bool]]:
    """Expressions that change at once, and light that does."""
    for i in range(2 * RATE):
        flags = ("dark",) if i % 7 > 4 else ()
        yield [_seen(1, i, 100, mood=10 + i // 9, noise=0.05 + 0.02 * (i % 5), flags=flags)], False


def crowd() -> Iterator[tuple[People, bool]]:
    """Many who move, some of them away, in a memory of ten; two look alike."""
    rng = np.random.default_rng(3)
    for i in range(2 * RATE):
        people = []
        for who in range(9):
            if rng.random() < 0.15:
                continue
            x, y = 100 * who + 40 * math.sin(i / 8 + who), 100 + 20 * math.cos(i / 5 + who)
            look = embedding(1, 60, i) if who == 4 else None
            people.append(_seen(who, i, x, y, side=60 + 3 * who + i / 4, look=look))
        if i > RATE:
            people = [*people[4:], *people[:3], _seen(20 + i // 8, i, 30.0 * i, 400)]
        yield people, False


def turning() -> Iterator[tuple[People, bool]]:
    """Someone who slowly becomes someone else, as one who turns away; frames may be at one time."""
    first, last = embedding(1), embedding(2)
    for i in range(3 * RATE):
        share = min(1.0, i / (2 * RATE))
        mixed = (1 - share) * first + share * last
        look = (mixed / np.linalg.norm(mixed)).astype(np.float32)
        yield [_seen(1, i, 100 + 3 * i * math.sin(i / 20), look=look)] if i % 11 else [], False


def wavering() -> Iterator[tuple[People, bool]]:
    """Two classes about as probable, in slow waves and quick ones; and a face that is hardly the
    same to look at."""
    for i in range(4 * RATE):
        (one,) = [_seen(1, i, 100, look=embedding(1, 45 + i % 45, i))]
        logit = (0.9 if i < 3 * RATE else 2.2) * math.sin(i / 11) + 0.3 * (-1) ** i
        positive = 1 / (1 + math.exp(-logit))
        predictions = {
            spec.name: decode(spec, positive)
            if spec.kind == "binary"
            else one.predictions[spec.name]
            for spec in TASKS
            if one.predictions
        }
        yield [replace(one, predictions=predictions)], False


def strangers() -> Iterator[tuple[People, bool]]:
    """Three places in which anyone may be from moment to moment."""
    rng = np.random.default_rng(11)
    people = [1, 2, 3]
    flags: Sequence[tuple[str, ...]] = ((), (), ("small",), ("turned",))
    for i in range(15 * RATE):
        for place in range(3):
            if rng.random() < 0.08:
                people[place] = int(rng.integers(1, 7))
        here = [place for place in range(3) if rng.random() < 0.9]
        seen = []
        for place in here:
            who = people[place]
            read = who if rng.random() < 0.8 else int(rng.integers(1, 7))
            look = embedding(who, float(rng.choice([10, 50, 80])), i)
            place_flags = flags[int(rng.integers(4))]
            seen.append(_seen(read, i, 100 + 150 * place + i % 7, look=look, flags=place_flags))
        yield seen, rng.random() < 0.01


def misread() -> Iterator[tuple[People, bool]]:
    """Someone else for a moment; then the first again, who is misread as that one."""
    for i in range(RATE):
        look = embedding(2 if 10 <= i < 12 else 1, 12, i)
        yield [_seen(3 if i < 10 else 4, i, 100, look=look, noise=0.0)], False


_STREAMS = (
    misread,
    crossing,
    leaving,
    replaced,
    contradicted,
    cut,
    moods,
    crowd,
    turning,
    wavering,
    strangers,
)
_THRESHOLDS: Mapping[str, Mapping[str, float]] = {
    "crowd": {"max_people": 10, "read_in_turn": 3, "agreeing": 2},
    "turning": {"alike": 0.6, "surely_alike": 0.7, "embedding_rate": 0.3, "read_every": 0.0},
    "misread": {"read_every": 0.0},
    "strangers": {"forgotten_after": 2.0, "read_in_turn": 1},
    "moods": {"calm_memory": 1.0, "regression_outlier": 2.0, "read_every": 0.12},
}
