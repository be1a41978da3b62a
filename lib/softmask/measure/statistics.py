"""How sure a mean, or a difference of means, is: bootstrap intervals and a paired test over images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import wilcoxon

from softmask.errors import DataError

LEVEL = 0.95
_CHUNK = 2_000_000  # resampled values held at once


@dataclass(frozen=True)
class PairedTest:
    """How two methods differ on the same images.

    Attributes:
        mean_difference: mean of a - b.
        low, high: 95 % percentile bootstrap interval of it.
        p: two-sided Wilcoxon signed-rank p value; 1 where no pair differs.
        n: pairs compared.
        n_left_out: pairs left out because one of the values is NaN (an undefined SEN or PPV).
    """

    mean_difference: float
    low: float
    high: float
    p: float
    n: int
    n_left_out: int


def bootstrap_interval(values: np.ndarray, seed: int, n: int = 2000) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean of ``values`` (N,), from ``n`` resamples.

    NaN values are left out. The same values and seed give the same interval (Efron 1979).

    Raises:
        DataError: where nothing is left, for infinite values, or ``n`` below 1.
    """
    values = _finite(values, "values")
    if n < 1:
        raise DataError(f"a bootstrap needs at least one resample, not {n}")
    generator = np.random.default_rng(seed)
    rows = max(1, _CHUNK // len(values))
    means = np.concatenate(
        [
            values[generator.integers(len(values), size=(min(rows, n - start), len(values)))].mean(axis=1)
            for start in range(0, n, rows)
        ]
    )
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def paired_test(a: np.ndarray, b: np.ndarray, seed: int) -> PairedTest:
    """Compare two methods on the same images: ``a`` and ``b`` (N,), one value per image in the same order.

    Wilcoxon 1945, pairs without a difference left out of the ranks; where no pair differs there is nothing to
    rank, the p value is 1 and the interval [0, 0].

    Raises:
        DataError: for arrays of different length, infinite values, or no pair without NaN.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.shape != b.shape or a.ndim != 1:
        raise DataError(f"a paired test needs two lists of one length, not shapes {a.shape} and {b.shape}")
    if np.isinf(a).any() or np.isinf(b).any():
        raise DataError("a paired test cannot use infinite values; count those images and leave them out of both")
    differences = _finite(a - b, "pairs")
    low, high = bootstrap_interval(differences, seed)
    p = float(wilcoxon(differences).pvalue) if np.any(differences) else 1.0
    return PairedTest(float(differences.mean()), low, high, p, len(differences), len(a) - len(differences))


def _finite(values: np.ndarray, what: str) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if values.ndim != 1:
        raise DataError(f"{what} must be one list of numbers, not of shape {values.shape}")
    if np.isinf(values).any():
        raise DataError(f"{what} must be finite; count infinite ones and leave them out")
    values = values[~np.isnan(values)]
    if not len(values):
        raise DataError(f"no {what} left to compare (all are NaN, or there were none)")
    return values
