"""Consensus of several readers.

All functions take the masks of the readers who were present, (P, H, W) bool, and raise LabelError if there is no mask
or a mask is empty.
"""

import numpy as np

from softmask.errors import LabelError
from softmask.label.common import checked_readers


def fifty_percent(masks: np.ndarray) -> np.ndarray:
    """Return (H, W) bool: pixels marked by at least half of the readers, none if three or more do not overlap."""
    masks = checked_readers(masks)
    return 2 * masks.sum(axis=0) >= len(masks)


def leave_one_out(masks: np.ndarray) -> np.ndarray:
    """Return (P, H, W) bool: for each of two or more readers, the 50 % consensus of the others."""
    masks = checked_readers(masks)
    if len(masks) < 2:
        raise LabelError("a consensus of the other readers needs at least two readers")
    return 2 * (masks.sum(axis=0) - masks) >= len(masks) - 1


def staple(masks: np.ndarray) -> np.ndarray:
    """Return (H, W) float64, the probability of lesion, with each reader's sensitivity and specificity estimated.

    Warfield, Zou, Wells, "Simultaneous truth and performance level estimation (STAPLE)", IEEE Transactions on Medical
    Imaging 23 (2004) 903-921, as in SimpleITK. Its prior is the share of the image that the readers marked, so the
    result depends on the crop. One reader, or readers who agree on every pixel, give their own mask.
    """
    masks = checked_readers(masks)
    if (masks == masks[0]).all():
        return masks[0].astype(float)
    import SimpleITK

    images = [SimpleITK.GetImageFromArray(mask.astype(np.uint8)) for mask in masks]
    return np.clip(SimpleITK.GetArrayFromImage(SimpleITK.STAPLE(images, 1.0)), 0, 1)
