"""One training run over several processes, as torchrun starts them; one alone is a team of one.

Several processes help on one machine too: two with a thread each train faster on two cores than one
with two threads, which wait for each other at every layer.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Team:
    """This process among those of the run. ``local`` counts those of this machine only."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def leads(self) -> bool:
        """Whether this is the one process that writes files and shows progress."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """This process's share of a batch of ``count`` faces."""
        share = count // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            distributed.barrier()

    def mean(self, values: Tensor) -> Tensor:
        """The mean of each number over the processes."""
        if self.size > 1:
            values = values.to(self.device)
            distributed.all_reduce(values)
            values = values / self.size
        return values

    def share(self, value: T) -> T:
        """What the leading process has."""
        values = [value]
        if self.size > 1:
            distributed.broadcast_object_list(values, src=0)
        return values[0]

    def gather(self, value: T) -> list[T]:
        """What each process has, by rank."""
        if self.size == 1:
            return [value]
        values: list[T] = [value] * self.size
        distributed.all_gather_object(values, value)
        return values


@contextmanager
def join_team() -> Iterator[Team]:
    """The team that torchrun's environment variables name, or a team of one without them."""
    cuda = torch.cuda.is_available()
    if "RANK" not in os.environ:
        yield Team(device=torch.device("cuda" if cuda else "cpu"))
        return
    rank, size, local_rank, local_size = (
        int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    )
    device = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Team(rank, size, local_rank, local_size, device)
    finally:
        distributed.destroy_process_group()
