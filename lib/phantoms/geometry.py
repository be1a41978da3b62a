"""Outlines as signed distances on a supersampled grid, and the smooth random fields that disturb them.

A window of H x W pixels is drawn on S*H x S*W sub-pixels; the mean over each pixel's sub-pixels is the fraction of
the pixel that is covered. Distances are in pixels (not sub-pixels), negative inside.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.random import Generator

from softmask.data.outlines import fill
from softmask.distance import distance_inside

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
    """Return the distance (H, W) float32 of each pixel centre to the border between ``inside`` (H, W) bool and outside
    pixels, negative inside; where all pixels are on one side, it is larger than the image."""
    if inside.all() or not inside.any():
        far = np.float32(sum(inside.shape))
        return np.full(inside.shape, -far if inside.all() else far)
    # the transform measures to pixel centres; the border runs half a pixel before them
    return distance_inside(~inside) - distance_inside(inside) + np.where(inside, np.float32(0.5), np.float32(-0.5))


def outline_distance(outlines: Outlines, area: float, window: Window) -> np.ndarray:
    """Return the signed distance to one reader's lesion.

    LIDC contours are the first pixels outside, so the polygon through them is up to a pixel too large; the distance is
    shifted so that the lesion has the area of the reader's pixel mask.

    Args:
        outlines: the reader's contours in this slice.
        area: number of pixels of the reader's mask.
        window: where; distances (S*H, S*W), float32, in pixels, are to the part of the lesion that lies in it.
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

    Sub-pixels at equal distance stay together.
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

    The zero level of a plain mean of distances may be empty where readers hardly overlap.
    """
    mean = distances[0] if len(distances) == 1 else np.mean(distances, axis=0, dtype=np.float32)
    return with_area(mean, float(np.exp(np.mean(np.log(areas)))))


def join(parts: Sequence):
    """Return a dataclass of arrays that has those of all ``parts``, one after the other."""
    return type(parts[0])(*map(np.concatenate, zip(*(vars(part).values() for part in parts), strict=True)))


def smooth_field(shape: tuple[int, int], scale: float, rng: Generator) -> np.ndarray:
    """Return a smooth random field that varies over ``scale`` pixels: (H, W) float32, about zero mean, unit deviation.

    White noise on a grid of ``scale`` pixels, interpolated cubically.
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
    # cubic interpolation between independent values keeps this share of their variance along each axis
    return large[row : row + shape[0], column : column + shape[1]] / np.float32(0.8571)


def support(distance: np.ndarray, window: Window, direction: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return the centroid (row, column) in frame pixels, the extent from there along ``direction``, and the radius.

    ``direction`` is a unit vector; the radius is that of the circle of the same area.
    """
    rows, columns = subpixel_centres(window)
    at_row, at_column = np.nonzero(distance < 0)
    points = np.column_stack([rows[at_row, 0], columns[0, at_column]])
    centre = points.mean(axis=0)
    extent = float(((points - centre) @ direction).max())
    return centre, extent, float(np.sqrt(len(points) / np.pi) / SUPERSAMPLING)
