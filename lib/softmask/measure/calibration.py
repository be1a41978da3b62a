"""How far predicted probabilities can be taken at their word: the reliability curve and its summary.

The curve of Niculescu-Mizil and Caruana (ICML 2005), here over pixels, and an expected calibration error after Guo et
al. (ICML 2017). Theirs bins the confidence in the predicted class; this one bins the probability of lesion, so that
most pixels, surely background, lie in the first bin and keep the error small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from softmask.errors import DataError


@dataclass(frozen=True, eq=False)
class Calibration:
    """Pixels by their predicted probability, in bins of equal width that contain their upper end (the first: 0 too).

    Attributes:
        counts: (bins,) int, pixels in each bin.
        mean_probability: (bins,) in [0, 1], NaN in an empty bin.
        observed: (bins,) in [0, 1], the share of the bin's pixels that are lesion; NaN in an empty bin.
        error: expected calibration error: mean over the pixels of |mean_probability - observed|, in [0, 1].
    """

    counts: np.ndarray
    mean_probability: np.ndarray
    observed: np.ndarray
    error: float


def calibration(probabilities: np.ndarray, masks: np.ndarray, bins: int = 10) -> Calibration:
    """Reliability of ``probabilities`` in [0, 1] against ``masks`` of bool or {0, 1}, arrays of one shape.

    Raises:
        DataError: for arrays of different shape or without values, probabilities that are none, soft masks, or fewer
            than one bin.
    """
    probabilities, masks = np.asarray(probabilities, dtype=float), np.asarray(masks)
    if probabilities.shape != masks.shape or not probabilities.size:
        raise DataError(f"calibration needs arrays of one shape, not {probabilities.shape} and {masks.shape}")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise DataError("calibration needs probabilities in [0, 1], without NaN")
    lesion = masks.astype(bool)
    if not np.array_equal(lesion, masks):
        raise DataError("calibration needs masks of 0 and 1 only; binarise the soft mask first (at 0.5)")
    if bins < 1:
        raise DataError(f"calibration needs at least one bin, not {bins}")
    inner_edges = np.linspace(0, 1, bins + 1)[1:-1]
    which = np.digitize(probabilities.ravel(), inner_edges, right=True)

    def per_bin(values: np.ndarray) -> np.ndarray:
        return np.bincount(which, weights=values.ravel(), minlength=bins)

    counts = np.bincount(which, minlength=bins)
    empty = np.full(bins, np.nan)
    mean_probability = np.divide(per_bin(probabilities), counts, out=empty.copy(), where=counts > 0)
    observed = np.divide(per_bin(lesion), counts, out=empty.copy(), where=counts > 0)
    error = np.nansum(counts * np.abs(mean_probability - observed)) / counts.sum()
    return Calibration(counts, mean_probability, observed, float(error))
