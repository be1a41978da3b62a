"""Size of a lesion in millimetres: RECIST axes of the binary mask's outline; area and volume of binary and soft mask.

The outline runs between the centres of neighbouring pixels inside and outside the mask, where alpha passes one half. On
ellipses with the alpha of their pixels, the axes are accurate to half a pixel; from a binary mask only, to one pixel.
Marks and labels use the axes between pixel centres instead (:func:`softmask.data.outlines.recist_axes`, in pixels),
which are about one pixel shorter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

MARGIN = 0.02
"""Smallest distance from the outline to a pixel centre, in pixels: rounded points enclose the same pixels."""

_STEP = 0.1  # distance in pixels between the lines on which the short axis is searched


@dataclass(frozen=True, eq=False)
class Size:
    """Size of a lesion, from its binary and its soft mask.

    Attributes:
        slice: the measured slice, with the longest long axis (if all masks are empty: the largest soft area).
        axes: (2, 2, 2) (axis, end, (row, column)) in pixels, long axis first; None where the mask is empty.
        long_mm, short_mm: lengths of ``axes``; NaN where the mask is empty.
        area_mm2, soft_area_mm2: areas in the measured slice; the soft area is the sum of alpha times the pixel area.
        volume_mm3, soft_volume_mm3: volumes over all slices.
    """

    slice: int
    axes: np.ndarray | None
    long_mm: float
    short_mm: float
    area_mm2: float
    soft_area_mm2: float
    volume_mm3: float
    soft_volume_mm3: float


def lesion_size(
    alphas: Mapping[int, np.ndarray], masks: Mapping[int, np.ndarray], spacing_mm: tuple[float, float, float]
) -> Size:
    """Return the size of a lesion.

    Args:
        alphas: (H, W) in [0, 1] by slice, at least one.
        masks: (H, W) bool of the same slices.
        spacing_mm: distance between slices, rows and columns.
    """
    pixel_area = spacing_mm[1] * spacing_mm[2]
    mask_areas = {z: pixel_area * int(np.count_nonzero(mask)) for z, mask in masks.items()}
    soft_areas = {z: pixel_area * float(alpha.sum(dtype=np.float64)) for z, alpha in alphas.items()}
    axes = {z: outline_axes(masks[z], alphas[z], spacing_mm[1:]) for z in masks if mask_areas[z]}
    lengths = {z: np.linalg.norm((ends[:, 1] - ends[:, 0]) * spacing_mm[1:], axis=1) for z, ends in axes.items()}
    z = max(lengths, key=lambda z: lengths[z][0]) if lengths else max(soft_areas, key=soft_areas.__getitem__)
    long, short = lengths.get(z, (math.nan, math.nan))
    volumes = (spacing_mm[0] * sum(areas.values()) for areas in (mask_areas, soft_areas))
    return Size(z, axes.get(z), float(long), float(short), mask_areas[z], soft_areas[z], *volumes)


def outlines(mask: np.ndarray, alpha: np.ndarray) -> list[np.ndarray]:
    """Return the outlines of a mask and its holes: (N, 2) (row, column) each, closed (the last point is the first).

    By the even-odd rule, they enclose exactly the pixels of the mask. Parts that touch at a corner are connected.

    Args:
        mask: (H, W) bool.
        alpha: (H, W) in [0, 1]; where alpha and the mask disagree at 0.5, the outline passes close to the pixel centre.
    """
    from skimage.measure import find_contours  # slow import

    clipped_alpha = np.where(mask, np.clip(alpha, 0.5 + MARGIN, 1), np.clip(alpha, 0, 0.5 - MARGIN))
    return [points - 1 for points in find_contours(np.pad(clipped_alpha, 1), 0.5, fully_connected="high")]


def outline_axes(mask: np.ndarray, alpha: np.ndarray, spacing_mm: Sequence[float] = (1, 1)) -> np.ndarray:
    """Return the RECIST axes of the outline of a lesion: (2, 2, 2) (axis, end, (row, column)), in pixels.

    The lesion is the largest 8-connected part of the mask, with its holes filled. The long axis is the largest distance
    between two points of its outline; the short axis is the longest chord perpendicular to it that stays inside, and of
    equal chords the one nearest to the middle of the long axis. Lengths and right angles are measured in millimetres.

    Args:
        mask, alpha: as in :func:`outlines`; the mask is not empty.
        spacing_mm: distance between rows and columns.
    """
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import pdist, squareform

    parts, _ = ndimage.label(mask, np.ones((3, 3)))
    part = ndimage.binary_fill_holes(parts == 1 + np.argmax(np.bincount(parts.ravel())[1:]))
    outline = max(outlines(part, alpha), key=len) * spacing_mm
    corners = outline[ConvexHull(outline).vertices]
    long_axis = corners[list(np.unravel_index(squareform(pdist(corners)).argmax(), 2 * (len(corners),)))]
    length = np.linalg.norm(long_axis[1] - long_axis[0])
    direction = (long_axis[1] - long_axis[0]) / length
    normal = np.array([direction[1], -direction[0]])
    middle = long_axis.mean(axis=0)
    u, v = (outline - middle) @ direction, (outline - middle) @ normal
    n = 2 * math.ceil(length / (2 * _STEP * min(spacing_mm))) + 1  # number of lines: one at the middle, none at an end
    max_length, short_axis = 0.0, np.zeros((2, 2))
    for offset in sorted((np.arange(n) + 0.5) * length / n - length / 2, key=abs):
        crossings = np.flatnonzero((u[:-1] <= offset) != (u[1:] <= offset))
        share = (offset - u[crossings]) / (u[crossings + 1] - u[crossings])
        chords = np.sort(v[crossings] + share * (v[crossings + 1] - v[crossings])).reshape(-1, 2)
        longest = chords[np.argmax(chords[:, 1] - chords[:, 0])]
        if longest[1] - longest[0] > max_length + 1e-9:
            max_length, short_axis = longest[1] - longest[0], middle + offset * direction + longest[:, None] * normal
    axes = np.stack([long_axis, short_axis]) / spacing_mm
    return np.stack([axis[np.lexsort((axis[:, 1], axis[:, 0]))] for axis in axes])
