"""Uncertainty of means and of differences of means: bootstrap intervals and a paired test over images, correction for
multiple tests, spread between seeds, and agreement of repeated measurements."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from softmask.errors import DataError

LEVEL = 0.95
"""Two-sided confidence level of all intervals."""


@dataclass(frozen=True)
class PairedTest:
    """Difference of two methods on the same images.

    Attributes:
        mean_difference: mean of a - b over the pairs.
        low, high: 95 % percentile bootstrap interval of the mean difference.
        p: two-sided Wilcoxon signed-rank p value; 1 where no pair differs.
        n, n_groups: numbers of pairs compared (without NaN, an undefined SEN or PPV), and of their groups.
    """

    mean_difference: float
    low: float
    high: float
    p: float
    n: int
    n_groups: int


def bootstrap_interval(
    values: np.ndarray, seed: int, n: int = 2000, groups: Sequence[Hashable] | None = None
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the mean of ``values`` (N,), ignoring NaN.

    Args:
        n: number of resamples.
        groups: (N,) the patient of each image. Images of one patient are alike, so whole groups are drawn (the cluster
            bootstrap of Davison and Hinkley 1997, section 3.8); None: single values are drawn.

    Raises:
        DataError: if all values are NaN or a value is infinite.
    """
    values, numbers = _defined(values, groups)
    sums, counts = np.bincount(numbers, weights=values), np.bincount(numbers)
    draws = _draws(len(sums), seed, n)
    return percentile_interval(sums[draws].sum(axis=1) / counts[draws].sum(axis=1))


def bootstrap_weights(groups: Sequence[Hashable], seed: int, n: int = 2000) -> np.ndarray:
    """Return (n, N) int, how often each of N images occurs in each resample of :func:`bootstrap_interval`, for
    statistics that are not means over images, such as an area under the ROC curve."""
    numbers = group_numbers(groups)
    size = numbers.max() + 1
    return np.stack([np.bincount(row, minlength=size) for row in _draws(size, seed, n)])[:, numbers]


def percentile_interval(resampled: np.ndarray) -> tuple[float, float]:
    """Return the 95 % percentile interval of a statistic's values (n,) in resamples, ignoring NaN."""
    low, high = np.nanquantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def paired_test(a: np.ndarray, b: np.ndarray, seed: int, groups: Sequence[Hashable] | None = None) -> PairedTest:
    """Compare two methods on the same images: ``a`` and ``b`` (N,), one value per image in the same order.

    The test is the signed-rank test of Wilcoxon (1945), without pairs that do not differ.

    Args:
        groups: (N,) the patient of each image: whole groups are drawn for the interval, and the mean differences of the
            groups are ranked; None: each pair is a group.

    Raises:
        DataError: if every pair has a NaN, a value is infinite, or ``a`` and ``b`` differ in length.
    """
    from scipy.stats import wilcoxon  # a slow import

    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.shape != b.shape:  # numpy would repeat a single value
        raise DataError(f"two methods are compared image by image, one value each, not {len(a)} with {len(b)}")
    if np.isinf(a).any() or np.isinf(b).any():  # the difference of two infinite values would be NaN
        raise DataError("values must be finite; count infinite ones and leave them out")
    differences, numbers = _defined(a - b, groups)
    low, high = bootstrap_interval(differences, seed, groups=numbers)
    means = np.bincount(numbers, weights=differences) / np.bincount(numbers)  # of each group
    p = float(wilcoxon(means).pvalue) if np.any(means) else 1.0
    return PairedTest(float(differences.mean()), low, high, p, len(differences), len(means))


