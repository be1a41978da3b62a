"""How sure a mean, or a difference of means, is: bootstrap intervals and a paired test over images, the correction of
many tests at once, the spread between seeds, and the agreement of repeated measurements."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from softmask.errors import DataError

LEVEL = 0.95
"""Two-sided level of all intervals."""


@dataclass(frozen=True)
class PairedTest:
    """How two methods differ on the same images.

    Attributes:
        mean_difference: mean of a - b over the pairs.
        low, high: 95 % percentile bootstrap interval of it.
        p: two-sided Wilcoxon signed-rank p value; 1 where no pair differs.
        n: pairs compared.
        n_groups: groups they belong to; ``n`` where no groups were given.
        n_left_out: pairs left out because one of the values is NaN (an undefined SEN or PPV).
    """

    mean_difference: float
    low: float
    high: float
    p: float
    n: int
    n_groups: int
    n_left_out: int


def bootstrap_interval(
    values: np.ndarray, seed: int, n: int = 2000, groups: Sequence[Hashable] | None = None
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean of ``values`` (N,), from ``n`` resamples.

    NaN values are left out. The same values and seed give the same interval (Efron 1979).

    Args:
        groups: (N,) the patient of each image. Images of one patient are alike, so whole groups are drawn (the cluster
            bootstrap of Davison and Hinkley 1997, section 3.8); None: every value for itself.

    Raises:
        DataError: for infinite values, or where nothing is left.
    """
    values, numbers = _grouped(values, groups)
    sums, counts = np.bincount(numbers, weights=values), np.bincount(numbers)
    drawn = _draws(len(sums), seed, n)
    return percentile_interval(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))


def bootstrap_weights(groups: Sequence[Hashable], seed: int, n: int = 2000) -> np.ndarray:
    """(n, N) int: how often each of N images is in each of ``n`` resamples that draw whole groups.

    For what is no mean over images, such as an area under the ROC curve. The resamples are those of
    :func:`bootstrap_interval` for the same groups and seed.
    """
    numbers = group_numbers(groups)
    size = numbers.max() + 1
    return np.stack([np.bincount(row, minlength=size) for row in _draws(size, seed, n)])[:, numbers]


def percentile_interval(resampled: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of a statistic's values (n,) in bootstrap resamples; NaN among them left out."""
    low, high = np.nanquantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def paired_test(a: np.ndarray, b: np.ndarray, seed: int, groups: Sequence[Hashable] | None = None) -> PairedTest:
    """Compare two methods on the same images: ``a`` and ``b`` (N,), one value per image in the same order.

    Wilcoxon 1945, pairs without a difference left out of the ranks; where no pair differs there is nothing to
    rank, the p value is 1 and the interval [0, 0].

    Args:
        groups: (N,) the patient of each image: the interval then draws whole groups, and the ranks are those of the
            groups' mean differences; None: every pair for itself.

    Raises:
        DataError: for lists of different length, infinite values, or no pair without NaN.
    """
    from scipy.stats import wilcoxon  # a slow import

    a, b = _pair(a, b)
    differences, numbers = _grouped(a - b, groups)
    low, high = bootstrap_interval(differences, seed, groups=numbers)
    means = np.bincount(numbers, weights=differences) / np.bincount(numbers)  # of each group
    p = float(wilcoxon(means).pvalue) if np.any(means) else 1.0
    left_out = len(a) - len(differences)
    return PairedTest(float(differences.mean()), low, high, p, len(differences), len(means), left_out)


def mean_difference(
    a: np.ndarray,
    b: np.ndarray,
    seed: int,
    groups: Sequence[Hashable],
    weights: np.ndarray | None = None,
    n: int = 2000,
) -> tuple[float, float, float, float]:
    """Means of ``a`` and of ``b`` (N,), and a 95 % percentile bootstrap interval of mean b - mean a.

    Unlike in :func:`paired_test` each mean is over its own defined values, so two ways of treating undefined ones, or
    of weighing the images, can be compared; whole groups are drawn.

    Args:
        groups: (N,) the patient of each image.
        weights: (N,) of the values of ``b``; None: one each.

    Returns:
        Mean of a, mean of b, low, high.

    Raises:
        DataError: for lists of different length, infinite values, or a mean over nothing.
    """
    a, b = _pair(a, b)
    if np.isnan(a).all() or np.isnan(b).all():
        raise DataError("no values left to compare (all are NaN, or there were none)")
    drawn = bootstrap_weights(groups, seed, n).astype(float)  # (n, N)

    def means(values: np.ndarray, weights: np.ndarray | None, drawn: np.ndarray) -> np.ndarray:
        weights = np.where(np.isnan(values), 0, np.ones(len(a)) if weights is None else weights)
        total = drawn @ weights  # a draw may hold groups without a defined value alone
        won = drawn @ (weights * np.nan_to_num(values))
        return np.divide(won, total, out=np.full(len(drawn), np.nan), where=total > 0)

    low, high = percentile_interval(means(b, weights, drawn) - means(a, None, drawn))
    once = np.ones((1, len(a)))
    return float(means(a, None, once)[0]), float(means(b, weights, once)[0]), low, high


def holm(p: Sequence[float]) -> np.ndarray:
    """``p`` values (N,) adjusted for being N together, in their order: Holm's step-down method (1979).

    Among those at or below a level, the chance of any false one is at most that level, however they depend on one
    another. NaN (no test) stays NaN and does not count.
    """
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, kind="stable")[: np.count_nonzero(~np.isnan(p))]  # NaN comes last
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return adjusted


