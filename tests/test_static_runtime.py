"""ONNX Runtime for browsers: fetched once, checked by its hashes, or one sentence."""

import base64
import hashlib
import io
import tarfile
from dataclasses import replace
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from agegenderemo.errors import AgeGenderEmoError
from agegenderemo.files import sha256
from agegenderemo.web.static_site import runtime
from agegenderemo.web.static_site.runtime import Package, cache_folder, find_runtime, unpack_runtime

MODULE, WASM = b"export default 1;\n", b"\0asm" * 1000


def archive(module: bytes = MODULE, wasm: bytes = WASM) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, content in (("a.mjs", module), ("b.wasm", wasm), ("huge.js", b"x" * 9999)):
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return data.getvalue()


ARCHIVE = archive()
PACKAGE = Package(
    "https://registry.invalid/a.tgz",
    base64.b64encode(hashlib.sha512(ARCHIVE).digest()).decode(),
    len(ARCHIVE),
    ("a.mjs", sha256(MODULE)),
    ("b.wasm", sha256(WASM)),
)


class Network:
    """Stands for urlopen: answers with some bytes, perhaps not to the end."""

    def __init__(self, data: bytes | None = ARCHIVE, breaks: bool = False) -> None:
        self.data, self.breaks, self.calls = data, breaks, 0

    def __call__(self, address: str, timeout: float) -> Any:
        self.calls += 1
        assert (address, timeout) == (PACKAGE.address, 30)
        if self.data is None:
            raise URLError("Name or service not known")
        network = self

        class Answer(io.BytesIO):
            headers = Message()

            def read(self, size: int | None = -1) -> bytes:
                got = super().read(size)
                if not got and network.breaks:
                    raise TimeoutError("timed out")
                return got

        return Answer(self.data)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGEGENDEREMO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def use(network: Network, monkeypatch: pytest.MonkeyPatch) -> Network:
    monkeypatch.setattr("urllib.request.urlopen", network)
    return network


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_it_is_fetched_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = use(Network(), monkeypatch)
    for _ in range(2):
        found = find_runtime(package=PACKAGE)
        assert (found.module, found.wasm) == (MODULE, WASM)
    assert network.calls == 1
    assert files(cache) == {"a.mjs", "b.wasm"}


def test_a_damaged_cache_is_fetched_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = use(Network(), monkeypatch)
    find_runtime(package=PACKAGE)
    (damaged,) = cache.rglob("b.wasm")
    damaged.write_bytes(WASM[:-1] + b"x")
    assert find_runtime(package=PACKAGE).wasm == WASM
    assert network.calls == 2
    assert damaged.read_bytes() == WASM


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (Network(None), "could not be fetched (Name or service not known); where there is a"),
        (Network(ARCHIVE[:-99], breaks=True), "could not be fetched (timed out)"),
        (Network(ARCHIVE[:-99]), "its hash is another"),
        (Network(archive(wasm=WASM + b"!")), "its hash is another"),
        (Network(ARCHIVE + b"more" * 200_000), "its hash is another"),
        (Network(b"<html>Log in to this network</html>"), "its hash is another"),
    ],
)
def test_what_is_not_whole_leaves_nothing(
    network: Network, said: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(network, monkeypatch)
    with pytest.raises(AgeGenderEmoError) as error:
        find_runtime(package=PACKAGE)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert files(cache) == set()


def test_without_a_network_the_sentence_says_how_to_go_on(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(Network(None), monkeypatch)
    with pytest.raises(AgeGenderEmoError, match=f"download {PACKAGE.address} and .*--runtime FILE"):
        find_runtime(package=PACKAGE)


def test_a_given_archive_or_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(Network(None), monkeypatch)
    (tmp_path / "a.tgz").write_bytes(ARCHIVE)
    assert find_runtime(tmp_path / "a.tgz", PACKAGE).wasm == WASM
    for place in ("plain", "one/dist", "two/package/dist"):
        folder = tmp_path / place
        folder.mkdir(parents=True)
        (folder / "a.mjs").write_bytes(MODULE)
        (folder / "b.wasm").write_bytes(WASM)
        top = tmp_path / place.split("/")[0]
        assert find_runtime(top, PACKAGE).module == MODULE
        (folder / "a.mjs").write_bytes(MODULE + b"steal();")
        with pytest.raises(AgeGenderEmoError, match="its hash is another"):
            find_runtime(top, PACKAGE)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.tgz", archive(module=b"steal();"), "its hash is another"),
        ("a.tgz", ARCHIVE * 3, "its hash is another"),
        ("empty/x", b"", "has no a.mjs"),
        ("half/a.mjs", MODULE, r"b\.wasm cannot be read: No such file"),
        ("", b"", "gone.tgz cannot be read: No such file"),
    ],
)
def test_a_wrong_one_is_refused(name: str, data: bytes, said: str, tmp_path: Path) -> None:
    if name:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    given = tmp_path / (name.split("/")[0] or "gone.tgz")
    with pytest.raises(AgeGenderEmoError, match=said):
        find_runtime(given, PACKAGE)


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AGEGENDEREMO_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_folder() == tmp_path / ".cache" / "agegenderemo"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_folder() == tmp_path / "Library" / "Caches" / "agegenderemo"
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/agegenderemo")
    monkeypatch.setenv("AGEGENDEREMO_CACHE", "/own")
    assert cache_folder() == Path("/own")


def test_both_files_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.tgz").write_bytes(ARCHIVE)
    real = find_runtime
    monkeypatch.setattr(runtime, "find_runtime", lambda given: real(given, PACKAGE))
    monkeypatch.setattr(runtime, "PACKAGE", PACKAGE)
    unpack_runtime(tmp_path / "out", tmp_path / "a.tgz")
    assert files(tmp_path / "out") == {"a.mjs", "b.wasm"}
    assert find_runtime(tmp_path / "out", PACKAGE).wasm == WASM


def test_another_version_would_have_another_hash(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(ARCHIVE)
    other = replace(PACKAGE, integrity=PACKAGE.integrity[::-1])
    with pytest.raises(AgeGenderEmoError, match="its hash is another"):
        find_runtime(tmp_path / "a.tgz", other)
