"""The files of the static site, in memory.

::

    index.html  README.md  manifest.webmanifest  sw.js  site.json  icons/
    app-HASH/   the page's modules and styles
    files/      NAME-HASH.onnx, .safetensors, .wasm, .mjs, .jpg; NAME.gz beside each large one

Whatever has a hash in its name never changes under it. The same inputs give the same bytes.
"""

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agegenderemo import __version__
from agegenderemo.files import sha256
from agegenderemo.inference.analyzer import card_of
from agegenderemo.inference.graph import graph_file, location, read_graph
from agegenderemo.inference.protobuf import external_tensors
from agegenderemo.model_info import Precision
from agegenderemo.resources import PHOTOS, resource_folder
from agegenderemo.web.about_text import article
from agegenderemo.web.static_site.modules import APP, MAIN, PAGE, WORKER, app_files, preloads
from agegenderemo.web.static_site.page import icons, manifest, readme, with_head
from agegenderemo.web.static_site.pieces import page_pieces
from agegenderemo.web.static_site.runtime import LICENCE, VERSION, Runtime
from agegenderemo.web.static_site.standalone import standalone

DATA = "site.json"
HASH_DIGITS = 16
"""Of a SHA-256, in names."""

_SITE = '"@site@"'
"""What stands in the service worker for what it is to keep."""

_WHAT_HAPPENS = """\
<p>It stays in this browser, on this device, and is gone when you close the page. The networks run
here; there is no server that could be sent anything, no log, no history, no account and no
tracking, and the page asks no other host for anything.</p>"""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the list of files: bytes on the disk, and of the gzipped copy beside it."""

    path: str
    bytes: int
    gzip_bytes: int | None = None

    @property
    def loaded(self) -> int:
        """What a visitor's browser fetches of it."""
        return self.bytes if self.gzip_bytes is None else self.gzip_bytes


@dataclass(frozen=True, slots=True)
class Site:
    """Content by path, in the order in which it is to be written: what is named by others first."""

    files: Mapping[str, bytes]
    rows: tuple[Row, ...]


class _Files:
    """Collects what lies in ``files/``."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.digests: dict[str, tuple[str, ...]] = {}
        self.rows: list[Row] = []

    def add(self, name: str, data: bytes, *, packed: bool = True) -> dict[str, Any]:
        """Keep a file under its name and hash; what `site.json` says of it. In the name stays what
        means nothing in an address."""
        digest = sha256(data)
        stem, dot, suffix = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).rpartition(".")
        path = f"files/{stem}-{digest[:HASH_DIGITS]}{dot}{suffix}"
        self.content[path] = data
        self.digests[path] = (digest,)
        entry: dict[str, Any] = {"path": path, "bytes": len(data), "sha256": digest}
        size = None
        if packed:
            small = gzip.compress(data, 9, mtime=0)
            beside = f"{path}.gz"
            self.content[beside] = small
            self.digests[beside] = (sha256(small), digest)
            size = len(small)
            entry |= {"gzip": beside, "gzip_bytes": size}
        self.rows.append(Row(path, len(data), size))
        return entry


def usual_precision(checkpoint: Path) -> Precision:
    """int8, of which a visitor has half as much to load, where the checkpoint has such a graph."""
    return "int8" if graph_file(checkpoint, "int8").is_file() else "float"


def build_site(
    checkpoint: Path, precision: Precision, runtime: Runtime, source: Path | None = None
) -> Site:
    """The site of a checkpoint; ``source`` is the folder ``browser/``, by default the package's.

    Raises CheckpointError or AgeGenderEmoError for what cannot be used.
    """
    source = source or resource_folder("browser")
    info, graph, weights, digest = read_graph(checkpoint, precision)
    network = {"model": checkpoint.stem, "precision": precision, "weights_sha256": digest}
    files = _Files()
    entries = {
        name: files.add(f"mtcnn-{name}.onnx", _shipped(f"mtcnn-{name}.onnx"))
        for name in ("pnet", "rnet", "onet")
    }
    entries |= _network(files, checkpoint.stem, precision, graph, weights)
    entries["runtime"] = files.add("ort.mjs", runtime.module, packed=False)
    entries["wasm"] = files.add("ort.wasm", runtime.wasm)
    folder = resource_folder("examples")
    examples = [files.add(name, (folder / name).read_bytes(), packed=False) for name in PHOTOS]
    licence = files.add(f"LICENSE-onnxruntime-web-{VERSION}.txt", LICENCE.encode(), packed=False)
    modules = app_files(source)
    app = f"app-{_digest(modules)[:HASH_DIGITS]}"
    data = {
        "version": __version__,
        "app": app,
        "network": network,
        "info": info.to_dict(),
        "files": entries,
        "licences": [licence["path"]],
    }
    about = article(card_of(checkpoint, info, digest), info.tasks, _WHAT_HAPPENS)
    shown = [one["path"] for one in examples]
    pieces = page_pieces(info, about, shown) | {"preloads": preloads(modules, MAIN)}
    page = (source / PAGE).read_text(encoding="utf-8")
    for name, piece in pieces.items():
        page = page.replace(f"@{name}@", piece)
    page = with_head(page).replace(APP, app)
    plain = {
        **icons(),
        "manifest.webmanifest": manifest(),
        DATA: _json(data),
        PAGE: page.encode(),
    }
    hashed = {f"{app}/{name}": content for name, content in modules.items()}
    digests = {path: (sha256(content),) for path, content in hashed.items()} | files.digests
    worker = _worker((source / WORKER).read_text(encoding="utf-8"), app, digests, plain)
    described = readme(network["model"], network["precision"], __version__)
    # The page last: until then a site of before is whole.
    rest = {name: one for name, one in plain.items() if name not in (DATA, PAGE)}
    content = {**hashed, **files.content, DATA: plain[DATA], **rest}
    content |= {"README.md": described, WORKER: worker, PAGE: plain[PAGE]}
    others = (*hashed, *plain, WORKER, "README.md")
    rows = (*files.rows, *(Row(path, len(content[path])) for path in others))
    return Site(content, rows)


def _network(
    files: _Files, name: str, precision: Precision, graph: bytes, weights: bytes | None
) -> dict[str, Any]:
    """The graph: in int8 with its weights in it, in float beside the safetensors file."""
    if precision != "float" or weights is None:
        return {"graph": files.add(f"{name}.{precision}.onnx", standalone(graph, weights))}
    beside = files.add(f"{name}.safetensors", weights)
    # The name by which the graph asks for it.
    beside["location"] = location(external_tensors(graph))
    return {"graph": files.add(f"{name}.onnx", graph), "weights": beside}


def _worker(
    text: str, app: str, digests: Mapping[str, tuple[str, ...]], plain: Mapping[str, bytes]
) -> bytes:
    """The service worker, with the list of what it is to keep."""
    kept: dict[str, Any] = {
        "app": app,
        "hashed": [[path, *found] for path, found in digests.items()],
        "plain": [[path, sha256(content)] for path, content in plain.items()],
    }
    kept["build"] = sha256(json.dumps(kept).encode())[:HASH_DIGITS]
    if text.count(_SITE) != 1:
        raise ValueError(f"the service worker must hold {_SITE} once")
    return text.replace(_SITE, json.dumps(kept)).encode()


def _digest(files: Mapping[str, bytes]) -> str:
    """Of a folder: its names and what is in them."""
    return sha256("".join(f"{sha256(data)} {name}\n" for name, data in files.items()).encode())


def _shipped(name: str) -> bytes:
    return (resource_folder("checkpoints") / name).read_bytes()


def _json(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n").encode()
