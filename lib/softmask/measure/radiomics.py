"""Radiomics: the 93 features of pyradiomics without shape features, inside a binary or a soft mask.

These are the features of CasGAN (2020, section 4.3), and its regions of a soft mask. The values are those of
pyradiomics 3.0.1 (van Griethuysen et al., Cancer Research 2017), computed with its feature classes, not its extractor.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import SimpleITK as sitk
from radiomics import firstorder, glcm, gldm, glrlm, glszm, imageoperations, ngtdm
from scipy.ndimage import distance_transform_edt

from softmask.cache import cached_arrays
from softmask.errors import DataError
from softmask.files import sha256_of
from softmask.machine import package_version
from softmask.parallel import map_items

_CLASSES = {
    "firstorder": firstorder.RadiomicsFirstOrder,
    "glcm": glcm.RadiomicsGLCM,
    "glrlm": glrlm.RadiomicsGLRLM,
    "glszm": glszm.RadiomicsGLSZM,
    "gldm": gldm.RadiomicsGLDM,
    "ngtdm": ngtdm.RadiomicsNGTDM,
}

FEATURES = tuple(
    f"{kind}_{name}"
    for kind, features in _CLASSES.items()
    for name, deprecated in features.getFeatureNames().items()
    if not deprecated
)
"""The 93 feature names, in the order of all tables: first order 18, GLCM 24, GLRLM 16, GLSZM 16, GLDM 14, NGTDM 5."""

HU_SHIFT = 2000
"""Shift added to HU so that air is not bright in energy and root mean square: the setting of pyradiomics for CT."""

FEWEST_PIXELS = 5
"""Smallest size of a region: for four pixels of noise, two features are always the same; for two pixels, 69."""

LEAST_ALPHA = 0.5 / 255
"""Smallest alpha that is above 0 in an 8-bit image, the format of the papers' soft masks."""

_FEW = 64  # number of regions that are finished before a second process has started


@dataclass(frozen=True)
class BinCount:
    """Fixed number of bins between the smallest and the largest grey level of a region, for images not in HU."""

    count: int = 32

    @property
    def settings(self) -> dict[str, float]:
        return {"binCount": self.count, "voxelArrayShift": 0}

    def one_bin(self, values: np.ndarray) -> bool:
        """Return whether ``values`` (N,) fall into one bin, or into bins that rounding would merge."""
        return np.ptp(values) <= 4 * self.count * np.spacing(np.abs(values).max())


@dataclass(frozen=True)
class BinWidth:
    """Bins of a fixed width in HU, with an edge at 0: a bin means the same tissue in every CT image."""

    width: float = 25

    @property
    def settings(self) -> dict[str, float]:
        return {"binWidth": self.width, "voxelArrayShift": HU_SHIFT}

    def one_bin(self, values: np.ndarray) -> bool:
        """Return whether ``values`` (N,) fall into one bin."""
        return values.max() // self.width == values.min() // self.width


Bins = BinCount | BinWidth


def extract(
    images: Sequence[np.ndarray], masks: Sequence[np.ndarray], bins: Bins
) -> tuple[pd.DataFrame, dict[int, str]]:
    """Return the 93 features of one region in each image: texture in 2D, neighbours at distance 1, spacing 1.

    Regions that :func:`checked_values` rejects, or with a feature that is not finite, are left out. The features of the
    same regions with the same bins are computed once and then read from the cache.

    Args:
        images: N arrays (H, W), of any numeric type and any sizes.
        masks: N arrays (H, W) bool, the regions.

    Returns:
        Table of :data:`FEATURES` of each complete region, and reasons why others are left out, both by region number.
    """
    regions: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # cropped to bounding boxes: (h, w) float, (h, w) bool
    reasons: dict[int, str] = {}
    for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
        try:
            values = checked_values(image, mask, bins)
        except DataError as error:
            reasons[i] = str(error)
        else:
            cropped_mask = mask[bounding_box(mask)]
            cropped_image = np.zeros(cropped_mask.shape)
            cropped_image[cropped_mask] = values
            regions[i] = cropped_image, cropped_mask

    def build() -> dict[str, np.ndarray]:
        extract_values, jobs = partial(_values, bins=bins), None if len(regions) > _FEW else 1
        rows = map_items(extract_values, list(regions.values()), title="radiomics", unit="region", jobs=jobs)
        return {"values": np.array(rows, float).reshape(len(rows), len(FEATURES))}

    content = [part for image, mask in regions.values() for part in (str(mask.shape), image.tobytes(), mask.tobytes())]
    versions = [f"{name} {package_version(name)}" for name in ("pyradiomics", "numpy")]
    arrays = cached_arrays("radiomics", sha256_of(Path(__file__), *versions, repr(bins), *content), build)
    table = pd.DataFrame(arrays["values"], index=pd.Index(list(regions), dtype=int), columns=list(FEATURES))
    finite = np.isfinite(table)
    for i in table.index[~finite.all(axis=1)]:
        undefined = ", ".join(table.columns[~finite.loc[i]])
        reasons[i] = f"not defined in this region of {regions[i][1].sum()} pixels: {undefined}"
    return table[finite.all(axis=1)], reasons


