"""Soft labels that the papers compare with: made from a binary mask alone.

Each takes a mask (H, W) and returns (H, W) float32 in [0, 1]; LabelError for an empty mask.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from softmask.distance import distance_inside
from softmask.label.common import checked_mask


def kats_dilation(mask: np.ndarray, radius: float = 1, probability: float = 0.3) -> np.ndarray:
    """Return 1 in the mask, ``probability`` in the band that a dilation adds around it, and 0 elsewhere.

    Kats, Goldberger, Greenspan, "Soft labeling by distilling anatomical knowledge for improved MS lesion segmentation",
    ISBI 2019: brain lesions are grown (to 110 % - 140 % of their size in the comparison there), and the added voxels
    get one value below 1. The papers print neither number for lung nodules: one pixel (117 % to 144 % of the area at
    radii of 12 to 5 pixels) and 0.3, below the threshold, are this project's choice.

    Args:
        radius: of the dilating disc in pixels, at least 1.
        probability: of the band, in [0, 1].
    """
    mask = checked_mask(mask)
    return np.where(mask, 1, np.where(distance_inside(~mask) <= radius, probability, 0)).astype(np.float32)


def gros_interpolation(mask: np.ndarray, factor: float = 2) -> np.ndarray:
    """Return the mask resampled with linear interpolation and not made binary again.

    Gros, Lemay, Cohen-Adad, "SoftSeg: advantages of soft versus binary training for image segmentation", Medical Image
    Analysis 71 (2021) 102038, keep the values between 0 and 1 that resampling to the network's grid leaves. Here the
    grid does not change, so the mask goes to one ``factor`` (above 1) times coarser and back, both bilinear.
    """
    import cv2

    mask = checked_mask(mask)
    height, width = mask.shape
    coarse = (max(1, round(width / factor)), max(1, round(height / factor)))
    resampled = cv2.resize(mask.astype(np.float32), coarse, interpolation=cv2.INTER_LINEAR)
    return np.clip(cv2.resize(resampled, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)


FROM_MASK: Mapping[str, Callable[[np.ndarray], np.ndarray]] = MappingProxyType(
    {
        "kats_dilation": kats_dilation,
        "gros_interpolation": gros_interpolation,
    }
)
"""By name: rows of experiments can be trained on these labels, and notebook 2 compares them with the true alpha."""


def softened(mask: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return max(mask, soft mask ``alpha``): a binary label whose outside is softened (CasGAN, eq. 6)."""
    return np.maximum(checked_mask(mask), np.asarray(alpha, np.float32))
