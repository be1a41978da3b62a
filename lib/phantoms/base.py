"""Shared parts of all simulated data sets: random generators seeded by names, geometry, and the CT scanner.

Outlines are signed distances in pixels, negative inside. A window of H x W pixels is drawn on S*H x S*W sub-pixels; the
mean over the sub-pixels of a pixel is its covered fraction.

A scanner blurs the object with a Gaussian point-spread function and adds Gaussian noise with the power spectrum of
filtered back-projection, ``NPS(f) ~ f exp(-(f / f0)^2)``: a ramp, rolled off by the reconstruction kernel (Riederer,
Pelc and Chesler, Phys. Med. Biol. 23, 1978).
"""

import hashlib
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from scipy import fft, ndimage

from softmask.cache import code_digest, digest_of_code
from softmask.data.outlines import fill
from softmask.data.sample import Dataset
from softmask.distance import distance_inside
from softmask.files import sha256_of

SUPERSAMPLING = 4
"""Number of sub-pixels per pixel along each axis."""

Window = tuple[int, int, int, int]
"""(first row, first column, height, width) in the frame of the outlines."""

Outlines = Sequence[tuple[bool, np.ndarray]]
"""Contours of one reader in one slice: (inclusion, (N, 2) points), where a point is (row, column)."""

LEAST_HU, LARGEST_HU = -1024.0, 3071.0
"""Range of CT values in 12 bits; values outside are clipped."""


