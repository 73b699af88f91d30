"""Results as JSON and table rows: the one shape that the command line and the app give out."""

from collections.abc import Iterator, Sequence
from typing import Any

from agegenderemo.images import RGBImage
from agegenderemo.labels import EMOTIONS
from agegenderemo.records import Face

CSV_FIELDS = (
    "file", "face", "x1", "y1", "x2", "y2", "score", "age", "age_low", "age_high",
    "age_error", "gender", "gender_probability", "gender_sure", "emotion", *EMOTIONS,
    "emotion_sure", "doubts", "error",
)  # fmt: skip


def picture_record(name: str, image: RGBImage, faces: Sequence[Face]) -> dict[str, Any]:
    """One analysed picture as plain JSON types."""
    height, width = image.shape[:2]
    return {
        "file": name,
        "width": width,
        "height": height,
        "faces": [face.to_dict() for face in faces],
    }


def error_record(name: str, error: Exception) -> dict[str, Any]:
    """A picture that could not be read."""
    return {"file": name, "error": str(error)}


def csv_rows(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows of one record by `CSV_FIELDS`: a row a face, one for no face, one for an error."""
    name = _no_formula(record["file"])
    if not record.get("faces"):
        yield {"file": name, "error": record.get("error", "")}
    for number, face in enumerate(record.get("faces", ()), start=1):
        corners = dict(zip(("x1", "y1", "x2", "y2"), face["box"], strict=True))
        plain = {key: face[key] for key in CSV_FIELDS if key in face}
        if face["age_interval"]:
            plain |= dict(zip(("age_low", "age_high"), face["age_interval"], strict=True))
        plain["doubts"] = "; ".join(face["doubts"])
        yield {"file": name, "face": number, **corners, **plain, **face["emotions"]}


def _no_formula(name: str) -> str:
    """A file name that a spreadsheet does not take for a formula."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@")) else name
