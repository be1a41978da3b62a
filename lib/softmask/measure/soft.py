"""Errors of soft masks, alpha in [0, 1] against alpha in [0, 1], and of probabilities against binary masks.

Every measure but :func:`calibration` and :func:`best_temperature` takes two arrays (..., H, W) of one shape and returns
shape (...), a scalar for (H, W). All but those of probabilities, whose truth is bool or {0, 1}, are symmetric. Errors
are 0, and :func:`soft_dice` is 1, for equal masks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, correlate1d, generate_binary_structure
from scipy.special import expit, logit

from softmask.errors import DataError
from softmask.measure.statistics import ratio

GRADIENT_SIGMA = 1.4
"""Width of the Gaussian derivative of :func:`gradient_error`, in pixels: that of Rhemann et al. 2009."""

BAND_PIXELS = 3
"""Width of :func:`edge_band` on each side of the edge."""


def mae(alpha: np.ndarray, truth: np.ndarray, band: np.ndarray | None = None) -> np.ndarray:
    """Return the mean absolute error over all pixels or those of ``band`` (..., H, W) bool; NaN for an empty band."""
    return _mean(np.abs(_difference(alpha, truth)), band)


def mse(alpha: np.ndarray, truth: np.ndarray, band: np.ndarray | None = None) -> np.ndarray:
    """Return the mean squared error over all pixels or those of ``band`` (..., H, W) bool; NaN for an empty band."""
    return _mean(_difference(alpha, truth) ** 2, band)


def soft_dice(alpha: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the Dice of soft masks 2 sum min(a, b) / (sum a + sum b); 1 where both are empty.

    With the minimum, unlike with the product of the usual training loss, it is 1 for two equal soft masks.
    """
    alpha, truth = np.asarray(alpha, float), np.asarray(truth, float)
    total = (alpha + truth).sum(axis=(-2, -1))
    shared = 2 * np.minimum(alpha, truth).sum(axis=(-2, -1))
    return ratio(shared, total, empty=1.0)


