"""Regions of interest of one soft mask: inside the binary mask, inside the soft mask, and between (CasGAN, figure 6).

And a control that has the soft region's size, but knows nothing of the soft mask.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt

from softmask.errors import DataError

LEAST_ALPHA = 0.5 / 255
"""From here on alpha is more than 0 in an image of eight bits, as which the papers keep their soft masks."""


class Regions(NamedTuple):
    """Three regions of interest, each (H, W) bool."""

    binary: np.ndarray
    soft: np.ndarray
    band: np.ndarray


def regions(alpha: np.ndarray, binary: np.ndarray) -> Regions:
    """The binary mask, the soft mask's region {alpha > 0 in eight bits} with the binary mask, and what lies between.

    The paper prints no threshold; in its figure 6 the soft mask's outline runs around the binary mask's. Equation 6
    takes the maximum of both, so that no pixel of the binary mask is lost, and so does this region.

    Args:
        alpha: (H, W) in [0, 1].
        binary: (H, W) bool.

    Raises:
        DataError: arrays that do not fit, alpha outside [0, 1] or NaN.
    """
    alpha = np.asarray(alpha)
    _check_masks(binary)
    _check_size(alpha, binary)
    if not (alpha.min(initial=0) >= 0 and alpha.max(initial=0) <= 1):
        raise DataError("the soft mask must lie in [0, 1], without NaN")
    soft = (alpha >= LEAST_ALPHA) | binary
    return Regions(binary, soft, band(soft, binary))


def band(soft: np.ndarray, binary: np.ndarray) -> np.ndarray:
    """(H, W) bool: what the soft mask's region adds to the binary mask, both (H, W) bool.

    Raises:
        DataError: masks of different size, or not bool.
    """
    _check_masks(binary, soft)
    return soft & ~binary


def dilated_to(binary: np.ndarray, area: int, within: np.ndarray | None = None) -> np.ndarray:
    """(H, W) bool: ``binary`` grown to exactly ``area`` pixels, the nearest first (Euclidean distance to the mask).

    Of pixels at the same distance, a fixed shuffle decides: taken row by row, the last ring would fill up from above.

    Args:
        binary: (H, W) bool with at least one pixel.
        area: in pixels, at least that of the mask.
        within: (H, W) bool, the pixels that may be added; default all.

    Raises:
        DataError: masks that do not fit or are empty, an area below the mask's, or above what can be reached.
    """
    _check_masks(binary, *(() if within is None else (within,)))
    own = np.count_nonzero(binary)
    if not own:
        raise DataError("an empty mask cannot be grown")
    allowed = np.flatnonzero(~binary if within is None else within & ~binary)
    more = int(area) - own
    if not 0 <= more <= len(allowed):
        raise DataError(
            f"a mask of {own} pixels cannot be grown to {area}: there is room for {own} to {own + len(allowed)}"
        )
    distance = distance_transform_edt(~binary).ravel()[allowed]
    shuffle = np.random.default_rng(0).permutation(binary.size)[allowed]
    grown = binary.copy()
    grown.flat[allowed[np.lexsort((shuffle, distance))[:more]]] = True
    return grown


def _check_masks(first: np.ndarray, *others: np.ndarray) -> None:
    for mask in (first, *others):
        if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.ndim != 2:
            raise DataError(f"a mask must be (H, W) bool, not {np.asarray(mask).dtype} of shape {np.shape(mask)}")
        _check_size(mask, first)


def _check_size(array: np.ndarray, mask: np.ndarray) -> None:
    if array.shape != mask.shape:
        raise DataError(f"masks of one image must have one size, not {array.shape} and {mask.shape}")
