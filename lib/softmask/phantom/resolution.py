"""The true high resolution of embedded CT: the object that was scanned, four times finer and without blur or noise.

No real scan has it. On it, super-resolution can be compared with what is there, not only with a smaller image made
large again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from softmask.data.image_files import window_hu
from softmask.phantom.ct import draw
from softmask.phantom.geometry import SUPERSAMPLING, block_mean
from softmask.phantom.lidc import EmbeddedLidc
from softmask.phantom.scanner import scan

SCALE = SUPERSAMPLING
"""Pixels of the high resolution for each of the low, along each axis: as many as a lesion is drawn with."""


@dataclass(frozen=True)
class HighResolution:
    """One slice at both resolutions, grey values in [0, 1] of the lung window.

    Attributes:
        low: (S, S) float32, as scanned: the object averaged over each pixel, blurred and noisy.
        high: (4 S, 4 S) float32, the object averaged over each fine pixel.
        alpha: (4 S, 4 S) float32 in [0, 1], the share of each fine pixel that is lesion.
    """

    low: np.ndarray
    high: np.ndarray
    alpha: np.ndarray


def high_resolution(dataset: EmbeddedLidc, i: int, size: int = 64) -> HighResolution:
    """The middle ``size`` x ``size`` pixels of sample ``i`` at both resolutions.

    Lesion, vessels, walls and noise are those of the data set's own image of that sample; as textures are drawn on the
    fine grid, they may lie up to a pixel elsewhere, so that ``low`` is very like that image and not the same.
    """
    what, scanner, draws = dataset.plan(i)
    fine = draw(what, draws, SCALE)
    low = scan(block_mean(fine.hu, SCALE), what.spacing, scanner, draws.slice)
    return HighResolution(
        low=_middle(window_hu(low), size),
        high=_middle(window_hu(fine.hu), SCALE * size),
        alpha=_middle(fine.alpha, SCALE * size),
    )


def _middle(image: np.ndarray, size: int) -> np.ndarray:
    first = (image.shape[0] - size) // 2
    return image[first : first + size, first : first + size]
