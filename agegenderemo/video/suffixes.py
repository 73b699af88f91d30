"""What a run over a film can write, by the ending of the file's name."""

CONTAINERS = {".mp4": "mp4", ".mkv": "matroska", ".webm": "webm"}
"""FFmpeg's names for annotated films."""

TIMELINES = (".html", ".png")
