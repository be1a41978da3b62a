"""Labelling one image on one core, beside pymatting, for the papers' 5 ms (trimap) and 15 ms (matting) on 256 x 256.

Run with ``pytest benchmarks/bench_matting.py --benchmark-enable --benchmark-only``.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pymatting import estimate_alpha_cf
from threadpoolctl import threadpool_limits

from softmask.label import soft_mask
from softmask.label.matting import closed_form_alpha
from softmask.label.recist import axes_from_mask
from softmask.label.trimap import from_mask, from_recist


@pytest.fixture(autouse=True)
def _one_core():
    cv2.setNumThreads(1)
    with threadpool_limits(1):
        yield


def nodule(size: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """A lobed nodule in noise: grey image (size, size) in [0, 1] and its mask."""
    rng = np.random.default_rng(256)
    row, column = np.indices((size, size)) - size / 2
    outline = radius * (1 + 0.1 * np.cos(3 * np.arctan2(row, column)))
    distance = np.hypot(row, column) - outline
    image = 0.25 + 0.45 / (1 + np.exp(distance / 1.5)) + rng.normal(0, 0.03, (size, size))
    return np.clip(image, 0, 1), distance < 0


def pymatting_soft_mask(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return estimate_alpha_cf(np.stack([image] * 3, axis=-1), from_mask(mask).astype(float))


@pytest.mark.benchmark(group="label 256x256 from a mask: trimap + matting")
@pytest.mark.parametrize("method", ["softmask", "pymatting"])
def test_label_from_mask(benchmark, method: str) -> None:
    image, mask = nodule(256, 30)
    if method == "softmask":
        benchmark(lambda: soft_mask(image, mask=mask))
    else:
        benchmark(pymatting_soft_mask, image, mask)


@pytest.mark.benchmark(group="steps, 256x256")
@pytest.mark.parametrize("step", ["trimap from mask", "trimap from RECIST", "matting grey", "matting colour"])
def test_steps(benchmark, step: str) -> None:
    image, mask = nodule(256, 30)
    axes, trimap = axes_from_mask(mask), from_mask(mask)
    colour = np.stack([image, image**2, 1 - image], axis=-1)
    steps = {
        "trimap from mask": lambda: from_mask(mask),
        "trimap from RECIST": lambda: from_recist(image, axes),
        "matting grey": lambda: closed_form_alpha(image, trimap),
        "matting colour": lambda: closed_form_alpha(colour, trimap),
    }
    benchmark(steps[step])


@pytest.mark.benchmark(group="matting by unknown pixels")
@pytest.mark.parametrize(("size", "radius"), [(128, 8), (256, 30), (512, 60), (512, 150)])
def test_sizes(benchmark, size: int, radius: float) -> None:
    image, mask = nodule(size, radius)
    trimap = from_mask(mask)
    benchmark.extra_info["unknown"] = int((trimap == 0.5).sum())
    benchmark(closed_form_alpha, image, trimap)
