"""``softmask run --rehearse``: two training steps of every kind of run, to find failures and estimate training times.

Each kind is rehearsed by the longest of its training runs, cut to one epoch of two steps, followed by validation,
checkpoint, test and record. The images are noise, and the networks that the run builds on are untrained. Every
rehearsal has its own process and temporary folder, so that a killed process is one failure. The second step is timed.
"""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from tqdm import tqdm

from softmask.data.splits import PAPER_SIZES
from softmask.errors import brief
from softmask.experiments import store
from softmask.experiments.kinds import train_and_test
from softmask.experiments.plan import distinct, likeness
from softmask.experiments.prepare import SOFT_LABELS, STORED, Part, Prepared
from softmask.experiments.spec import RunSpec
from softmask.experiments.store import Run, device_name
from softmask.machine import end_with, keep_freed_memory, peak_memory_mb
from softmask.nets.registry import build
from softmask.train import device
from softmask.train.super_resolution import patches_in

STEPS = 2
ON_A_CPU = 2
"""Maximum number of images per step on a CPU; batch normalisation of one image would be a different computation."""
REMARKS = f"""On a CPU a step takes at most {ON_A_CPU} images, of which the memory is, of the whole process; seconds are
scaled to the batch. They and the hours are processor time of one core; validation takes {ON_A_CPU} images only."""
COLUMNS = " memory GB    s/step    steps     hours  runs  all hours  run"


@dataclass(frozen=True)
class Rehearsal:
    """Result of a rehearsal: peak memory in bytes (allocated on the GPU, or resident on a CPU), seconds of the second
    ``step``, scaled to the whole batch, and of the ``end`` of an epoch: validation and checkpoint."""

    memory: float
    step: float
    end: float

    def hours(self, spec: RunSpec) -> float:
        """Return the hours of the whole training of ``spec``, which is of the rehearsed kind."""
        return (steps(spec) * self.step + spec.settings.epochs * self.end) / 3600


class Untrained(Run):
    """Run that other runs build on, with its network before training."""

    key = weights = "0" * 64
    failed = False

    def network(self) -> nn.Module:
        """Return the network with fresh weights, on the CPU, in evaluation mode."""
        return build(self.spec.network, self.spec.width, self.spec.inputs, self.spec.reduction).eval()


def untrained(spec: RunSpec) -> tuple[Untrained, ...]:
    """Return the runs that ``spec`` builds on, untrained."""
    return tuple(Untrained(need, needs=untrained(need)) for need in spec.needs)


def run(specs: Iterable[RunSpec]) -> int:
    """Rehearse every kind of run among ``specs`` and the runs that they need, and print a table. Returns the exit
    status: 1 if any kind failed."""
    all_specs = distinct(specs)
    kinds: defaultdict[tuple, list[RunSpec]] = defaultdict(list)
    for spec in all_specs:
        if spec.learns:
            kinds[kind(spec)].append(spec)
    print(f"Rehearsal on {device_name()}: {STEPS} steps of each kind of run, on noise. No result; nothing is kept.")
    print(COLUMNS if torch.cuda.is_available() else f"{REMARKS}\n{COLUMNS}", flush=True)
    n_failed, total_hours, memory = 0, 0.0, 0.0
    bar = tqdm(kinds.values(), unit="kind")
    for runs in bar:
        longest_spec = max(runs, key=steps)
        bar.set_postfix_str(longest_spec.name)
        with TemporaryDirectory() as scratch:
            outcome = in_own_process(rehearse, longest_spec, scratch)
        if isinstance(outcome, str):
            n_failed += 1
            bar.write(f"    FAILED, {len(runs)} runs  {longest_spec.name}: {outcome}")
            continue
        hours = sum(outcome.hours(spec) for spec in runs)
        total_hours, memory = total_hours + hours, max(memory, outcome.memory)
        bar.write(
            f"{outcome.memory / 1e9:10.2f}{outcome.step:10.4f}{steps(longest_spec):9}"
            f"{outcome.hours(longest_spec):10.2f}{len(runs):6}{hours:11.1f}  {longest_spec.name}"
        )
    n_runs = sum(map(len, kinds.values()))
    print(
        f"All {n_runs} training runs ({len(kinds)} kinds), one after the other: {total_hours:.1f} hours, "
        f"{memory / 1e9:.2f} GB at most. {len(all_specs) - n_runs} runs train nothing: not rehearsed. "
        f"{n_failed} of {len(kinds)} kinds failed" + ("; the hours are without them." if n_failed else ".")
    )
    return 1 if n_failed else 0


