"""Which regions have features at all. What is refused here has none, or constants in their place."""

from __future__ import annotations

import numpy as np

from softmask.errors import DataError
from softmask.measure.radiomics.features import MOST_LEVELS, Bins, bounding_box

FEWEST_PIXELS = 5
"""Least size of a region. In a round region of fewer pixels, filled with noise, some features are the same whatever the
noise: two with four pixels, ten with three, 69 with two, of which the robust mean absolute deviation is undefined."""

LARGEST = 1e70
"""Up to here the fourth power of a grey level is finite."""


def checked_values(image: np.ndarray, mask: np.ndarray, bins: Bins) -> np.ndarray:
    """(N,) float: the grey levels of ``image`` (H, W) inside ``mask`` (H, W) bool, row by row.

    Outside the mask the image may hold anything, NaN too, and a region may touch the border.

    Raises:
        DataError: arrays that do not fit; a mask that is empty, of less than :data:`FEWEST_PIXELS` pixels or one pixel
            wide (pyradiomics refuses those as well); grey levels that are NaN or above :data:`LARGEST`, that all fall
            into one bin, or that span more than :data:`~softmask.measure.radiomics.features.MOST_LEVELS`.
    """
    image, mask = np.asarray(image), np.asarray(mask)
    if mask.dtype != bool or mask.ndim != 2:
        raise DataError(f"the mask must be (H, W) bool, not {mask.dtype} of shape {mask.shape}")
    if image.shape != mask.shape:
        raise DataError(f"the image is of size {image.shape} and the mask of {mask.shape}: they must be the same")
    if image.dtype.kind not in "fiu":
        raise DataError(f"the image must hold numbers, not {image.dtype}")
    values = image[mask].astype(float)
    if not len(values):
        raise DataError("the region is empty")
    bad = np.count_nonzero(~(np.abs(values) <= LARGEST))
    if bad:
        raise DataError(
            f"the image is not finite, or beyond {LARGEST:g}, in {bad} of the region's {len(values)} pixels"
        )
    if len(values) < FEWEST_PIXELS:
        raise DataError(f"the region is too small: {len(values)} of at least {FEWEST_PIXELS} pixels")
    height, width = mask[bounding_box(mask)].shape
    if min(height, width) < 2:
        raise DataError(f"the region is a line of {height} x {width} pixels, which has texture in one direction only")
    levels = bins.levels(values)
    if levels < 2:
        raise DataError(f"the region is constant: its grey levels, {values.min():g} to {values.max():g}, are one bin")
    if not levels <= MOST_LEVELS:
        raise DataError(
            f"the region's grey levels, {values.min():g} to {values.max():g}, span {levels:g} bins, more than "
            f"{MOST_LEVELS}; if the image is not in HU, use BinCount"
        )
    return values
