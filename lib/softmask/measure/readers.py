"""Comparison of a prediction with several readers: distances between distributions of masks, area, and calibration.

A soft prediction p represents a distribution of masks: {p >= t}, with t uniform between 0 and 1. Each pixel is in the
mask with probability p; the masks are nested, and their mean area is the sum of p. Masks of independent pixels would
have the same probabilities, but be speckle of nearly constant area. A binary prediction represents a single mask.

Every function takes a ``prediction`` (H, W) in [0, 1] and the masks of the ``readers`` who looked at the image,
(R, H, W) of bool or {0, 1}, and returns a number. The readers have equal weight.

- With one reader, the distribution is the mask of this reader. Identical readers give the same numbers as one reader.
- An empty mask means that the reader saw no lesion. It is an error if there is no reader.
- A prediction of 0 everywhere is the empty mask, a prediction of 1 everywhere the whole image. IoU and Dice are 1 for
  two empty masks, and 0 for an empty mask and any other.

All functions raise DataError for arrays of other shapes or values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import combinations

import numpy as np

from softmask.errors import DataError
from softmask.measure.segmentation import dice, iou
from softmask.measure.soft import Calibration, frequencies
from softmask.measure.statistics import ratio

MEASURES = ("ged", "matched_iou", "vote_dice", "crps_area", "ece_vote")
"""Names of the measures that :func:`against_readers` returns."""

MATCHED = 12
"""Number of masks of a soft prediction that are matched with readers: a multiple of one, two, three and four."""

Family = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Masks {p >= t} of one prediction p with L distinct values: the index of each pixel's value, (H W,); the share of the
thresholds that give the mask of each value and, last, the empty mask, (L + 1,); the areas in pixels, (L + 1,)."""


def ged(prediction: np.ndarray, readers: np.ndarray) -> float:
    """Return the generalised energy distance 2 E d(S, Y) - E d(S, S') - E d(Y, Y') with d = 1 - IoU, in [0, 2].

    S and S' are independent masks of the prediction, Y and Y' independently chosen readers (Kohl et al., "A
    Probabilistic U-Net for Segmentation of Ambiguous Images", NeurIPS 2018, where it is called the squared distance).
    The expectations are exact, over all thresholds. The result is 0 for equal distributions, and 2 (1 - IoU) for a
    binary prediction and one reader. Time and memory grow with the square of the number of distinct predicted values.
    """
    prediction, readers = _checked(prediction, readers)
    family, reader_families = _family(prediction), [_family(reader) for reader in readers]
    cross_distance = np.mean([_distance(family, reader_family) for reader_family in reader_families])
    pair_distances = 2 * sum(_distance(*pair) for pair in combinations(reader_families, 2))
    diversity = (sum(map(_spread, reader_families)) + pair_distances) / len(reader_families) ** 2
    return max(0.0, float(2 * cross_distance - _spread(family) - diversity))  # below 0 by rounding only


