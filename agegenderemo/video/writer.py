"""Films that are written: frames at their own times, and the sound of the film they come from."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, BinaryIO

import av

from agegenderemo.errors import FilmError
from agegenderemo.imaging.load import shrink
from agegenderemo.types import RGBImage

ENCODERS = ("libx264", "libvpx-vp9")
"""H.264, and VP9 where that is not there."""

_OPTIONS = {
    "libx264": {"preset": "veryfast", "crf": "23"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "crf": "33", "b": "0"},
}
_SOUND = {"mp4": {"aac", "mp3", "mp3float", "opus", "libopus", "ac3", "flac"},
          "webm": {"opus", "libopus"}}  # fmt: skip
_TICK = Fraction(1, 90_000)  # seconds
_MOST_WAITING = 2000  # packets of sound before the first frame
_BT709 = 1  # AVCOL_SPC_BT709, and the primaries and curve of that number


class FilmWriter:
    """Writes one film of any rate.

    Args:
        file: open for writing in binary, and able to seek.
        container: one of the values of `video.suffixes.CONTAINERS`.
        rate: frames a second on average, which the encoder plans with.
        sound: the stream whose packets will be given, or None.
        max_side: larger frames are written at this size, in pixels of the longer side.
        max_rate: bits a second at most; None is as many as it takes.
        encoders: in the order in which they are tried.

    Raises FilmError where there is no encoder.
    """

    def __init__(
        self,
        file: BinaryIO,
        container: str,
        rate: float,
        *,
        sound: Any = None,
        max_side: int | None = None,
        max_rate: int | None = None,
        encoders: Sequence[str] = ENCODERS,
    ) -> None:
        self._file, self._container_name = file, container
        self._rate = Fraction(rate).limit_denominator(1001)
        self._max_side, self._max_rate = max_side, max_rate
        self._encoder = _encoder([one for one in encoders if container != "webm" or "vp" in one])
        self._sound_source = sound
        self._container: Any = None
        self._picture: Any = None
        self._sound: Any = None
        self._waiting: list[Any] = []
        self._base = 0.0
        self._size = (0, 0)
        self._last = -1
        self.problem = ""
        """Why the film has no sound though there was some, as a sentence; empty otherwise."""

    def frame(self, image: RGBImage, time: float, base: float = 0.0) -> None:
        """The next frame, RGB uint8 H×W×3, at a time in seconds from the first; ``base`` is the
        time of the first one on the clock of the sound."""
        if self._max_side:
            image, _ = shrink(image, self._max_side)
        if self._container is None:
            self._base = base
            self._open(image)
        frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(
            *self._size, format="yuv420p", dst_colorspace="ITU709"
        )
        frame.pts = self._last = max(self._last + 1, round(time / _TICK))
        frame.time_base = _TICK
        self._container.mux(self._picture.encode(frame))
        for packet in self._waiting:
            self._mux_sound(packet)
        self._waiting.clear()

    def packet(self, packet: Any) -> None:
        """The next packet of the sound, which is copied as it is."""
        if self._container is None:
            if len(self._waiting) < _MOST_WAITING:
                self._waiting.append(packet)
        else:
            self._mux_sound(packet)

    def close(self) -> None:
        """Write what is left. Raises FilmError where there was no frame at all."""
        if self._container is None:
            raise FilmError("A film without frames cannot be written.")
        self._container.mux(self._picture.encode(None))
        self._container.close()

    def _open(self, image: RGBImage) -> None:
        height, width = image.shape[:2]
        self._size = (max(2, width - width % 2), max(2, height - height % 2))
        if self._sound_source is not None:
            name = self._sound_source.codec_context.name
            if name not in _SOUND.get(self._container_name, {name}):
                self._drop_sound()
        try:
            self._start(with_sound=self._sound_source is not None)
        except (av.error.FFmpegError, ValueError):
            if self._sound_source is None:
                raise
            # Sound that says too little of itself to be written.
            self._drop_sound()
            self._file.seek(0)
            self._file.truncate()
            self._start(with_sound=False)

    def _start(self, *, with_sound: bool) -> None:
        container: Any = av.open(self._file, "w", format=self._container_name)
        options = dict(_OPTIONS.get(self._encoder, {}))
        if self._max_rate:
            options |= {"maxrate": str(self._max_rate), "bufsize": str(2 * self._max_rate)}
        picture = container.add_stream(self._encoder, rate=self._rate, options=options)
        picture.width, picture.height = self._size
        picture.pix_fmt = "yuv420p"
        picture.codec_context.time_base = _TICK
        for name in ("colorspace", "color_primaries", "color_trc"):
            setattr(picture.codec_context, name, _BT709)
        sound = container.add_stream_from_template(self._sound_source) if with_sound else None
        container.start_encoding()
        self._container, self._picture, self._sound = container, picture, sound

    def _mux_sound(self, packet: Any) -> None:
        if self._sound is None:
            return
        shift = round(self._base / packet.time_base)
        if packet.pts is None or packet.pts + (packet.duration or 0) < shift:
            return  # before the first frame, and not what a decoder begins with
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = self._sound
        try:
            self._container.mux(packet)
        except (av.error.FFmpegError, ValueError):
            self._sound = None
            self.problem = "The sound is damaged, so the annotated film has only a part of it."

    def _drop_sound(self) -> None:
        self._sound_source = None
        self._waiting.clear()
        self.problem = "The sound cannot be copied into this kind of film, so it has none."


def _encoder(names: Sequence[str]) -> str:
    for name in names:
        try:
            av.codec.Codec(name, "w")
        except (av.error.FFmpegError, ValueError):
            continue
        return name
    raise FilmError("This PyAV can write neither H.264 nor VP9; install the one from PyPI.")
