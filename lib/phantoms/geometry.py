"""Outlines as signed distances on a supersampled grid, and the smooth random fields that disturb them.

A window of H x W pixels is drawn on S*H x S*W sub-pixels; the mean over each pixel's sub-pixels is the fraction of
the pixel that is covered. Distances are in pixels (not sub-pixels), negative inside.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from softmask.data.outlines import fill
from softmask.distance import distance_inside
from softmask.errors import DataError

SUPERSAMPLING = 4
"""Sub-pixels per pixel and axis of a lesion's geometry."""

Window = tuple[int, int, int, int]
"""(first row, first column, height, width) in the frame that outlines count in."""

Outlines = Sequence[tuple[bool, np.ndarray]]
"""One reader's (inclusion, (N, 2) (row, column) points) in one slice."""


def subpixel_centres(window: Window, factor: int = SUPERSAMPLING) -> tuple[np.ndarray, np.ndarray]:
    """Return (factor*H, 1) rows and (1, factor*W) columns of the sub-pixel centres, in frame pixels, float32."""
    row, column, height, width = window
    rows = row - 0.5 + (np.arange(factor * height, dtype=np.float32) + 0.5) / factor
    columns = column - 0.5 + (np.arange(factor * width, dtype=np.float32) + 0.5) / factor
    return rows[:, None], columns[None, :]


def block_mean(fine: np.ndarray, factor: int = SUPERSAMPLING) -> np.ndarray:
    """Return the mean over each pixel's sub-pixels: (factor*H, factor*W) -> (H, W), same dtype."""
    height, width = fine.shape[0] // factor, fine.shape[1] // factor
    # summing slices of the narrow axis first is several times faster than a mean over two strided axes
    rows = fine.reshape(height, factor, -1).sum(axis=1)
    return rows.reshape(height, width, factor).sum(axis=2) / fine.dtype.type(factor * factor)


def signed_distance(inside: np.ndarray) -> np.ndarray:
    """Return the distance of each pixel centre to the border between inside and outside pixels, negative inside.

    Args:
        inside: (H, W) bool.

    Returns:
        (H, W) float32; where all pixels are on one side, the distance is larger than the image.
    """
    far = np.float32(sum(inside.shape))
    inside = np.asarray(inside, bool)
    if not inside.any():
        return np.full(inside.shape, far)
    if inside.all():
        return np.full(inside.shape, -far)
    # the transform measures to pixel centres; the border runs half a pixel before them
    return distance_inside(~inside) - distance_inside(inside) + np.where(inside, np.float32(0.5), np.float32(-0.5))


def outline_distance(outlines: Outlines, area: float, window: Window) -> np.ndarray:
    """Return the signed distance to one reader's lesion.

    Its outline runs between the contour and the pixels it encloses. LIDC contours are the first pixels outside, so the
    polygon through them is up to a pixel too large. The distance is shifted so that the lesion has the area of the
    reader's pixel mask.

    Args:
        outlines: the reader's contours in this slice.
        area: number of pixels of the reader's mask.
        window: where; distances are to the part of the lesion that lies in it.

    Returns:
        (S*H, S*W) float32, in pixels.
    """
    row, column, height, width = window
    shape = (SUPERSAMPLING * height, SUPERSAMPLING * width)
    lesion, holes = np.zeros(shape, bool), np.zeros(shape, bool)
    for inclusion, points in outlines:
        fine = (np.asarray(points, float) - (row, column) + 0.5) * SUPERSAMPLING - 0.5
        target = lesion if inclusion else holes
        target |= fill(fine, shape)
    return with_area(signed_distance(lesion & ~holes) / SUPERSAMPLING, area)


def with_area(distance: np.ndarray, area: float) -> np.ndarray:
    """Return ``distance`` shifted so that the inside covers ``area`` pixels, at least one sub-pixel, never all.

    Sub-pixels at equal distance stay together, so that the area may be off by half of those at the outline.
    """
    count = round(area * SUPERSAMPLING**2)
    count = min(max(count, 1), distance.size - 1)
    below, above = np.partition(distance.ravel(), (count - 1, count))[count - 1 : count + 1]
    level = (below + above) / 2
    if below == above:  # a tie goes in or stays out as a whole, whichever is nearer to the asked area
        fewer, more = np.count_nonzero(distance < below), np.count_nonzero(distance <= below)
        level = below if fewer > 0 and count - fewer < more - count else np.nextafter(below, np.float32(np.inf))
    return distance - np.float32(level)


def mean_outline(distances: Sequence[np.ndarray], areas: Sequence[float]) -> np.ndarray:
    """Return the signed distance to the readers' mean outline: mean of the distances, at their geometric mean area.

    The zero level of a plain mean of distances may be empty where readers hardly overlap; taking the level that gives
    the mean area keeps the outline between the readers'.

    Raises:
        DataError: without readers.
    """
    if not distances:
        raise DataError("a mean outline needs at least one reader who marked the slice")
    mean = distances[0] if len(distances) == 1 else np.mean(distances, axis=0, dtype=np.float32)
    return with_area(mean, float(np.exp(np.mean(np.log(areas)))))


def smooth_field(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> np.ndarray:
    """Return a smooth random field that varies over ``scale`` pixels: (H, W) float32, about zero mean, unit deviation.

    White noise on a grid of ``scale`` pixels, interpolated cubically: cheap, and smooth enough for shapes and density.
    """
    scale = max(scale, 1.0)
    coarse = [int(np.ceil(size / scale)) + 3 for size in shape]
    noise = rng.standard_normal(coarse, dtype=np.float32)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(2)  # the last digits hang on how the rows are shared out: everywhere as on two cores
    try:
        large = cv2.resize(noise, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    finally:
        cv2.setNumThreads(threads)
    row, column = (rng.integers(0, large.shape[k] - shape[k] + 1) for k in (0, 1))
    # between independent grid values, cubic interpolation keeps this share of their variance along each axis (its
    # squared weights, averaged over all places between two grid points)
    return large[row : row + shape[0], column : column + shape[1]] / np.float32(0.8571)


def support(distance: np.ndarray, window: Window, direction: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return the centroid (row, column) in frame pixels, the extent from there along ``direction``, and the radius.

    ``direction`` is a unit vector; the radius is that of the circle of the same area.
    """
    rows, columns = subpixel_centres(window)
    at_row, at_column = np.nonzero(distance < 0)
    if not len(at_row):
        raise DataError("the lesion's outline is empty in its window")
    points = np.column_stack([rows[at_row, 0], columns[0, at_column]])
    centre = points.mean(axis=0)
    extent = float(((points - centre) @ direction).max())
    return centre, extent, float(np.sqrt(len(points) / np.pi) / SUPERSAMPLING)
