"""Trains one epoch and writes the loss of every step; `test_distributed` starts it, alone and under
torchrun: ``one_epoch.py SETS OUT SYNC``."""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from agegenderemo.training import trainer
from agegenderemo.training.config import Stage, TrainConfig
from agegenderemo.training.distributed import join
from agegenderemo.training.fit import fit


def main(sets: Path, out: Path, sync: bool) -> None:
    """Run it with batch norm over all processes or over each."""
    config = TrainConfig(
        epoch_fractions={"faces": 1.0, "moods": 1.0, "bands": 1.0},
        stages=(Stage(32, 1),),
        batch=32,
        learning_rate=5e-4,
        loss_weights={"age": 0.1, "gender": 1.0, "emotion": 1.5},
        dropout_scale=0.0,  # the one thing that is random to each process
        sync_batch_norm=sync,
        precision="float32",
    )
    steps = []
    step = trainer.Trainer._step

    def recorded(run: Any, *arguments: Any) -> Any:
        losses = step(run, *arguments)
        steps.append(run.context.mean(losses.total.reshape(1).clone()).item())
        return losses

    trainer.Trainer._step = recorded  # type: ignore[assignment,method-assign]
    with join() as context:
        fit(config, sets, out, context=context)
        if context.is_main:
            (out / "losses.json").write_text(json.dumps(steps))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "sync")
