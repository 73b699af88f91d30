"""Images a second of training and of its parts, in one run, on the machine it is started on:

    python benchmarks/training.py                          # one process, all cores
    torchrun --nproc-per-node 2 benchmarks/training.py     # as training itself is started

*bare* is the forward and backward pass on a batch that lies in memory, *loader* reads, augments and
normalises, *real* is training as `train.py` does it: both, the optimiser, the moving average, and
the processes waiting for each other.
"""

import argparse
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

os.environ["TQDM_DISABLE"] = "1"  # read when tqdm is imported
sys.path.insert(0, str(Path(__file__).parent.parent))

from agegenderemo.dataset import CROP_SIZE, Origin, PreparedSet, sample_to_json
from agegenderemo.distributed import Team, join_team
from agegenderemo.pool import build_pool
from agegenderemo.recipes import Stage, TrainConfig, get_recipe
from agegenderemo.records import ImageRef, InputSpec, Sample
from agegenderemo.training import Run, use_bfloat16
from agegenderemo.transforms import augment, draw_changes, fit_input


def make_set(folder: Path, count: int) -> None:
    """A prepared set of noise with every label, on disk like a real one."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    shape = (count, CROP_SIZE, CROP_SIZE, 3)
    np.save(folder / "crops.npy", rng.integers(0, 256, shape, dtype=np.uint8))
    np.save(folder / "origin.npy", np.full(count, Origin.DETECTED, np.uint8))
    np.save(folder / "digest.npy", rng.integers(0, 256, (count, 20), dtype=np.uint8))
    (folder / "framing.json").write_text('"face"')
    ages, genders = rng.uniform(1, 80, count), rng.integers(0, 2, count)
    emotion = (0.5, 0.5, *[0.0] * 6)
    (folder / "samples.jsonl").write_text(
        "".join(
            sample_to_json(
                Sample(
                    ImageRef(Path("noise"), f"{i}"),
                    "train",
                    age=float(ages[i]),
                    gender=int(genders[i]),
                    emotion=emotion,
                )
            )
            + "\n"
            for i in range(count)
        )
    )


def rate(step: Callable[[int], None], faces: int, batches: int, team: Team) -> float:
    """Faces a second over all processes, the best of three passes of ``batches`` steps."""
    best = 0.0
    step(0)
    for _ in range(3):
        team.wait()
        began = time.perf_counter()
        for index in range(batches):
            step(index)
        team.wait()
        best = max(best, faces * batches / (time.perf_counter() - began))
    return best


def measure(size: int, config: TrainConfig, folder: Path, batches: int, team: Team) -> list[float]:
    """Bare, loader and real rates at one input size."""
    sets = (PreparedSet.open(folder / "noise"),)
    pool = build_pool(sets, folder, config, (), team)
    run = Run(config, pool, team)
    spec = InputSpec(size)
    order = pool.epoch(config.shares, config.batch, 0)
    generator = torch.Generator().manual_seed(0)
    part = team.part(config.batch)

    def load(index: int) -> torch.Tensor:
        changes = draw_changes(config.batch, config.augmentation, generator)
        faces = order[index % len(order)][part]
        return fit_input(augment(pool.crops(faces), size, changes.take(part)), spec)

    def loaded(index: int) -> None:
        load(index)

    resident = load(0).to(team.device)

    def bare(index: int) -> None:
        with torch.autocast(team.device.type, torch.bfloat16, enabled=run.bfloat16):
            out = run.model(resident).float()
        assert out.emotion is not None
        (out.age.mean() + out.gender.mean() + out.emotion.mean()).backward()
        if team.device.type == "cuda":
            torch.cuda.synchronize()

    run.model.train()
    rates = [rate(bare, config.batch, batches, team), rate(loaded, config.batch, batches, team)]
    run.student.zero_grad(set_to_none=True)
    run.train_epoch(0, spec)
    best = 0.0
    for _ in range(3):
        team.wait()
        began = time.perf_counter()
        run.train_epoch(0, spec)
        team.wait()
        best = max(best, len(order) * config.batch / (time.perf_counter() - began))
    return [*rates, best]


def main() -> None:
    """Print a table, a row a size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 112])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--batches", type=int, default=6)
    args = parser.parse_args()
    torch.set_flush_denormal(True)
    with join_team() as team, tempfile.TemporaryDirectory() as temporary:
        folder = Path(team.share(temporary))
        if team.leads:
            make_set(folder / "noise", args.batch * args.batches)
        team.wait()
        lines = []
        for size in args.sizes:
            recipe = get_recipe("fifth")
            config = TrainConfig(
                shares={"noise": 1.0},
                stages=(Stage(size, 1),),
                batch=args.batch,
                augmentation=recipe.augmentation,
                dropout_scale=recipe.dropout_scale,
            )
            bare, loader, real = measure(size, config, folder, args.batches, team)
            peak = sum(team.gather(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)) / 2**20
            lines.append(
                f"| {size} | {bare:.0f} | {loader:.0f} | {real:.0f} | "
                f"{real / min(bare, loader):.0%} | {peak:.1f} GiB |"
            )
        if not team.leads:
            return
        where = f"{os.cpu_count()} cores, {platform.machine()}"
        if team.device.type == "cuda":
            where = f"{torch.cuda.get_device_name()}, {where}"
        precision = "bfloat16" if use_bfloat16(TrainConfig(), team.device) else "float32"
        threads = f"{team.size} processes of {torch.get_num_threads()} threads"
        print(f"{where}; {threads}; {precision}; torch {torch.__version__}; batch {args.batch}\n")
        print("| pixels | bare | loader | real | real / smaller | peak memory |")
        print("| --- | --- | --- | --- | --- | --- |")
        print("\n".join(lines))


if __name__ == "__main__":
    main()
