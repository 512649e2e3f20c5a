"""One training on several processes or GPUs: who is first, which device, how a batch is shared."""

from __future__ import annotations

import os

import torch
from torch import distributed, nn

from training.datasets.errors import InputError


def join() -> None:
    """Join the processes that torchrun started; without torchrun this is an error.

    Raises
    ------
    InputError
        If torchrun's variables are absent, or a process has no GPU of its own on a machine with GPUs.
    """
    if "LOCAL_RANK" not in os.environ:
        raise InputError("multi_gpu_train.json is run by torchrun: torchrun --nproc_per_node=N -m monai.bundle run ...")
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    if torch.cuda.is_available():
        if int(os.environ["LOCAL_RANK"]) >= torch.cuda.device_count():
            raise InputError(f"{torch.cuda.device_count()} GPUs for more processes; lower --nproc_per_node")
        torch.cuda.set_device(device())


def count() -> int:
    """Return the number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first() -> bool:
    """Say whether this process is the one that writes."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def add_up(values: torch.Tensor) -> torch.Tensor:
    """Return the sum of a tensor over all processes; every process has to call it."""
    if distributed.is_initialized():
        values = values.to(device(), torch.float32) if distributed.get_backend() == "nccl" else values
        distributed.all_reduce(values)
    return values


def device() -> torch.device:
    """Return a process's own GPU, or the processor where there is none."""
    return torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu")


def share(network: nn.Module) -> nn.Module:
    """Wrap a network so that all processes train it together.

    On GPUs batch norm takes its statistics from all processes (PyTorch has no such layer for processors).
    """
    if torch.cuda.is_available():
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return nn.parallel.DistributedDataParallel(network, device_ids=[torch.cuda.current_device()])
    return nn.parallel.DistributedDataParallel(network)
