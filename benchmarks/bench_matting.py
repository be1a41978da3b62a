"""Time to label one image on one core, also by pymatting (papers: 5 ms for trimap, 15 ms for matting, 256 x 256).

Run with ``pytest benchmarks/bench_matting.py --benchmark-enable --benchmark-only``.
"""

from functools import partial

import cv2
import numpy as np
import pytest
from pymatting import estimate_alpha_cf

from softmask.label import closed_form_alpha, soft_mask
from softmask.label.recist import axes_from_mask
from softmask.label.trimap import from_mask, from_recist


def nodule(size: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a lobed nodule in noise: grey image (size, size) in [0, 1] and its mask."""
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


def wide(trimap: np.ndarray) -> np.ndarray:
    """Return the trimap with its unknown band widened on both sides by a fortieth of the image."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (len(trimap) // 20 | 1,) * 2)
    unknown = cv2.dilate((trimap == 0.5).astype(np.uint8), disc)
    return np.where(unknown, 0.5, trimap)


@pytest.mark.parametrize("solver", ["softmask", "pymatting"])
@pytest.mark.parametrize("channels", ["grey", "colour"])
@pytest.mark.parametrize("band", ["narrow", "wide"])
@pytest.mark.parametrize("size", [64, 128, 256, 512])
def test_sizes(benchmark, size: int, band: str, channels: str, solver: str) -> None:
    image, mask = nodule(size, 0.215 * size)
    trimap = from_mask(mask).astype(float)
    trimap = wide(trimap) if band == "wide" else trimap
    benchmark.group = f"matting, {size}x{size}, {band} band of {(trimap == 0.5).sum()} unknown pixels, {channels}"
    colour = np.stack([image, image**2, 1 - image] if channels == "colour" else [image] * 3, axis=-1)
    if solver == "pymatting":  # takes only colour images
        benchmark(estimate_alpha_cf, colour, trimap)
    else:
        benchmark(closed_form_alpha, colour if channels == "colour" else image, trimap)
