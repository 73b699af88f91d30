"""One picture of a stranger, read. Without gradio, which a process that reads need not load."""

from dataclasses import dataclass
from typing import Any, BinaryIO

from agegenderemo.inference.analyzer import Analyzer
from agegenderemo.results import picture_record
from agegenderemo.types import Face
from agegenderemo.web.guard.pictures import Picture, read_faces, read_picture


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture that was read: the faces as they lie in what was decoded, its record in pixels of
    the original, and how many more faces it has that were not read."""

    picture: Picture
    faces: list[Face]
    record: dict[str, Any]
    left: int


def read_photo(analyzer: Analyzer, source: BinaryIO | bytes, name: str) -> Photo:
    """Decode a stranger's picture and read its faces; raises ImageError."""
    picture = read_picture(source, name)
    faces, left, search = read_faces(analyzer, picture.image)
    whole = [picture.to_full_size(face) for face in faces]
    record = picture_record(name, picture.image, whole, search, analyzer.network)
    return Photo(picture, faces, record | {"width": picture.width, "height": picture.height}, left)
