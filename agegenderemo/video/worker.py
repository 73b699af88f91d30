"""A stranger's film read in a process of its own, which may run out of memory or time, or crash.

The parent hands over open files and trusts nothing that comes back: plain JSON lines, each
``{"seconds": done, "of": all}``, and at the end ``{"record", "people", "sound"}`` or
``{"error": sentence}``.
"""

import csv
import io
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from agegenderemo.errors import FilmError

if TYPE_CHECKING:
    from agegenderemo.inference.analyzer import Analyzer

_log = logging.getLogger(__name__)

_START_SECONDS = 60.0  # that are not the film's: to load the network, and to end
_TELL_SECONDS = 0.2
_LONGEST_LINE = 4_000_000  # characters
_NICE = 10  # live frames go first


@dataclass(frozen=True, slots=True)
class WorkLimits:
    """What one process may take: `FilmLimits`, bytes of memory and of each file that it writes,
    and how the annotated film is bounded."""

    pixels: int
    seconds: float
    frames: int
    work_seconds: float
    memory_bytes: int
    file_bytes: int
    max_side: int = 1280
    max_rate: int = 4_000_000  # bits a second


@dataclass(frozen=True, slots=True)
class _Job:
    analyzer: "Analyzer"
    name: str
    descriptors: tuple[int, int, int]  # of the film, the table and the annotated film
    limits: WorkLimits


def read_in_process(
    analyzer: "Analyzer",
    name: str,
    film: BinaryIO,
    table: BinaryIO,
    annotated: BinaryIO,
    limits: WorkLimits,
    progress: Callable[[float, float], object],
) -> dict[str, Any]:
    """The answer of the process: ``record`` by `film_record` and ``people`` with their runs.
    ``table`` gets the CSV, ``annotated`` an MP4; ``progress`` the seconds that are done, and all.

    Raises FilmError, one sentence, for every way in which it can end without an answer.
    """
    descriptors = (film.fileno(), table.fileno(), annotated.fileno())
    job = _Job(analyzer, name, descriptors, limits)
    with subprocess.Popen(
        [sys.executable, "-c", f"from {__name__} import main; main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=descriptors,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        clock = threading.Timer(limits.work_seconds + _START_SECONDS, process.kill)
        clock.start()
        try:
            with suppress(BrokenPipeError):
                process.stdin.write(pickle.dumps(job))
                process.stdin.close()
            for answer in _answers(process.stdout):
                if "seconds" in answer:
                    progress(float(answer["seconds"]), float(answer["of"]))
                elif "error" in answer:
                    raise FilmError(str(answer["error"]))
                else:
                    return answer
        finally:
            clock.cancel()
            process.kill()
    _log.warning("The reader of a film ended with status %s.", process.returncode)
    raise FilmError(f"Cannot read {name}: it takes too much memory or time, or is damaged.")


def _answers(stream: Any) -> Iterator[dict[str, Any]]:
    while line := stream.readline(_LONGEST_LINE):
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(answer, dict):
            return
        yield answer


# ------------------------------------------------------------------ in the process


def main() -> None:
    """Read one job from the standard input and answer on the standard output."""
    job: _Job = pickle.load(sys.stdin.buffer)
    _bound(job.limits)
    try:
        _say(_carry_out(job))
    except FilmError as error:
        _say({"error": str(error)})
    except MemoryError:
        _say({"error": f"Cannot read {job.name}: it takes too much memory."})


def _carry_out(job: _Job) -> dict[str, Any]:
    from agegenderemo.video.film import Film, FilmLimits
    from agegenderemo.video.reading import tell_film
    from agegenderemo.video.records import film_fields
    from agegenderemo.video.writer import FilmWriter

    limits, (source, rows, drawn) = job.limits, job.descriptors
    bounds = FilmLimits(limits.pixels, limits.seconds, limits.frames, limits.work_seconds)
    with os.fdopen(source, "rb") as file, os.fdopen(drawn, "wb") as annotated:
        film = Film(file, job.name, bounds, with_sound=True, streams=False)
        writer = FilmWriter(annotated, "mp4", film.rate, sound=film.sound,
                            max_side=limits.max_side, max_rate=limits.max_rate)  # fmt: skip
        with _text(rows) as stream:
            table = csv.DictWriter(stream, film_fields(job.analyzer.tasks), restval="")
            table.writeheader()
            story = tell_film(
                job.analyzer,
                film,
                rows=table.writerows,
                writer=writer,
                progress=_Teller(min(film.duration or limits.seconds, limits.seconds)),
            )
        film.close()
    runs = {
        one.track_id: [[round(run.start, 3), round(run.end, 3), run.label] for run in one.runs]
        for one in story.people
    }
    people = [one | {"runs": runs[one["track_id"]]} for one in story.record["people"]]
    return {"record": story.record, "people": people, "sound": writer.problem}


@contextmanager
def _text(descriptor: int) -> Iterator[io.TextIOWrapper]:
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
        yield stream


class _Teller:
    """Says how far the film is, a few times a second."""

    def __init__(self, whole: float) -> None:
        self._whole, self._next = whole, 0.0

    def __call__(self, seconds: float) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _TELL_SECONDS
            _say({"seconds": round(seconds, 1), "of": round(self._whole, 1)})


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def _bound(limits: WorkLimits) -> None:
    """From here on the system itself refuses more."""
    import resource

    os.nice(_NICE)
    bounds = {
        resource.RLIMIT_DATA: limits.memory_bytes,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_CPU: round(4 * limits.work_seconds),
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in bounds.items():
        with suppress(ValueError, OSError):  # less is allowed already, or the system has no such
            resource.setrlimit(kind, (most, most))
