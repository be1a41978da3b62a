"""Time of super-resolution on one core: training steps of SRGAN, and whole images, processed in tiles.

Run with ``pytest benchmarks/bench_super_resolution.py --benchmark-enable --benchmark-only``. The last benchmark
computes DSNet's input at twice the size from 512 x 512 pixels, at full width, in a separate process, whose peak memory
must stay below 2 GB; it takes half a minute.
"""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch

from softmask.nets import SR_NETWORKS, build
from softmask.nets.cascade import enlarge
from softmask.train.super_resolution import PATCH, SuperResolution

BATCH = 8
LOSSES = [("content", 1.0), ("total_variation", 2e-8), ("adversarial", 0.001), ("vgg22", 0.008)]
LARGE = """
import resource, sys
import numpy as np
import torch
from softmask.nets import build
from softmask.nets.cascade import enlarge

torch.set_num_threads(1)
size = int(sys.argv[1])
image = np.random.default_rng(1).random((size, size), dtype=np.float32)
assert enlarge(build("srgan"), image, 2).shape == (66, 2 * size, 2 * size)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""


@pytest.mark.benchmark(group=f"SRGAN: training step, {BATCH} patches of {PATCH} x {PATCH}")
@pytest.mark.parametrize("losses", [LOSSES[:1], LOSSES[:3], LOSSES], ids=["content", "adversarial", "all"])
def test_step(benchmark, losses: list) -> None:
    network = build("srgan", SR_NETWORKS["srgan"].cpu).to(memory_format=torch.channels_last).train()
    objective = SuperResolution(network, losses, torch.device("cpu"), width=8, seed=0, steps=1)
    high = torch.rand(BATCH, 1, PATCH, PATCH)
    benchmark(partial(objective.step, high, [name for name, _ in losses]))


@pytest.mark.benchmark(group="SRGAN: image to four times its size, width of the cpu profile")
@pytest.mark.parametrize("size", [64, 128, 256])
def test_images(benchmark, size: int) -> None:
    network = build("srgan", SR_NETWORKS["srgan"].cpu)
    image = np.random.default_rng(size).random((size, size), dtype=np.float32)
    benchmark(enlarge, network, image)


@pytest.mark.benchmark(group="SRGAN: image and features of 512 x 512 pixels at twice the size, full width")
def test_memory(benchmark) -> None:
    command = [sys.executable, "-c", LARGE, "512" if benchmark.enabled else "32"]

    def run() -> float:
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    gigabytes = benchmark.pedantic(run, rounds=1)
    benchmark.extra_info["gigabytes"] = gigabytes
    assert gigabytes < 2
