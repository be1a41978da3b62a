"""A prediction against several readers: distances between distributions of masks, area, and calibration.

A soft prediction p stands for a distribution of masks: {p >= t}, with the threshold t uniform between 0 and 1. Each
pixel is in the mask with probability p; the masks are nested, and their mean area is the sum of p. Independent pixels
would be another choice, with the same probabilities, but their masks would be speckle of nearly constant area. A binary
prediction is one mask.

Every function takes a ``prediction`` (H, W) in [0, 1] and the masks of the ``readers`` who looked at the image,
(R, H, W) of bool or {0, 1}, and returns a number. The readers have equal weight.

- One reader: the distribution of the readers is that mask. Identical readers give the same numbers as one.
- An empty mask is the answer of a reader who saw no lesion. No reader at all is an error.
- A prediction of 0 everywhere is the empty mask, of 1 everywhere the whole image. Two empty masks have the IoU and
  Dice 1; an empty mask has 0 with any other.

Raises DataError for arrays of other shapes or values.
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
"""Names of what :func:`against_readers` gives."""

MATCHED = 12
"""Masks of a soft prediction that are matched with readers: a multiple of one, two, three and four readers."""

Family = tuple[np.ndarray, np.ndarray, np.ndarray]
"""The masks {p >= t} of one prediction p: the number of the value of each pixel, (H W,); the share of the thresholds
that give the mask of each value and, last, the empty mask, (L + 1,); the areas of these masks in pixels, (L + 1,)."""


def ged(prediction: np.ndarray, readers: np.ndarray) -> float:
    """Return the generalised energy distance 2 E d(S, Y) - E d(S, S') - E d(Y, Y') with d = 1 - IoU, in [0, 2].

    S and S' are independent masks of the prediction, Y and Y' independently chosen readers (Kohl et al., "A
    Probabilistic U-Net for Segmentation of Ambiguous Images", NeurIPS 2018, where it is called the squared distance).
    The expectations are exact, over all thresholds. 0 where both distributions are the same; 2 (1 - IoU) of a binary
    prediction and one reader. Time and memory grow with the square of the number of distinct values of a prediction.
    """
    prediction, readers = _checked(prediction, readers)
    ours, theirs = _family(prediction), [_family(reader) for reader in readers]
    across = np.mean([_distance(ours, y) for y in theirs])
    among = 2 * sum(_distance(*pair) for pair in combinations(theirs, 2))
    diversity = (sum(map(_spread, theirs)) + among) / len(theirs) ** 2
    return max(0.0, float(2 * across - _spread(ours) - diversity))  # but for rounding never below 0


def matched_iou(prediction: np.ndarray, readers: np.ndarray) -> float:
    """Return the mean IoU of masks of the prediction with the readers, matched one to one for the largest sum; [0, 1].

    The Hungarian-matched IoU of Kohl et al., "A Hierarchical Probabilistic U-Net for Modeling Multi-Scale Ambiguities"
    (arXiv 1905.13077), where the readers are repeated as often as there are more samples. Here the prediction gives
    :data:`MATCHED` masks, at the thresholds (i - 1/2) / 12, and masks and readers are repeated to the least common
    multiple of their numbers. All masks of a binary prediction are the same: its mean IoU with the readers.
    """
    from scipy.optimize import linear_sum_assignment  # half a second to import, which every training would pay

    prediction, readers = _checked(prediction, readers)
    masks = prediction >= (np.arange(MATCHED)[:, None, None] + 0.5) / MATCHED  # (12, H, W)
    number = math.lcm(MATCHED, len(readers))
    pairs = iou(masks[:, None], readers)  # (12, R)
    pairs = pairs.repeat(number // MATCHED, axis=0).repeat(number // len(readers), axis=1)
    return float(pairs[linear_sum_assignment(pairs, maximize=True)].mean())


def vote_dice(prediction: np.ndarray, readers: np.ndarray) -> float:
    """Return the mean Dice of {prediction >= t} and {vote >= t} over t = 0.1, 0.2 ... 0.9, in [0, 1].

    The score of the challenge QUBIQ (Li et al., arXiv 2405.18435). The vote is the share of the readers who marked a
    pixel.
    """
    prediction, readers = _checked(prediction, readers)
    cut = np.arange(1, 10)[:, None, None] / 10
    return float(dice(prediction >= cut, readers.mean(axis=0) >= cut).mean())


def crps_area(prediction: np.ndarray, readers: np.ndarray) -> float:
    """Return the continuous ranked probability score of the area, E|A - y| - E|A - A'| / 2, in pixels, at least 0.

    A and A' are areas of independent masks of the prediction, y is a reader's area; the mean over the readers
    (Gneiting and Raftery, Journal of the American Statistical Association 102, 2007, equation 21). Exact, over all
    thresholds. Of a binary prediction it is the mean absolute difference from the readers' areas.
    """
    prediction, readers = _checked(prediction, readers)
    _, weights, areas = _family(prediction)
    order = np.argsort(areas)
    areas, weights = areas[order], weights[order]
    below = weights.cumsum()  # of each area, the probability of it or less
    spread = (np.diff(areas) * (below * (1 - below))[:-1]).sum()  # E|A - A'| / 2, the integral of F (1 - F)
    observed = readers.sum(axis=(1, 2))
    return float((np.abs(areas - observed[:, None]) @ weights).mean() - spread)


def reliability(predictions: Iterable[np.ndarray], readers: Iterable[np.ndarray], bins: int = 10) -> Calibration:
    """Return the calibration of soft masks against the votes, over the pixels of N images.

    As :func:`softmask.measure.soft.calibration`, but the observed frequency is the share of the readers who marked a
    pixel, and no consensus: a probability of 0.25 is right where one of four readers marked it. Each pixel counts once,
    whatever the number of its readers.

    Args:
        predictions: N of (H, W) in [0, 1].
        readers: N of (R, H, W) bool or {0, 1}.
    """
    checked = [_checked(*pair) for pair in zip(predictions, readers, strict=True)]
    probabilities = np.concatenate([prediction.ravel() for prediction, _ in checked])
    votes = np.concatenate([masks.mean(axis=0).ravel() for _, masks in checked])
    return frequencies(probabilities, votes, bins)


def against_readers(prediction: np.ndarray, readers: np.ndarray) -> dict[str, float]:
    """Return all :data:`MEASURES` of an image: the four above, and ``ece_vote``, the error of :func:`reliability`.

    The prediction is rounded to 8 bits first, as records of runs hold it.
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
    """Return the mean of 1 - IoU over independent thresholds of both."""
    (i, shares, areas), (j, other_shares, other_areas) = first, second
    shape = len(shares), len(other_shares)
    counts = np.bincount(i * shape[1] + j, minlength=shape[0] * shape[1]).reshape(shape)  # pixels of each two values
    both = counts[::-1, ::-1].cumsum(axis=0).cumsum(axis=1)[::-1, ::-1]  # ... and of larger ones
    union = areas[:, None] + other_areas - both
    return float(1 - shares @ ratio(both, union, empty=1.0) @ other_shares)


def _spread(family: Family) -> float:
    """Return the mean of 1 - IoU over two independent thresholds of one prediction: of two nested masks, the IoU is
    the smaller area over the larger one."""
    _, shares, areas = family  # areas fall from the first to the last, which is 0
    smaller = (shares * areas)[::-1].cumsum()[-2::-1]  # of each mask but the empty one, over those inside it
    return float(1 - (shares**2).sum() - 2 * (shares[:-1] / np.maximum(areas[:-1], 1) * smaller).sum())
