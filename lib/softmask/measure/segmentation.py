"""Overlap and boundary measures of binary masks, and the agreement of several readers.

Every measure takes two masks (..., H, W) of bool or {0, 1} that broadcast against each other over the leading
axes, and returns one number for each pair of images: shape (...), a scalar for (H, W). ``predicted`` comes
first, ``truth`` second; all measures except :func:`sensitivity` and :func:`ppv` are symmetric.

TP, FP, FN and TN are counts of pixels. Two empty masks agree perfectly (Dice 1, IoU 1); an empty mask does not overlap
with any other mask (Dice 0, IoU 0). Masks with other values, or of different sizes, raise DataError.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt

from softmask.errors import DataError
from softmask.measure.statistics import ratio


def dice(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the Dice coefficient 2 TP / (2 TP + FP + FN), in [0, 1] (Dice 1945); 1 where both masks are empty."""
    n_common, n_predicted, n_truth = _counts(predicted, truth)
    return ratio(2 * n_common, n_predicted + n_truth, empty=1.0)


def iou(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return TP / (TP + FP + FN), the intersection over union (Jaccard 1912); 1 where both masks are empty."""
    n_common, n_predicted, n_truth = _counts(predicted, truth)
    return ratio(n_common, n_predicted + n_truth - n_common, empty=1.0)


def accuracy(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the share of pixels on which the masks agree, (TP + TN) / all, in [0, 1]."""
    predicted, truth = _masks(predicted, truth)
    return (predicted == truth).mean(axis=(-2, -1))[()]


def sensitivity(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return TP / (TP + FN), the share of the foreground that was predicted; NaN where ``truth`` is empty."""
    n_common, _, n_truth = _counts(predicted, truth)
    return ratio(n_common, n_truth)


def ppv(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return TP / (TP + FP), the share of the prediction that is foreground; NaN where ``predicted`` is empty."""
    n_common, n_predicted, _ = _counts(predicted, truth)
    return ratio(n_common, n_predicted)


def hausdorff(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the symmetric Hausdorff distance between the two sets of pixels, in pixels.

    max(sup over x in A of inf over y in B of |x - y|, the same with A and B exchanged): equation 13 of the
    LGAN paper. 0 where both masks are empty, infinite where only one is.
    """

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return max(distance_transform_edt(~b)[a].max(), distance_transform_edt(~a)[b].max())

    return _pairwise(predicted, truth, distance, both_empty=0, one_empty=np.inf)


def hd95(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the Hausdorff distance of the outlines without the worst 5 % of their pixels, in pixels.

    The larger of the two directed 95th percentiles of distances from one :func:`outline` to the other: MONAI's
    ``compute_hausdorff_distance(percentile=95)``. 0 where both masks are empty, infinite where only one is.
    """

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return max(np.percentile(distances, 95) for distances in _surface_distances(a, b))

    return _pairwise(predicted, truth, distance, both_empty=0, one_empty=np.inf)


def surface_dice(predicted: np.ndarray, truth: np.ndarray, tolerance: float = 1.0) -> np.ndarray:
    """Return the share of the pixels of both outlines that lie within ``tolerance`` pixels of the other outline.

    Normalised surface Dice (Nikolov et al. 2021) with each pixel of :func:`outline` counting once: MONAI's
    ``compute_surface_dice``. 1 where both masks are empty, 0 where only one is.
    """

    def share(a: np.ndarray, b: np.ndarray) -> float:
        return np.mean(np.concatenate(_surface_distances(a, b)) <= tolerance)

    return _pairwise(predicted, truth, share, both_empty=1, one_empty=0)


def outline(mask: np.ndarray) -> np.ndarray:
    """Return (H, W) bool, the pixels of ``mask`` with at least one of four neighbours outside the mask or image."""
    return mask & ~binary_erosion(mask)


def dice_of_pairs(masks: np.ndarray) -> np.ndarray:
    """Return (K, K), the Dice of every pair of the ``masks`` (K, H, W) of an image."""
    return dice(masks[:, None], masks)


def _surface_distances(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances of the pixels of each outline from the other outline."""
    a, b = outline(a), outline(b)
    return distance_transform_edt(~b)[a], distance_transform_edt(~a)[b]


def _pairwise(
    predicted: np.ndarray,
    truth: np.ndarray,
    measure: Callable[[np.ndarray, np.ndarray], float],
    both_empty: float,
    one_empty: float,
) -> np.ndarray:
    """Return ``measure`` of each pair of masks (H, W) that are not empty, cropped to their pixels."""

    def value(a: np.ndarray, b: np.ndarray) -> float:
        if not a.any() or not b.any():
            return both_empty if a.any() == b.any() else one_empty
        # crop to save time: lesions are small, and all nearest pixels lie in the box around both masks
        rows, columns = (np.nonzero((a | b).any(axis=axis))[0] for axis in (1, 0))
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return measure(a[box], b[box])

    return np.vectorize(value, [float], signature="(h,w),(h,w)->()")(*_masks(predicted, truth))[()]


def _masks(predicted: np.ndarray, truth: np.ndarray) -> list[np.ndarray]:
    """Return both masks as bool. Soft masks are rejected: the caller has to choose the threshold."""
    masks = [np.asarray(predicted), np.asarray(truth)]
    for i, (name, mask) in enumerate(zip(("predicted", "truth"), masks, strict=True)):
        masks[i] = mask.astype(bool, copy=False)
        if mask.dtype != bool and not np.array_equal(masks[i], mask):
            raise DataError(f"the {name} mask must hold 0 and 1 only; binarise it first (soft masks at 0.5)")
    sizes = [mask.shape[-2:] for mask in masks]
    if sizes[0] != sizes[1]:  # numpy would repeat a single row or column
        raise DataError(f"a mask of {sizes[0]} pixels cannot be compared with a mask of {sizes[1]} pixels")
    return masks


def _counts(predicted: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the numbers of pixels in both masks, in ``predicted`` and in ``truth``."""
    predicted, truth = _masks(predicted, truth)
    return tuple(np.count_nonzero(mask, axis=(-2, -1)) for mask in (predicted & truth, predicted, truth))
