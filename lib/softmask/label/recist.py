"""RECIST marks: the long axis of a lesion and the longest one perpendicular to it.

Axes are (2, 2, 2) arrays, (axis, end, (row, column)), in pixels, the long axis first; (0, 0) is the centre of the first
pixel. Source: Eisenhauer et al., "RECIST guideline (version 1.1)", European Journal of Cancer 45 (2009) 228-247.
"""

from __future__ import annotations

import numpy as np

from softmask.data.outlines import recist_axes as axes_from_mask
from softmask.errors import LabelError
from softmask.label.common import as_array

__all__ = ["axes_from_contour", "axes_from_mask", "ellipse_mask", "quadrilateral", "validate"]


def validate(axes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The axes as float64, long axis first, once they are known to fit an image of ``shape`` (H, W).

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


def axes_from_contour(points: np.ndarray) -> np.ndarray:
    """Axes of the lesion inside a closed contour.

    The long axis joins the two contour points farthest apart. The short axis is the longest perpendicular chord that
    stays inside the polygon.

    Args:
        points: (N, 2) contour points (row, column), N >= 2, in order; the last is joined to the first.

    Raises:
        LabelError: fewer than two points, NaN, or all points in one place.
    """
    points = as_array(points, "a contour", float)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 2 or not np.isfinite(points).all():
        raise LabelError(f"a contour must be (N, 2) finite points (row, column), N >= 2, not {points.shape}")
    squared = ((points[:, None] - points) ** 2).sum(axis=2)
    length = np.sqrt(squared.max())
    if length == 0:
        raise LabelError(f"all {len(points)} contour points lie in one place: no RECIST axes")
    long = points[list(np.unravel_index(squared.argmax(), squared.shape))]
    along = (long[1] - long[0]) / length
    across = np.array([-along[1], along[0]])
    middle = long.mean(axis=0)
    u, v = (points - middle) @ along, (points - middle) @ across

    # Between two vertices a chord's length changes linearly, so the longest chords are those just beside a vertex.
    lines = np.concatenate([u - 1e-9 * length, u + 1e-9 * length])[:, None]  # (2N, 1), where perpendiculars are drawn
    next_u, next_v = np.roll(u, -1), np.roll(v, -1)
    crossed = (u <= lines) != (next_u <= lines)  # (2N, N), each line crosses an even number of edges
    step = np.where(crossed, next_u - u, 1)
    height = np.sort(np.where(crossed, v + (lines - u) / step * (next_v - v), np.inf), axis=1)
    entry, leave = height[:, 0 : len(points) // 2 * 2 : 2], height[:, 1::2]
    chord = np.where(np.isfinite(leave), leave - np.where(np.isfinite(entry), entry, 0), 0)
    line, k = np.unravel_index(chord.argmax(), chord.shape)
    if chord[line, k] == 0:  # all points on one line
        return np.stack([long, np.stack([middle, middle])])
    base = middle + lines[line] * along
    return np.stack([long, base + np.array([[entry[line, k]], [leave[line, k]]]) * across])


def ellipse_mask(axes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the ellipse whose extents along and across the long axis are those of the mark.

    An end is the centre of a pixel that belongs to the lesion, so the half axes are half a pixel longer than half the
    marks.
    """
    axes = validate(axes, shape)
    half = np.linalg.norm(axes[:, 1] - axes[:, 0], axis=1) / 2
    along = (axes[0, 1] - axes[0, 0]) / (2 * half[0])
    across = np.array([-along[1], along[0]])
    middle = axes.mean(axis=1)
    centre = middle[0] + (middle[1] - middle[0]) @ across * across
    offset = np.moveaxis(np.indices(shape), 0, -1) - centre
    return (offset @ along / (half[0] + 0.5)) ** 2 + (offset @ across / (half[1] + 0.5)) ** 2 <= 1


def quadrilateral(axes: np.ndarray) -> np.ndarray:
    """(4, 2) corners of the quadrilateral whose diagonals are the axes, in order round it."""
    return axes.transpose(1, 0, 2).reshape(4, 2)