def _values(region: tuple[np.ndarray, np.ndarray], bins: Bins) -> list[float]:
    image, mask = region
    return list(feature_values(image[None], mask[None], {**bins.settings, "force2D": True}).values())


def feature_values(image: np.ndarray, mask: np.ndarray, settings: Mapping[str, object]) -> dict[str, float]:
    """Return all :data:`FEATURES` of one region; NaN or infinite where pyradiomics does not define a feature.

    Args:
        image: (D, H, W) of numbers.
        mask: (D, H, W) bool, not empty.
        settings: settings of pyradiomics, such as ``binWidth`` and ``force2D`` (neighbours in the same slice only).
    """
    box = bounding_box(mask)
    voxels = sitk.GetImageFromArray(np.where(mask[box], image[box], 0).astype(float))
    region = sitk.GetImageFromArray(mask[box].astype(np.uint8))
    logging.getLogger("radiomics").setLevel(logging.CRITICAL)  # features that fail are NaN
    values: dict[str, float] = {}
    with warnings.catch_warnings():  # means of empty arrays give NaN and a warning
        warnings.simplefilter("ignore", RuntimeWarning)
        for kind, feature_class in _CLASSES.items():
            features = feature_class(voxels, region, **settings).execute()  # all that are not deprecated
            values |= {f"{kind}_{name}": float(value) for name, value in features.items()}
    return {name: values[name] for name in FEATURES}


def bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """Return the smallest box, one slice for each axis, around a ``mask`` with at least one pixel."""
    return tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in np.nonzero(mask))


def checked_values(image: np.ndarray, mask: np.ndarray, bins: Bins) -> np.ndarray:
    """Return (N,) float, the grey levels of ``image`` (H, W) inside ``mask`` (H, W) bool, row by row.

    Raises:
        DataError: for a region whose features are undefined or constant: with fewer than :data:`FEWEST_PIXELS`
            pixels, one pixel wide (also rejected by pyradiomics), or with all grey levels in one bin.
    """
    values = image[mask].astype(float)
    if len(values) < FEWEST_PIXELS:
        raise DataError(f"the region is too small: {len(values)} of at least {FEWEST_PIXELS} pixels")
    height, width = mask[bounding_box(mask)].shape
    if min(height, width) < 2:
        raise DataError(f"the region is a line of {height} x {width} pixels, which has texture in one direction only")
    if bins.one_bin(values):
        raise DataError(f"the region is constant: its grey levels, {values.min():g} to {values.max():g}, are one bin")
    return values