def mean_difference(
    a: np.ndarray, b: np.ndarray, seed: int, groups: Sequence[Hashable], weights: np.ndarray | None = None
) -> tuple[float, float, float, float]:
    """Return mean a, mean b, and the 95 % bootstrap interval of mean b - mean a over groups.

    Unlike in :func:`paired_test` each mean is over its own defined values, so two ways of treating undefined values,
    or of weighting images, can be compared.

    Args:
        a, b: (N,), not all NaN.
        groups: (N,) the patient of each image.
        weights: (N,) weights of the values of ``b``; None: equal weights.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    drawn = bootstrap_weights(groups, seed).astype(float)  # (n, N)

    def means(values: np.ndarray, weights: np.ndarray | None, drawn: np.ndarray) -> np.ndarray:
        weights = np.where(np.isnan(values), 0, np.ones(len(a)) if weights is None else weights)
        total = drawn @ weights  # 0 where a draw holds only groups without a defined value
        return ratio(drawn @ (weights * np.nan_to_num(values)), total)

    low, high = percentile_interval(means(b, weights, drawn) - means(a, None, drawn))
    full_draw = np.ones((1, len(a)))
    return float(means(a, None, full_draw)[0]), float(means(b, weights, full_draw)[0]), low, high


def holm(p: Sequence[float]) -> np.ndarray:
    """Return ``p`` values (N,) adjusted for multiple tests by Holm's step-down method (1979); NaN is ignored.

    The probability of any false rejection at a level is at most that level, also for dependent tests.
    """
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, kind="stable")[: np.count_nonzero(~np.isnan(p))]  # NaN comes last
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return adjusted


def seed_spread(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the mean of each seed's finite ``values`` (S, N), NaN without any, and the standard deviation (N - 1) of
    these means, NaN for a single seed."""
    finite_rows = [row[np.isfinite(row)] for row in np.asarray(values, dtype=float)]
    means = np.array([row.mean() if len(row) else np.nan for row in finite_rows])
    return means, float(means.std(ddof=1)) if len(means) > 1 else float("nan")


def icc(values: np.ndarray) -> np.ndarray:
    """Return ICC(2,1): agreement of K measurements of the same N subjects (Shrout and Fleiss 1979, case 2).

        ICC = (BMS - EMS) / (BMS + (K - 1) EMS + K (JMS - EMS) / N)

    with mean squares between subjects (BMS), between measurements (JMS), and of residuals (EMS). At most 1 (all equal).

    Args:
        values: (..., N, K), finite, N and K at least 2.

    Returns:
        (...); NaN where nothing varies.
    """
    n, k = values.shape[-2:]
    mean = values.mean(axis=(-2, -1), keepdims=True)
    subject_means, rater_means = values.mean(axis=-1, keepdims=True), values.mean(axis=-2, keepdims=True)
    bms = k * ((subject_means - mean) ** 2).sum(axis=(-2, -1)) / (n - 1)
    jms = n * ((rater_means - mean) ** 2).sum(axis=(-2, -1)) / (k - 1)
    ems = ((values - subject_means - rater_means + mean) ** 2).sum(axis=(-2, -1)) / ((n - 1) * (k - 1))
    return ratio(bms - ems, bms + (k - 1) * ems + k * (jms - ems) / n)


def ratio(numerator: np.ndarray, denominator: np.ndarray, empty: float = np.nan) -> np.ndarray:
    """Return numerator / denominator of arrays that broadcast; ``empty`` where the denominator is not above 0."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    return np.divide(numerator, denominator, out=np.full(numerator.shape, empty), where=denominator > 0)[()]


def group_numbers(groups: Sequence[Hashable]) -> np.ndarray:
    """Return (N,) int, the number of each image's group, counted from 0 in order of appearance."""
    return pd.factorize(np.fromiter(groups, object, len(groups)), use_na_sentinel=False)[0]


def _draws(size: int, seed: int, n: int) -> np.ndarray:
    """Return (n, size): ``n`` resamples of ``size`` numbers below ``size``, with replacement."""
    return np.random.default_rng(seed).integers(size, size=(n, size))


def _defined(values: np.ndarray, groups: Sequence[Hashable] | None) -> tuple[np.ndarray, np.ndarray]:
    """Return ``values`` without NaN, and the group number of each value."""
    values = np.asarray(values, dtype=float)
    if np.isinf(values).any():
        raise DataError("values must be finite; count infinite ones and leave them out")
    defined = ~np.isnan(values)
    if not defined.any():
        raise DataError("no value is defined on any image: nothing is left to compare")
    groups = range(len(values)) if groups is None else groups
    return values[defined], group_numbers([group for group, valid in zip(groups, defined, strict=True) if valid])
