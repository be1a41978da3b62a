"""Real readers' nodules in a slice of a simulated chest: where they are, and what they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from phantoms.embedded import generator
from phantoms.geometry import signed_distance, smooth_field
from phantoms.nodule import BED_HU, CAVITY_HU, MARGIN_MM, TEXTURE_HU, mean_rating
from softmask.data.annotations import Nodule
from softmask.data.kinds import FRAME, PLEURAL_PLACE, kind_of_nodule, place_of_nodule

_MARGIN = 10  # pixels around the contours that a nodule may still change


@dataclass(frozen=True)
class Patch:
    """A nodule in one slice, inside its box.

    Attributes:
        rows, columns: of the box in the frame.
        mask: (h, w) bool, what at least half of the readers who marked the slice enclose.
        share: (h, w) float32 in [0, 1], nodule substance; hu: (h, w) its density.
    """

    rows: slice
    columns: slice
    mask: np.ndarray
    share: np.ndarray
    hu: np.ndarray


def extent(nodule: Nodule) -> tuple[float, float, float, float, float]:
    """Middle row and column (pixels) and z (mm), radius in the slice and along z (mm) of a nodule's box."""
    top, left, bottom, right = nodule.box()
    z = nodule.slices()
    radius = 0.25 * (bottom - top + right - left) * nodule.spacing_mm
    tall = max((z[-1] - z[0]) / 2, nodule.slice_thickness_mm / 2)
    return (top + bottom) / 2, (left + right) / 2, (z[0] + z[-1]) / 2, max(radius, 1.0), tall


def at_wall(nodule: Nodule) -> bool:
    """Whether the nodule's place in the frame says that it touches the pleura (:mod:`softmask.data.kinds`)."""
    return place_of_nodule(nodule).radius >= PLEURAL_PLACE


def patch(nodule: Nodule, z_mm: float, extra_hu: float, names: Sequence[object]) -> Patch | None:
    """The nodule in the slice at ``z_mm``; None where no reader's contour encloses a pixel.

    Args:
        extra_hu: what contrast agent adds to solid tissue.
        names: of data set and patient, for the draws.
    """
    if z_mm not in nodule.slices():
        return None
    top, left, bottom, right = nodule.box(z_mm)
    top, left = max(top - _MARGIN, 0), max(left - _MARGIN, 0)
    bottom, right = min(bottom + _MARGIN, FRAME - 1), min(right + _MARGIN, FRAME - 1)
    window = top, left, bottom - top + 1, right - left + 1
    readers, present = nodule.masks(z_mm, window)
    if not present.any():
        return None
    mask = 2 * readers.sum(axis=0) >= present.sum()
    if not mask.any():
        return None
    rng = generator(*names, nodule.name)
    ratings = [reading.ratings for reading in nodule.readers]
    spacing = nodule.spacing_mm
    rough = cv2.GaussianBlur(signed_distance(mask), (0, 0), 0.7) * np.float32(spacing)
    radius = float(np.sqrt(mask.sum() / np.pi)) * spacing
    spikes = 0.10 * min(radius, 6) * (mean_rating(ratings, "spiculation") - 1)
    rough += np.float32(0.15 + 0.25 * spikes) * smooth_field(mask.shape, 2.2, rng)
    width = max(float(np.interp(mean_rating(ratings, "margin"), range(1, 6), MARGIN_MM)), spacing)
    share = np.clip(0.5 - rough / np.float32(min(width, 2 * radius)), 0, 1).astype(np.float32)

    texture, subtlety = mean_rating(ratings, "texture"), mean_rating(ratings, "subtlety")
    base = np.interp(texture, range(1, 6), TEXTURE_HU) + rng.normal(0, 12) + extra_hu * np.clip(texture - 3.5, 0, 1)
    base = BED_HU + (base - BED_HU) * (1 - 0.10 * (5 - subtlety))
    hu = np.float32(base) + np.float32(8 + 18 * (5 - texture)) * smooth_field(mask.shape, 4.0, rng)
    kind = kind_of_nodule(nodule, 2 * radius)
    if kind == "calcific":
        hu += np.clip((-rough - 0.3 * radius) / 1.0, 0, 1) * np.float32(rng.uniform(200, 600))
    if kind == "cavitary":
        lumen = -rough - np.float32(rng.uniform(0.35, 0.6) * radius) + 0.8 * smooth_field(mask.shape, 6.0, rng)
        hu += np.clip(lumen + 0.5, 0, 1) * (CAVITY_HU - hu)
    elif radius > 12:  # large tumours are dead inside
        dead = np.clip((-rough - 0.35 * radius) / 5, 0, 1) * np.clip(smooth_field(mask.shape, 12.0, rng) + 0.4, 0, 1)
        hu -= np.float32(0.6 * extra_hu + 12) * dead
    return Patch(slice(top, bottom + 1), slice(left, right + 1), mask, share, hu.astype(np.float32))
