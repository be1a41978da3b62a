"""Measures of an upscaled image against a reference of the same size: error, structure, sharpness, fine texture.

Every measure takes images (..., H, W) of one shape, grey values in [0, 1], and returns shape (...), a scalar for
(H, W). Errors of single pixels favour smooth images; sharpness and texture show the cost of smoothness.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.ndimage import distance_transform_edt

from softmask.measure.soft import edge_band
from softmask.measure.statistics import ratio

SCALE = 4
"""Scale factor from the low resolution to that of the images, along each axis."""

INTERPOLATIONS = ("bilinear", "bicubic")
"""Interpolations that serve as the baseline of any upscaling."""

_ROUNDING = 1 / 12 / 255**2  # power, at every frequency, of the error of rounding to 256 grey levels


def psnr(images: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Return the peak signal-to-noise ratio 10 log10(1 / MSE) in dB, over all pixels; infinite for equal images."""
    error = ((np.asarray(images, float) - np.asarray(references, float)) ** 2).mean(axis=(-2, -1))
    with np.errstate(divide="ignore"):
        return -10 * np.log10(error)[()]


def ssim(images: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Return the structural similarity of Wang et al. (2004), at most 1: the mean over all 11 x 11 windows, Gaussian
    with sigma 1.5, K1 = 0.01, K2 = 0.03. Images have at least 11 pixels on each side."""
    from skimage.metrics import structural_similarity

    options = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    similarity = np.vectorize(partial(structural_similarity, **options), [float], signature="(h,w),(h,w)->()")
    return similarity(np.asarray(images, float), np.asarray(references, float))[()]


def sharpness(images: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Return the root mean square length of the gradient (central differences) in ``region``, per pixel.

    Gradients that are not squared would not show blur: across an edge of any width, they add up to its height.

    Args:
        region: (..., H, W) bool, the pixels that count; without any, the result is NaN.
    """
    rows, columns = np.gradient(np.asarray(images, float), axis=(-2, -1))
    total = np.where(region, rows**2 + columns**2, 0).sum(axis=(-2, -1))
    return np.sqrt(ratio(total, region.sum(axis=(-2, -1))))


def spectrum(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies (K,) in cycles per pixel and the radially averaged power (..., K) at each frequency.

    The mean is subtracted, and a Hann window is applied. The power of white noise is its variance at every frequency.
    Frequencies run from two cycles over the smaller side (the windowed mean affects lower ones) to 0.5 (Nyquist).
    """
    images = np.asarray(images, float)
    height, width = images.shape[-2:]
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[None, 1:-1]
    mean = (images * window).sum(axis=(-2, -1), keepdims=True) / window.sum()
    power = np.abs(np.fft.fft2((images - mean) * window)) ** 2 / (window**2).sum()
    size = min(height, width)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    ring = np.rint(frequency * size).astype(int).ravel()
    rings = np.arange(2, size // 2 + 1)
    totals = np.array([np.bincount(ring, image.ravel())[rings] for image in power.reshape(-1, height, width)])
    return rings / size, (totals / np.bincount(ring)[rings]).reshape(*images.shape[:-2], len(rings))


def texture_distance(images: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Return the mean |log10 ratio| of the spectra of fine texture, in decades.

    The mean is over frequencies above the Nyquist frequency of the low resolution, 0.5 / :data:`SCALE` cycles per
    pixel. It is 0 for equal power, whatever the phases, and 1 for ten times too much or too little power. Power below
    that of rounding to 256 grey levels is raised to it.
    """
    frequencies, power = spectrum(np.stack([images, references]))
    enlarged, reference = np.log10(np.maximum(power[..., frequencies > 0.5 / SCALE], _ROUNDING))
    return np.abs(enlarged - reference).mean(axis=-1)


def measure_upscaled(upscaled: np.ndarray, reference: np.ndarray, masks: np.ndarray) -> dict[str, np.ndarray]:
    """Return all measures of N upscaled images, each an array (N,), by name.

    ``psnr`` in dB, ``ssim``, ``sharpness`` in the edge band of the lesion, divided by that of the reference (1: as
    sharp; NaN without an edge), ``texture`` (:func:`texture_distance`) in decades.

    Args:
        upscaled, reference: (N, H, W) in [0, 1].
        masks: (N, H, W) bool or in [0, 1], the lesion.
    """
    band = edge_band(masks)
    return {
        "psnr": psnr(upscaled, reference),
        "ssim": ssim(upscaled, reference),
        "sharpness": ratio(sharpness(upscaled, band), sharpness(reference, band)),
        "texture": texture_distance(upscaled, reference),
    }


def interpolate(low: np.ndarray, method: str) -> np.ndarray:
    """Return ``low`` (N, H, W) enlarged :data:`SCALE` times by one of :data:`INTERPOLATIONS`, clipped to [0, 1].

    As in PyTorch, pixels are areas (``align_corners=False``), and the parameter of the cubic is -0.75.
    """
    import torch
    from torch.nn.functional import interpolate as enlarged

    batch = torch.from_numpy(np.ascontiguousarray(low, float))[:, None]
    return enlarged(batch, scale_factor=SCALE, mode=method, align_corners=False)[:, 0].clamp(0, 1).numpy()


def measure_interpolated(low: np.ndarray, reference: np.ndarray, masks: np.ndarray) -> dict[str, np.ndarray]:
    """Return :func:`measure_upscaled` of each of :data:`INTERPOLATIONS` of ``low`` (N, H / 4, W / 4), named
    ``psnr_bilinear`` and so on."""
    return {
        f"{name}_{method}": values
        for method in INTERPOLATIONS
        for name, values in measure_upscaled(interpolate(low, method), reference, masks).items()
    }


def edge_profile(images: np.ndarray, masks: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean grey value by distance from the outline of each image's mask.

    Args:
        masks: (..., H, W) bool.
        reach: largest distance, in pixels, on each side.

    Returns:
        (2 reach,) distances in pixels, negative inside: the middles of bins one pixel wide; (..., 2 reach) mean grey
        values, NaN where no pixel is that far from the outline, and for a mask that is empty or covers the image.
    """

    def profile(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        # distances are to pixel centres, half a pixel beyond the outline
        distance = np.where(mask, 0.5 - distance_transform_edt(mask), distance_transform_edt(~mask) - 0.5)
        bin_index = np.floor(distance).astype(int) + reach
        in_reach = (bin_index >= 0) & (bin_index < 2 * reach) & (mask.any() and not mask.all())
        count = np.bincount(bin_index[in_reach], None, 2 * reach)
        total = np.bincount(bin_index[in_reach], image[in_reach], 2 * reach)
        return ratio(total, count)

    profiles = np.vectorize(profile, [float], signature="(h,w),(h,w)->(k)")(np.asarray(images, float), masks)
    return np.arange(-reach, reach) + 0.5, profiles
