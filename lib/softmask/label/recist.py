"""RECIST marks: the long axis of a lesion and the longest one perpendicular to it.

Axes are (2, 2, 2) arrays, (axis, end, (row, column)), in pixels, the long axis first; (0, 0) is the centre of the first
pixel. Source: Eisenhauer et al., "RECIST guideline (version 1.1)", European Journal of Cancer 45 (2009) 228-247.
"""

from __future__ import annotations

import numpy as np

from softmask.data.outlines import recist_axes as axes_from_mask
from softmask.errors import LabelError
from softmask.label.common import as_array

__all__ = ["axes_from_mask", "ellipse_mask", "validate"]


def validate(axes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the axes as float64, long axis first, once they are known to fit an image of ``shape`` (H, W).

    A short axis may have zero length (a lesion one pixel wide); a long axis may not: a lesion of one pixel has no
    RECIST mark, and is labelled from its mask.

    Raises:
        LabelError: not of shape (2, 2, 2), NaN, an end outside the image, a long axis of zero length.
    """
    axes = as_array(axes, "RECIST axes", float)
    if axes.shape != (2, 2, 2):
        raise LabelError(f"RECIST axes must be (2, 2, 2) = (axis, end, (row, column)), not {axes.shape}")
    if not np.isfinite(axes).all():
        raise LabelError(f"RECIST axes have NaN or infinite ends: {axes.tolist()}; leave this sample out")
    outside = ((axes < -0.5) | (axes > np.array(shape) - 0.5)).any(axis=2)
    if outside.any():
        row, column = axes[outside][0]
        raise LabelError(
            f"a RECIST axis ends at row {row:g}, column {column:g}, outside the image of {shape[0]} x {shape[1]} "
            "pixels: check the order (row, column) and the crop"
        )
    lengths = np.linalg.norm(axes[:, 1] - axes[:, 0], axis=1)
    if lengths.max() == 0:
        raise LabelError(
            f"both RECIST axes have zero length, at row {axes[0, 0, 0]:g}, column {axes[0, 0, 1]:g}: "
            "label this lesion from its mask instead"
        )
    return axes[::-1] if lengths[1] > lengths[0] else axes


def ellipse_mask(axes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return (H, W) bool: the ellipse whose extents along and across the long axis are those of the mark.

    An end is the centre of a pixel of the lesion, so the half axes are half a pixel longer than half the marks.
    """
    axes = validate(axes, shape)
    half = np.linalg.norm(axes[:, 1] - axes[:, 0], axis=1) / 2
    along = (axes[0, 1] - axes[0, 0]) / (2 * half[0])
    across = np.array([-along[1], along[0]])
    middle = axes.mean(axis=1)
    centre = middle[0] + (middle[1] - middle[0]) @ across * across
    offset = np.moveaxis(np.indices(shape), 0, -1) - centre
    return (offset @ along / (half[0] + 0.5)) ** 2 + (offset @ across / (half[1] + 0.5)) ** 2 <= 1
