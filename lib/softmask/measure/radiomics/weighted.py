"""Beyond the paper: first-order features in which every pixel counts as much as the soft mask says it is lesion."""

from __future__ import annotations

import numpy as np

from softmask.errors import DataError
from softmask.measure.radiomics.features import FEATURES, BinCount, Bins
from softmask.measure.radiomics.validation import checked_values

_EPSILON = np.spacing(1)  # inside pyradiomics' logarithms


def soft_first_order(image: np.ndarray, alpha: np.ndarray, *, bins: Bins | None = None) -> dict[str, float]:
    """pyradiomics' 18 first-order features with weights a = alpha, named and ordered as in :data:`FEATURES`.

    With A = sum a, mean m = sum a x / A and central moments m_k = sum a (x - m)^k / A: variance m_2, skewness
    m_3 / m_2^1.5, kurtosis m_4 / m_2^2 (3 for a Gaussian), mean absolute deviation sum a |x - m| / A (the robust one
    over the pixels between the 10th and the 90th percentile, around their mean), energy sum a (x + c)^2, root mean
    square sqrt(energy / A); entropy (bits) and uniformity of the histogram of weights. Minimum, maximum and range are
    those of all pixels with a > 0, percentiles :func:`quantile`. For alpha of 0 and 1 they are pyradiomics' own;
    energies grow in proportion to alpha, the rest depends on its proportions only.

    Args:
        image: (H, W).
        alpha: (H, W) in [0, 1].
        bins: of the histogram, and c, as in :func:`softmask.measure.radiomics.extract`; default ``BinCount()``.

    Raises:
        DataError: arrays that do not fit, alpha outside [0, 1], NaN; and where the region {alpha > 0} is one that
            :func:`~softmask.measure.radiomics.extract` leaves out.
    """
    from radiomics.imageoperations import getBinEdges

    bins = BinCount() if bins is None else bins
    alpha = np.asarray(alpha, float)
    if not (alpha.min(initial=0) >= 0 and alpha.max(initial=0) <= 1):
        raise DataError("the soft mask must lie in [0, 1], without NaN")
    x, a = checked_values(image, alpha > 0, bins), alpha[alpha > 0]  # (N,) both
    settings = bins.settings
    energy = np.sum(a * (x + settings["voxelArrayShift"]) ** 2)
    mean = np.average(x, weights=a)
    m2, m3, m4 = (np.average((x - mean) ** k, weights=a) for k in (2, 3, 4))
    p10, p25, median, p75, p90 = quantile(x, a, (0.1, 0.25, 0.5, 0.75, 0.9))
    p = np.bincount(np.digitize(x, getBinEdges(x, **settings)), weights=a) / a.sum()
    values = {
        "10Percentile": p10,
        "90Percentile": p90,
        "Energy": energy,
        "Entropy": -np.sum(p * np.log2(p + _EPSILON)),
        "InterquartileRange": p75 - p25,
        "Kurtosis": m4 / m2**2,
        "Maximum": x.max(),
        "MeanAbsoluteDeviation": np.average(np.abs(x - mean), weights=a),
        "Mean": mean,
        "Median": median,
        "Minimum": x.min(),
        "Range": np.ptp(x),
        "RobustMeanAbsoluteDeviation": _mean_deviation(x, a, (x >= p10) & (x <= p90)),
        "RootMeanSquared": np.sqrt(energy / a.sum()),
        "Skewness": m3 / m2**1.5,
        "TotalEnergy": energy,
        "Uniformity": np.sum(p**2),
        "Variance": m2,
    }
    named = {f"firstorder_{name}": float(value) for name, value in values.items()}
    return {name: named[name] for name in FEATURES if name in named}


def quantile(x: np.ndarray, weights: np.ndarray, q: tuple[float, ...]) -> np.ndarray:
    """Weighted quantiles (Q,) of x (N,), which are numpy's where all weights are equal.

    Hyndman and Fan's type 7 with weights, after Akinshin ("Weighted quantile estimators", arXiv 2304.07265): with
    Kish's effective sample size n = (sum w)^2 / sum w^2 and h = q (n - 1), the mean of the weighted quantile function
    over [h / n, (h + 1) / n]. A pixel whose weight goes to 0 drops out without a jump, which interpolation between
    the pixels' ranks does not give.

    Args:
        weights: (N,), positive.
        q: in [0, 1].
    """
    order = np.argsort(x, kind="stable")
    x, weights = x[order], weights[order] / weights.sum()
    n = 1 / np.sum(weights**2)
    edges = np.concatenate([[0.0], np.cumsum(weights)])  # (N + 1,), where the steps of that function begin and end
    edges[-1] = 1.0
    start = np.asarray(q)[:, None] * (n - 1) / n  # (Q, 1)
    share = np.diff(np.clip((edges - start) * n, 0, 1), axis=1)  # (Q, N), how much of the interval is in each step
    return share @ x


def _mean_deviation(x: np.ndarray, a: np.ndarray, chosen: np.ndarray) -> float:
    if not chosen.any():
        raise DataError("no pixel lies between the 10th and the 90th percentile: too few of them have a weight")
    mean = np.average(x[chosen], weights=a[chosen])
    return float(np.average(np.abs(x[chosen] - mean), weights=a[chosen]))
