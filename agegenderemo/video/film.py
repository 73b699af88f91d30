"""A film as frames with their times, opened as if a stranger had made it."""

import math
import time as clock
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO, NoReturn

import av
import numpy as np
from av.video.frame import VideoFrame

from agegenderemo.errors import FilmError
from agegenderemo.types import RGBImage
from agegenderemo.video.formats import (
    DECODERS,
    HEAD_BYTES,
    SOUND_CODECS,
    VIDEO_CODECS,
    container_format,
)

_BRIEFEST = 1e-3  # seconds from a frame to the next, at least: times go forward
_USUAL_RATE = 25.0  # frames a second, where a film does not say
_MISSING_SECONDS, _MISSING_SHARE = 0.5, 0.05  # of a film that ends early
_ODDEST_PIXEL = 4  # width of a pixel over its height, or the reverse
_MOST_STREAMS = 32
_HD_HEIGHT = 720  # from here on, colours that do not say their kind are those of HD
_THREADS = 2


@dataclass(frozen=True, slots=True)
class FilmLimits:
    """Bounds of one film: pixels of a frame, seconds of the film, frames that are decoded, seconds
    of work. What is over the first is refused, over the others the film ends early, and says so."""

    pixels: int = 40_000_000
    seconds: float = math.inf
    frames: float = math.inf
    work_seconds: float = math.inf


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A picture of a film, upright, and its time in seconds from the first one."""

    image: RGBImage
    time: float


class Film:
    """The frames of one film, once and in order.

    Rotation and the shape of pixels are undone. Times are those of the stream, so a film may have
    any rate or none. After `items` ended, ``problem`` is None, or the sentence why there are less
    frames than the film should have.

    Args:
        file: open for reading in binary; closed by whoever opened it. A pipe will do.
        name: what the film is called in sentences.
        limits: see `FilmLimits`.
        every: seconds from a frame that is given to the next, at least; 0 is all of them.
        with_sound: whether `items` gives the packets of the sound, too.
        streams: whether MPEG-TS is taken.

    Raises FilmError for what is no film that can be read.
    """

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        limits: FilmLimits | None = None,
        *,
        every: float = 0.0,
        with_sound: bool = False,
        streams: bool = True,
    ) -> None:
        self.name, self.limits = name, limits or FilmLimits()
        self._every = every
        self.problem: str | None = None
        self._container = _opened(file, name, self.limits, streams)
        self._stream = self._picture_stream()
        self.sound = _sound_stream(self._container) if with_sound else None
        """The stream of the sound, where it is wanted and can be copied."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.rate = float(rate) if rate and 0 < rate < 1000 else _USUAL_RATE
        """Frames a second, on average or as the film says."""
        self.duration = self._stated_duration()
        """Seconds, as the film says; None where it does not."""
        self.base = 0.0
        """The time of the first frame on the clock of the film's packets."""

    def close(self) -> None:
        """Let FFmpeg go; the file stays open."""
        self._container.close()

    def items(self) -> Iterator["Frame | av.Packet[Any]"]:
        """Frames, and packets of the sound between them where it was asked for."""
        limits, count, first, last, given = self.limits, 0, None, -math.inf, -math.inf
        end = clock.monotonic() + limits.work_seconds
        for item in self._decoded():
            if not isinstance(item, VideoFrame):
                yield item
                continue
            seconds = last + 1 / self.rate if item.time is None else item.time
            if first is None:
                first = self.base = seconds if math.isfinite(seconds) else 0.0
                last = first - _BRIEFEST
            last = max(last + _BRIEFEST, seconds)
            count += 1
            if count > limits.frames or last - first > limits.seconds or clock.monotonic() > end:
                self.problem = f"Only the first {last - first:.0f} seconds of {self.name} are read."
                return
            if last - given >= self._every - _BRIEFEST / 2:
                given = last
                yield Frame(upright(item, self._stream.sample_aspect_ratio), last - first)
        if first is None:
            raise FilmError(self.problem or f"Cannot read {self.name}: the film holds no frames.")

    def _decoded(self) -> Iterator[Any]:
        """What the film holds as long as it can be read; then ``problem`` is set."""
        wanted = [self._stream, *([self.sound] if self.sound else [])]
        damaged, reached = 0, 0.0
        try:
            for packet in self._container.demux(wanted):
                if packet.pts is not None and packet.time_base:
                    reached = max(reached, float((packet.pts + (packet.duration or 0))
                                                 * packet.time_base))  # fmt: skip
                if packet.stream is self.sound:
                    if packet.dts is not None:
                        yield packet
                    continue
                try:
                    yield from packet.decode()
                except (av.error.FFmpegError, ValueError):
                    damaged += 1
        except (av.error.FFmpegError, ValueError):
            damaged += 1
            yield from self._rest()
        missing = 0.0 if self.duration is None else self.duration - (reached - self._start())
        if missing > max(_MISSING_SECONDS, _MISSING_SHARE * (self.duration or 0)):
            self.problem = (
                f"{self.name} is cut off: {missing:.1f} of its {self.duration:.1f} seconds are "
                "missing."
            )
        elif damaged:
            self.problem = f"{self.name} is damaged: some of its frames could not be read."

    def _rest(self) -> Iterator[VideoFrame]:
        """The frames that the decoder still holds."""
        try:
            yield from self._stream.codec_context.decode(None)
        except (av.error.FFmpegError, ValueError):
            return

    def _picture_stream(self) -> Any:
        streams = self._container.streams.video
        # A cover is a picture among the streams of sound.
        moving = [one for one in streams if not int(one.disposition) & _COVER]
        if not moving:
            self._refuse("it holds no moving pictures")
        stream = moving[0]
        context = stream.codec_context
        if context is None or context.name not in VIDEO_CODECS | {"libdav1d"}:
            name = context.name if context else "an unknown kind"
            self._refuse(f"its pictures are coded as {name}; save it as H.264 or VP9")
        if not context.width or not context.height:
            self._refuse("the film is damaged or cut off")
        if context.width * context.height > self.limits.pixels:
            self._refuse(
                f"its frames have {context.width}×{context.height} pixels; at most "
                f"{self.limits.pixels / 1e6:.0f} megapixels are read, so make it smaller"
            )
        context.thread_type = "AUTO"
        context.thread_count = _THREADS
        # What a frame in the middle may have, too.
        context.options = {"max_pixels": str(self.limits.pixels)}
        return stream

    def _refuse(self, reason: str) -> NoReturn:
        self._container.close()
        raise FilmError(f"Cannot read {self.name}: {reason}.")

    def _start(self) -> float:
        return (self._container.start_time or 0) / av.time_base

    def _stated_duration(self) -> float | None:
        microseconds = self._container.duration
        return microseconds / av.time_base if microseconds and microseconds > 0 else None


