"""People in a stream: a face keeps its number from frame to frame, and its answers settle.

Pure functions over a state that the caller keeps, one a viewer; no torch. Times are seconds of any
clock that only goes forward, so that nothing depends on the rate of frames.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agegenderemo.calibration import Calibration
from agegenderemo.images import RGBImage
from agegenderemo.records import Attributes, Box, Detection, Face

_GONE = 1.0  # a face that was unseen for longer is no longer where it was
_FORGOTTEN = 30.0  # and after this it is someone new when it returns
_MOVES_ON = 0.6  # a face that is hidden is expected to move on for so long
_NEAR = 0.7  # widths that a face may be off the place where it was expected
_ALIKE = 0.72  # correlation of two looks of one face; one in 150 pairs of strangers reaches it
_SURE = 0.8  # and one in a thousand this
_LOOK = 16  # pixels: side of the small grey copy that a face is recognised by
_LOOK_RATE = 0.1  # of the newest look in what is remembered
_AGE_MEMORY = 4.0  # over which the age is averaged
_AGE_OUTLIER = 8.0  # years: one answer pulls no more than this
_GENDER_MEMORY = 1.0
_GENDER_MARGIN = 0.1  # a shown gender changes past one half by this much
_CALM, _QUICK = 0.5, 0.06  # over which emotions are averaged: small and large changes
_SMALL_CHANGE, _LARGE_CHANGE = 0.15, 0.45  # total variation, [0, 1]
_READ_EVERY = 0.05  # seconds between two readings of a face: no answer shows sooner than this
_READ_IN_TURN = 4  # frames in which each of many faces is read once: reading is most of the cost
_DOUBTED = 0.25  # weight of an answer that there is reason to distrust

Look = NDArray[np.float32]
"""An aligned crop as a unit vector, to tell faces apart within one stream."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One person: place, look and settled answers."""

    number: int
    box: Box
    velocity: tuple[float, float]  # of the centre, pixels a second
    seen: float
    read: float  # when the network last read it
    look: Look
    age: float
    age_weight: float
    logit: float  # of male
    male: bool  # what is shown
    emotions: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Glimpse:
    """A known face that was seen but not read in a frame: its person's answers stay."""

    detection: Detection
    doubts: tuple[str, ...] = ()

    @property
    def box(self) -> Box:
        """(x1, y1, x2, y2) in pixels of the frame."""
        return self.detection.box


@dataclass(frozen=True, slots=True)
class Tracks:
    """The state of one stream: whom it has seen lately, and when the whole frame was searched."""

    people: tuple[Track, ...] = ()
    next_number: int = 1
    searched: float = -math.inf

    def last_seen(self) -> float:
        """When a frame of this stream was last searched or held a face."""
        return max([self.searched, *(p.seen for p in self.people)])

    def expected(self, now: float) -> list[Box]:
        """Where the faces of the last moments should be now."""
        return [_moved(p, now) for p in self.people if now - p.seen <= _GONE]


def look_of(crop: RGBImage) -> Look:
    """How an aligned crop looks, whatever the light: grey, small, zero mean and unit length."""
    grey = crop.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    step = grey.shape[0] // _LOOK
    side = step * _LOOK
    small = grey[:side, :side].reshape(_LOOK, step, _LOOK, step).mean(axis=(1, 3)).ravel()
    small -= small.mean()
    unit: Look = small / max(1e-6, float(np.linalg.norm(small)))
    return unit


def due(tracks: Tracks, boxes: Sequence[Box], looks: Sequence[Look], now: float) -> list[int]:
    """Which faces of this frame to read: those who are new, and of the known ones those that were
    read longest ago."""
    pairs = _match(tracks, boxes, looks, now)
    read = {index: tracks.people[p].read for p, index in pairs.items()}
    new = [i for i in range(len(boxes)) if i not in read]
    waiting = [i for i in read if now - read[i] >= _READ_EVERY]
    most = math.ceil(len(read) / _READ_IN_TURN)
    return sorted(new + sorted(waiting, key=lambda i: read[i])[:most])


def follow(
    tracks: Tracks,
    faces: Sequence[Face | Glimpse],
    looks: Sequence[Look],
    now: float,
    calibration: Calibration | None = None,
) -> tuple[Tracks, list[tuple[int, Face]]]:
    """The next state, and each face of this frame, in its order, with its number and settled
    answers.

    Raises ValueError for a `Glimpse` of someone new.
    """
    pairs = _match(tracks, [face.box for face in faces], looks, now)
    known = {index: tracks.people[p] for p, index in pairs.items()}
    number = tracks.next_number
    updated, shown = [], []
    for index, (face, look) in enumerate(zip(faces, looks, strict=True)):
        if index in known:
            track = _place(known[index], face.box, look, now)
            if isinstance(face, Face):
                track = _settle(track, face, now)
        elif isinstance(face, Face):
            track = _start(number, face, look, now)
            number += 1
        else:
            raise ValueError("someone new must be read")
        updated.append(track)
        answers = _shown(track, calibration)
        shown.append((track.number, Face(face.detection, answers, face.doubts)))
    unseen = [
        p for i, p in enumerate(tracks.people) if i not in pairs and now - p.seen <= _FORGOTTEN
    ]
    return Tracks((*updated, *unseen), number, tracks.searched), shown


