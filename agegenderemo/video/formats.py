"""Which films are opened at all, told by their first bytes and never by their names.

FFmpeg knows some three hundred formats, and some of them (playlists, concatenations, sessions) are
lists of other files and addresses to open. So a film is one of a few kinds of plain containers,
its kind is decided here, and FFmpeg is told which it is.
"""

from agegenderemo.errors import FilmError

FILM_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".ts", ".m2ts", ".mts"})
"""Names that films go by."""

HEAD_BYTES = 4096
"""So much of a file tells its kind."""

VIDEO_CODECS = frozenset(
    {"h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mpeg2video", "mjpeg", "prores"}
)
"""What cameras, phones, browsers and editors write."""

DECODERS = ",".join(sorted(VIDEO_CODECS | {"libdav1d"}))
"""The same as FFmpeg names them; sound is copied and never decoded."""

SOUND_CODECS = frozenset({"aac", "mp3", "opus", "ac3", "flac"})
"""Sound that may be copied into an annotated film."""

_MOV_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_TS_BYTES, _M2TS_BYTES = 188, 192


def container_format(head: bytes, name: str, *, streams: bool = True) -> str:
    """FFmpeg's name for the container that begins with these bytes. ``streams`` are taken too:
    MPEG-TS, which says what it holds only on its way.

    Raises FilmError for everything else.
    """
    if not head:
        raise FilmError(f"Cannot read {name}: the film is empty.")
    if head[4:8] in _MOV_BOXES:
        return "mov"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if streams and _is_transport_stream(head):
        return "mpegts"
    kinds = "MP4, MOV, WebM, MKV, AVI" + (", MPEG-TS" if streams else "")
    raise FilmError(f"Cannot read {name}: it is no film of a known kind ({kinds}).")


def _is_transport_stream(head: bytes) -> bool:
    for length, first in ((_TS_BYTES, 0), (_M2TS_BYTES, 4)):
        marks = head[first : first + 3 * length : length]
        if len(marks) == 3 and set(marks) == {0x47}:
            return True
    return False