def seed_spread(values: np.ndarray) -> tuple[np.ndarray, float]:
    """The mean of every seed, and their standard deviation (N - 1): how much of a result is the luck of the draw.

    Args:
        values: (S, N) of S seeds on the same N images. Values that are not finite are left out of their seed's mean.

    Returns:
        (S,) means, NaN for a seed without a finite value; and the deviation, NaN for a single seed, or where a mean is.
    """
    finite = [row[np.isfinite(row)] for row in np.asarray(values, dtype=float)]
    means = np.array([row.mean() if len(row) else np.nan for row in finite])
    return means, float(means.std(ddof=1)) if len(means) > 1 else float("nan")


def icc(values: np.ndarray) -> np.ndarray:
    """ICC(2,1): agreement of K measurements of the same N subjects (Shrout and Fleiss 1979, case 2, single rater).

        ICC = (BMS - EMS) / (BMS + (K - 1) EMS + K (JMS - EMS) / N)

    of the mean squares between subjects, between measurements, and of the rest. 1: every measurement gives the same
    value. It may be below 0.

    Args:
        values: (..., N, K), finite, N and K at least 2.

    Returns:
        (...); NaN where nothing varies.
    """
    n, k = values.shape[-2:]
    mean = values.mean(axis=(-2, -1), keepdims=True)
    subjects, raters = values.mean(axis=-1, keepdims=True), values.mean(axis=-2, keepdims=True)
    between = k * ((subjects - mean) ** 2).sum(axis=(-2, -1)) / (n - 1)
    judges = n * ((raters - mean) ** 2).sum(axis=(-2, -1)) / (k - 1)
    rest = ((values - subjects - raters + mean) ** 2).sum(axis=(-2, -1)) / ((n - 1) * (k - 1))
    total = between + (k - 1) * rest + k * (judges - rest) / n
    return np.divide(between - rest, total, out=np.full(np.shape(total), np.nan), where=total > 0)


def group_numbers(groups: Sequence[Hashable]) -> np.ndarray:
    """(N,) int: the number of each image's group, counted from 0 in order of appearance."""
    return pd.factorize(np.fromiter(groups, object, len(groups)), use_na_sentinel=False)[0]


def _draws(size: int, seed: int, n: int) -> np.ndarray:
    """(n, size): ``n`` resamples of ``size`` numbers below ``size``, with replacement."""
    return np.random.default_rng(seed).integers(size, size=(n, size))


def _pair(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.shape != b.shape or a.ndim != 1:
        raise DataError(f"two lists of one length are needed, not shapes {a.shape} and {b.shape}")
    if np.isinf(a).any() or np.isinf(b).any():
        raise DataError("infinite values cannot be compared; count those images and leave them out of both")
    return a, b


def _grouped(values: np.ndarray, groups: Sequence[Hashable] | None) -> tuple[np.ndarray, np.ndarray]:
    """``values`` without NaN, and the number of each one's group, counted from 0 in order of appearance."""
    values = np.asarray(values, dtype=float)
    if np.isinf(values).any():
        raise DataError("values must be finite; count infinite ones and leave them out")
    defined = ~np.isnan(values)
    if not defined.any():
        raise DataError("no values left to compare (all are NaN, or there were none)")
    if groups is None:
        return values[defined], np.arange(defined.sum())
    return values[defined], group_numbers([group for group, kept in zip(groups, defined, strict=True) if kept])
