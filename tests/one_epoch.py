"""Trains one epoch and writes the loss of every step; `test_distributed` starts it, alone and under
torchrun: ``one_epoch.py SETS OUT SYNC``."""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from agegenderemo import training
from agegenderemo.distributed import join_team
from agegenderemo.recipes import Stage, TrainConfig


def main(sets: Path, out: Path, sync: bool) -> None:
    """Run it with batch norm over all processes or over each."""
    config = TrainConfig(
        shares={"faces": 1.0, "moods": 1.0, "bands": 1.0},
        stages=(Stage(32, 1),),
        batch=32,
        learning_rate=5e-4,
        dropout_scale=0.0,  # the one thing that is random to each process
        sync_batch_norm=sync,
        precision="float32",
    )
    losses = []
    step = training.Run._step

    def recorded(run: Any, *arguments: Any) -> Any:
        terms = step(run, *arguments)
        losses.append(run.team.mean(terms.total.reshape(1).clone()).item())
        return terms

    training.Run._step = recorded  # type: ignore[method-assign]
    with join_team() as team:
        training.fit(config, sets, out, team=team)
        if team.leads:
            (out / "losses.json").write_text(json.dumps(losses))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "sync")
