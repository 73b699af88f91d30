"""Films as JSON and as rows of a table."""

from collections.abc import Iterator, Sequence
from typing import Any

from agegenderemo.results import SCHEMA_VERSION, csv_fields, csv_rows
from agegenderemo.tasks import TaskSpec
from agegenderemo.types import TrackedFace
from agegenderemo.video.people import Person

_OURS = ("file", "frame", "time", "track_id")
_THEIRS = ("file", "face", "error")  # columns of a picture that a frame does not have


def film_fields(tasks: Sequence[TaskSpec]) -> tuple[str, ...]:
    """The columns of a table with a row a frame and person."""
    return (*_OURS, *(field for field in csv_fields(tasks) if field not in _THEIRS))


def film_rows(
    name: str, frame: int, time: float, faces: Sequence[TrackedFace], tasks: Sequence[TaskSpec]
) -> Iterator[dict[str, Any]]:
    """Rows of one frame by `film_fields`; none where nobody is seen."""
    if not faces:
        return
    record = {"file": name, "faces": [one.face.to_dict() for one in faces]}
    for one, row in zip(faces, csv_rows(record, tasks), strict=True):
        del row["face"]
        yield row | {"frame": frame, "time": round(time, 3), "track_id": one.track_id}


def frame_record(
    time: float, width: int, height: int, faces: Sequence[TrackedFace]
) -> dict[str, Any]:
    """One frame of a camera as plain JSON types."""
    return {
        "schema_version": SCHEMA_VERSION,
        "time": round(time, 3),
        "width": width,
        "height": height,
        "faces": [{"track_id": one.track_id, **one.face.to_dict()} for one in faces],
    }


def film_record(
    name: str,
    size: tuple[int, int],
    seconds: float,
    frames: int,
    people: Sequence[Person],
    error: str | None,
) -> dict[str, Any]:
    """A whole film as plain JSON types; ``error`` where not all of it could be read."""
    record: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "file": name,
        "width": size[0],
        "height": size[1],
        "seconds": round(seconds, 3),
        "frames": frames,
        "people": [person.to_dict() for person in people],
    }
    return record if error is None else record | {"error": error}