def generator(*names: object) -> Generator:
    """Return a generator seeded by the SHA-256 of ``names`` (as text), so that a sample is the same on every machine,
    regardless of the samples read before."""
    digest = hashlib.sha256("\x1f".join(map(str, names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


@cache
def simulation_digest() -> str:
    """Return the hex digest of all code that affects simulated images, computed once per process."""
    return sha256_of(code_digest("data"), digest_of_code(Path(__file__).parent))


class Embedded(Dataset):
    """A simulated data set."""

    source = "embedded"

    def __init__(self, name: str, *content: str) -> None:
        super().__init__(name)
        self.fingerprint = sha256_of(*content, name, simulation_digest())

    def __reduce__(self) -> tuple:  # another process opens the data set by its name, once
        return _opened, (type(self), self.name)


@lru_cache(maxsize=4)
def _opened(kind: type[Embedded], name: str) -> Embedded:
    return kind(name)


def subpixel_centres(window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Return (S*H, 1) rows and (1, S*W) columns of the sub-pixel centres, float32."""
    row, column, height, width = window
    rows = row - 0.5 + (np.arange(SUPERSAMPLING * height, dtype=np.float32) + 0.5) / SUPERSAMPLING
    columns = column - 0.5 + (np.arange(SUPERSAMPLING * width, dtype=np.float32) + 0.5) / SUPERSAMPLING
    return rows[:, None], columns[None, :]


def block_mean(fine: np.ndarray, factor: int = SUPERSAMPLING) -> np.ndarray:
    """Return the mean over each pixel's sub-pixels: (factor*H, factor*W) -> (H, W), same dtype."""
    height, width = fine.shape[0] // factor, fine.shape[1] // factor
    # summing slices of the narrow axis first is several times faster than a mean over two strided axes
    rows = fine.reshape(height, factor, -1).sum(axis=1)
    return rows.reshape(height, width, factor).sum(axis=2) / fine.dtype.type(factor * factor)


def signed_distance(inside: np.ndarray) -> np.ndarray:
    """Return the distance (H, W) float32 of each pixel centre to the border of ``inside`` (H, W) bool, negative inside;
    without a border, its absolute value is H + W."""
    if inside.all() or not inside.any():
        far = np.float32(sum(inside.shape))
        return np.full(inside.shape, -far if inside.all() else far)
    # the transform measures distances to pixel centres; the border is half a pixel closer
    return distance_inside(~inside) - distance_inside(inside) + np.where(inside, np.float32(0.5), np.float32(-0.5))


def outline_distance(outlines: Outlines, area: float, window: Window) -> np.ndarray:
    """Return the signed distance (S*H, S*W) float32 to one reader's lesion within ``window``.

    LIDC contours are the first pixels outside, so the polygon through them is up to a pixel too large; the distance is
    shifted so that the lesion has the ``area`` of the reader's pixel mask.
    """
    row, column, height, width = window
    shape = (SUPERSAMPLING * height, SUPERSAMPLING * width)
    lesion, holes = np.zeros(shape, bool), np.zeros(shape, bool)
    for inclusion, points in outlines:
        fine = (np.asarray(points, float) - (row, column) + 0.5) * SUPERSAMPLING - 0.5
        target = lesion if inclusion else holes
        target |= fill(fine, shape)
    return with_area(signed_distance(lesion & ~holes) / SUPERSAMPLING, area)


def with_area(distance: np.ndarray, area: float) -> np.ndarray:
    """Return ``distance`` shifted so that the inside covers ``area`` pixels."""
    count = round(area * SUPERSAMPLING**2)
    count = min(max(count, 1), distance.size - 1)
    below, above = np.partition(distance.ravel(), (count - 1, count))[count - 1 : count + 1]
    level = (below + above) / 2
    if below == above:  # tied values are all inside or all outside, whichever area is closer to ``area``
        fewer, more = np.count_nonzero(distance < below), np.count_nonzero(distance <= below)
        level = below if fewer > 0 and count - fewer < more - count else np.nextafter(below, np.float32(np.inf))
    return distance - np.float32(level)


def mean_outline(distances: Sequence[np.ndarray], areas: Sequence[float]) -> np.ndarray:
    """Return the signed distance to the readers' mean outline: mean of the distances, at their geometric mean area (the
    zero level of a plain mean may be empty where readers hardly overlap)."""
    mean = distances[0] if len(distances) == 1 else np.mean(distances, axis=0, dtype=np.float32)
    return with_area(mean, float(np.exp(np.mean(np.log(areas)))))


def join(parts: Sequence):
    """Return a dataclass of arrays with the arrays of all ``parts`` concatenated."""
    return type(parts[0])(*map(np.concatenate, zip(*(vars(part).values() for part in parts), strict=True)))


def smooth_field(shape: tuple[int, int], scale: float, rng: Generator) -> np.ndarray:
    """Return a field (H, W) float32 with mean about 0 and standard deviation about 1: noise every ``scale`` pixels,
    interpolated cubically."""
    scale = max(scale, 1.0)
    coarse = [int(np.ceil(size / scale)) + 3 for size in shape]
    noise = rng.standard_normal(coarse, dtype=np.float32)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(2)  # the last digits depend on the number of threads: use two on every machine
    try:
        large = cv2.resize(noise, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    finally:
        cv2.setNumThreads(threads)
    row, column = (rng.integers(0, large.shape[k] - shape[k] + 1) for k in (0, 1))
    # cubic interpolation between independent values keeps this fraction of their variance along each axis
    return large[row : row + shape[0], column : column + shape[1]] / np.float32(0.8571)


def support(distance: np.ndarray, window: Window, direction: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return the centroid (row, column) in frame pixels, the extent from the centroid along the unit vector
    ``direction``, and the radius of the circle of the same area."""
    rows, columns = subpixel_centres(window)
    at_row, at_column = np.nonzero(distance < 0)
    points = np.column_stack([rows[at_row, 0], columns[0, at_column]])
    centre = points.mean(axis=0)
    extent = float(((points - centre) @ direction).max())
    return centre, extent, float(np.sqrt(len(points) / np.pi) / SUPERSAMPLING)


SETTINGS = {
    # minimum and maximum of psf_mm, noise_hu and noise_frequency
    "lidc": ((0.35, 0.65), (15.0, 45.0), (0.35, 0.7)),
    "lnsm": ((0.55, 0.85), (15.0, 30.0), (0.25, 0.45)),
    "lidc-lung": ((0.38, 0.75), (15.0, 45.0), (0.3, 0.65)),
    "qin-lung": ((0.5, 0.8), (15.0, 28.0), (0.25, 0.5)),
}
"""Scanner settings of each data set; ``lnsm`` and ``qin-lung``, the second sites, are smoother, with less noise."""


class Scanner(NamedTuple):
    """Settings of one acquisition."""

    psf_mm: float  # standard deviation of the point-spread function
    noise_hu: float  # standard deviation of the noise
    noise_frequency: float  # f0 of the noise spectrum in cycles per mm; the spectrum peaks at f0 / sqrt(2)

    @classmethod
    def draw(cls, dataset: str, rng: Generator) -> "Scanner":
        """Return the scanner of one patient: a smoother kernel has less noise, of lower frequency."""
        smooth, dose = rng.uniform(), rng.uniform()  # 0 sharp, 1 smooth; 0 low, 1 high
        (sharpest, smoothest), (least, most), (low, high) = SETTINGS[dataset]
        noise_hu = most - (0.6 * smooth + 0.4 * dose) * (most - least)
        return cls(sharpest + smooth * (smoothest - sharpest), noise_hu, high - smooth * (high - low))


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Return ``image`` convolved with a Gaussian of ``sigma`` pixels, with repeated borders."""
    return ndimage.gaussian_filter(image, sigma, mode="nearest", truncate=4.0)


def noise(shape: tuple[int, int], spacing: float, scanner: Scanner, rng: Generator) -> np.ndarray:
    """Return (H, W) float32 noise in HU; ``spacing`` in mm, W even."""
    rows = fft.fftfreq(shape[0], spacing)[:, None]
    columns = fft.rfftfreq(shape[1], spacing)[None, :]
    f = np.hypot(rows, columns)
    power = f * np.exp(-((f / scanner.noise_frequency) ** 2))
    weight = np.full(columns.shape, 2.0)  # columns other than the first and the last stand for two frequencies each
    weight[:, [0, -1]] = 1.0
    power = power / ((power * weight).sum() / (shape[0] * shape[1]))  # normalised to a pixel variance of 1
    white = fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    filtered = white * np.sqrt(power).astype(np.float32)
    return fft.irfft2(filtered, s=shape).astype(np.float32) * np.float32(scanner.noise_hu)


def scan(hu: np.ndarray, spacing: float, scanner: Scanner, rng: Generator) -> np.ndarray:
    """Return the image of an object: blurred, noisy and clipped to the range of CT; (H, W) float32 HU."""
    seen = blur(hu.astype(np.float32), scanner.psf_mm / spacing) + noise(hu.shape, spacing, scanner, rng)
    return np.clip(seen, LEAST_HU, LARGEST_HU).astype(np.float32)
