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

from agegenderemo.data.dataset import CropSource, PreparedSet, index_to_json, sample_to_json
from agegenderemo.data.sampler import TrainingSet
from agegenderemo.data.samples import ImageRef, Label, Sample
from agegenderemo.data.transforms import augment, fit_input, sample_parameters
from agegenderemo.tasks import DEFAULT_TASKS
from agegenderemo.training.config import Stage, TrainConfig
from agegenderemo.training.distributed import DistributedContext, join, use_bfloat16
from agegenderemo.training.recipes import get_recipe
from agegenderemo.training.trainer import Trainer
from agegenderemo.types import CROP_SIZE, InputSpec


def make_set(folder: Path, count: int) -> None:
    """A prepared set of noise with every label, on disk like a real one."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    shape = (count, CROP_SIZE, CROP_SIZE, 3)
    np.save(folder / "crops.npy", rng.integers(0, 256, shape, dtype=np.uint8))
    np.save(folder / "source.npy", np.full(count, CropSource.DETECTED, np.uint8))
    np.save(folder / "digest.npy", rng.integers(0, 256, (count, 20), dtype=np.uint8))
    (folder / "index.json").write_text(index_to_json("face", DEFAULT_TASKS))
    ages, genders = rng.uniform(1, 80, count), rng.integers(0, 2, count)
    emotion = (0.5, 0.5, *[0.0] * 6)
    with (folder / "samples.jsonl").open("w") as file:
        for i in range(count):
            labels: dict[str, Label] = {
                "age": float(ages[i]),
                "gender": int(genders[i]),
                "emotion": emotion,
            }
            ref = ImageRef(Path("noise"), f"{i}")
            file.write(sample_to_json(Sample(ref, "train", labels)) + "\n")


def rate(
    step: Callable[[int], None], faces: int, batches: int, context: DistributedContext
) -> float:
    """Faces a second over all processes, the best of three passes of ``batches`` steps."""
    best = 0.0
    step(0)
    for _ in range(3):
        context.barrier()
        began = time.perf_counter()
        for index in range(batches):
            step(index)
        context.barrier()
        best = max(best, faces * batches / (time.perf_counter() - began))
    return best


def measure(
    size: int, config: TrainConfig, folder: Path, batches: int, context: DistributedContext
) -> list[float]:
    """Bare, loader and real rates at one input size."""
    training = TrainingSet.build([PreparedSet.open(folder / "noise")], config.specs)
    trainer = Trainer(config, training, context)
    spec = InputSpec(size)
    order = training.epoch(config.epoch_fractions, config.batch, 0)
    generator = torch.Generator().manual_seed(0)
    part = context.shard(config.batch)

    def load(index: int) -> torch.Tensor:
        parameters = sample_parameters(config.batch, config.augmentation, generator)
        faces = order[index % len(order)][part]
        return fit_input(augment(training.crops(faces), size, parameters.take(part)), spec)

    def loaded(index: int) -> None:
        load(index)

    resident = load(0).to(context.device)

    def bare(index: int) -> None:
        with torch.autocast(context.device.type, torch.bfloat16, enabled=trainer.bfloat16):
            out = trainer.model(resident).float()
        means = [value.mean() for value in out.predictions.values()]
        torch.autograd.backward(torch.stack(means).sum())
        if context.device.type == "cuda":
            torch.cuda.synchronize()

    trainer.model.train()
    rates = [
        rate(bare, config.batch, batches, context),
        rate(loaded, config.batch, batches, context),
    ]
    trainer.student.zero_grad(set_to_none=True)
    trainer.train_epoch(0, spec)
    best = 0.0
    for _ in range(3):
        context.barrier()
        began = time.perf_counter()
        trainer.train_epoch(0, spec)
        context.barrier()
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
    with join() as context, tempfile.TemporaryDirectory() as temporary:
        folder = Path(context.broadcast(temporary))
        if context.is_main:
            make_set(folder / "noise", args.batch * args.batches)
        context.barrier()
        lines = []
        for size in args.sizes:
            steps = get_recipe("agegendernet-v1").steps
            recipe = next(s.config for s in steps if s.name == "stronger-augmentation")
            config = TrainConfig(
                epoch_fractions={"noise": 1.0},
                stages=(Stage(size, 1),),
                batch=args.batch,
                augmentation=recipe.augmentation,
                dropout_scale=recipe.dropout_scale,
            )
            bare, loader, real = measure(size, config, folder, args.batches, context)
            peak = sum(context.gather(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)) / 2**20
            lines.append(
                f"| {size} | {bare:.0f} | {loader:.0f} | {real:.0f} | "
                f"{real / min(bare, loader):.0%} | {peak:.1f} GiB |"
            )
        if not context.is_main:
            return
        where = f"{os.cpu_count()} cores, {platform.machine()}"
        if context.device.type == "cuda":
            where = f"{torch.cuda.get_device_name()}, {where}"
        precision = "bfloat16" if use_bfloat16("auto", context.device) else "float32"
        threads = f"{context.size} processes of {torch.get_num_threads()} threads"
        print(f"{where}; {threads}; {precision}; torch {torch.__version__}; batch {args.batch}\n")
        print("| pixels | bare | loader | real | real / smaller | peak memory |")
        print("| --- | --- | --- | --- | --- | --- |")
        print("\n".join(lines))


if __name__ == "__main__":
    main()
