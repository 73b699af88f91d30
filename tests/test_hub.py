"""Checkpoints by ``hf://USER/REPO``: from huggingface_hub's cache, and from a small Hub here.

Each case runs in a process of its own, for huggingface_hub reads its environment once.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agegenderemo.resources import DEFAULT_MODEL, resource_folder

pytest.importorskip("huggingface_hub", reason="the extra 'hub' brings it; it is not installed")

ROOT = Path(__file__).parent.parent
COMMIT, OLDER = "a" * 40, "b" * 40
NOWHERE = "http://127.0.0.1:9"  # a port where nothing listens
FILES = [f"{DEFAULT_MODEL}{ending}" for ending in (".safetensors", ".onnx", ".int8.onnx", ".json")]


def cached(cache: Path, repository: str, files: dict[str, Path], commit: str = COMMIT) -> Path:
    """A repository as huggingface_hub keeps it: a snapshot of links into blobs."""
    top = cache / f"models--{repository.replace('/', '--')}"
    snapshot = top / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (top / "blobs").mkdir(exist_ok=True)
    (top / "refs").mkdir(exist_ok=True)
    (top / "refs" / "main").write_text(commit)
    for name, source in files.items():
        blob = top / "blobs" / hashlib.sha256(f"{commit}/{name}".encode()).hexdigest()
        shutil.copyfile(source, blob)
        (snapshot / name).symlink_to(Path("..", "..", "blobs", blob.name))
    return snapshot


def shipped(stem: str = DEFAULT_MODEL) -> dict[str, Path]:
    return {
        name.replace(DEFAULT_MODEL, stem): resource_folder("checkpoints") / name for name in FILES
    }


def environment(cache: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "HF_HUB_CACHE": str(cache), "HF_HUB_DISABLE_PROGRESS_BARS": "1", **more}


def python(code: str, cache: Path, *arguments: str, **more: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        cwd=ROOT,
        env=environment(cache, **more),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def found(cache: Path, *addresses: str, **more: str) -> list[str]:
    """For each address the file that it stands for, or the one sentence."""
    code = """
        import sys
        from agegenderemo.errors import CheckpointError
        from agegenderemo.resources import find_checkpoint
        for address in sys.argv[1:]:
            try:
                print(find_checkpoint(address))
            except CheckpointError as error:
                print(error)
    """
    return python(code, cache, *addresses, **more).splitlines()


def test_a_cached_repository_is_read_offline(tmp_path: Path, examples: Path) -> None:
    snapshot = cached(tmp_path, "someone/faces", shipped())
    code = """
        import json, pickle, sys
        from agegenderemo import Analyzer
        both = [Analyzer.from_checkpoint(one) for one in ("hf://someone/faces", None)]
        both.append(Analyzer.from_checkpoint("hf://someone/faces@main", precision="int8"))
        both.append(pickle.loads(pickle.dumps(both[0])))
        print(json.dumps([[face.to_dict() for face in one.analyze(sys.argv[1])] for one in both]))
        print(both[0].origin.path)
        print(both[0].card["figures"] == both[1].card["figures"] != {})
    """
    photo = str(examples / "astronaut.jpg")
    lines = python(code, tmp_path, photo, HF_HUB_OFFLINE="1").splitlines()
    from_hub, own, int8, sent = json.loads(lines[0])
    assert from_hub == own == sent
    assert len(int8) == 1
    assert int8 != own
    assert lines[1:] == [str(snapshot / FILES[0]), "True"]


def test_the_command_line_takes_an_address(tmp_path: Path, examples: Path) -> None:
    cached(tmp_path, "someone/faces", shipped())
    photo = str(examples / "astronaut.jpg")
    command = [sys.executable, "-m", "agegenderemo", "analyze", photo, "--json", "-"]
    outputs = [
        subprocess.run(
            [*command, *more],
            cwd=ROOT,
            env=environment(tmp_path, HF_HUB_OFFLINE="1"),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for more in ((), ("--checkpoint", "hf://someone/faces"))
    ]
    assert outputs[0] == outputs[1] != ""


def test_the_app_says_what_is_wrong_with_an_address(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "app.py", "--checkpoint", "hf://someone/else"],
        cwd=ROOT,
        env=environment(tmp_path, HF_HUB_OFFLINE="1"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: hf://someone/else could not be fetched")
    assert done.stderr.count("\n") == 1


def test_which_network_of_a_repository(tmp_path: Path) -> None:
    weights = resource_folder("checkpoints") / FILES[0]
    only = cached(tmp_path, "a/only", {"mine.safetensors": weights})
    older = cached(tmp_path, "a/first", {"mine.safetensors": weights}, OLDER)
    first = cached(tmp_path, "a/first", {"mine.safetensors": weights, **shipped()})
    cached(tmp_path, "a/many", {"x.safetensors": weights, "y.safetensors": weights})
    cached(tmp_path, "a/none", {"README.md": ROOT / "README.md"})
    names = ("a/only", "a/first", f"a/first@{OLDER}", "a/many", "a/none", "a/first@other")
    lines = found(tmp_path, *(f"hf://{name}" for name in names), HF_HUB_OFFLINE="1")
    assert lines[:3] == [
        str(only / "mine.safetensors"),
        str(first / FILES[0]),
        str(older / "mine.safetensors"),
    ]
    assert lines[3].startswith("hf://a/many has several networks (x.safetensors, y.safetensors)")
    assert lines[4] == "There is no network (NAME.safetensors) at the top of hf://a/none."
    assert lines[5].startswith("hf://a/first@other could not be fetched from the Hub (Offline")
    assert len(lines) == 6


def test_what_is_no_address(tmp_path: Path) -> None:
    bad = [
        "hf://",
        "hf://faces",
        "hf://spaces/someone/faces",
        "hf://some one/faces",
        "hf://someone/faces@",
        "hf://someone/../faces",
        "hf://../..",
        "hf://someone/faces--more",
        "hf://someone/.faces",
    ]
    lines = found(tmp_path, *bad, HF_ENDPOINT=NOWHERE)
    assert lines == [
        f"{one} is no address of a model: hf://USER/REPO or hf://USER/REPO@REVISION." for one in bad
    ]


def test_without_huggingface_hub_one_sentence_says_so(tmp_path: Path) -> None:
    code = """
        import sys
        sys.modules["huggingface_hub"] = None
        from agegenderemo import Analyzer
        from agegenderemo.errors import MissingExtraError
        try:
            Analyzer.from_checkpoint("hf://someone/faces")
        except MissingExtraError as error:
            print(error)
    """
    assert python(code, tmp_path) == (
        "A checkpoint of the Hugging Face Hub (hf://someone/faces) needs more packages: "
        "pip install 'agegenderemo[hub]'.\n"
    )


def test_a_network_that_is_down_is_one_sentence_or_the_cache(tmp_path: Path) -> None:
    snapshot = cached(tmp_path, "someone/faces", shipped())
    lines = found(tmp_path, "hf://someone/faces", "hf://someone/else", HF_ENDPOINT=NOWHERE)
    assert lines[0] == str(snapshot / FILES[0])
    assert lines[1].startswith("hf://someone/else could not be fetched from the Hub (")
    assert lines[1].endswith("), and is not in the cache.")
    assert len(lines) == 2


@pytest.fixture
def small_hub() -> Iterator[Callable[[dict[str, Path]], str]]:
    """A Hub with one repository, ``someone/faces``; as much of its protocol as a download needs."""
    servers: list[ThreadingHTTPServer] = []

    def start(files: dict[str, Path]) -> str:
        class Hub(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                siblings = [{"rfilename": name} for name in files]
                info = {"_id": "1", "id": "someone/faces", "sha": COMMIT, "siblings": siblings}
                listing = [
                    {"type": "file", "path": name, "size": file.stat().st_size, "oid": f"{n:040}"}
                    for n, (name, file) in enumerate(files.items())
                ]
                at, _, name = path.removeprefix("/someone/faces/resolve/").partition("/")
                if path in ("/api/models/someone/faces", "/api/models/someone/faces/revision/main"):
                    self.reply(json.dumps(info).encode())
                elif path == f"/api/models/someone/faces/tree/{COMMIT}":
                    self.reply(json.dumps(listing).encode())
                elif path.startswith("/api/models/someone/faces/"):
                    self.reply(b"{}", 404, {"X-Error-Code": "RevisionNotFound"})
                elif at in ("main", COMMIT) and name in files:
                    number = list(files).index(name)
                    tags = {"ETag": f'"{number:040}"', "X-Repo-Commit": COMMIT}
                    self.reply(files[name].read_bytes(), 200, tags)
                else:
                    self.reply(b"{}", 404, {"X-Error-Code": "RepoNotFound"})

            def reply(
                self, body: bytes, status: int = 200, more: dict[str, str] | None = None
            ) -> None:
                self.send_response(status)
                for name, value in {**(more or {}), "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Hub))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_only_what_belongs_to_the_network_is_fetched(
    tmp_path: Path, small_hub: Callable[[dict[str, Path]], str]
) -> None:
    more = {"README.md": ROOT / "README.md", "sub/z.safetensors": ROOT / "LICENSE"}
    endpoint = small_hub({**shipped(), "other.safetensors": ROOT / "LICENSE", **more})
    addresses = ("hf://someone/faces", "hf://someone/faces@v9", "hf://someone/else")
    lines = found(tmp_path, *addresses, HF_ENDPOINT=endpoint)
    snapshot = tmp_path / "models--someone--faces" / "snapshots" / COMMIT
    assert lines == [
        str(snapshot / FILES[0]),
        "The repository of hf://someone/faces@v9 has no such revision: no branch, tag or commit.",
        "The Hub has no repository hf://someone/else that you may read; for a private one log in, "
        "with: hf auth login.",
    ]
    assert sorted(one.name for one in snapshot.iterdir()) == sorted(FILES)
    for name, source in shipped().items():
        assert (snapshot / name).read_bytes() == source.read_bytes()
    # And from then on without the Hub.
    assert found(tmp_path, addresses[0], HF_HUB_OFFLINE="1") == lines[:1]


def test_weights_of_others_meet_the_same_checks(tmp_path: Path) -> None:
    files = shipped()
    damaged = tmp_path / "damaged"
    data = bytearray(files[FILES[0]].read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    cached(tmp_path / "cache", "someone/faces", {**files, FILES[0]: damaged})
    code = """
        from agegenderemo import Analyzer
        from agegenderemo.errors import CheckpointError
        try:
            Analyzer.from_checkpoint("hf://someone/faces")
        except CheckpointError as error:
            print(error)
    """
    text = python(code, tmp_path / "cache", HF_HUB_OFFLINE="1")
    assert f"was made for other weights than {FILES[0]} holds" in text
