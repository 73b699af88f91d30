"""People in a stream: who is seen again, who is new, and what each has settled on.

No network and no picture here, only boxes, appearance embeddings and predictions. Times are seconds
of any clock that only goes forward, so that nothing depends on the rate of frames.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from agegenderemo.imaging.quality import DISTRUSTED_FLAGS
from agegenderemo.inference import settling
from agegenderemo.inference.settling import Settled, SettlingRates
from agegenderemo.model_info import ModelInfo
from agegenderemo.tasks import Prediction
from agegenderemo.types import Box, Detection, Face, RGBImage, TrackedFace

_EMBEDDING_SIDE = 16  # pixels of the small grey copy that a face is recognised by
_BRIEFEST = 1e-3  # seconds between two frames, at least: they divide
_TINY = 1e-6

Embedding = NDArray[np.float32]
"""The appearance of an aligned crop as a unit vector, to tell faces apart within one stream."""


@dataclass(frozen=True, slots=True)
class Thresholds(SettlingRates):
    """What a `FaceTracker` decides by. Times are seconds.

    Raises ValueError for a number that is negative or not finite, TypeError for an unknown name.
    """

    search_every: float = 0.5
    """The whole frame is searched at least so often."""
    search_lost_every: float = 0.0
    """And so often while a face is missing, or nobody is there."""
    blind_after: float = 1.0
    """Without a face for so long, frames are searched brightened and turned too."""
    search_side: float = 320
    """Pixels of the longer side of the copy of a frame that is searched."""
    min_face_size: float = 30
    """Pixels of that copy."""
    max_faces: float = 24
    """Of a frame that are followed."""
    max_people: float = 64
    """Who are remembered at most; those who were seen last stay."""
    same_face: float = 0.3
    """Overlap of two boxes of one face."""
    gone_after: float = 1.0
    """A face that was unseen for longer is no longer where it was."""
    forgotten_after: float = 30.0
    """And after this it is someone new when it returns."""
    moves_on: float = 0.6
    """A face that is hidden is expected to move on for so long."""
    velocity_memory: float = 0.15
    """Over which the speed of a face is averaged."""
    near: float = 0.7
    """Widths that a face may be off the place where it was expected."""
    alike: float = 0.72
    """Correlation of two embeddings of one face; one in 150 pairs of strangers reaches it."""
    surely_alike: float = 0.8
    """And one in a thousand this."""
    embedding_rate: float = 0.1
    """Of the newest embedding in what is remembered."""
    read_every: float = 0.05
    """Between two readings of a face: no answer shows sooner than this."""
    read_in_turn: float = 4
    """Frames in which each of many faces is read once: reading is most of the cost."""
    distrusted_weight: float = 0.25
    """Of an answer that there is reason to distrust."""
    agreeing: float = 3
    """Readings that must agree before an answer stands."""
    changed_look: float = 0.5
    """A face that is less alike than this to itself at the last reading is someone else; one in
    seven pairs of strangers is more alike."""
    contradicted_for: float = 0.6
    """Someone whose readings contradict what is shown for so long is read anew."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{one.name} must be a number from 0, not {value}")


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """A face of one frame. Without ``predictions`` it was seen but not read: its person's answers
    stay."""

    detection: Detection
    embedding: Embedding
    quality_flags: tuple[str, ...] = ()
    predictions: Mapping[str, Prediction] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Rival:
    """What the latest readings of a face say, where they do not fit the person it was taken for."""

    since: float
    read: float
    weight: float  # of its readings, together
    changed: bool  # whether the look changed at once, and not the readings alone
    embedding: Embedding
    answers: Mapping[str, Settled]


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One person: place, appearance and settled answers by the name of the task."""

    track_id: int
    box: Box
    velocity: tuple[float, float]  # of the centre, pixels a second
    seen: float
    read: float  # when the network last read it
    embedding: Embedding
    answers: Mapping[str, Settled]
    look: Embedding  # at the last reading that fits; ``embedding`` is the memory of many
    agreed: int = 1  # readings in a row
    rival: Rival | None = None
    placed: bool = True  # whether the box is of the shot that is shown


def appearance_embedding(crop: RGBImage) -> Embedding:
    """How an aligned crop looks, whatever the light: grey, small, zero mean and unit length."""
    grey = crop.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    step = grey.shape[0] // _EMBEDDING_SIDE
    side = step * _EMBEDDING_SIDE
    blocks = grey[:side, :side].reshape(_EMBEDDING_SIDE, step, _EMBEDDING_SIDE, step)
    small = blocks.mean(axis=(1, 3)).ravel()
    small -= small.mean()
    unit: Embedding = small / max(_TINY, float(np.linalg.norm(small)))
    return unit


@dataclass(slots=True)
class Tracks:
    """The people of one stream, bounded in number and in time."""

    info: ModelInfo
    thresholds: Thresholds = field(default_factory=Thresholds)
    people: tuple[Track, ...] = ()
    next_id: int = 1

    def expected(self, time: float) -> list[Box]:
        """Where the faces of the last moments should be now."""
        return [self._moved(p, time) for p in self.people if self._is_near(p, time)]

    def cut(self) -> None:
        """Another shot begins: nobody is where they were, and they are known by looks alone."""
        self.people = tuple(replace(p, placed=False) for p in self.people)

    def due(self, boxes: Sequence[Box], embeddings: Sequence[Embedding], time: float) -> list[int]:
        """Which faces of this frame to read: those who are new, and of the known ones those that
        were read longest ago."""
        pairs = self._match(boxes, embeddings, time)
        read = {index: self.people[p].read for p, index in pairs.items()}
        new = [i for i in range(len(boxes)) if i not in read]
        waiting = [i for i in read if time - read[i] >= self.thresholds.read_every]
        most = math.ceil(len(read) / max(1, self.thresholds.read_in_turn))
        return sorted(new + sorted(waiting, key=lambda i: read[i])[:most])

    def update(self, faces: Sequence[Observation], time: float) -> list[TrackedFace]:
        """Take in one frame: each of its faces, in its order, with its person and that one's
        settled answers.

        Raises ValueError for someone new who was not read.
        """
        pairs = self._match([f.detection.box for f in faces], [f.embedding for f in faces], time)
        known = {index: self.people[p] for p, index in pairs.items()}
        away = [
            p
            for i, p in enumerate(self.people)
            if i not in pairs and time - p.seen <= self.thresholds.forgotten_after
        ]
        seen, replaced = [], []
        for index, face in enumerate(faces):
            if index not in known:
                seen.append(self._start(face, time))
                continue
            seen.append(self._follow(known[index], face, time, away))
            if seen[-1].track_id != known[index].track_id:
                replaced.append(known[index])
        # Whom a frame shows goes to the front, so the last are those who were seen longest ago.
        self.people = (*seen, *replaced, *away)[: max(len(seen), int(self.thresholds.max_people))]
        return [self._shown(track, face) for track, face in zip(seen, faces, strict=True)]

    def _match(
        self, boxes: Sequence[Box], embeddings: Sequence[Embedding], time: float
    ) -> dict[int, int]:
        """Index of the face of each remembered person who is seen: the closest pairs first."""
        limits = self.thresholds
        candidates = []
        for p, person in enumerate(self.people):
            if time - person.seen > limits.forgotten_after:
                continue
            for f, (box, embedding) in enumerate(zip(boxes, embeddings, strict=True)):
                alike = float(person.embedding @ embedding)
                if self._is_near(person, time):
                    distance = _distance(self._moved(person, time), box)
                    if distance <= limits.near:
                        candidates.append((distance + (1 - alike), p, f))
                # Someone who returns, or jumped: by looks alone, after all who are where they
                # should be.
                if alike >= limits.alike:
                    candidates.append((2 + (1 - alike), p, f))
        pairs: dict[int, int] = {}
        for _, p, f in sorted(candidates):
            if p not in pairs and f not in pairs.values():
                pairs[p] = f
        return pairs

    def _is_near(self, track: Track, time: float) -> bool:
        """Whether someone is still to be looked for near the last place."""
        return track.placed and time - track.seen <= self.thresholds.gone_after

    def _moved(self, track: Track, time: float) -> Box:
        """Its last box, moved on at its last velocity."""
        seconds = min(self.thresholds.moves_on, time - track.seen)
        dx, dy = (v * seconds for v in track.velocity)
        x1, y1, x2, y2 = track.box
        return x1 + dx, y1 + dy, x2 + dx, y2 + dy

    def _start(self, face: Observation, time: float) -> Track:
        if face.predictions is None:
            raise ValueError("someone new must be read")
        track_id, self.next_id = self.next_id, self.next_id + 1
        weight = self._weight(face)
        answers = {name: settling.start(p, weight) for name, p in face.predictions.items()}
        box, still = face.detection.box, (0.0, 0.0)
        return Track(track_id, box, still, time, time, face.embedding, answers, look=face.embedding)

    def _follow(self, track: Track, face: Observation, time: float, away: list[Track]) -> Track:
        """Someone who is seen again, or whoever took the place: one of those who are ``away``, who
        is then away no more, or someone new."""
        moved = self._place(track, face, time)
        if face.predictions is None:
            return moved
        limits = self.thresholds
        rival = self._rival(track, face, face.predictions, time)
        if rival is not None and rival.weight >= limits.agreeing:
            if rival.changed:
                return self._replaced(face, rival, time, away)
            if time - rival.since >= limits.contradicted_for:
                return replace(moved, read=time, answers=rival.answers, look=face.embedding)
        answers = self._settled(track.answers, track.read, face, face.predictions, time)
        agreed = track.agreed + 1 if rival is None else track.agreed
        look = face.embedding if rival is None or not rival.changed else track.look
        return replace(moved, read=time, answers=answers, look=look, agreed=agreed, rival=rival)

    def _settled(
        self,
        answers: Mapping[str, Settled],
        read: float,
        face: Observation,
        predictions: Mapping[str, Prediction],
        time: float,
    ) -> dict[str, Settled]:
        seconds, weight = max(_BRIEFEST, time - read), self._weight(face)
        return {
            name: settling.settle(answers[name], new, seconds, weight, self.thresholds)
            for name, new in predictions.items()
        }

    def _rival(
        self, track: Track, face: Observation, predictions: Mapping[str, Prediction], time: float
    ) -> Rival | None:
        """The other one whom this reading, and those before it, speak for; None where it fits."""
        limits, rival, newest = self.thresholds, track.rival, face.embedding
        # Someone who turns away slowly is unlike the memory, but like a moment ago.
        unlike = max(float(track.embedding @ newest), float(track.look @ newest))
        changed = unlike < limits.changed_look
        if not changed and not self._contradict(track.answers, predictions):
            return None
        weight = self._weight(face)
        if (
            rival is None
            or rival.changed != changed
            or (changed and float(rival.embedding @ newest) < limits.changed_look)
            or self._contradict(rival.answers, predictions)
        ):
            first = {name: settling.start(new, weight) for name, new in predictions.items()}
            return Rival(time, time, weight, changed, newest, first)
        answers = self._settled(rival.answers, rival.read, face, predictions, time)
        return replace(rival, read=time, weight=rival.weight + weight, answers=answers)

    def _contradict(
        self, answers: Mapping[str, Settled], predictions: Mapping[str, Prediction]
    ) -> bool:
        return any(
            settling.contradicts(answers[name], new, self.thresholds)
            for name, new in predictions.items()
        )

    def _replaced(self, face: Observation, rival: Rival, time: float, away: list[Track]) -> Track:
        """Whoever is in the place of the one who was followed."""
        alike = [float(one.embedding @ face.embedding) for one in away]
        if alike and max(alike) >= self.thresholds.alike:
            known = away.pop(alike.index(max(alike)))
            found = self._place(known, face, time)
            return replace(found, read=time, look=face.embedding, rival=None)
        started = self._start(face, time)
        return replace(started, answers=rival.answers, agreed=math.ceil(self.thresholds.agreeing))

    def _place(self, track: Track, face: Observation, time: float) -> Track:
        """Where and how someone is seen now."""
        box, newest = face.detection.box, face.embedding
        # A half hidden face must not become the memory of this one, nor does its box tell where
        # the whole one goes.
        certain = float(track.embedding @ newest) >= self.thresholds.surely_alike
        velocity = self._velocity(track, box, time, certain)
        share = self.thresholds.embedding_rate if certain else 0.0
        mixed = (1 - share) * track.embedding + share * newest
        embedding = (mixed / max(_TINY, float(np.linalg.norm(mixed)))).astype(np.float32)
        return replace(
            track, box=box, velocity=velocity, seen=time, embedding=embedding, placed=True
        )

    def _velocity(self, track: Track, box: Box, time: float, certain: bool) -> tuple[float, float]:
        """Of someone who is seen now, averaged over a moment."""
        if not self._is_near(track, time):
            return 0.0, 0.0
        if not certain:
            return track.velocity
        seconds = max(_BRIEFEST, time - track.seen)
        share = 1 - math.exp(-seconds / max(_TINY, self.thresholds.velocity_memory))
        (x0, y0), (x1, y1), (vx, vy) = _centre(track.box), _centre(box), track.velocity
        return vx + share * ((x1 - x0) / seconds - vx), vy + share * ((y1 - y0) / seconds - vy)

    def _shown(self, track: Track, face: Observation) -> TrackedFace:
        calibration = self.info.calibration
        predictions = {
            spec.name: settling.shown(track.answers[spec.name], spec, calibration.get(spec.name))
            for spec in self.info.tasks
        }
        doubted = track.rival is not None and track.rival.changed
        return TrackedFace(
            track.track_id,
            Face(face.detection, predictions, face.quality_flags),
            settled=track.agreed >= self.thresholds.agreeing and not doubted,
        )

    def _weight(self, face: Observation) -> float:
        distrusted = not DISTRUSTED_FLAGS.isdisjoint(face.quality_flags)
        return self.thresholds.distrusted_weight if distrusted else 1.0


def _distance(a: Box, b: Box) -> float:
    """Between centres and between sizes, in widths; 0 for the same box."""
    (ax, ay), (bx, by) = _centre(a), _centre(b)
    width = max(_TINY, (a[2] - a[0] + b[2] - b[0]) / 2)
    size = abs(math.log(max(_TINY, b[2] - b[0]) / max(_TINY, a[2] - a[0])))
    return math.hypot(ax - bx, ay - by) / width + size / 2


def _centre(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
