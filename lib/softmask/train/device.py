"""Where training runs, in how many processes, and from which random numbers."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from softmask.files import sha256_of

COMPILE_STEPS = 10_000
"""Steps from which ``torch.compile`` is used, on CUDA only: compiling takes about a minute, so it has to save some
6 ms a step to pay there."""

_LAUNCHED = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}  # what torchrun puts into the environment


def derived(seed: int, *purpose: str | int) -> int:
    """A seed for one purpose of a run, e.g. ``("batches", epoch)``: the same for the same arguments, on every machine.

    Random numbers that start afresh in each epoch need no state in the checkpoint.
    """
    return int(sha256_of(str(seed), *map(str, purpose))[:15], 16)


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A generator on the CPU that starts from :func:`derived`."""
    return torch.Generator().manual_seed(derived(seed, *purpose))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's global generators start from ``seed`` inside, and go on afterwards as if nothing had been drawn.

    Build a network in it: ``with seeded(spec.seed): network = build("unet", 8)``.
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """On the CPU, algorithms that add up in another order from run to run are errors inside. CUDA stays fast."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(before or device.type == "cpu")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@dataclass(frozen=True)
class Place:
    """A device, and this process's rank among those that train together (one each, unless torchrun started more)."""

    device: torch.device
    rank: int = 0
    processes: int = 1

    def autocast(self) -> torch.autocast:
        """bfloat16 on CUDA, float32 elsewhere."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")

    def ready(self, module: nn.Module, steps: int) -> nn.Module:
        """``module`` as the loop calls it: compiled where that pays, gradients averaged over the processes."""
        if self.device.type == "cuda" and steps >= COMPILE_STEPS:
            module.compile()
        return DistributedDataParallel(module) if self.processes > 1 else module

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Mean of ``values`` over the processes."""
        if self.processes > 1:
            distributed.all_reduce(values)
        return values / self.processes

    def agree(self, module: nn.Module) -> None:
        """Give every process the buffers of rank 0: running means, which each one has of its own images."""
        if self.processes > 1:
            for buffer in module.buffers():
                distributed.broadcast(buffer, 0)

    @contextmanager
    def first(self) -> Iterator[None]:
        """Rank 0 goes through the block before the others do."""
        if self.rank > 0:
            distributed.barrier()
        yield
        if self.rank == 0 and self.processes > 1:
            distributed.barrier()


def pick() -> Place:
    """CUDA where there is one, else the CPU; one of several processes where torchrun launched this one."""
    cuda = torch.cuda.is_available()
    if not os.environ.keys() >= _LAUNCHED:
        return Place(torch.device("cuda" if cuda else "cpu"))
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if cuda else "gloo")
        atexit.register(distributed.destroy_process_group)
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    return Place(device, distributed.get_rank(), distributed.get_world_size())
