"""File names that strangers give: what is kept of them."""

import unicodedata

_FORBIDDEN = frozenset('<>:"/\\|?*')
_MAX_BYTES = 120


def visible(text: str) -> str:
    """Text without what does not show: control, format (as right-to-left marks) and lone surrogate
    characters, tabs and ends of lines. For names in tables, zips and log lines."""
    return "".join(one for one in text if unicodedata.category(one)[0] != "C")


def safe_name(name: str) -> str:
    """The last part of a file's name, whichever system wrote it, without anything that means
    something to a file system; never empty, at most 120 bytes of UTF-8, its suffix kept."""
    last = visible(name).replace("\\", "/").rpartition("/")[2]
    kept = "".join("_" if one in _FORBIDDEN else one for one in last).strip(" .")
    stem, dot, suffix = kept.rpartition(".")
    if not dot or not stem or len(suffix) > 8:
        stem, suffix = kept, ""
    else:
        suffix = dot + suffix
    room = _MAX_BYTES - len(suffix.encode())
    return (stem.encode()[:room].decode(errors="ignore").rstrip() or "file") + suffix