def kind(spec: RunSpec) -> tuple:
    """Return the settings that runs with the same computation per step have in common: those of :func:`likeness` except
    the data set, the number of images, and the length and learning rate of the training."""
    _, *common_settings, _, settings = likeness(spec)
    compiled = torch.cuda.is_available() and steps(spec) >= device.COMPILE_STEPS
    return *common_settings, settings.batch_size, settings.discriminator_width, spec.label, spec.of_lungs, compiled


def steps(spec: RunSpec) -> int:
    """Return the number of steps of the whole training, on the paper's number of images or the profile's maximum."""
    images = PAPER_SIZES[spec.dataset]["train"]
    return spec.settings.steps(min(images, spec.n_train or images) * _examples(spec))


def in_own_process(function: Callable, *arguments: Any) -> Any:
    """Call ``function`` in its own process. Returns its result or, if it failed, the reason in one line."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])  # imported once, not for every process
    with ProcessPoolExecutor(1, context) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            return "its process was killed, perhaps for want of memory"
        except Exception as error:  # a mistake in a network, for example: the other kinds go on
            return f"{type(error).__name__}: {brief(error)}"


def rehearse(spec: RunSpec, scratch: str) -> Rehearsal:
    """Train ``spec`` for :data:`STEPS` steps, test it, and write its record below ``scratch``. Changes settings of the
    process, which should do nothing else."""
    end_with(os.getppid())
    os.environ.update(SOFTMASK_OUTPUT=scratch, SOFTMASK_RUNS=scratch, SOFTMASK_CACHE=scratch)
    torch.set_num_threads(1)
    keep_freed_memory()
    cuda, full_batch = torch.cuda.is_available(), spec.settings.batch_size
    device.COMPILE_STEPS = STEPS if steps(spec) >= device.COMPILE_STEPS else STEPS + 1
    batch_size = full_batch if cuda else min(full_batch, ON_A_CPU)
    n_validation = PAPER_SIZES[spec.dataset]["validation"] if cuda else ON_A_CPU
    part_sizes = math.ceil(STEPS * batch_size / _examples(spec)), n_validation, ON_A_CPU
    data = Prepared(spec.dataset, spec.source, "noise", "0" * 64, *(_noise(spec, n) for n in part_sizes))
    short_settings = replace(spec.settings, epochs=1, warmup=0, hold=0, batch_size=batch_size)
    timestamps = []

    def note(*_: Any) -> None:
        if cuda:
            torch.cuda.synchronize()
        timestamps.append(time.perf_counter() if cuda else time.process_time())

    register_optimizer_step_post_hook(note)  # called after the adversary's step, then the segmentor's
    folder = Path(scratch)
    record = train_and_test(replace(spec, settings=short_settings), data, untrained(spec), folder, note)
    store.finish(folder, record)
    *updates, end = timestamps
    step = (updates[-1] - updates[len(updates) // STEPS - 1]) * full_batch / batch_size
    memory = torch.cuda.max_memory_allocated() if cuda else 1e6 * peak_memory_mb()
    return Rehearsal(memory, step, end - updates[-1])


def _examples(spec: RunSpec) -> int:
    """Return the number of examples per image in an epoch: the patches in super-resolution, else 1."""
    return patches_in(spec.size) if spec.upscales else 1


def _noise(spec: RunSpec, n: int) -> Part:
    """Return ``n`` images of noise with all arrays of a part of the data set of ``spec``; the true mask is a square."""
    ids = tuple(map(str, range(n)))
    images = np.random.default_rng(spec.seed).random((n, 1, spec.size, spec.size), np.float32)
    masks, native = np.zeros_like(images), np.zeros((n, 1, *STORED), bool)
    for square in (masks, native):
        quarter = square.shape[-1] // 4
        square[..., quarter:-quarter, quarter:-quarter] = 1
    if spec.of_lungs:
        return Part(ids, ids, images, masks, {}, {"native": native, "nodules": native})
    return Part(ids, ids, images, masks, dict.fromkeys(SOFT_LABELS, masks))
