"""Device of a training, and the seeds of its random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from softmask.files import sha256_of

COMPILE_STEPS = 10_000
"""Minimum number of steps to use ``torch.compile``, on CUDA only: compilation takes about a minute and saves about 6 ms
per step."""

M = TypeVar("M", bound=nn.Module)


def derived(seed: int, *purpose: str | int) -> int:
    """Return a seed for one purpose of a run, such as ``("batches", epoch)``, the same on every machine. Random numbers
    that are seeded again in each epoch need no state in the checkpoint."""
    return int(sha256_of(str(seed), *map(str, purpose))[:15], 16)


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """Return a CPU generator seeded with :func:`derived`."""
    return torch.Generator().manual_seed(derived(seed, *purpose))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generators within the context, and restore their state afterwards.

    Networks are built in it: ``with seeded(seed): network = build("unet", 8)``.
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Forbid, on the CPU only, algorithms whose order of summation varies between runs. CUDA stays fast.

    torch would then also fill all new memory with NaN, a debugging aid that changes no result and takes about a tenth
    of the training time; this is switched off.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(before[0] or device.type == "cpu")
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.utils.deterministic.fill_uninitialized_memory = before[1]


def pick() -> torch.device:
    """Return the CUDA device if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(device: torch.device) -> torch.autocast:
    """Return a context of bfloat16 on CUDA, float32 elsewhere."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def compiled(module: M, device: torch.device, steps: int) -> M:
    """Return ``module``, compiled if this saves time in a training of ``steps`` steps (:data:`COMPILE_STEPS`)."""
    if device.type == "cuda" and steps >= COMPILE_STEPS:
        module.compile()
    return module
