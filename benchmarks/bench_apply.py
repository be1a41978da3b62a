"""Time to label and segment lists of lesions by the commands, on one and two cores, and to segment a crop in Python.

``images_per_s`` is from the median time of a list, including reading and writing. Run with ``pytest
benchmarks/bench_apply.py --benchmark-enable --benchmark-only``.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from softmask.apply import models
from softmask.cli import main

SLICE, RADIUS = 256, 12


def nodule(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a disc with a blurred edge in noise, (size, size) in [0, 1], and its mask."""
    distance = np.hypot(*(np.indices((size, size)) - size / 2)) - RADIUS
    image = 0.25 + 0.45 / (1 + np.exp(distance / 1.5)) + np.random.default_rng(0).normal(0, 0.03, distance.shape)
    return np.clip(image, 0, 1).astype(np.float32), distance < 0


@pytest.fixture
def many(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Write lists of 64 lesions (2 if nothing is timed), with masks or with points, and return their folder."""
    lines = ["image,mask,row,column"]
    image, mask = nodule(SLICE)
    for i in range(64 if request.config.getoption("benchmark_enable") else 2):
        Image.fromarray((255 * image).astype(np.uint8)).save(tmp_path / f"{i}.png")
        Image.fromarray(mask).save(tmp_path / f"{i}-mask.png")
        lines.append(f"{i}.png,{i}-mask.png,{SLICE // 2},{SLICE // 2}")
    for name, columns in (("label", (0, 1)), ("segment", (0, 2, 3))):
        rows = [",".join(line.split(",")[column] for column in columns) for line in lines]
        (tmp_path / f"{name}.csv").write_text("\n".join(rows))
    return tmp_path


def run_list(benchmark, many: Path, command: str, *options: str) -> None:
    rounds = iter(range(1000))

    def work(out: Path) -> None:
        assert main([command, "--list", str(many / f"{command}.csv"), "--out", str(out), *options]) == 0

    def fresh() -> tuple[tuple[Path], dict]:
        return (many / f"out-{next(rounds)}",), {}

    benchmark.pedantic(work, setup=fresh, rounds=5 if benchmark.enabled else 1, warmup_rounds=int(benchmark.enabled))
    if benchmark.enabled:
        n = len((many / f"{command}.csv").read_text().splitlines()) - 1
        benchmark.extra_info["images_per_s"] = round(n / benchmark.stats.stats.median, 1)


@pytest.mark.benchmark(group=f"label --list, {SLICE} x {SLICE} PNGs with masks")
@pytest.mark.parametrize("cores", [1, 2])
def test_label(benchmark, many: Path, cores: int) -> None:
    run_list(benchmark, many, "label", "--jobs", str(cores))


@pytest.mark.benchmark(group=f"segment --list, points in {SLICE} x {SLICE} PNGs")
@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("model", ["lesion", "softgan"])
def test_segment(benchmark, many: Path, model: str, cores: int) -> None:
    torch.set_num_threads(cores)
    run_list(benchmark, many, "segment", "--model", model)


@pytest.mark.benchmark(group="one crop of 64 x 64 in Python")
@pytest.mark.parametrize("model", ["lesion", "softgan"])
def test_crop(benchmark, model: str) -> None:
    segment: Callable = models.load(model).segment
    benchmark(segment, nodule(64)[0])
