"""What a CT scanner does to the object: point-spread blur and correlated noise.

The point-spread function is Gaussian. The noise is Gaussian with the power spectrum of filtered back-projection,
``NPS(f) ~ f exp(-(f / f0)^2)``: a ramp from the back-projection, rolled off by the reconstruction kernel
(Riederer, Pelc and Chesler, "The noise power spectrum in computed X-ray tomography", Phys. Med. Biol. 23, 1978).
"""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from scipy import fft, ndimage

AIR_HU, LARGEST_HU = -1024.0, 3071.0
"""What 12 bits of CT hold; values beyond are clipped."""


class Scanner(NamedTuple):
    """One acquisition."""

    psf_mm: float  # standard deviation of the point-spread function
    noise_hu: float  # standard deviation of the noise
    noise_frequency: float  # f0 of the noise spectrum in cycles per mm; the spectrum peaks at f0 / sqrt(2)


class Setting(NamedTuple):
    """A site's range of acquisitions, from which each patient's scanner is drawn (uniformly)."""

    psf_mm: tuple[float, float]
    noise_hu: tuple[float, float]
    noise_frequency: tuple[float, float]

    def draw(self, rng: Generator) -> Scanner:
        """Return one patient's scanner: a smoother kernel goes with less noise of lower frequency, as in the clinic."""
        smooth, dose = rng.uniform(), rng.uniform()  # 0 sharp, 1 smooth; 0 low, 1 high
        (sharpest, smoothest), (least, most), (low, high) = self
        noise_hu = most - (0.6 * smooth + 0.4 * dose) * (most - least)
        return Scanner(sharpest + smooth * (smoothest - sharpest), noise_hu, high - smooth * (high - low))


SETTINGS = {
    # psf_mm, noise_hu, noise_frequency
    "lidc": Setting((0.35, 0.65), (15.0, 45.0), (0.35, 0.7)),
    "lnsm": Setting((0.55, 0.85), (15.0, 30.0), (0.25, 0.45)),
    "lidc-lung": Setting((0.38, 0.75), (15.0, 45.0), (0.3, 0.65)),
    "qin-lung": Setting((0.5, 0.8), (15.0, 28.0), (0.25, 0.5)),
}
"""Settings of each data set: of nodules and of whole lungs two sites each, the second smoother and with less noise."""


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Return ``image`` convolved with a Gaussian of ``sigma`` pixels; the border is continued by its own values."""
    return ndimage.gaussian_filter(image, sigma, mode="nearest", truncate=4.0)


def noise_spectrum(shape: tuple[int, int], spacing: float, frequency: float) -> np.ndarray:
    """Return the (H, W // 2 + 1) noise power at the frequencies of ``rfft2``, scaled to a pixel variance of 1."""
    rows = fft.fftfreq(shape[0], spacing)[:, None]
    columns = fft.rfftfreq(shape[1], spacing)[None, :]
    f = np.hypot(rows, columns)
    power = f * np.exp(-((f / frequency) ** 2))
    # columns other than the first (and the last, where the width is even) stand for two frequencies each
    weight = np.full(columns.shape, 2.0)
    weight[:, 0] = 1.0
    if shape[1] % 2 == 0:
        weight[:, -1] = 1.0
    return power / ((power * weight).sum() / (shape[0] * shape[1]))


def noise(shape: tuple[int, int], spacing: float, scanner: Scanner, rng: Generator) -> np.ndarray:
    """Return (H, W) float32 noise in HU with the scanner's deviation and spectrum; ``spacing`` in mm."""
    white = fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    filtered = white * np.sqrt(noise_spectrum(shape, spacing, scanner.noise_frequency)).astype(np.float32)
    return fft.irfft2(filtered, s=shape).astype(np.float32) * np.float32(scanner.noise_hu)


def scan(hu: np.ndarray, spacing: float, scanner: Scanner, rng: Generator) -> np.ndarray:
    """Return the image of an object: blurred, noisy and clipped to what CT stores; (H, W) float32 HU."""
    seen = blur(hu.astype(np.float32), scanner.psf_mm / spacing) + noise(hu.shape, spacing, scanner, rng)
    return np.clip(seen, AIR_HU, LARGEST_HU).astype(np.float32)
