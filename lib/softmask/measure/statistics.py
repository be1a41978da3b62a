"""How sure a mean, or a difference of means, is: bootstrap intervals and a paired test over images, the correction of
many tests at once, and the spread between seeds."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from softmask.errors import DataError

LEVEL = 0.95
_CHUNK = 2_000_000  # resampled values held at once


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
        DataError: where nothing is left, for infinite values, ``n`` below 1, or another number of groups than values.
    """
    values, numbers = _finite(values, groups, "values")
    sums, counts = np.bincount(numbers, weights=values), np.bincount(numbers)
    return percentile_interval(
        np.concatenate([sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1) for drawn in _draws(len(sums), seed, n)])
    )


def bootstrap_weights(groups: Sequence[Hashable], seed: int, n: int = 2000) -> np.ndarray:
    """(n, N) int: how often each of N images is in each of ``n`` resamples that draw whole groups.

    For what is no mean over images, such as an area under the ROC curve. The resamples are those of
    :func:`bootstrap_interval` for the same groups and seed.

    Raises:
        DataError: where there is no image, or ``n`` is below 1.
    """
    _, numbers = _finite(np.zeros(len(groups)), groups, "images")
    size = numbers.max() + 1
    times = [[np.bincount(row, minlength=size) for row in drawn] for drawn in _draws(size, seed, n)]
    return np.concatenate(times)[:, numbers]


def percentile_interval(resampled: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of a statistic's values (n,) in bootstrap resamples; NaN among them left out."""
    low, high = np.nanquantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _draws(size: int, seed: int, n: int) -> Iterator[np.ndarray]:
    """``n`` resamples of ``size`` numbers below ``size``, with replacement, some rows of them at a time."""
    if n < 1:
        raise DataError(f"a bootstrap needs at least one resample, not {n}")
    generator = np.random.default_rng(seed)
    rows = max(1, _CHUNK // size)
    for start in range(0, n, rows):
        yield generator.integers(size, size=(min(rows, n - start), size))


def paired_test(a: np.ndarray, b: np.ndarray, seed: int, groups: Sequence[Hashable] | None = None) -> PairedTest:
    """Compare two methods on the same images: ``a`` and ``b`` (N,), one value per image in the same order.

    Wilcoxon 1945, pairs without a difference left out of the ranks; where no pair differs there is nothing to
    rank, the p value is 1 and the interval [0, 0].

    Args:
        groups: (N,) the patient of each image: the interval then draws whole groups, and the ranks are those of the
            groups' mean differences; None: every pair for itself.

    Raises:
        DataError: for arrays of different length, infinite values, or no pair without NaN.
    """
    from scipy.stats import wilcoxon  # a slow import

    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.shape != b.shape or a.ndim != 1:
        raise DataError(f"a paired test needs two lists of one length, not shapes {a.shape} and {b.shape}")
    if np.isinf(a).any() or np.isinf(b).any():
        raise DataError("a paired test cannot use infinite values; count those images and leave them out of both")
    differences, numbers = _finite(a - b, groups, "pairs")
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
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    weights = np.ones(len(a)) if weights is None else np.asarray(weights, dtype=float)
    if not a.shape == b.shape == weights.shape == (len(groups),):
        raise DataError(
            f"lists of {a.shape} and {b.shape} values with {len(groups)} groups and {weights.shape} weights: "
            "give as many of each"
        )
    if np.isinf(a).any() or np.isinf(b).any():
        raise DataError("values must be finite; count infinite ones and leave them out")
    if np.isnan(a).all() or np.isnan(b).all():
        raise DataError("no values left to compare (all are NaN, or there were none)")
    drawn = bootstrap_weights(groups, seed, n).astype(float)  # (n, N)

    def means(values: np.ndarray, weights: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        weights = np.where(np.isnan(values), 0, weights)
        total = drawn @ weights  # a draw may hold groups without a defined value alone
        return np.divide(
            drawn @ (weights * np.nan_to_num(values)), total, out=np.full(len(drawn), np.nan), where=total > 0
        )

    low, high = percentile_interval(means(b, weights, drawn) - means(a, np.ones(len(a)), drawn))
    once = np.ones((1, len(a)))
    return float(means(a, once[0], once)[0]), float(means(b, weights, once)[0]), low, high


def holm(p: Sequence[float]) -> np.ndarray:
    """``p`` values (N,) adjusted for being N together, in their order: Holm's step-down method (1979).

    Among those at or below a level, the chance of any false one is at most that level, however they depend on one
    another. NaN (no test) stays NaN and does not count.
    """
    p = np.asarray(p, dtype=float)
    adjusted = np.full(p.shape, np.nan)
    order = [i for i in np.argsort(p, kind="stable") if not np.isnan(p[i])]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def seed_spread(values: np.ndarray) -> tuple[np.ndarray, float]:
    """The mean of every seed, and their standard deviation (N - 1): how much of a result is the luck of the draw.

    Args:
        values: (S, N) of S seeds on the same N images. Values that are not finite are left out of their seed's mean.

    Returns:
        (S,) means, NaN for a seed without a finite value; and the deviation, NaN for a single seed, or where a mean is.

    Raises:
        DataError: for values of another shape.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or not len(values):
        raise DataError(f"values must be (seeds, images), not of shape {values.shape}; give one row for each seed")
    means = np.array([one[np.isfinite(one)].mean() if np.isfinite(one).any() else np.nan for one in values])
    return means, float(means.std(ddof=1)) if len(means) > 1 else float("nan")


def _finite(values: np.ndarray, groups: Sequence[Hashable] | None, what: str) -> tuple[np.ndarray, np.ndarray]:
    """``values`` without NaN, and the number of each one's group, counted from 0 in order of appearance."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1:
        raise DataError(f"{what} must be one list of numbers, not of shape {values.shape}")
    if np.isinf(values).any():
        raise DataError(f"{what} must be finite; count infinite ones and leave them out")
    if groups is None:
        groups = range(len(values))
    if len(groups) != len(values):
        raise DataError(f"{len(groups)} groups for {len(values)} {what}; give one for each")
    defined = ~np.isnan(values)
    if not defined.any():
        raise DataError(f"no {what} left to compare (all are NaN, or there were none)")
    number: dict[Hashable, int] = {}
    numbers = [number.setdefault(group, len(number)) for group, kept in zip(groups, defined, strict=True) if kept]
    return values[defined], np.array(numbers)