def _match(
    tracks: Tracks, boxes: Sequence[Box], looks: Sequence[Look], now: float
) -> dict[int, int]:
    """Index of the face of each remembered person who is seen: the closest pairs first."""
    candidates = []
    for p, person in enumerate(tracks.people):
        if now - person.seen > _FORGOTTEN:
            continue
        for f, (box, look) in enumerate(zip(boxes, looks, strict=True)):
            alike = float(person.look @ look)
            if now - person.seen <= _GONE:
                distance = _distance(_moved(person, now), box)
                if distance <= _NEAR:
                    candidates.append((distance + (1 - alike), p, f))
            # Someone who returns, or jumped: by looks alone, after all who are where they should.
            if alike >= _ALIKE:
                candidates.append((2 + (1 - alike), p, f))
    pairs: dict[int, int] = {}
    for _, p, f in sorted(candidates):
        if p not in pairs and f not in pairs.values():
            pairs[p] = f
    return pairs


def _distance(a: Box, b: Box) -> float:
    """Between centres and between sizes, in widths; 0 for the same box."""
    (ax, ay), (bx, by) = _centre(a), _centre(b)
    width = max(1e-6, (a[2] - a[0] + b[2] - b[0]) / 2)
    size = abs(math.log(max(1e-6, b[2] - b[0]) / max(1e-6, a[2] - a[0])))
    return math.hypot(ax - bx, ay - by) / width + size / 2


def _centre(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _moved(track: Track, now: float) -> Box:
    """Its last box, moved on at its last velocity."""
    time = min(_MOVES_ON, now - track.seen)
    dx, dy = (v * time for v in track.velocity)
    x1, y1, x2, y2 = track.box
    return x1 + dx, y1 + dy, x2 + dx, y2 + dy


def _start(number: int, face: Face, look: Look, now: float) -> Track:
    given = face.attributes
    logit = _logit(given.male_probability)
    return Track(
        number,
        face.box,
        (0.0, 0.0),
        now,
        now,
        look,
        given.age,
        _weight(face),
        logit,
        logit >= 0,
        given.emotions,
    )


def _place(track: Track, box: Box, look: Look, now: float) -> Track:
    """Where and how someone is seen now."""
    time = max(1e-3, now - track.seen)
    velocity = (0.0, 0.0)
    if time <= _GONE:
        (x0, y0), (x1, y1) = _centre(track.box), _centre(box)
        fresh = ((x1 - x0) / time, (y1 - y0) / time)
        velocity = ((track.velocity[0] + fresh[0]) / 2, (track.velocity[1] + fresh[1]) / 2)
    # A half hidden face must not become the memory of this one.
    share = _LOOK_RATE if float(track.look @ look) >= _SURE else 0.0
    mixed = (1 - share) * track.look + share * look
    look = (mixed / max(1e-6, float(np.linalg.norm(mixed)))).astype(np.float32)
    return replace(track, box=box, velocity=velocity, seen=now, look=look)


def _settle(track: Track, face: Face, now: float) -> Track:
    """The answers moved towards a new reading."""
    given = face.attributes
    time = max(1e-3, now - track.read)
    weight = _weight(face)

    age_weight = track.age_weight * math.exp(-time / _AGE_MEMORY) + weight
    pull = max(-_AGE_OUTLIER, min(_AGE_OUTLIER, given.age - track.age))
    age = track.age + weight / age_weight * pull

    step = weight * (1 - math.exp(-time / _GENDER_MEMORY))
    logit = track.logit + step * (_logit(given.male_probability) - track.logit)
    margin = _logit(0.5 + _GENDER_MARGIN)
    male = logit > -margin if track.male else logit > margin

    change = sum(abs(a - b) for a, b in zip(given.emotions, track.emotions, strict=True)) / 2
    quickness = (change - _SMALL_CHANGE) / (_LARGE_CHANGE - _SMALL_CHANGE)
    memory = _CALM + (_QUICK - _CALM) * max(0.0, min(1.0, quickness))
    step = 1 - math.exp(-time / memory)
    emotions = tuple(
        old + step * (new - old) for old, new in zip(track.emotions, given.emotions, strict=True)
    )
    return replace(
        track,
        read=now,
        age=age,
        age_weight=age_weight,
        logit=logit,
        male=male,
        emotions=emotions,
    )


def _shown(track: Track, calibration: Calibration | None) -> Attributes:
    probability = 1 / (1 + math.exp(-track.logit))
    # Within the margin the shown gender stays, at one half.
    probability = max(0.5, probability) if track.male else min(0.4999, probability)
    total = sum(track.emotions)
    emotions = tuple(e / total for e in track.emotions)
    if calibration is None:
        return Attributes(track.age, probability, emotions)
    return calibration.attributes(track.age, probability, emotions)


def _weight(face: Face) -> float:
    return _DOUBTED if face.doubts else 1.0


def _logit(probability: float) -> float:
    p = min(0.99, max(0.01, probability))
    return math.log(p / (1 - p))
