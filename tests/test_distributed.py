"""Two processes under torchrun train as one does."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from synthetic import prepared_sets

from agegenderemo.models.checkpoint import load_checkpoint
from agegenderemo.training.config import TrainConfig
from agegenderemo.training.distributed import DistributedContext, join, use_bfloat16
from agegenderemo.training.fit import fit

HERE = Path(__file__).parent
# Rounding grows from step to step, and each kind of CPU rounds in its own way: one way for all.
ARITHMETIC = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2"}
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def one_epoch(sets: Path, out: Path, launcher: list[str], sync: str) -> list[float]:
    """The loss of each step."""
    subprocess.run(
        [sys.executable, *launcher, str(HERE / "one_epoch.py"), str(sets), str(out), sync],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1"} | ARITHMETIC,
        timeout=300,
    )
    losses: list[float] = json.loads((out / "losses.json").read_text())
    return losses


@pytest.mark.slow
def test_two_processes_give_the_loss_curve_of_one(tmp_path: Path) -> None:
    sets = prepared_sets(tmp_path / "sets", count=200)
    alone = one_epoch(sets, tmp_path / "alone", [], "sync")
    together = one_epoch(sets, tmp_path / "together", TORCHRUN, "sync")
    assert len(alone) == len(together) == 15
    assert together == pytest.approx(alone, rel=2e-3)
    assert together[:2] == pytest.approx(alone[:2], rel=1e-5)
    rows = []
    for name in ("alone", "together"):
        with (tmp_path / name / "history.csv").open() as file:
            rows += [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    for key, value in rows[0].items():
        if key != "seconds":
            assert rows[1][key] == pytest.approx(value, rel=0.02, abs=0.02), key
    # The synced network is saved under the same names as any other.
    assert load_checkpoint(tmp_path / "together/model.safetensors").info.model == "agegendernet"


@pytest.mark.slow
def test_each_process_with_its_own_batch_norm_differs_from_one(tmp_path: Path) -> None:
    """So the test above sees what it is about."""
    sets = prepared_sets(tmp_path / "sets", count=200)
    alone = one_epoch(sets, tmp_path / "alone", [], "own")
    together = one_epoch(sets, tmp_path / "together", TORCHRUN, "own")
    assert together[:2] != pytest.approx(alone[:2], rel=1e-5)


def test_shards_of_a_batch_make_up_the_whole() -> None:
    contexts = [DistributedContext(rank, 4) for rank in range(4)]
    faces = torch.arange(32)
    assert torch.equal(torch.cat([faces[one.shard(32)] for one in contexts]), faces)
    assert [one.is_main for one in contexts] == [True, False, False, False]


def test_a_batch_that_does_not_divide_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="batch=127 does not divide among 2 processes"):
        fit(TrainConfig(batch=127), tmp_path, tmp_path / "run", context=DistributedContext(0, 2))


def test_one_process_is_a_context_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with join() as context:
        assert (context.rank, context.size, context.is_main) == (0, 1, True)
        assert context.broadcast("x") == "x"
        assert context.gather("x") == ["x"]
        assert context.mean(torch.tensor([2.0])).tolist() == [2.0]
        context.barrier()


def test_precision_is_a_choice() -> None:
    cpu = torch.device("cpu")
    assert use_bfloat16("bfloat16", cpu)
    assert not use_bfloat16("float32", cpu)
