"""Errors of soft masks, alpha in [0, 1] against alpha in [0, 1], and of probabilities against binary masks.

All measures except :func:`calibration` and :func:`best_temperature` take two arrays (..., H, W), whose leading axes
broadcast, and return shape (...), a scalar for (H, W). Images of different sizes raise DataError. Measures of soft
masks are symmetric; for measures of probabilities, the truth is bool or {0, 1}. For equal masks, errors are 0, and
:func:`soft_dice` is 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, correlate1d, generate_binary_structure
from scipy.special import expit, logit

from softmask.errors import DataError
from softmask.measure.statistics import ratio

GRADIENT_SIGMA = 1.4
"""Width of the Gaussian derivative of :func:`gradient_error`, in pixels: the value of Rhemann et al. 2009."""

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

    It uses the minimum, not the product of the usual training loss, so it is 1 for two equal soft masks.
    """
    alpha, truth = _pair(alpha, truth)
    total = (alpha + truth).sum(axis=(-2, -1))
    overlap = 2 * np.minimum(alpha, truth).sum(axis=(-2, -1))
    return ratio(overlap, total, empty=1.0)


def gradient_error(alpha: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the alpha matting benchmark's gradient error, sum (|grad a| - |grad b|)^2 / 1000.

    Gradients are first-order Gaussian derivatives of sigma 1.4 pixels, filters of unit L2 norm with edge pixels
    repeated (Rhemann et al., CVPR 2009, with the exponent 2 of its evaluation code, but without scaling alpha).
    """
    # a Gaussian and its derivative, cut where it falls below 0.01; their outer product has norm 1
    height = np.sqrt(2 * np.pi) * GRADIENT_SIGMA
    radius = int(np.ceil(GRADIENT_SIGMA * np.sqrt(-2 * np.log(0.01 * height))))
    x = np.arange(-radius, radius + 1, dtype=float)
    gauss = np.exp(-(x**2) / (2 * GRADIENT_SIGMA**2)) / height
    derivative = x * gauss / GRADIENT_SIGMA**2
    gauss, derivative = gauss / np.linalg.norm(gauss), derivative / np.linalg.norm(derivative)

    def gradient_length(image: np.ndarray) -> np.ndarray:
        rows = correlate1d(correlate1d(image, derivative, axis=-2, mode="nearest"), gauss, axis=-1, mode="nearest")
        columns = correlate1d(correlate1d(image, gauss, axis=-2, mode="nearest"), derivative, axis=-1, mode="nearest")
        return np.hypot(rows, columns)

    alpha, truth = _pair(alpha, truth)
    return ((gradient_length(alpha) - gradient_length(truth)) ** 2).sum(axis=(-2, -1))[()] / 1000.0


def _binary(truth: np.ndarray) -> np.ndarray:
    if not np.isin(truth, (0, 1)).all():
        raise DataError("probabilities are compared with masks of 0 and 1 only; binarise the soft mask first (at 0.5)")
    return np.asarray(truth, bool)


def brier(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the Brier score, the mean of (p - y)^2 over the pixels, in [0, 1] (Brier 1950)."""
    return (_difference(probabilities, _binary(truth)) ** 2).mean(axis=(-2, -1))[()]


def auc(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve, in [0, 1]; NaN where ``truth`` has only one value.

    It is the share of pairs of a foreground and a background pixel in which the foreground pixel has the larger
    probability; equal probabilities count half (Hanley and McNeil 1982). It is computed from the ranks of the pixels.
    """
    from scipy.stats import rankdata  # imported on use: takes seconds, in every training process

    pixels = (*np.shape(truth)[:-2], -1)
    foreground = _binary(truth).reshape(pixels)
    ranks = rankdata(np.asarray(probabilities, float).reshape(pixels), axis=-1)
    n_foreground = np.count_nonzero(foreground, axis=-1)
    n_pairs = n_foreground * (foreground.shape[-1] - n_foreground)
    wins = np.where(foreground, ranks, 0).sum(axis=-1) - n_foreground * (n_foreground + 1) / 2
    return ratio(wins, n_pairs)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Pixels by their predicted probability, in bins of equal width that include their upper end (the first: also 0).

    Attributes:
        counts: (bins,) int, pixels in each bin.
        mean_probability: (bins,) in [0, 1], NaN in an empty bin.
        observed: (bins,) in [0, 1], the share of the bin's pixels that are lesion; NaN in an empty bin.
        error: expected calibration error, the mean over the pixels of |mean_probability - observed|, in [0, 1].
    """

    counts: np.ndarray
    mean_probability: np.ndarray
    observed: np.ndarray
    error: float


def calibration(probabilities: np.ndarray, masks: np.ndarray, bins: int = 10) -> Calibration:
    """Return the reliability of ``probabilities`` against ``masks`` of bool or {0, 1}, (..., H, W).

    The curve of Niculescu-Mizil and Caruana (ICML 2005) over pixels, and an expected calibration error after Guo et
    al. (ICML 2017), of the probability of lesion; most pixels, clearly background, keep it small. scikit-learn's
    ``calibration_curve`` returns neither the counts nor the empty bins.
    """
    return frequencies(probabilities, _binary(masks), bins)


def frequencies(probabilities: np.ndarray, observed: np.ndarray, bins: int = 10) -> Calibration:
    """Return the calibration against ``observed`` shares (..., H, W) in [0, 1], such as the share of the readers who
    marked a pixel. Raises DataError for NaN and other values outside [0, 1]."""
    probabilities, observed = _pair(probabilities, observed)
    for name, values in (("probabilities", probabilities), ("observed shares", observed)):
        if not ((values >= 0) & (values <= 1)).all():  # NaN fails both
            raise DataError(f"the {name} must be finite and lie in [0, 1]")
    bin_numbers = np.digitize(probabilities.ravel(), np.linspace(0, 1, bins + 1)[1:-1], right=True)
    counts = np.bincount(bin_numbers, minlength=bins)
    mean_probability, mean_observed = (
        ratio(np.bincount(bin_numbers, values.ravel(), bins), counts) for values in (probabilities, observed)
    )
    error = np.nansum(counts * np.abs(mean_probability - mean_observed)) / counts.sum()
    return Calibration(counts, mean_probability, mean_observed, float(error))


def soft_head(probabilities: np.ndarray) -> np.ndarray:
    """Return the predicted alpha (tanh(l) + 1) / 2 of logits l, given the probabilities sigmoid(l).

    The two heads of SoftGAN use the same logits (ICME 2022, section 3.2); the head of the soft mask is the steeper one,
    sigmoid(2 l).
    """
    lesion, background = np.square(probabilities), np.square(1 - probabilities)
    return lesion / (lesion + background)


def best_temperature(probabilities: np.ndarray, masks: np.ndarray) -> float:
    """Return the temperature in [0.01, 100] for which :func:`tempered` probabilities (..., H, W) have the smallest
    cross entropy with ``masks`` of bool or {0, 1} (Guo et al., ICML 2017).

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
    signed_logits = np.where(lesion, logits, -logits)  # positive where correct
    optimum = minimize_scalar(
        lambda log: np.logaddexp(0, -signed_logits * np.exp(-log)).mean(), bounds=(np.log(0.01), np.log(100))
    )
    return float(np.exp(optimum.x))


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return sigmoid(l / T) for the logits l of ``probabilities`` and the ``temperature`` T. T > 1 moves the
    probabilities towards 0.5; no probability crosses 0.5."""
    return expit(_logits(probabilities) / temperature)


def _logits(probabilities: np.ndarray) -> np.ndarray:
    """Return the logits of probabilities, finite also for 0 and 1: probabilities are clipped to [1e-37, 1 - 6e-8], the
    limits of single precision."""
    return logit(np.clip(np.asarray(probabilities, float), 1e-37, 1 - 6e-8))


def edge_band(alpha: np.ndarray) -> np.ndarray:
    """Return (..., H, W) bool, the pixels that the lesion covers partly, and :data:`BAND_PIXELS` on each side.

    Where a fully covered pixel touches a pixel that is not covered at all, both belong to the edge.
    """
    alpha = np.asarray(alpha)
    cross = generate_binary_structure(2, 1).reshape((1,) * (alpha.ndim - 2) + (3, 3))  # images do not touch each other
    inside, outside = alpha >= 1, alpha <= 0
    edge = ~(inside | outside) | (inside & binary_dilation(outside, cross)) | (outside & binary_dilation(inside, cross))
    return binary_dilation(edge, cross, iterations=BAND_PIXELS)


def _pair(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both as float. Raises DataError for images of different sizes, which numpy would repeat."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape[-2:] != b.shape[-2:]:
        raise DataError(f"images of {a.shape[-2:]} pixels cannot be compared with images of {b.shape[-2:]} pixels")
    return a, b


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = _pair(a, b)
    return a - b


def _mean(values: np.ndarray, band: np.ndarray | None) -> np.ndarray:
    band = np.broadcast_to(True if band is None else np.asarray(band, bool), values.shape)
    return ratio(np.where(band, values, 0.0).sum(axis=(-2, -1)), np.count_nonzero(band, axis=(-2, -1)))
