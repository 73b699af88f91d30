"""One training run over several processes, as torchrun starts them; one alone is a context of one.

Without GPUs a process has one thread (torchrun sees to that): threads of one process wait for each
other at every layer, processes only at the end of a step. docs/training.md has the figures of
both.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, distributed, nn

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DistributedContext:
    """This process among those of the run. ``local`` counts those of this machine only."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def is_main(self) -> bool:
        """Whether this is the one process that writes files and shows progress."""
        return self.rank == 0

    def shard(self, count: int) -> slice:
        """This process's share of a batch of ``count`` faces."""
        share = count // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def barrier(self) -> None:
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

    def broadcast_buffers(self, buffers: Iterable[Tensor]) -> None:
        """Set each buffer, in place, to what the main process has."""
        if self.size > 1:
            for buffer in buffers:
                distributed.broadcast(buffer, src=0)

    def broadcast(self, value: T) -> T:
        """What the main process has."""
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
def join() -> Iterator[DistributedContext]:
    """The context that torchrun's environment variables name, or one of a single process without
    them."""
    cuda = torch.cuda.is_available()
    if "RANK" not in os.environ:
        yield DistributedContext(device=torch.device("cuda" if cuda else "cpu"))
        return
    rank, size, local_rank, local_size = (
        int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    )
    device = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield DistributedContext(rank, size, local_rank, local_size, device)
    finally:
        distributed.destroy_process_group()


def sync_batch_norm(module: nn.Module) -> nn.Module:
    """The same module with batch statistics over all processes; parameters are shared with it."""
    if torch.cuda.is_available():
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        return converted
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        synced = _SyncBatchNorm(module.num_features, module.eps, module.momentum)
        synced._parameters, synced._buffers = module._parameters, module._buffers
        return synced
    for name, child in module.named_children():
        setattr(module, name, sync_batch_norm(child))
    return module


class _MeanOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        values = values.clone()
        distributed.all_reduce(values)
        return values / distributed.get_world_size()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _MeanOverProcesses.forward(ctx, gradients[0].contiguous())


class _SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """PyTorch's own knows no CPU. Every process must have the same number of faces."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass  # any number of dimensions

    def forward(self, x: Tensor) -> Tensor:
        assert self.running_mean is not None
        assert self.running_var is not None
        if not self.training:
            return super().forward(x)
        dims = [0, *range(2, x.ndim)]
        shape = (1, -1, *(1,) * (x.ndim - 2))
        mean: Tensor = _MeanOverProcesses.apply(x.mean(dims))
        centred = x - mean.view(shape)
        variance: Tensor = _MeanOverProcesses.apply(centred.square().mean(dims))
        with torch.no_grad():
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            count = x.numel() // x.shape[1] * distributed.get_world_size()
            momentum = self.momentum or 0.1
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * count / (count - 1), momentum)
        scale = (variance + self.eps).rsqrt() * self.weight
        return centred * scale.view(shape) + self.bias.view(shape)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device calculates in bfloat16: elsewhere that is emulated, and ten times slower
    than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def use_bfloat16(precision: Literal["auto", "float32", "bfloat16"], device: torch.device) -> bool:
    """Whether a run of this precision calculates in bfloat16 on the device."""
    return has_bfloat16(device) if precision == "auto" else precision == "bfloat16"
