"""Names in zips as they were meant: many programs write them in the encoding of their own country
and do not say which."""

import re
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise

_UTF8_FLAG = 0x800
_MAX_NAME, _MAX_NAMES = 500, 500  # bytes and names that are enough to tell the encoding
_UNICODE_PATH = 0x7075  # Info-ZIP's extra field: the name in UTF-8


def zip_names(members: Sequence[zipfile.ZipInfo]) -> list[str]:
    """A name for each member. Where the zip does not state its encoding, all its names are looked
    at together, and one is taken only where they cannot be told as anything else."""
    raw = [_raw(one) for one in members]
    looked_at = [one for one in raw if one is not None and len(one) <= _MAX_NAME][:_MAX_NAMES]
    encoding = _encoding(b"/".join(looked_at))
    meant = [one and one.decode(encoding, "replace") for one in raw]
    return [
        _stated(member, bytes_) or text or member.filename
        for member, bytes_, text in zip(members, raw, meant, strict=True)
    ]


def _raw(member: zipfile.ZipInfo) -> bytes | None:
    """The bytes of a name that `zipfile` took for DOS's; None where they are known to be UTF-8."""
    if member.flag_bits & _UTF8_FLAG:
        return None
    try:
        return member.orig_filename.encode("cp437")
    except UnicodeEncodeError:
        return None


def _stated(member: zipfile.ZipInfo, raw: bytes | None) -> str | None:
    """What the extra field of Info-ZIP says, where it belongs to this very name."""
    at, extra = 0, member.extra
    while raw is not None and at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        field = extra[at + 4 : at + 4 + length]
        own = field[:5] == b"\1" + struct.pack("<I", zlib.crc32(raw))
        if kind == _UNICODE_PATH and own:
            return field[5:].decode("utf-8", "replace")
        at += 4 + length
    return None


def _encoding(text: bytes) -> str:
    if not text.isascii():
        for encoding, fits in _CANDIDATES:
            with suppress(UnicodeDecodeError):
                if fits(text.decode(encoding)):
                    return encoding
    return "cp437"


def _written_in(*scripts: str) -> Callable[[str], bool]:
    """Whether all that is not ASCII is of these scripts, one character at least of the first, and
    the words look like words."""

    def fits(text: str) -> bool:
        names = [unicodedata.name(one, "") for one in text if not one.isascii()]
        return (
            all(name.startswith(scripts) for name in names)
            and any(name.startswith(scripts[0]) for name in names)
            and all(map(_is_word, re.findall(r"[^\W\d_]+", text)))
        )

    return fits


def _is_word(word: str) -> bool:
    """Not of two alphabets, nor with a capital after a small letter."""
    mixed = bool(re.search("[A-Za-z]", word) and re.search("[Ѐ-ӿ]", word))
    return word.isascii() or not (mixed or _rises(word))


def _rises(word: str) -> bool:
    return any(one.islower() and other.isupper() for one, other in pairwise(word))


_EAST = ("CJK", "IDEOGRAPHIC", "FULLWIDTH")
_CANDIDATES: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("utf-8", lambda text: True),  # other text is hardly ever valid UTF-8
    ("cp437", _written_in("LATIN")),
    ("cp866", _written_in("CYRILLIC", "NUMERO")),
    ("cp932", _written_in("HIRAGANA", "KATAKANA", *_EAST)),
    ("cp932", _written_in("KATAKANA", "HIRAGANA", *_EAST)),
    ("cp949", _written_in("HANGUL")),
    ("gbk", _written_in(*_EAST)),
    ("cp1251", _written_in("CYRILLIC", "NUMERO")),
    ("cp1252", _written_in("LATIN")),
)
