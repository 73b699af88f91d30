"""Readers of the published data sets: each gives a `DatasetIndex`. They know no torch.

``root`` is the folder of the set, the zip of it, or a folder that holds that zip. Image files may
carry any suffix that Pillow reads. What cannot be read is skipped and counted, never guessed. A
reader is one file; importing it here adds it.
"""

from agegenderemo.data.readers import utkface, ferplus, fairface, ffhq, own_csv, folders  # isort: skip
from agegenderemo.data.readers import fer2013, imdb_wiki, chalearn  # isort: skip
from agegenderemo.data.readers.registry import (
    READERS,
    ReaderSpec,
    get_reader,
    read,
    register_reader,
)
from agegenderemo.data.readers.source import read_bytes

__all__ = [
    "READERS",
    "ReaderSpec",
    "chalearn",
    "fairface",
    "fer2013",
    "ferplus",
    "ffhq",
    "folders",
    "get_reader",
    "imdb_wiki",
    "own_csv",
    "read",
    "read_bytes",
    "register_reader",
    "utkface",
]
