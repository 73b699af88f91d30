"""A Ray cluster reads what one machine reads, and loses no row with a machine."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from agegenderemo.cli import main, on_ray
from agegenderemo.cli.sources import collect

ROOT = Path(__file__).parent.parent
ASTRONAUT = ROOT / "examples" / "astronaut.jpg"
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve pictures, and a file that is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(12):
        Image.open(ASTRONAUT).crop((100, 0, 300 + 5 * number, 250)).save(folder / f"{number}.jpg")
    (folder / "bad.jpg").write_bytes(b"no picture")
    return folder


def test_paths_and_uris() -> None:
    for text, uri in [
        ("s3://bucket/a b", "s3://bucket/a b"), ("file:///tmp/x.jpg", "file:///tmp/x.jpg"),
        ("gs://b/c", "gs://b/c"), ("/tmp/x", None), ("a:b", None), ("-", None),
    ]:  # fmt: skip
        assert on_ray.uri_of(Path(text)) == uri


def test_other_file_systems_are_listed_and_read(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (photos / "._0.jpg").write_bytes(b"shadow")
    (photos / "notes.txt").write_bytes(b"text")
    there = on_ray.collect_remote([f"file://{photos}", f"file://{tmp_path}/none.jpg"])
    here = collect([photos]).found
    assert [one.name for one in there[:-1]] == [f"file://{one.path}" for one in here]
    assert [one.known("auto") for one in there[:-1]] == [one.known("auto") for one in here]
    assert there[0].read() == here[0].read()
    assert "There is no file://" in (there[-1].error or "")


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--engine", "ray"], "writes --parquet DIR"),
     (["--engine", "ray", "--parquet", "x", "--json", "y"], "takes no"),
     (["--address", "a:1"], "give --engine ray"),
     (["s3://bucket/photos"], "are read by --engine ray")],
)  # fmt: skip
def test_options_that_do_not_go_together(
    photos: Path, capsys: Capture, options: list[str], message: str
) -> None:
    assert main(["analyze", str(photos), *options]) == 2
    assert message in capsys.readouterr().err


# A process of its own: Ray leaves threads and settings behind.
_CLUSTER = """
import json, sys, threading, time
from pathlib import Path
from ray.cluster_utils import Cluster
from agegenderemo.batch import ray_engine
from agegenderemo.cli import main

photos, rows = sys.argv[1:3]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
others = [cluster.add_node(num_cpus=1) for _ in range(2)]
killed = []

def kill():
    # As soon as something is written, a machine goes without a word.
    while not list(Path(rows).glob("part-*.parquet")):
        time.sleep(0.05)
    cluster.remove_node(others[0], allow_graceful=False)
    killed.append(True)

threading.Thread(target=kill, daemon=True).start()
ray_engine.CHUNK_SIZE = 2
engine = ["--engine", "ray", "--address", cluster.address]
status = main(["analyze", photos, *engine, "--parquet", rows])
print(json.dumps([status, killed]))
cluster.shutdown()
"""


def table(folder: Path) -> Iterator[dict[str, Any]]:
    parquet = pytest.importorskip("pyarrow.parquet")
    for path in sorted(folder.glob("part-*.parquet")):
        yield from parquet.read_table(path).to_pylist()


@pytest.mark.slow
def test_a_cluster_that_loses_a_machine_loses_no_row(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra 'batch' brings Ray; it is not installed")
    for number in range(12, 30):
        shutil.copy(photos / "0.jpg", photos / f"{number}.jpg")
    here, there = tmp_path / "here", tmp_path / "there"
    assert main(["analyze", str(photos), "--parquet", str(here)]) == 1
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        [sys.executable, "-c", _CLUSTER, str(photos), str(there)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == [1, [True]], done.stderr[-3000:]
    assert list(table(there)) == list(table(here))
    assert len(list(there.glob("part-*.parquet"))) > 5
    assert not list(there.glob(".*"))
