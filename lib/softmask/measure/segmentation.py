"""Overlap and boundary measures of binary masks.

Every function takes two masks (..., H, W) of bool or {0, 1} that broadcast against each other over the leading
axes, and returns one number for each pair of images: shape (...), a scalar for (H, W). ``predicted`` comes
first, ``truth`` second; all but :func:`sensitivity` and :func:`ppv` are symmetric.

With TP, FP, FN, TN the counts of pixels, two empty masks agree perfectly (Dice 1, IoU 1), and one empty mask
shares nothing with the other (Dice 0, IoU 0).
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt

from softmask.errors import DataError


def dice(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Dice coefficient 2 TP / (2 TP + FP + FN), in [0, 1] (Dice 1945); 1 where both masks are empty."""
    both, first, second = _counts(predicted, truth)
    return _ratio(2 * both, first + second, empty=1.0)


def iou(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Intersection over union TP / (TP + FP + FN), in [0, 1] (Jaccard 1912); 1 where both masks are empty."""
    both, first, second = _counts(predicted, truth)
    return _ratio(both, first + second - both, empty=1.0)


def accuracy(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of pixels on which the masks agree, (TP + TN) / all, in [0, 1]."""
    predicted, truth = _masks(predicted, truth)
    return (predicted == truth).mean(axis=(-2, -1))[()]


def sensitivity(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of the true pixels that were found, TP / (TP + FN), in [0, 1]; NaN where ``truth`` is empty."""
    both, _, true = _counts(predicted, truth)
    return _ratio(both, true, empty=np.nan)


def ppv(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of the found pixels that are true, TP / (TP + FP), in [0, 1]; NaN where ``predicted`` is empty."""
    both, found, _ = _counts(predicted, truth)
    return _ratio(both, found, empty=np.nan)


def hausdorff(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Symmetric Hausdorff distance between the two sets of pixels, in pixels.

    max(sup over x in A of inf over y in B of |x - y|, the same with A and B exchanged): equation 13 of the
    LGAN paper. 0 where both masks are empty, infinite where one is. ``scipy`` distance transforms, so O(H W).
    """
    predicted, truth = _masks(predicted, truth)
    predicted, truth = np.broadcast_arrays(predicted, truth)
    shape = predicted.shape
    distances = [_hausdorff(a, b) for a, b in zip(_images(predicted), _images(truth), strict=True)]
    return np.asarray(distances, dtype=float).reshape(shape[:-2])[()]


def _hausdorff(a: np.ndarray, b: np.ndarray) -> float:
    if not a.any() or not b.any():
        return 0.0 if a.any() == b.any() else np.inf
    # crop to both masks: no nearest pixel lies outside, and lesions are small in their images
    rows, columns = np.nonzero(a | b)
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    a, b = a[box], b[box]
    return float(max(distance_transform_edt(~b)[a].max(), distance_transform_edt(~a)[b].max()))


def _images(masks: np.ndarray) -> np.ndarray:
    return masks.reshape(-1, *masks.shape[-2:])


def _masks(predicted: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as bool. Soft masks are refused: where to cut them is the caller's to say."""
    masks = []
    for name, mask in (("predicted", predicted), ("truth", truth)):
        mask = np.asarray(mask)
        if mask.dtype != bool:
            binary = mask.astype(bool)
            if not np.array_equal(binary, mask):
                raise DataError(f"the {name} mask must hold 0 and 1 only; binarise it first (soft masks at 0.5)")
            mask = binary
        if mask.ndim < 2:
            raise DataError(f"the {name} mask must be (..., H, W), not of shape {mask.shape}")
        masks.append(mask)
    if masks[0].shape[-2:] != masks[1].shape[-2:]:
        raise DataError(f"masks of different size: {masks[0].shape[-2:]} and {masks[1].shape[-2:]}")
    return masks[0], masks[1]


def _counts(predicted: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels in both, in ``predicted`` and in ``truth``."""
    predicted, truth = _masks(predicted, truth)
    return tuple(np.count_nonzero(mask, axis=(-2, -1)) for mask in (predicted & truth, predicted, truth))


def _ratio(numerator: np.ndarray, denominator: np.ndarray, *, empty: float) -> np.ndarray:
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    return np.divide(numerator, denominator, out=np.full(numerator.shape, empty), where=denominator > 0)[()]
