"""Measures of lung masks at the resolution of the stored scan, for each slice and for whole scans.

LGAN (CMIG 2021), section 4.3, table 4 and figure 6. The input of a network has fewer pixels than the stored slice; its
probabilities are enlarged to the stored size and thresholded there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import binary_propagation, distance_transform_edt
from torch.nn import functional as F

from softmask.errors import DataError
from softmask.measure import segmentation
from softmask.measure.segmentation import outline

WALL = 3
"""Distance from the outline of the lung, in stored pixels, up to which a nodule is at the wall."""


def enlarge(probabilities: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return probabilities (N, S, S) enlarged by bilinear interpolation, (N, H, W) float32."""
    batch = torch.from_numpy(np.ascontiguousarray(probabilities, np.float32))[:, None]
    return F.interpolate(batch, size, mode="bilinear", align_corners=False)[:, 0].numpy()


def reduced(probabilities: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the means of probabilities (N, H, W) over larger pixels, (N, h, w) float32."""
    batch = torch.from_numpy(np.ascontiguousarray(probabilities, np.float32))[:, None]
    return F.interpolate(batch, size, mode="area")[:, 0].numpy()


def measure_lungs(
    probabilities: np.ndarray, masks: np.ndarray, nodules: np.ndarray, threshold: float = 0.5
) -> dict[str, np.ndarray]:
    """Return all measures of N slices, each an array (N,), by name.

    ``iou``, ``dice`` and ``hausdorff`` compare the enlarged probabilities, cut at the threshold, with the masks;
    ``pixels_true``, ``pixels_found`` and ``pixels_common`` are the counts for :func:`dice3d`; ``nodules_inside`` is the
    share of nodule pixels inside the predicted lung, NaN without nodules; ``nodules_at_wall_inside`` is the same share
    for the nodules :func:`at_wall`.

    Args:
        probabilities: (N, S, S) in [0, 1] of lung.
        masks: (N, H, W) bool, the true lungs as stored.
        nodules: (N, H, W) bool.

    Raises:
        DataError: for probabilities that are NaN.
    """
    if np.isnan(probabilities).any():
        raise DataError("the network predicts NaN: train it again with a lower learning rate")
    rows = []
    for probability, mask, nodule in zip(probabilities, masks, nodules, strict=True):
        predicted = enlarge(probability[None], mask.shape)[0] >= threshold  # (H, W), one slice at a time to save memory
        row = {
            "iou": segmentation.iou(predicted, mask),
            "dice": segmentation.dice(predicted, mask),
            "hausdorff": segmentation.hausdorff(predicted, mask),
            "pixels_true": mask.sum(),
            "pixels_found": predicted.sum(),
            "pixels_common": (mask & predicted).sum(),
        }
        for name, pixels in (("nodules_inside", nodule), ("nodules_at_wall_inside", at_wall(nodule, mask))):
            row[name] = (pixels & predicted).sum() / pixels.sum() if pixels.any() else np.nan
        rows.append(row)
    return {name: np.array([row[name] for row in rows], float) for name in rows[0]} if rows else {}


def at_wall(nodules: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return (H, W) bool, the ``nodules`` (8-connected parts) that come within :data:`WALL` pixels of the outline of
    ``mask``."""
    if not nodules.any() or not mask.any():
        return np.zeros_like(nodules)
    near = nodules & (distance_transform_edt(~outline(mask)) <= WALL)
    return binary_propagation(near, np.ones((3, 3)), nodules)


def dice3d(
    groups: Sequence[str], true: Iterable[float], found: Iterable[float], common: Iterable[float]
) -> dict[str, float]:
    """Return the Dice of each scan, 2 sum(common) / (sum(true) + sum(found)) over its slices; 1 if all masks are empty.

    Args:
        groups: (N,) the scan of each slice; scans are returned in order of first appearance.
        true, found, common: (N,) ``pixels_true``, ``pixels_found`` and ``pixels_common`` of :func:`measure_lungs`.
    """
    pixels = pd.DataFrame({"true": true, "found": found, "common": common}, dtype=float)
    sums = pixels.groupby(np.asarray(groups), sort=False).sum()
    return (2 * sums["common"] / (sums["true"] + sums["found"])).fillna(1.0).to_dict()
