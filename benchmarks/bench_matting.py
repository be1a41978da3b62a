"""Labelling one image on one core, beside pymatting, for the papers' 5 ms (trimap) and 15 ms (matting) on 256 x 256.

Run with ``pytest benchmarks/bench_matting.py --benchmark-enable --benchmark-only``.
"""

from functools import partial

import numpy as np
import pytest
from pymatting import estimate_alpha_cf

from softmask.label import closed_form_alpha, soft_mask
from softmask.label.recist import axes_from_mask
from softmask.label.trimap import from_mask, from_recist


def nodule(size: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """A lobed nodule in noise: grey image (size, size) in [0, 1] and its mask."""
    rng = np.random.default_rng(256)
    row, column = np.indices((size, size)) - size / 2
    outline = radius * (1 + 0.1 * np.cos(3 * np.arctan2(row, column)))
    distance = np.hypot(row, column) - outline
    image = 0.25 + 0.45 / (1 + np.exp(distance / 1.5)) + rng.normal(0, 0.03, (size, size))
    return np.clip(image, 0, 1), distance < 0


IMAGE, MASK = nodule(256, 30)
AXES, TRIMAP = axes_from_mask(MASK), from_mask(MASK)
COLOUR = np.stack([IMAGE, IMAGE**2, 1 - IMAGE], axis=-1)


def pymatting_soft_mask() -> np.ndarray:
    return estimate_alpha_cf(np.stack([IMAGE] * 3, axis=-1), from_mask(MASK).astype(float))


STEPS = {
    "trimap + matting": partial(soft_mask, IMAGE, mask=MASK),
    "trimap + matting, pymatting": pymatting_soft_mask,
    "trimap from mask": partial(from_mask, MASK),
    "trimap from RECIST": partial(from_recist, IMAGE, AXES),
    "matting grey": partial(closed_form_alpha, IMAGE, TRIMAP),
    "matting colour": partial(closed_form_alpha, COLOUR, TRIMAP),
}


@pytest.mark.benchmark(group="labels and their steps, 256x256")
@pytest.mark.parametrize("step", STEPS)
def test_steps(benchmark, step: str) -> None:
    benchmark(STEPS[step])


@pytest.mark.benchmark(group="matting by unknown pixels")
@pytest.mark.parametrize(("size", "radius"), [(128, 8), (256, 30), (512, 60), (512, 150)])
def test_sizes(benchmark, size: int, radius: float) -> None:
    image, mask = nodule(size, radius)
    trimap = from_mask(mask)
    benchmark.extra_info["unknown"] = int((trimap == 0.5).sum())
    benchmark(closed_form_alpha, image, trimap)