def matched_iou(prediction: np.ndarray, readers: np.ndarray) -> float:
    """Return the mean IoU, in [0, 1], of masks of the prediction with readers, matched one to one for the largest sum.

    The Hungarian-matched IoU of Kohl et al., "A Hierarchical Probabilistic U-Net for Modeling Multi-Scale Ambiguities"
    (arXiv 1905.13077), in which readers are repeated up to the number of samples. Here the prediction gives
    :data:`MATCHED` masks, at the thresholds (i - 1/2) / 12, and masks and readers are repeated to the least common
    multiple of their numbers. All masks of a binary prediction are equal: the result is its mean IoU with readers.
    """
    from scipy.optimize import linear_sum_assignment  # imported on use: takes half a second, in every training

    prediction, readers = _checked(prediction, readers)
    masks = prediction >= (np.arange(MATCHED)[:, None, None] + 0.5) / MATCHED  # (12, H, W)
    n_pairs = math.lcm(MATCHED, len(readers))
    ious = iou(masks[:, None], readers)  # (12, R)
    ious = ious.repeat(n_pairs // MATCHED, axis=0).repeat(n_pairs // len(readers), axis=1)
    return float(ious[linear_sum_assignment(ious, maximize=True)].mean())


def vote_dice(prediction: np.ndarray, readers: np.ndarray) -> float:
    """Return the mean Dice of {prediction >= t} and {vote >= t} over t = 0.1, 0.2 ... 0.9, in [0, 1].

    The score of the QUBIQ challenge (Li et al., arXiv 2405.18435). The vote is the share of readers who marked a pixel.
    """
    prediction, readers = _checked(prediction, readers)
    thresholds = np.arange(1, 10)[:, None, None] / 10
    return float(dice(prediction >= thresholds, readers.mean(axis=0) >= thresholds).mean())


def crps_area(prediction: np.ndarray, readers: np.ndarray) -> float:
    """Return the continuous ranked probability score of the area, E|A - y| - E|A - A'| / 2, in pixels, at least 0.

    A and A' are areas of independent masks of the prediction, y is the area of a reader; the score is the mean over the
    readers (Gneiting and Raftery, Journal of the American Statistical Association 102, 2007, equation 21). It is exact,
    over all thresholds. For a binary prediction, it is the mean absolute difference from the areas of the readers.
    """
    prediction, readers = _checked(prediction, readers)
    _, weights, areas = _family(prediction)
    order = np.argsort(areas)
    areas, weights = areas[order], weights[order]
    cdf = weights.cumsum()  # cumulative probability of each area
    spread = (np.diff(areas) * (cdf * (1 - cdf))[:-1]).sum()  # E|A - A'| / 2, the integral of F (1 - F)
    reader_areas = readers.sum(axis=(1, 2))
    return float((np.abs(areas - reader_areas[:, None]) @ weights).mean() - spread)


def reliability(predictions: Iterable[np.ndarray], readers: Iterable[np.ndarray], bins: int = 10) -> Calibration:
    """Return the calibration of soft masks against the votes, over the pixels of N images.

    Like :func:`softmask.measure.soft.calibration`, but the observed frequency is the share of the readers who marked a
    pixel instead of a consensus: a probability of 0.25 is correct where one of four readers marked the pixel. Each
    pixel counts once, whatever its number of readers.

    Args:
        predictions: N arrays (H, W) in [0, 1].
        readers: N arrays (R, H, W) of bool or {0, 1}.
    """
    pairs = [_checked(*pair) for pair in zip(predictions, readers, strict=True)]
    probabilities = np.concatenate([prediction.ravel() for prediction, _ in pairs])
    votes = np.concatenate([masks.mean(axis=0).ravel() for _, masks in pairs])
    return frequencies(probabilities, votes, bins)


def against_readers(prediction: np.ndarray, readers: np.ndarray) -> dict[str, float]:
    """Return all :data:`MEASURES` of an image: the four above, and ``ece_vote``, the error of :func:`reliability`.

    The prediction is first rounded to 8 bits, as it is stored in the records of runs.
    """
    prediction = np.rint(255 * np.asarray(prediction, float)) / 255
    values = [measure(prediction, readers) for measure in (ged, matched_iou, vote_dice, crps_area)]
    return dict(zip(MEASURES, [*values, reliability([prediction], [readers]).error], strict=True))


def _checked(prediction: np.ndarray, readers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the prediction (H, W) float and the readers (R, H, W) bool."""
    prediction, readers = np.asarray(prediction, float), np.asarray(readers)
    if not len(readers):
        raise DataError("no reader is present: there is nothing to compare the prediction with; leave the image out")
    if prediction.ndim != 2 or readers.ndim != 3 or prediction.shape != readers.shape[1:]:
        raise DataError(
            f"a prediction (H, W) is compared with readers (R, H, W), not {prediction.shape} with {readers.shape}"
        )
    if not (prediction.min() >= 0 and prediction.max() <= 1):  # NaN fails both
        raise DataError("the prediction must be finite and lie in [0, 1]")
    if readers.dtype != bool and not np.isin(readers, (0, 1)).all():
        raise DataError("the readers' masks must hold 0 and 1 only; binarise them first (soft masks at 0.5)")
    return prediction, readers.astype(bool)


def _family(prediction: np.ndarray) -> Family:
    values, numbers = np.unique(prediction, return_inverse=True)
    areas = np.bincount(numbers.ravel())[::-1].cumsum()[::-1]
    return numbers.ravel(), np.diff(values, prepend=0, append=1), np.append(areas, 0)


def _distance(first: Family, second: Family) -> float:
    """Return the mean of 1 - IoU over independent thresholds of the two predictions."""
    (i, shares, areas), (j, other_shares, other_areas) = first, second
    shape = len(shares), len(other_shares)
    counts = np.bincount(i * shape[1] + j, minlength=shape[0] * shape[1]).reshape(shape)  # pixels by pair of values
    intersection = counts[::-1, ::-1].cumsum(axis=0).cumsum(axis=1)[::-1, ::-1]  # ... or of larger values
    union = areas[:, None] + other_areas - intersection
    return float(1 - shares @ ratio(intersection, union, empty=1.0) @ other_shares)


def _spread(family: Family) -> float:
    """Return the mean of 1 - IoU over two independent thresholds of one prediction: the IoU of two nested masks is
    the smaller area divided by the larger area."""
    _, shares, areas = family  # areas decrease; the last is 0
    inner_sums = (shares * areas)[::-1].cumsum()[-2::-1]  # for each mask except the empty one: sum over masks inside
    return float(1 - (shares**2).sum() - 2 * (shares[:-1] / np.maximum(areas[:-1], 1) * inner_sums).sum())
