"""Memory that large pictures took goes back to the system."""

import contextlib
import ctypes

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of malloc.h
_LARGE_BYTES = 4 * 2**20


def give_back_large_blocks() -> None:
    """Have the C library return each block of 4 MB and more as soon as it is freed.

    glibc begins so, but learns from the first large picture to keep blocks up to 32 MB, in a heap
    for every thread: 400 MB after a few of them. Other C libraries are left as they are.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
