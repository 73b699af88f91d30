"""A film read from its first frame to its last: decoding, tracking and writing side by side."""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agegenderemo.imaging.draw import annotate
from agegenderemo.types import RGBImage, TrackedFace
from agegenderemo.video.ahead import ahead
from agegenderemo.video.cuts import CutDetector
from agegenderemo.video.film import Film, Frame
from agegenderemo.video.people import People, Person
from agegenderemo.video.records import film_record, film_rows

if TYPE_CHECKING:
    from agegenderemo.inference.analyzer import Analyzer
    from agegenderemo.video.camera import Camera
    from agegenderemo.video.writer import FilmWriter

THRESHOLDS = {"search_side": 640.0, "search_lost_every": 0.1}
"""Of a `FaceTracker` where they are not those of Live: people in a film are smaller than in front
of a camera, and an empty scene need not be searched in every frame."""

_AHEAD = 4  # frames: each may be large

_Items = Generator[Any, None, None]
Rows = Callable[[Iterable[dict[str, Any]]], object]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A frame of a film and who is in it."""

    frame: Frame
    faces: Sequence[TrackedFace]


@dataclass(frozen=True, slots=True, eq=False)
class FilmStory:
    """What was read of a film: its record by `film_record`, and everyone in it."""

    record: dict[str, Any]
    people: Sequence[Person]
    interrupted: bool = False


def read_film(analyzer: "Analyzer", film: Film) -> _Items:
    """Every frame of a film as `Seen`, and its packets of sound, if any, between them. Frames are
    decoded on one thread and followed on another, some of them ahead of the caller."""
    return ahead(_followed(analyzer, ahead(film.items(), _AHEAD)), _AHEAD)


def read_live(analyzer: "Analyzer", camera: "Camera") -> Generator[Seen, None, None]:
    """What a camera sees, as `Seen`. Frames that come faster than they are read are left out."""
    return _followed(analyzer, ahead(camera.frames(), 1, newest=True))


def _followed(analyzer: "Analyzer", items: _Items) -> _Items:
    tracker, cuts = analyzer.tracker(**THRESHOLDS), CutDetector()
    try:
        for item in items:
            if isinstance(item, Frame):
                faces = tracker.update(item.image, item.time, cut=cuts.is_cut(item.image))
                yield Seen(item, faces)
            else:
                yield item
    finally:
        items.close()


def tell_film(
    analyzer: "Analyzer",
    film: Film,
    *,
    rows: Rows | None = None,
    writer: "FilmWriter | None" = None,
    progress: Callable[[float], object] = lambda seconds: None,
) -> FilmStory:
    """Read a whole film: ``rows`` takes the rows of each frame by `film_fields`, ``writer`` the
    annotated frames, and ``progress`` the seconds that are done.

    A keyboard interrupt ends the film early; what was read is told. Raises FilmError for a film
    without a frame.
    """
    people = People(analyzer.info)
    size, count, last, gap = (0, 0), 0, 0.0, 1 / film.rate
    interrupted = False
    items = read_film(analyzer, film)
    try:
        for item in items:
            if not isinstance(item, Seen):
                if writer:
                    writer.packet(item)
                continue
            time, faces = item.frame.time, item.faces
            gap = time - last if count else gap
            last, count = time, count + 1
            size = (item.frame.image.shape[1], item.frame.image.shape[0])
            people.add(time, faces)
            if rows:
                rows(film_rows(film.name, count, time, faces, analyzer.tasks))
            if writer:
                writer.frame(_drawn(item), time, film.base)
            progress(time)
    except KeyboardInterrupt:
        if not count:
            raise
        interrupted = True
    finally:
        items.close()
    if writer:
        writer.close()
    problem = film.problem
    if interrupted:
        problem = f"Interrupted after {last:.1f} seconds of {film.name}."
    everyone = people.finish(gap)
    record = film_record(film.name, size, last + gap, count, everyone, problem)
    return FilmStory(record, everyone, interrupted)


def _drawn(seen: Seen) -> RGBImage:
    if not seen.faces:
        return seen.frame.image
    faces = [one.face for one in seen.faces]
    return annotate(seen.frame.image, faces, [str(one.track_id) for one in seen.faces])
