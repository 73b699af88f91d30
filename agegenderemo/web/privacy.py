"""What happens to pictures: one sentence, made from the numbers that the server keeps."""

from html import escape

from agegenderemo.web.guard import Limits


def privacy_sentence(limits: Limits) -> str:
    """The promise about files, in plain words; every page shows this and nothing else about it."""
    return (
        "Live frames are read in memory and are never written down; uploaded pictures, films and "
        f"their results are deleted after at most {duration(limits.promise_seconds)}, and when the "
        "server stops."
    )


def privacy_html(limits: Limits) -> str:
    """The line below all pages."""
    return f'<p class="note quiet">{escape(privacy_sentence(limits))}</p>'


def duration(seconds: float) -> str:
    """Rounded up, so that nothing is promised too early.

    >>> duration(1860), duration(3), duration(61)
    ('31 minutes', '3 seconds', '2 minutes')
    """
    count, unit = (seconds, "second") if seconds <= 60 else (seconds / 60, "minute")
    whole = -int(-count // 1)
    return f"{whole} {unit}" if whole == 1 else f"{whole} {unit}s"