def gradient_error(alpha: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the alpha matting benchmark's gradient error, sum (|grad a| - |grad b|)^2 / 1000.

    Gradients are first-order Gaussian derivatives of sigma 1.4 pixels, filters of unit L2 norm with edge pixels
    repeated (Rhemann et al., CVPR 2009, with the exponent 2 of its evaluation code, but alpha as it is).
    """
    # a Gaussian and its derivative, cut where it falls below 0.01; their outer product has norm 1
    height = np.sqrt(2 * np.pi) * GRADIENT_SIGMA
    half = int(np.ceil(GRADIENT_SIGMA * np.sqrt(-2 * np.log(0.01 * height))))
    x = np.arange(-half, half + 1, dtype=float)
    smooth = np.exp(-(x**2) / (2 * GRADIENT_SIGMA**2)) / height
    derivative = x * smooth / GRADIENT_SIGMA**2
    smooth, derivative = smooth / np.linalg.norm(smooth), derivative / np.linalg.norm(derivative)

    def length(image: np.ndarray) -> np.ndarray:
        rows = correlate1d(correlate1d(image, derivative, axis=-2, mode="nearest"), smooth, axis=-1, mode="nearest")
        columns = correlate1d(correlate1d(image, smooth, axis=-2, mode="nearest"), derivative, axis=-1, mode="nearest")
        return np.hypot(rows, columns)

    alpha, truth = np.asarray(alpha, float), np.asarray(truth, float)
    return ((length(alpha) - length(truth)) ** 2).sum(axis=(-2, -1))[()] / 1000.0


def _binary(truth: np.ndarray) -> np.ndarray:
    if not np.isin(truth, (0, 1)).all():
        raise DataError("probabilities are compared with masks of 0 and 1 only; binarise the soft mask first (at 0.5)")
    return np.asarray(truth, bool)


def brier(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the Brier score, the mean of (p - y)^2 over the pixels, in [0, 1] (Brier 1950)."""
    return (_difference(probabilities, _binary(truth)) ** 2).mean(axis=(-2, -1))[()]


def auc(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve, in [0, 1]; NaN where ``truth`` has one value only.

    The share of pairs of a foreground and a background pixel in which the first has the larger probability, equal
    ones counting half (Hanley and McNeil 1982), from the ranks of the pixels.
    """
    from scipy.stats import rankdata  # takes seconds to import, which every training process would pay

    pixels = (*np.shape(truth)[:-2], -1)
    inside = _binary(truth).reshape(pixels)
    ranks = rankdata(np.asarray(probabilities, float).reshape(pixels), axis=-1)
    n_inside = np.count_nonzero(inside, axis=-1)
    n_pairs = n_inside * (inside.shape[-1] - n_inside)
    wins = np.where(inside, ranks, 0).sum(axis=-1) - n_inside * (n_inside + 1) / 2
    return ratio(wins, n_pairs)


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
    """Return the reliability of ``probabilities`` against ``masks`` of bool or {0, 1}, (..., H, W).

    The curve of Niculescu-Mizil and Caruana (ICML 2005) over pixels, and an expected calibration error after Guo et
    al. (ICML 2017), of the probability of lesion: most pixels, surely background, keep it small. scikit-learn's
    ``calibration_curve`` has neither the counts nor the empty bins.
    """
    return frequencies(probabilities, _binary(masks), bins)


def frequencies(probabilities: np.ndarray, observed: np.ndarray, bins: int = 10) -> Calibration:
    """Return :func:`calibration` against a share ``observed`` of each pixel, (..., H, W) in [0, 1], such as that of the
    readers who marked it."""
    probabilities, observed = np.asarray(probabilities, float), np.asarray(observed, float)
    which = np.digitize(probabilities.ravel(), np.linspace(0, 1, bins + 1)[1:-1], right=True)
    counts = np.bincount(which, minlength=bins)
    mean_probability, mean_observed = (
        ratio(np.bincount(which, values.ravel(), bins), counts) for values in (probabilities, observed)
    )
    error = np.nansum(counts * np.abs(mean_probability - mean_observed)) / counts.sum()
    return Calibration(counts, mean_probability, mean_observed, float(error))


def soft_head(probabilities: np.ndarray) -> np.ndarray:
    """Return the predicted alpha (tanh(l) + 1) / 2 of logits l, from their sigmoid.

    SoftGAN's two heads read one map of logits (ICME 2022, section 3.2); that of the soft mask is the steeper one,
    sigmoid(2 l).
    """
    lesion, background = np.square(probabilities), np.square(1 - probabilities)
    return lesion / (lesion + background)


def best_temperature(probabilities: np.ndarray, masks: np.ndarray) -> float:
    """Return the T in [0.01, 100] for which :func:`tempered` probabilities (..., H, W) have the smallest cross entropy
    with ``masks`` of bool or {0, 1} (Guo et al., ICML 2017).

    Raises DataError for masks without foreground or without background: the best temperature would be 0 or infinite.
    """
    from scipy.optimize import minimize_scalar

    lesion = _binary(masks)
    if lesion.all() or not lesion.any():
        raise DataError(
            f"a temperature cannot be fitted to images without {'background' if lesion.any() else 'foreground'}: "
            "take validation images that hold both"
        )
    logits = _logits(probabilities)
    signed = np.where(lesion, logits, -logits)  # positive where right
    entropy = minimize_scalar(
        lambda log: np.logaddexp(0, -signed * np.exp(-log)).mean(), bounds=(np.log(0.01), np.log(100))
    )
    return float(np.exp(entropy.x))


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return sigmoid(l / T) of the logits l of ``probabilities``, with T the ``temperature``: above 1 it brings them
    nearer to 0.5, and none crosses it."""
    return expit(_logits(probabilities) / temperature)


def _logits(probabilities: np.ndarray) -> np.ndarray:
    """Return the logits of probabilities, finite for 0 and 1: what single precision rounds to them, below 1e-37 and
    above 1 - 6e-8."""
    return logit(np.clip(np.asarray(probabilities, float), 1e-37, 1 - 6e-8))


def edge_band(alpha: np.ndarray, pixels: int = BAND_PIXELS) -> np.ndarray:
    """Return (..., H, W) bool, the pixels that the lesion covers in part and ``pixels`` on each side.

    Where a pixel it covers wholly touches one it does not cover at all, both are edge.
    """
    alpha = np.asarray(alpha)
    cross = generate_binary_structure(2, 1).reshape((1,) * (alpha.ndim - 2) + (3, 3))  # images do not touch each other
    inside, outside = alpha >= 1, alpha <= 0
    edge = ~(inside | outside) | (inside & binary_dilation(outside, cross)) | (outside & binary_dilation(inside, cross))
    return binary_dilation(edge, cross, iterations=pixels)


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(a, float) - np.asarray(b, float)


def _mean(values: np.ndarray, band: np.ndarray | None) -> np.ndarray:
    band = np.broadcast_to(True if band is None else np.asarray(band, bool), values.shape)
    return ratio(np.where(band, values, 0.0).sum(axis=(-2, -1)), np.count_nonzero(band, axis=(-2, -1)))
