"""MATLAB files of one struct, read in a process of its own: of a damaged one scipy's reader may
crash, or never end, instead of complaining."""

import io
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from agegenderemo.errors import DatasetError, MissingExtraError

_HDF5 = b"MATLAB 7.3"
_SECONDS = 120  # half a million faces take a few


def read_struct(data: bytes, name: str, fields: Sequence[str]) -> list[Any]:
    """The fields of the struct ``name`` that ``NAME.mat`` holds, each a flat array of its elements.

    Raises DatasetError for another file or a damaged one, MissingExtraError without scipy.
    """
    if find_spec("scipy") is None:
        raise MissingExtraError(f"Reading {name}.mat", "train")
    if data.startswith(_HDF5):
        raise DatasetError(
            f"{name}.mat is in MATLAB's format 7.3, which is not read; the published file is not. "
            "Save it in MATLAB with save -v7."
        )
    columns: list[Any] | str = "it is damaged"
    with suppress(subprocess.SubprocessError):
        done = subprocess.run(
            [sys.executable, "-c", f"from {__name__} import main; main()"],
            input=pickle.dumps((data, name, tuple(fields))),
            capture_output=True,
            check=True,
            timeout=_SECONDS,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        columns = pickle.loads(done.stdout)
    if isinstance(columns, str):
        raise DatasetError(
            f"{name}.mat is not the published file, a MATLAB struct {name!r} with the fields "
            f"{', '.join(fields)}: {columns}."
        )
    if len(set(map(len, columns))) != 1:
        raise DatasetError(f"The fields of {name}.mat are of different lengths.")
    return columns


def main() -> None:
    """In the process: the columns on the standard output, or what is wrong with the file."""
    from scipy.io import loadmat

    data, name, fields = pickle.load(sys.stdin.buffer)
    answer: list[Any] | str
    try:
        struct = loadmat(io.BytesIO(data), variable_names=[name])[name][0, 0]
        answer = [struct[field].ravel() for field in fields]
    except KeyError as error:
        answer = f"it has no {error}"
    except Exception as error:  # scipy raises whatever the damage leads to
        answer = str(error).rstrip(".") or type(error).__name__
    sys.stdout.buffer.write(pickle.dumps(answer))
