"""RECIST axes of a mask: the longest diameter, and the longest one perpendicular to it.

Source: Eisenhauer et al., "New response evaluation criteria in solid tumours: Revised RECIST guideline (version 1.1)",
European Journal of Cancer 45 (2009) 228-247. Lengths are between pixel centres, as between two clicks on the image.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from softmask.errors import DataError

_EIGHT = np.ones((3, 3), bool)
_STRIP_STEP = 0.5  # pixels between the perpendicular lines that are tried
_STRIP_WIDTH = 1.0  # a line owns the pixels whose centres lie within half of this of it
_GAP = 1.5  # neighbouring pixels of one line are at most sqrt(2) apart along it


def recist_axes(mask: np.ndarray) -> np.ndarray:
    """Return the long and short axis of the lesion in ``mask``.

    The lesion is the largest 8-connected part of the mask with its holes filled (a radiologist measures one lesion, and
    across a cavity). The long axis is the longest chord between two of its pixel centres; where it is concave the chord
    may pass outside. The short axis is the longest unbroken run of the lesion along a line perpendicular to the long
    axis; among equal runs, the one nearest the long axis' middle. It is never longer than the long axis.

    Args:
        mask: (H, W) bool, or anything that is truthy inside.

    Returns:
        (2, 2, 2) float: (axis, end, (row, column)) in pixels, the long axis first, each axis' first end above
        its second (left of it where both are in one row). A lesion of one pixel gives two axes of zero length at its
        centre; one that is one pixel wide gives a short axis of zero length on the long one.

    Raises:
        DataError: when the mask is empty or not two-dimensional.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise DataError(f"RECIST axes need a mask of two dimensions, not one of shape {mask.shape}")
    lesion = _largest_part(mask.astype(bool))
    pixels = np.argwhere(lesion).astype(float)  # (N, 2), in row-major order
    long_axis = _longest_chord(np.argwhere(lesion & ~ndimage.binary_erosion(lesion)).astype(float))
    return np.stack([long_axis, _longest_perpendicular(pixels, long_axis)])


def long_axis(mask: np.ndarray) -> float:
    """Return the length in pixels of the long axis of :func:`recist_axes`, without the short one.

    Args:
        mask: (H, W) bool.

    Raises:
        DataError: when the mask is empty.
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if len(rows):
        mask = np.pad(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
    lesion = _largest_part(mask)
    ends = _longest_chord(np.argwhere(lesion & ~ndimage.binary_erosion(lesion)).astype(float))
    return float(np.linalg.norm(ends[1] - ends[0]))


def _largest_part(mask: np.ndarray) -> np.ndarray:
    parts, count = ndimage.label(mask, _EIGHT)
    if count == 0:
        raise DataError("RECIST axes of an empty mask do not exist; leave this sample out")
    return ndimage.binary_fill_holes(parts == 1 + np.argmax(np.bincount(parts.ravel())[1:]))


def _longest_chord(boundary: np.ndarray) -> np.ndarray:
    # Only the outermost boundary pixels of each row can end a longest chord: that bounds the pairs by (2H)^2.
    first = np.unique(boundary[:, 0], return_index=True)[1]
    last = np.append(first[1:], len(boundary)) - 1
    ends = boundary[np.unique(np.concatenate([first, last]))]
    squared = ((ends[:, None] - ends[None]) ** 2).sum(axis=-1)
    i, j = np.unravel_index(np.argmax(squared), squared.shape)
    return ends[[min(i, j), max(i, j)]]


def _longest_perpendicular(pixels: np.ndarray, long_axis: np.ndarray) -> np.ndarray:
    middle = long_axis.mean(axis=0)
    length = np.linalg.norm(long_axis[1] - long_axis[0])
    if length == 0:
        return long_axis.copy()
    along = (long_axis[1] - long_axis[0]) / length
    across = np.array([along[1], -along[0]])
    u, v = (pixels - middle) @ along, (pixels - middle) @ across

    # every pixel belongs to the few lines (strips) that pass within half a width of its centre
    reach = int(_STRIP_WIDTH / 2 / _STRIP_STEP)
    nearest = np.rint(u / _STRIP_STEP).astype(int)
    strip = (nearest[:, None] + np.arange(-reach, reach + 1)).ravel()
    u, v = np.repeat(u, 2 * reach + 1), np.repeat(v, 2 * reach + 1)
    owned = (np.abs(strip * _STRIP_STEP - u) <= _STRIP_WIDTH / 2 + 1e-9) & (np.abs(strip * _STRIP_STEP) <= length / 2)
    order = np.lexsort((v[owned], strip[owned]))
    strip, v = strip[owned][order], v[owned][order]

    breaks = np.flatnonzero((np.diff(strip) != 0) | (np.diff(v) > _GAP)) + 1
    start = np.concatenate([[0], breaks])
    end = np.append(breaks, len(v)) - 1
    runs = v[end] - v[start]
    candidates = np.flatnonzero(runs >= runs.max() - 1e-9)
    best = candidates[np.argmin(np.abs(strip[start[candidates]]))]
    base = middle + strip[start[best]] * _STRIP_STEP * along
    ends = base + np.array([v[start[best]], v[end[best]]])[:, None] * across
    return ends[np.lexsort((ends[:, 1], ends[:, 0]))]
