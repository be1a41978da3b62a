"""Outlines on the pixel grid: the pixels inside a reader's outline, exactly, and the RECIST axes of a mask.

The centre of pixel (r, c) is the point (r, c) in the coordinates of outlines. Filling counts crossings (even-odd rule):
along each row of pixels, every edge that crosses the row toggles the pixels to its right. For an RTSTRUCT of lungs,
``skimage.draw.polygon2mask`` gives different pixels on the edges and takes 24 times as long.

RECIST axes are the longest diameter, and the longest one perpendicular to it, between pixel centres: Eisenhauer et al.,
"New response evaluation criteria in solid tumours: Revised RECIST guideline (version 1.1)", European Journal of Cancer
45 (2009) 228-247.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from softmask.errors import DataError

_STRIP_STEP = 0.5  # pixels between the perpendicular lines that are tried
_STRIP_WIDTH = 1.0  # a line has the pixels whose centres are at most half of this away from it
_GAP = 1.5  # neighbouring pixels of one line are at most sqrt(2) apart along it


def fill(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the pixels (H, W) bool whose centre lies inside a closed polygon, by the even-odd rule.

    A centre exactly on an edge belongs to one side or the other (edges are half open).

    Args:
        points: (N, 2) real (row, column) vertices; the last is joined to the first, which may be repeated.
        shape: (H, W) of the mask.
    """
    points = np.asarray(points, float)
    mask = np.zeros(shape, bool)
    height, width = shape
    next_points = np.roll(points, -1, axis=0)
    is_upward = points[:, 0] > next_points[:, 0]
    # each edge runs downwards: rows ceil(first) .. ceil(last) - 1 are crossed, so a vertex on a row counts once
    start = np.where(is_upward[:, None], next_points, points)
    stop = np.where(is_upward[:, None], points, next_points)
    first = np.clip(np.ceil(start[:, 0]), 0, height).astype(int)
    last = np.clip(np.ceil(stop[:, 0]), 0, height).astype(int)
    edge, row = _steps(np.maximum(last - first, 0))
    if not len(edge):
        return mask
    row += first[edge]
    span = stop[edge] - start[edge]
    column = start[edge, 1] + (row - start[edge, 0]) * span[:, 1] / span[:, 0]
    # the first pixel to the right of the crossing, or on it; beyond the right border there is nothing to toggle
    column = np.clip(np.ceil(column), 0, width).astype(int)
    top, bottom, left = row.min(), row.max() + 1, column.min()
    columns = width + 1 - left
    toggles = np.bincount((row - top) * columns + column - left, minlength=(bottom - top) * columns)
    mask[top:bottom, left:] = np.cumsum(toggles.reshape(-1, columns), axis=1)[:, :-1] % 2 == 1
    return mask


def area(points: np.ndarray) -> float:
    """Return the area inside a closed polygon (N, 2) that does not cross itself."""
    if not len(points):
        return 0.0
    (row, column), (next_row, next_column) = (points - points[0]).T, (np.roll(points, -1, axis=0) - points[0]).T
    return abs(float((row * next_column - next_row * column).sum())) / 2


def area_inside(points: np.ndarray, shape: tuple[int, int]) -> float:
    """Return the area of the part of a closed polygon (N, 2) that lies on the pixels of an image (H, W), whose outer
    edges lie at -0.5, H - 0.5 and W - 0.5."""
    from matplotlib.path import Path  # slow to import
    from matplotlib.transforms import Bbox

    bbox = Bbox([[-0.5, -0.5], np.array(shape) - 0.5])
    return area(Path(points).clip_to_bbox(bbox).vertices)