def soft_first_order(image: np.ndarray, alpha: np.ndarray, bins: Bins) -> dict[str, float]:
    """Return the 18 first-order features with weights a = alpha (beyond the paper), ordered as in :data:`FEATURES`.

    With A = sum a, mean m = sum a x / A and central moments m_k = sum a (x - m)^k / A: variance m_2, skewness
    m_3 / m_2^1.5, kurtosis m_4 / m_2^2 (3 for a Gaussian), mean absolute deviation sum a |x - m| / A (the robust one
    over the pixels between the 10th and the 90th percentile, around their mean), energy sum a (x + c)^2, root mean
    square sqrt(energy / A); entropy (bits) and uniformity of the histogram of weights. Minimum, maximum and range are
    those of all pixels with a > 0, percentiles those of :func:`quantile`. If alpha is 0 or 1, the values are those of
    pyradiomics. Energies are proportional to alpha; the other features do not change if alpha is scaled.

    Args:
        image: (H, W).
        alpha: (H, W) in [0, 1].
        bins: bins of the histogram; they also set the shift c.

    Raises:
        DataError: if :func:`checked_values` rejects the region {alpha > 0}, or too few pixels have a weight.
    """
    alpha = np.asarray(alpha, float)
    x, a = checked_values(image, alpha > 0, bins), alpha[alpha > 0]  # (N,) each
    settings = bins.settings
    energy = np.sum(a * (x + settings["voxelArrayShift"]) ** 2)
    mean = np.average(x, weights=a)
    m2, m3, m4 = (np.average((x - mean) ** k, weights=a) for k in (2, 3, 4))
    p10, p25, median, p75, p90 = quantile(x, a, (0.1, 0.25, 0.5, 0.75, 0.9))
    core = (x >= p10) & (x <= p90)
    if not core.any():
        raise DataError("no pixel lies between the 10th and the 90th percentile: too few of them have a weight")
    core_mean = np.average(x[core], weights=a[core])
    p = np.bincount(np.digitize(x, imageoperations.getBinEdges(x, **settings)), weights=a) / a.sum()
    values = {
        "10Percentile": p10,
        "90Percentile": p90,
        "Energy": energy,
        "Entropy": -np.sum(p * np.log2(p + np.spacing(1))),  # as pyradiomics does
        "InterquartileRange": p75 - p25,
        "Kurtosis": m4 / m2**2,
        "Maximum": x.max(),
        "MeanAbsoluteDeviation": np.average(np.abs(x - mean), weights=a),
        "Mean": mean,
        "Median": median,
        "Minimum": x.min(),
        "Range": np.ptp(x),
        "RobustMeanAbsoluteDeviation": np.average(np.abs(x[core] - core_mean), weights=a[core]),
        "RootMeanSquared": np.sqrt(energy / a.sum()),
        "Skewness": m3 / m2**1.5,
        "TotalEnergy": energy,
        "Uniformity": np.sum(p**2),
        "Variance": m2,
    }
    return {f"firstorder_{name}": float(value) for name, value in values.items()}


def quantile(x: np.ndarray, weights: np.ndarray, q: tuple[float, ...]) -> np.ndarray:
    """Return weighted quantiles (Q,) of x (N,); for equal weights, they are those of numpy.

    Hyndman and Fan's type 7 with weights, after Akinshin (arXiv 2304.07265): with Kish's effective sample size
    n = (sum w)^2 / sum w^2 and h = q (n - 1), the mean of the weighted quantile function over [h / n, (h + 1) / n].
    The result changes continuously as the weight of a pixel goes to 0.

    Args:
        weights: (N,), positive.
        q: in [0, 1].
    """
    order = np.argsort(x, kind="stable")
    x, weights = x[order], weights[order] / weights.sum()
    n = 1 / np.sum(weights**2)
    edges = np.concatenate([[0.0], np.cumsum(weights)])  # (N + 1,), ends of the steps of that function
    edges[-1] = 1.0
    start = np.asarray(q)[:, None] * (n - 1) / n  # (Q, 1)
    share = np.diff(np.clip((edges - start) * n, 0, 1), axis=1)  # (Q, N), share of the interval in each step
    return share @ x


class Regions(NamedTuple):
    """Regions of interest of one soft mask (CasGAN, figure 6), each (H, W) bool."""

    binary: np.ndarray
    soft: np.ndarray
    band: np.ndarray


def regions(alpha: np.ndarray, binary: np.ndarray) -> Regions:
    """Return the binary mask, its union with {alpha > 0 in 8 bits}, and the band between the two.

    The paper prints no threshold; in its figure 6, the outline of the soft mask surrounds that of the binary mask.

    Args:
        alpha: (H, W) in [0, 1].
        binary: (H, W) bool.
    """
    soft = (alpha >= LEAST_ALPHA) | binary
    return Regions(binary, soft, soft & ~binary)


def dilated_to(binary: np.ndarray, area: int) -> np.ndarray:
    """Return (H, W) bool, ``binary`` grown to exactly ``area`` pixels, nearest pixels first.

    A control for the soft region's size. Equally distant pixels are added in a fixed random order, not from the top.

    Args:
        binary: (H, W) bool with at least one and at most ``area`` pixels.
    """
    outside = np.flatnonzero(~binary)
    distance = distance_transform_edt(~binary).ravel()[outside]
    shuffle = np.random.default_rng(0).permutation(binary.size)[outside]
    grown = binary.copy()
    grown.flat[outside[np.lexsort((shuffle, distance))[: int(area) - np.count_nonzero(binary)]]] = True
    return grown