_COVER = 0x0400  # AV_DISPOSITION_ATTACHED_PIC
_KNOWN_COLOURS = (1, 4, 5, 6, 7, 9, 10)  # AVCOL_SPC_: what FFmpeg converts by its own name


def upright(frame: VideoFrame, shape: Fraction | None) -> RGBImage:
    """A decoded frame as RGB uint8 H×W×3 with square pixels, turned as it wants to be shown;
    ``shape`` is the width of its pixels over their height."""
    width = frame.width
    if shape and 1 / _ODDEST_PIXEL <= shape <= _ODDEST_PIXEL:
        width = max(1, round(frame.width * shape))
    unsaid = frame.colorspace not in _KNOWN_COLOURS and frame.height >= _HD_HEIGHT
    colours: dict[str, Any] = {"src_colorspace": "ITU709"} if unsaid else {}
    image: Any = frame.to_ndarray(format="rgb24", width=width, height=frame.height, **colours)
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _opened(file: BinaryIO, name: str, limits: FilmLimits, streams: bool) -> Any:
    kind = container_format(_head(file), name, streams=streams)
    options = {
        "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2" if kind == "mov" else "matroska,webm"
        if kind == "matroska" else kind,
        "codec_whitelist": DECODERS,
        "protocol_whitelist": "none",
        "max_streams": str(_MOST_STREAMS),
        "max_pixels": str(limits.pixels),
    }  # fmt: skip
    try:
        return av.open(file, "r", format=kind, options=options, io_open=_refuse_to_open)
    except (av.error.FFmpegError, ValueError) as error:
        raise FilmError(f"Cannot read {name}: the film is damaged or cut off.") from error


def _head(file: BinaryIO) -> bytes:
    peek = getattr(file, "peek", None)
    if peek:  # a pipe cannot go back
        return bytes(peek(HEAD_BYTES)[:HEAD_BYTES])
    head = file.read(HEAD_BYTES)
    file.seek(-len(head), 1)
    return head


def _refuse_to_open(*_: object) -> NoReturn:
    """A film that names other files or addresses gets none of them."""
    raise PermissionError("a film opens nothing else")


def _sound_stream(container: Any) -> Any:
    for stream in container.streams.audio:
        if stream.codec_context is not None and stream.codec_context.name in _SOUND_DECODERS:
            return stream
    return None


_SOUND_DECODERS = SOUND_CODECS | {"mp3float", "libopus"}
