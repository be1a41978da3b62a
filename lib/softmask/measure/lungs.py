"""Measures of lung masks at the resolution that a scanner stores: slice by slice, and for whole scans.

LGAN (CMIG 2021), section 4.3, table 4 and figure 6. A network sees a slice with fewer pixels than the scanner stores;
its probabilities are enlarged to the stored size and cut there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from scipy.ndimage import binary_erosion, label
from scipy.spatial import cKDTree
from torch.nn import functional as F

from softmask.errors import DataError
from softmask.measure import segmentation

WALL = 3
"""A nodule is at the wall where one of its pixels is this near to the lung's outline, in stored pixels."""

_EIGHT = np.ones((3, 3), int)  # neighbours that make pixels one nodule


def enlarge(probabilities: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(N, H, W) float32: probabilities (N, S, S) at the stored ``size``, by bilinear interpolation."""
    batch = torch.from_numpy(np.ascontiguousarray(probabilities, np.float32))[:, None]
    if batch.shape[-2:] == size:
        return batch[:, 0].numpy()
    return F.interpolate(batch, size, mode="bilinear", align_corners=False)[:, 0].numpy()


def reduced(probabilities: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(N, h, w) float32: probabilities (N, H, W) at a smaller ``size``, by the mean over each pixel's area."""
    batch = torch.from_numpy(np.ascontiguousarray(probabilities, np.float32))[:, None]
    if batch.shape[-2:] == size:
        return batch[:, 0].numpy()
    return F.interpolate(batch, size, mode="area")[:, 0].numpy()


def measure_lungs(
    probabilities: np.ndarray, masks: np.ndarray, nodules: np.ndarray, threshold: float = 0.5
) -> dict[str, np.ndarray]:
    """All measures of N slices, each an array (N,), by name.

    ``iou``, ``dice`` and ``hausdorff`` compare the enlarged probabilities, cut at the threshold, with the masks
    (:mod:`softmask.measure.segmentation` says what they are where one or both are empty); ``pixels_true``,
    ``pixels_found`` and ``pixels_common`` are what :func:`dice3d` adds up; ``nodules_inside`` is the share of the
    nodules' pixels that lie in the lung that was found, NaN in a slice without nodule; ``nodules_at_wall_inside`` the
    same of those nodules (pixels that touch, corners included) that come within :data:`WALL` pixels of the outline
    of the true lung, whether they lie inside it or not.

    Args:
        probabilities: (N, S, S) in [0, 1] of lung.
        masks: (N, H, W) bool, the true lungs as stored.
        nodules: (N, H, W) bool.

    Raises:
        DataError: for arrays whose shapes do not fit.
    """
    if np.ndim(probabilities) != 3 or np.ndim(masks) != 3 or np.shape(nodules) != np.shape(masks):
        raise DataError(
            f"probabilities (N, S, S), masks and nodules (N, H, W) are needed, not {np.shape(probabilities)}, "
            f"{np.shape(masks)} and {np.shape(nodules)}"
        )
    if len(probabilities) != len(masks):
        raise DataError(f"{len(probabilities)} slices of probabilities for {len(masks)} masks")
    rows = [
        _of_one(enlarge(one[None], mask.shape)[0] >= threshold, mask, nodule)
        for one, mask, nodule in zip(probabilities, masks, nodules, strict=True)
    ]
    return {name: np.array([row[name] for row in rows], float) for name in rows[0]} if rows else {}


def _of_one(found: np.ndarray, mask: np.ndarray, nodules: np.ndarray) -> dict[str, float]:
    return {
        "iou": float(segmentation.iou(found, mask)),
        "dice": float(segmentation.dice(found, mask)),
        "hausdorff": hausdorff(found, mask),
        "pixels_true": float(mask.sum()),
        "pixels_found": float(found.sum()),
        "pixels_common": float((mask & found).sum()),
        "nodules_inside": _share(nodules, found),
        "nodules_at_wall_inside": _share(at_wall(nodules, mask), found),
    }


def hausdorff(found: np.ndarray, mask: np.ndarray) -> float:
    """:func:`softmask.measure.segmentation.hausdorff` of two masks (H, W), for large ones: in pixels, 0 where both are
    empty, infinite where one is.

    Only a pixel of one mask outside the other has a distance from it, and the nearest pixel of the other one is on its
    outline: of an inner one, a neighbour is nearer.
    """
    if not found.any() or not mask.any():
        return 0.0 if found.any() == mask.any() else float("inf")
    return max(_farthest(found & ~mask, mask), _farthest(mask & ~found, found))


def at_wall(nodules: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: those of the ``nodules`` that come within :data:`WALL` pixels of the outline of ``mask``."""
    numbers, count = label(nodules, structure=_EIGHT)
    if not count or not mask.any():
        return np.zeros_like(nodules)
    places = np.argwhere(nodules)
    near = places[cKDTree(np.argwhere(outline(mask))).query(places)[0] <= WALL]
    return np.isin(numbers, np.unique(numbers[tuple(near.T)]))


def outline(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: the pixels of ``mask`` with one of their four neighbours outside it, or outside the image."""
    return mask & ~binary_erosion(mask)


def dice3d(
    groups: Sequence[str], true: Iterable[float], found: Iterable[float], common: Iterable[float]
) -> dict[str, float]:
    """Dice of each scan, 2 sum(common) / (sum(true) + sum(found)) over its slices, in [0, 1]; 1 where both sums are 0.

    Args:
        groups: (N,) the scan of each slice.
        true, found, common: (N,) ``pixels_true``, ``pixels_found`` and ``pixels_common`` of :func:`measure_lungs`.

    Returns:
        By scan, in the order in which they first come.
    """
    sums: dict[str, np.ndarray] = {}
    for group, *pixels in zip(groups, true, found, common, strict=True):
        sums[group] = sums.get(group, np.zeros(3)) + pixels
    return {group: float(2 * both / (of + by)) if of + by else 1.0 for group, (of, by, both) in sums.items()}


def _farthest(pixels: np.ndarray, mask: np.ndarray) -> float:
    """The largest distance of one of ``pixels`` from ``mask``, in pixels; 0 where there are none."""
    if not pixels.any():
        return 0.0
    return float(cKDTree(np.argwhere(outline(mask))).query(np.argwhere(pixels))[0].max())


def _share(pixels: np.ndarray, found: np.ndarray) -> float:
    """The share of ``pixels`` that was found; NaN where there are none."""
    return float((pixels & found).sum() / pixels.sum()) if pixels.any() else float("nan")
