"""Radiomics: pyradiomics' 93 features, without shape, of the pixels inside a binary or a soft mask.

The features that CasGAN (2020, section 4.3) takes, and the regions of one soft mask. The values are those of
pyradiomics 3.0.1 (van Griethuysen et al., Cancer Research 2017), from its feature classes, without its extractor.
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
"""The 93 names, in the order of every table: first order 18, GLCM 24, GLRLM 16, GLSZM 16, GLDM 14, NGTDM 5."""

HU_SHIFT = 2000
"""Added to HU for energy and root mean square, which would take air for bright: pyradiomics' own setting for CT."""

FEWEST_PIXELS = 5
"""Least size of a region: with four pixels of noise, two features are the same whatever the noise; with two, 69."""

LEAST_ALPHA = 0.5 / 255
"""Least alpha that is more than 0 in an image of eight bits, as the papers' soft masks are."""

_FEW = 64  # regions that are done before a second process has started


@dataclass(frozen=True)
class BinCount:
    """A fixed number of bins between a region's least and largest grey level, for images that are not in HU."""

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

    Regions are left out where :func:`checked_values` refuses them or a feature is not finite. The same regions with
    the same bins are extracted once and then taken from the cache.

    Args:
        images: N of (H, W), of any number type and of any sizes.
        masks: N of (H, W) bool, the regions.

    Returns:
        A row of :data:`FEATURES` for each region that has them all, by its number, and why the others have not.
    """
    regions: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # in its bounding box, (h, w) float and (h, w) bool
    reasons: dict[int, str] = {}
    for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
        try:
            values = checked_values(image, mask, bins)
        except DataError as error:
            reasons[i] = str(error)
        else:
            inside = mask[bounding_box(mask)]
            cut = np.zeros(inside.shape)
            cut[inside] = values
            regions[i] = cut, inside

    def build() -> dict[str, np.ndarray]:
        work, jobs = partial(_values, bins=bins), None if len(regions) > _FEW else 1
        rows = map_items(work, list(regions.values()), title="radiomics", unit="region", jobs=jobs)
        return {"values": np.array(rows, float).reshape(len(rows), len(FEATURES))}

    content = [part for image, mask in regions.values() for part in (str(mask.shape), image.tobytes(), mask.tobytes())]
    versions = [f"{name} {package_version(name)}" for name in ("pyradiomics", "numpy")]
    stored = cached_arrays("radiomics", sha256_of(Path(__file__), *versions, repr(bins), *content), build)
    table = pd.DataFrame(stored["values"], index=pd.Index(list(regions), dtype=int), columns=list(FEATURES))
    finite = np.isfinite(table)
    for i in table.index[~finite.all(axis=1)]:
        undefined = ", ".join(table.columns[~finite.loc[i]])
        reasons[i] = f"not defined in this region of {regions[i][1].sum()} pixels: {undefined}"
    return table[finite.all(axis=1)], reasons


def _values(region: tuple[np.ndarray, np.ndarray], bins: Bins) -> list[float]:
    image, mask = region
    return list(feature_values(image[None], mask[None], {**bins.settings, "force2D": True}).values())


def feature_values(image: np.ndarray, mask: np.ndarray, settings: Mapping[str, object]) -> dict[str, float]:
    """Return all :data:`FEATURES` of one region; NaN or infinite where pyradiomics does not define one.

    Args:
        image: (D, H, W) of numbers.
        mask: (D, H, W) bool, not empty.
        settings: pyradiomics' own, such as ``binWidth`` and ``force2D`` (neighbours in the same slice only).
    """
    box = bounding_box(mask)
    voxels = sitk.GetImageFromArray(np.where(mask[box], image[box], 0).astype(float))
    inside = sitk.GetImageFromArray(mask[box].astype(np.uint8))
    logging.getLogger("radiomics").setLevel(logging.CRITICAL)  # what fails is NaN among the values
    values: dict[str, float] = {}
    with warnings.catch_warnings():  # of means over nothing, which give the NaN that is promised
        warnings.simplefilter("ignore", RuntimeWarning)
        for kind, feature_class in _CLASSES.items():
            features = feature_class(voxels, inside, **settings).execute()  # all that are not deprecated
            values |= {f"{kind}_{name}": float(value) for name, value in features.items()}
    return {name: values[name] for name in FEATURES}


def bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """Return the smallest box, one slice for each axis, around a ``mask`` with at least one pixel."""
    return tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in np.nonzero(mask))


def checked_values(image: np.ndarray, mask: np.ndarray, bins: Bins) -> np.ndarray:
    """Return (N,) float, the grey levels of ``image`` (H, W) inside ``mask`` (H, W) bool, row by row.

    Raises:
        DataError: for a region without features, or with constants in their place: of less than
            :data:`FEWEST_PIXELS` pixels, one pixel wide (pyradiomics refuses those as well), or of one bin.
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
    those of all pixels with a > 0, percentiles :func:`quantile`. For alpha of 0 and 1 they are pyradiomics' own;
    energies grow in proportion to alpha, the rest depends on its proportions only.

    Args:
        image: (H, W).
        alpha: (H, W) in [0, 1].
        bins: of the histogram, and c.

    Raises:
        DataError: where :func:`checked_values` refuses the region {alpha > 0}, or few pixels have a weight.
    """
    alpha = np.asarray(alpha, float)
    x, a = checked_values(image, alpha > 0, bins), alpha[alpha > 0]  # (N,) both
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
    """Return weighted quantiles (Q,) of x (N,), which are numpy's where all weights are equal.

    Hyndman and Fan's type 7 with weights, after Akinshin (arXiv 2304.07265): with Kish's effective sample size
    n = (sum w)^2 / sum w^2 and h = q (n - 1), the mean of the weighted quantile function over [h / n, (h + 1) / n].
    A pixel whose weight goes to 0 drops out without a jump.

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


class Regions(NamedTuple):
    """Regions of interest of one soft mask (CasGAN, figure 6), each (H, W) bool."""

    binary: np.ndarray
    soft: np.ndarray
    band: np.ndarray


def regions(alpha: np.ndarray, binary: np.ndarray) -> Regions:
    """Return the binary mask, its union with {alpha > 0 in eight bits}, and what lies between the two.

    The paper prints no threshold; in its figure 6 the soft mask's outline runs around the binary mask's.

    Args:
        alpha: (H, W) in [0, 1].
        binary: (H, W) bool.
    """
    soft = (alpha >= LEAST_ALPHA) | binary
    return Regions(binary, soft, soft & ~binary)


def dilated_to(binary: np.ndarray, area: int) -> np.ndarray:
    """Return (H, W) bool, ``binary`` grown to exactly ``area`` pixels, the nearest first.

    A control of the soft region's size. Of pixels at the same distance, a fixed shuffle decides: taken row by row, the
    last ring would fill up from above.

    Args:
        binary: (H, W) bool with at least one pixel, and at most ``area``.
    """
    outside = np.flatnonzero(~binary)
    distance = distance_transform_edt(~binary).ravel()[outside]
    shuffle = np.random.default_rng(0).permutation(binary.size)[outside]
    grown = binary.copy()
    grown.flat[outside[np.lexsort((shuffle, distance))[: int(area) - np.count_nonzero(binary)]]] = True
    return grown
