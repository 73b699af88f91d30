"""ZeroGPU as far as a machine without a card goes: when one is asked for, the package ``spaces``
against a small Space here that lends one, and what happens when it lends none.

The package decides when it is imported, so each case is a process of its own.
"""

import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Generator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from chromium import App
from real_server import Stranger

from agegenderemo import Analyzer
from agegenderemo.inference.analyzer import Origin
from agegenderemo.web import batch, zero_gpu
from agegenderemo.web.guard import HostRules, Limits
from agegenderemo.web.guard.headers import passed_headers
from agegenderemo.web.guard.picture_pool import PicturePool

ROOT = Path(__file__).parent.parent
PHOTO = ROOT / "examples" / "astronaut.jpg"
TOKEN = b"x-ip-token"

needs_spaces = pytest.mark.skipif(
    find_spec("spaces") is None, reason="the package 'spaces' is not installed"
)


def python(code: str, *arguments: str, **more: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        cwd=ROOT,
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def items(number: int) -> list[batch.Item]:
    return [batch.Item(f"{n}.jpg", PHOTO.read_bytes()) for n in range(number)]


@pytest.fixture(scope="module")
def origin(analyzer: Analyzer) -> Origin:
    assert analyzer.origin is not None
    return analyzer.origin


class Space(BaseHTTPRequestHandler):
    """What the package asks of a ZeroGPU Space. ``lends`` says how many calls get a card."""

    asked: list[tuple[str, dict[str, str]]]
    lends: int
    environment: dict[str, str]

    def do_POST(self) -> None:
        parts = urlsplit(self.path)
        query = {name: value[0] for name, value in parse_qs(parts.query).items()}
        self.asked.append((parts.path, query))
        body, status = b"{}", 200
        if parts.path == "/schedule":
            lent = {"idle": False, "nvidiaIndex": 0, "nvidiaUUID": "GPU-0", "allowToken": "t"}
            body = json.dumps(lent).encode()
            calls = sum(path == "/schedule" for path, _ in self.asked)
            if calls > self.lends:
                body, status = json.dumps({"left": 0, "wait": 60}).encode(), 429
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def space(tmp_path: Path) -> Iterator[type[Space]]:
    class Own(Space):
        pass

    Own.asked, Own.lends = [], 1000
    (tmp_path / "cgroup").write_text("0::/space\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), Own) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        Own.environment = {
            "SPACES_ZERO_GPU": "true",
            "SPACES_ZERO_DEVICE_API_URL": f"http://127.0.0.1:{server.server_port}",
            "ZEROGPU_PROC_SELF_CGROUP_PATH": str(tmp_path / "cgroup"),
        }
        yield Own
        server.shutdown()


def test_elsewhere_there_is_no_card_and_nothing_is_imported() -> None:
    code = """
        import sys
        from agegenderemo import Analyzer
        from agegenderemo.web import zero_gpu
        print(zero_gpu.card_of(Analyzer.from_checkpoint(), 60.0))
        zero_gpu.report_start(None, 1)
        print([name for name in ("spaces", "torch") if name in sys.modules])
    """
    assert python(code, SPACES_ZERO_GPU="").splitlines() == ["None", "[]"]


def test_a_zero_gpu_space_without_the_package_starts() -> None:
    code = """
        from importlib.util import find_spec
        from agegenderemo import Analyzer
        from agegenderemo.web import zero_gpu
        zero_gpu.find_spec = lambda name: None if name == "spaces" else find_spec(name)
        print(zero_gpu.card_of(Analyzer.from_checkpoint(), 60.0))
        zero_gpu.report_start(None, 1)
    """
    assert python(code, SPACES_ZERO_GPU="true").splitlines() == ["None"]


def test_only_a_zero_gpu_space_learns_whose_quota_a_call_is() -> None:
    sent = [(b"X-IP-Token", b"a.b.c"), (b"host", b"x"), (b"x-other", b"1")]
    plain = {"SPACE_ID": "a/b"}
    for environment, names in (
        ({}, [b"host"]),
        (plain, [b"host"]),
        ({"SPACES_ZERO_GPU": "true"}, [b"host"]),
        ({**plain, "SPACES_ZERO_GPU": "true"}, [TOKEN, b"host"]),
    ):
        rules = HostRules.of_server("0.0.0.0", (), environment)
        assert [name.lower() for name, _ in passed_headers(sent, rules)] == names


def test_what_a_card_leaves_is_read_without_it(analyzer: Analyzer, origin: Origin) -> None:
    calls: list[int] = []

    def lent_twice(
        origin: Origin, own: list[batch.Item], seconds: float
    ) -> Generator[batch.Outcome, None, None]:
        calls.append(len(own))
        if len(calls) > 2:
            raise RuntimeError("the quota is used up")
        yield from zero_gpu.read_on_card(origin, own[:2], seconds)

    card = zero_gpu.Card(lent_twice, origin, 60.0)
    given = [*items(3), batch.Item("bad.jpg", b"no picture"), *items(2)]
    pool = PicturePool(1, 60.0, nice=0)
    outcomes = list(batch.read_all(analyzer, iter(given), 6, Limits(), pool, card.outcomes))
    assert calls == [6, 4, 2]
    assert outcomes == list(batch.read_all(analyzer, iter(given), 6, Limits(), pool))
    assert ["error" in one.record for one in outcomes] == [False] * 3 + [True] + [False] * 2


def test_a_card_that_reads_nothing_is_given_up(origin: Origin) -> None:
    def idle(*_: object) -> Generator[batch.Outcome, None, None]:
        yield from ()

    given = items(2)
    outcomes = zero_gpu.Card(idle, origin, 60.0).outcomes(iter(given))
    with pytest.raises(StopIteration) as end:
        next(outcomes)
    assert end.value.value == given


def test_a_call_holds_few_pictures_and_few_bytes(origin: Origin) -> None:
    calls: list[int] = []

    def count(
        origin: Origin, own: list[batch.Item], seconds: float
    ) -> Generator[batch.Outcome, None, None]:
        calls.append(len(own))
        yield from (batch.failed(one, "") for one in own)

    card = zero_gpu.Card(count, origin, 60.0)
    list(card.outcomes(batch.Item(str(n), b"x") for n in range(70)))
    list(card.outcomes(batch.Item(str(n), bytes(30 * 2**20)) for n in range(4)))
    assert calls == [32, 32, 6, 3, 1]


READ = """
    import importlib.util, json, logging, sys
    logging.basicConfig()
    if sys.argv[2] == "no torch":  # the package then has nothing to do with CUDA
        sys.modules["torch"] = None
    import gradio
    from agegenderemo import Analyzer
    from agegenderemo.web import batch, zero_gpu
    from agegenderemo.web.guard import Limits
    from agegenderemo.web.guard.picture_pool import PicturePool

    analyzer = Analyzer.from_checkpoint()
    found = importlib.util.find_spec
    if sys.argv[2] == "no torch":
        zero_gpu.find_spec = lambda name: None if name == "torch" else found(name)
    card = zero_gpu.card_of(analyzer, 60.0)
    demo = gradio.Blocks()
    zero_gpu.report_start(demo, 7860)
    read = []
    if sys.argv[2] == "no torch":
        assert card is None
        import spaces
        marked = spaces.GPU(duration=60)(zero_gpu.read_on_card)
        def lent(*arguments):
            for outcome in marked(*arguments):
                read.append(outcome)
                yield outcome
        card = zero_gpu.Card(lent, analyzer.origin, 60.0)
    content = open(sys.argv[1], "rb").read()
    given = [batch.Item(f"{n}.jpg", content) for n in range(3)]
    pool = PicturePool(1, 60.0, nice=0)
    outcomes = list(batch.read_all(analyzer, iter(given), 3, Limits(), pool, card.outcomes))
    same = outcomes == [batch.read_item(analyzer, one) for one in given]
    print("RESULT", json.dumps([same, len(read), demo.server.config.port]), flush=True)
"""


def read_on_space(space: type[Space], torch: str) -> list[object]:
    lines = python(READ, str(PHOTO), torch, **space.environment).splitlines()
    (result,) = [line for line in lines if line.startswith("RESULT ")]
    values: list[object] = json.loads(result.removeprefix("RESULT "))
    return values


@needs_spaces
def test_the_marked_function_reads_in_the_forked_process(space: type[Space]) -> None:
    """The package's own road (schedule, fork, allow, results, release), with ONNX Runtime in the
    place of a card."""
    assert read_on_space(space, "no torch") == [True, 3, 7860]
    assert [path for path, _ in space.asked] == [
        "/startup-report",
        "/schedule",
        "/allow",
        "/release",
    ]
    assert space.asked[1][1]["durationSeconds"] == "60"


@needs_spaces
@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
def test_a_card_that_cannot_be_opened_costs_no_picture(space: type[Space]) -> None:
    """Here PyTorch finds no CUDA in the forked process."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a card here")
    assert read_on_space(space, "torch") == [True, 0, 7860]
    assert [path for path, _ in space.asked][:2] == ["/startup-report", "/schedule"]


@needs_spaces
def test_a_visitor_without_quota_is_served_without_a_card(space: type[Space]) -> None:
    space.lends = 0
    assert read_on_space(space, "no torch") == [True, 0, 7860]
    assert [path for path, _ in space.asked] == ["/startup-report", "/schedule"]


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import gradio, spaces
from agegenderemo.web import many, zero_gpu
from agegenderemo.web.app import serve
read = spaces.GPU(duration=60)(zero_gpu.read_on_card)
many.card_of = lambda analyzer, seconds: zero_gpu.Card(read, analyzer.origin, seconds)
serve()
"""


def sockets(process: int) -> set[str]:
    """The sockets that a process has open, by their inodes."""
    links = [os.readlink(one) for one in Path(f"/proc/{process}/fd").iterdir()]
    return {link[8:-1] for link in links if link.startswith("socket:[")}


def sockets_of_port(port: int) -> set[str]:
    """The sockets of the system on a local port, by their inodes."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    found = {row[9] for row in rows if int(row[1].rpartition(":")[2], 16) == port}
    assert found
    return found


@needs_spaces
@pytest.mark.slow
@pytest.mark.parametrize("works", [True, False])
def test_the_page_of_a_zero_gpu_space(space: type[Space], tmp_path: Path, works: bool) -> None:
    """The real server: with a call that works, as ONNX Runtime is in the place of the card, and
    with the app as it is, whose card cannot be opened here."""
    if not works:
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        if torch.cuda.is_available():
            pytest.skip("there is a card here")
    app = App(tmp_path, code=WITHOUT_TORCH if works else "")
    try:
        changes: dict[str, str | None] = {**space.environment, "SPACE_ID": "a/b"}
        app.start_command([sys.executable, *app.command], changes, 90)
        assert [path for path, _ in space.asked] == ["/startup-report"]
        stranger = Stranger(app, headers={"X-IP-Token": "a.e30.c"})
        records = stranger.many([(f"{n}.jpg", PHOTO.read_bytes()) for n in range(3)])
        assert [len(one["faces"]) for one in records] == [1, 1, 1], app.log()
        asked = [path for path, _ in space.asked]
        assert asked == ["/startup-report", "/schedule", "/allow", "/release"]
        assert space.asked[1][1]["token"] == "a.e30.c"
        assert space.asked[3][1]["fail"] == str(not works).lower()
        assert ("Without a card" in app.log()) != works
        assert stranger.web.get(app.url).status_code == 200
        (forked,) = (int(query["pid"]) for path, query in space.asked if path == "/allow")
        if works:  # it waits for the next call; strangers' connections are not in its hands
            assert not sockets(forked) & sockets_of_port(app.port)
    finally:
        assert app.stop() == 0
    end = time.monotonic() + 10
    while Path(f"/proc/{forked}").exists():
        assert time.monotonic() < end, "the forked process outlived the server"
        time.sleep(0.1)