def contour_mask(
    contours: Iterable[tuple[bool, np.ndarray]], shape: tuple[int, int], origin: tuple[int, int] = (0, 0)
) -> np.ndarray:
    """Return one reader's lesion in one slice (H, W) bool: inside the inclusion contours, outside the exclusion
    contours.

    LIDC defines a contour as the first pixel outside the nodule (Armato et al., Medical Physics 38(2), 2011): a pixel
    on any contour, of either kind, or exactly on the line between two of its points, is outside the lesion.

    Args:
        contours: (inclusion, (N, 2) integer (row, column) points) pairs of the reader and slice, in any order.
        shape, origin: (H, W) of the mask, and its first pixel in the coordinates of the points.
    """
    lesion = np.zeros(shape, bool)
    outside = np.zeros(shape, bool)
    for inclusion, points in contours:
        points = points - np.asarray(origin)
        target = lesion if inclusion else outside
        target |= fill(points, shape)
        # all pixels exactly on the closed polygon: an edge has gcd(rows, columns) of them
        step = np.roll(points, -1, axis=0) - points
        count = np.maximum(np.gcd(step[:, 0], step[:, 1]), 1)
        edge, number = _steps(count)
        contour_pixels = points[edge] + number[:, None] * (step // count[:, None])[edge]
        rows, columns = contour_pixels[((contour_pixels >= 0) & (contour_pixels < shape)).all(axis=1)].T
        outside[rows, columns] = True
    return lesion & ~outside


def _steps(count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the edge of each step, and its number within the edge from 0; each edge has ``count`` steps."""
    edge = np.repeat(np.arange(len(count)), count)
    return edge, np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)


def recist_axes(mask: np.ndarray) -> np.ndarray:
    """Return the long and short axis of the lesion in ``mask`` (H, W).

    The lesion is the largest 8-connected part of the mask with its holes filled (a radiologist measures one lesion,
    including a cavity). The long axis is the longest chord between two of its pixel centres; it may leave a concave
    lesion. The short axis is the longest unbroken run of the lesion along a line perpendicular to the long axis; among
    equal runs, the run nearest the middle of the long axis. It is never longer than the long axis.

    Returns:
        (2, 2, 2) float: (axis, end, (row, column)) in pixels, the long axis first; the first end of an axis is above
        the second, or left of it in the same row.

    Raises:
        DataError: when the mask is empty.
    """
    pixels, long_axis = _lesion(np.asarray(mask, bool))
    middle = long_axis.mean(axis=0)
    length = np.linalg.norm(long_axis[1] - long_axis[0])
    if length == 0:
        return np.stack([long_axis, long_axis])
    along = (long_axis[1] - long_axis[0]) / length
    across = np.array([along[1], -along[0]])
    u, v = (pixels - middle) @ along, (pixels - middle) @ across

    # every pixel belongs to the few lines (strips) that pass within half a width of its centre
    reach = int(_STRIP_WIDTH / 2 / _STRIP_STEP)
    nearest_strip = np.rint(u / _STRIP_STEP).astype(int)
    strip = (nearest_strip[:, None] + np.arange(-reach, reach + 1)).ravel()
    u, v = np.repeat(u, 2 * reach + 1), np.repeat(v, 2 * reach + 1)
    owned = (np.abs(strip * _STRIP_STEP - u) <= _STRIP_WIDTH / 2 + 1e-9) & (np.abs(strip * _STRIP_STEP) <= length / 2)
    order = np.lexsort((v[owned], strip[owned]))
    strip, v = strip[owned][order], v[owned][order]

    breaks = np.flatnonzero((np.diff(strip) != 0) | (np.diff(v) > _GAP)) + 1
    start = np.concatenate([[0], breaks])
    end = np.append(breaks, len(v)) - 1
    run_lengths = v[end] - v[start]
    candidates = np.flatnonzero(run_lengths >= run_lengths.max() - 1e-9)
    best_run = candidates[np.argmin(np.abs(strip[start[candidates]]))]
    base = middle + strip[start[best_run]] * _STRIP_STEP * along
    ends = base + np.array([v[start[best_run]], v[end[best_run]]])[:, None] * across
    return np.stack([long_axis, ends[np.lexsort((ends[:, 1], ends[:, 0]))]])


def long_axis(mask: np.ndarray) -> float:
    """Return the length in pixels of the long axis of :func:`recist_axes`, of a mask (H, W) bool that is not empty."""
    _, ends = _lesion(mask)
    return float(np.linalg.norm(ends[1] - ends[0]))


def _lesion(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the (N, 2) pixels of the largest part, in row-major order, and the (2, 2) ends of its longest chord."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        raise DataError("RECIST axes of an empty mask do not exist; leave this sample out")
    box_mask = np.pad(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)  # only its box, for speed
    parts, _ = ndimage.label(box_mask, np.ones((3, 3), bool))
    lesion = ndimage.binary_fill_holes(parts == 1 + np.argmax(np.bincount(parts.ravel())[1:]))
    corner = np.array([rows[0], columns[0]]) - 1
    boundary = np.argwhere(lesion & ~ndimage.binary_erosion(lesion)) + corner
    # only the outermost boundary pixels of each row can end a longest chord: that bounds the pairs by (2H)^2
    first = np.unique(boundary[:, 0], return_index=True)[1]
    last = np.append(first[1:], len(boundary)) - 1
    ends = boundary[np.unique(np.concatenate([first, last]))].astype(float)
    squared_distances = ((ends[:, None] - ends[None]) ** 2).sum(axis=-1)
    i, j = np.unravel_index(np.argmax(squared_distances), squared_distances.shape)
    return (np.argwhere(lesion) + corner).astype(float), ends[[min(i, j), max(i, j)]]
