"""ONNX Runtime for browsers: two files of one npm package, fetched once and checked by hash.

``python -m agegenderemo.web.static_site.runtime FOLDER`` puts them there.
"""

import base64
import hashlib
import io
import os
import sys
import tarfile
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.files import sha256, write_atomically

VERSION = "1.30.0"
LICENCE = """\
ONNX Runtime (onnxruntime-web, https://github.com/microsoft/onnxruntime)

MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""
"""The package says MIT and brings no text of it."""

_TIMEOUT = 30  # seconds without a byte
_PIECE = 2**18  # bytes


@dataclass(frozen=True, slots=True)
class Package:
    """A package of npm and what it must be: SHA-512 of its archive, SHA-256 of the files used."""

    address: str
    integrity: str
    size: int
    module: tuple[str, str]
    """Name in ``dist/`` of the ES module, which has its loader within, and its digest."""
    wasm: tuple[str, str]

    @property
    def files(self) -> Mapping[str, str]:
        return dict((self.module, self.wasm))


PACKAGE = Package(
    f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz",
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
    33_106_585,
    (
        "ort.wasm.bundle.min.mjs",
        "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    ),
    (
        "ort-wasm-simd-threaded.wasm",
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    ),
)


@dataclass(frozen=True, slots=True)
class Runtime:
    """The bytes of both files."""

    module: bytes
    wasm: bytes


def find_runtime(given: Path | None = None, package: Package = PACKAGE) -> Runtime:
    """The runtime from a file or folder that is given, else from the cache, else from the network.

    Raises AgeGenderEmoError where it is not what it must be, or cannot be fetched.
    """
    if given is not None:
        return _from_folder(given, package) if given.is_dir() else _from_file(given, package)
    if found := cached_runtime(package):
        return found
    folder = cache_folder() / f"onnxruntime-web-{VERSION}"
    files = _unpacked(_fetch(package), package, package.address)
    for name, data in files.items():
        write_atomically(folder / name, data)
    return _runtime(files, package)


def cached_runtime(package: Package = PACKAGE) -> Runtime | None:
    """The runtime that was fetched before; None where there is none, or it is damaged."""
    try:
        return _from_folder(cache_folder() / f"onnxruntime-web-{VERSION}", package)
    except AgeGenderEmoError:
        return None


def unpack_runtime(folder: Path, given: Path | None = None) -> None:
    """Put both files into a folder."""
    runtime = find_runtime(given)
    for (name, _), data in ((PACKAGE.module, runtime.module), (PACKAGE.wasm, runtime.wasm)):
        write_atomically(folder / name, data)


def cache_folder() -> Path:
    """Where files may stay that can be fetched again: ``AGEGENDEREMO_CACHE``, or the system's own
    place for such."""
    if own := os.environ.get("AGEGENDEREMO_CACHE"):
        return Path(own)
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "agegenderemo"
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "agegenderemo"
    if os.name == "nt":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else home / "AppData" / "Local") / "agegenderemo" / "cache"
    return home / ".cache" / "agegenderemo"


def _fetch(package: Package) -> bytes:
    """The archive, in memory: nothing of a part of it is ever on the disk."""
    from tqdm import tqdm

    pieces = []
    try:
        with urllib.request.urlopen(package.address, timeout=_TIMEOUT) as answer:
            total = int(answer.headers.get("content-length") or 0) or None
            with tqdm(
                total=total, unit="B", unit_scale=True, desc="onnxruntime-web", disable=None
            ) as bar:
                while piece := answer.read(_PIECE):
                    pieces.append(piece)
                    bar.update(len(piece))
                    if sum(map(len, pieces)) > package.size:
                        break  # what is longer is not it
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise AgeGenderEmoError(
            f"onnxruntime-web {VERSION} could not be fetched ({reason}); where there is a network, "
            f"download {package.address} and give that file: --runtime FILE."
        ) from error
    return b"".join(pieces)


def _from_file(file: Path, package: Package) -> Runtime:
    try:
        if file.stat().st_size > 2 * package.size:
            raise _wrong(file)
        archive = file.read_bytes()
    except OSError as error:
        raise AgeGenderEmoError(f"{file} cannot be read: {error.strerror}.") from error
    return _runtime(_unpacked(archive, package, file), package)


def _from_folder(folder: Path, package: Package) -> Runtime:
    """From the files themselves, or an unpacked package."""
    places = (folder, folder / "dist", folder / "package" / "dist")
    place = next((one for one in places if (one / package.module[0]).is_file()), None)
    if place is None:
        raise AgeGenderEmoError(
            f"{folder} has no {package.module[0]}; give the folder of onnxruntime-web {VERSION}, "
            "or its .tgz."
        )
    files = {}
    for name, digest in package.files.items():
        try:
            files[name] = (place / name).read_bytes()
        except OSError as error:
            raise AgeGenderEmoError(f"{place / name} cannot be read: {error.strerror}.") from error
        if sha256(files[name]) != digest:
            raise _wrong(place / name)
    return _runtime(files, package)


def _unpacked(archive: bytes, package: Package, source: object) -> dict[str, bytes]:
    """The files that are used, once it is sure that the archive is the one."""
    digest = hashlib.sha512(archive).digest()
    if base64.b64encode(digest).decode() != package.integrity:
        raise _wrong(source)
    files = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for name, wanted in package.files.items():
            member = tar.extractfile(f"package/dist/{name}")
            assert member is not None
            files[name] = member.read()
            assert sha256(files[name]) == wanted
    return files


def _runtime(files: Mapping[str, bytes], package: Package) -> Runtime:
    return Runtime(files[package.module[0]], files[package.wasm[0]])


def _wrong(source: object) -> AgeGenderEmoError:
    return AgeGenderEmoError(
        f"{source} is not what onnxruntime-web {VERSION} is: its hash is another."
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m agegenderemo.web.static_site.runtime FOLDER")
    try:
        unpack_runtime(Path(sys.argv[1]))
    except AgeGenderEmoError as failure:
        sys.exit(f"error: {failure}")
