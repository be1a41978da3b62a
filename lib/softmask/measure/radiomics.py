"""Radiomics: pyradiomics' 93 features, without shape, of the pixels inside a binary or a soft mask.

The features that CasGAN (2020, section 4.3) takes from pyradiomics, over many regions of interest, and the regions of
one soft mask. The values are those of pyradiomics 3.0.1 (van Griethuysen et al., "Computational radiomics system to
decode the radiographic phenotype", Cancer Research 2017), from its own feature classes, called without its extractor.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
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
from softmask.errors import DataError, brief
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

MOST_LEVELS = 1000
"""Most grey levels of a region. CT has 164 of 25 HU; a co-occurrence matrix has their square."""

HU_SHIFT = 2000
"""Added to HU for energy and root mean square, which would take air for bright: pyradiomics' own setting for CT."""

FEWEST_PIXELS = 5
"""Least size of a region. In a round region of fewer pixels, filled with noise, some features are the same whatever the
noise: two with four pixels, ten with three, 69 with two, of which the robust mean absolute deviation is undefined."""

LARGEST = 1e70
"""Up to here the fourth power of a grey level is finite."""

LEAST_ALPHA = 0.5 / 255
"""From here on alpha is more than 0 in an image of eight bits, as which the papers keep their soft masks."""

_FEW = 64  # regions that are done before a second process has started


@dataclass(frozen=True)
class BinCount:
    """A fixed number of bins between a region's least and largest grey level, for images that are not in HU.

    Such grey levels (LIDC-IDRI-slices stretches every slice to its own minimum and maximum) have no unit that a width
    could be given in: what can be compared between images is how they are distributed within a region.
    """

    count: int = 32

    @property
    def settings(self) -> dict[str, float]:
        """What pyradiomics calls it."""
        return {"binCount": self.count, "voxelArrayShift": 0}

    def levels(self, values: np.ndarray) -> float:
        """How many bins lie between the least and the largest of ``values`` (N,): 1 where there is nothing to cut."""
        flat = np.ptp(values) <= 4 * self.count * np.spacing(np.abs(values).max())  # bins that rounding would merge
        return 1 if flat else self.count


@dataclass(frozen=True)
class BinWidth:
    """Bins of a fixed width, in HU, with an edge at 0, for CT in HU: a bin means the same tissue in every image.

    25 HU is pyradiomics' default and, with :data:`HU_SHIFT`, the setting behind its own baseline values.
    """

    width: float = 25

    @property
    def settings(self) -> dict[str, float]:
        """What pyradiomics calls it."""
        return {"binWidth": self.width, "voxelArrayShift": HU_SHIFT}

    def levels(self, values: np.ndarray) -> float:
        """How many bins lie between the least and the largest of ``values`` (N,)."""
        return float(values.max() // self.width - values.min() // self.width + 1)


Bins = BinCount | BinWidth


@dataclass(frozen=True, eq=False)
class Features:
    """What :func:`extract` found.

    Attributes:
        table: one row for each region that has features, by its position in what was given, with the columns
            :data:`FEATURES`, all finite.
        left_out: ``position``, ``name`` and ``reason`` of every other region, in order.
    """

    table: pd.DataFrame
    left_out: pd.DataFrame


def extract(
    images: Iterable[np.ndarray],
    masks: Iterable[np.ndarray],
    *,
    bins: Bins,
    names: Sequence[str] | None = None,
    jobs: int | None = None,
    progress: bool = True,
) -> Features:
    """Return the 93 features of one region in each image: texture in 2D, neighbours at distance 1, spacing 1.

    Without spacing ``firstorder_TotalEnergy`` equals ``firstorder_Energy``. Regions are left out, with the reason,
    where :func:`checked_values` refuses them or a feature is not finite. The same regions with the same bins are
    extracted once and then taken from the cache.

    Args:
        images: N of (H, W), of any number type and of any sizes.
        masks: N of (H, W) bool, the regions.
        bins: :class:`BinCount` for images that are not in HU, :class:`BinWidth` for HU.
        names: N, for what is left out; default the position.
        jobs: processes; default all cores.
        progress: whether to show a bar.
    """
    regions: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # in its bounding box, (h, w) float and (h, w) bool
    reasons: dict[int, str] = {}
    for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
        try:
            values = checked_values(image, mask, bins)
        except DataError as error:
            reasons[i] = str(error)
        else:
            inside = np.asarray(mask)[bounding_box(mask)]
            cut = np.zeros(inside.shape)
            cut[inside] = values
            regions[i] = cut, inside

    def build() -> dict[str, np.ndarray]:
        rows = map_items(
            partial(_values, bins=bins),
            list(regions.values()),
            title="radiomics",
            unit="region",
            jobs=jobs if len(regions) > _FEW else 1,
            show=progress,
        )
        values = np.array([row for row, _ in rows], float).reshape(len(rows), len(FEATURES))
        return {"values": values, "reasons": np.array([why for _, why in rows], dtype=str)}

    content = [part for image, mask in regions.values() for part in (str(mask.shape), image.tobytes(), mask.tobytes())]
    versions = [f"{name} {package_version(name)}" for name in ("pyradiomics", "numpy")]
    stored = cached_arrays("radiomics", sha256_of(Path(__file__), *versions, repr(bins), *content), build)
    reasons |= {i: str(why) for i, why in zip(regions, stored["reasons"], strict=True) if why}
    table = pd.DataFrame(stored["values"], index=pd.Index(list(regions), dtype=int), columns=list(FEATURES))
    left_out = [(i, str(i) if names is None else names[i], reasons[i]) for i in sorted(reasons)]
    return Features(
        table.loc[[i for i in regions if i not in reasons]],
        pd.DataFrame(left_out, columns=["position", "name", "reason"]),
    )


def _values(region: tuple[np.ndarray, np.ndarray], *, bins: Bins) -> tuple[list[float], str]:
    """The features of one region, in order, and if they cannot be used, why."""
    image, mask = region
    try:
        values = feature_values(image[None], mask[None], {**bins.settings, "force2D": True})
    except DataError as error:
        return [np.nan] * len(FEATURES), str(error)
    undefined = [name for name, value in values.items() if not np.isfinite(value)]
    why = f"not defined in this region of {mask.sum()} pixels: {', '.join(undefined)}" if undefined else ""
    return list(values.values()), why


def feature_values(
    image: np.ndarray,
    mask: np.ndarray,
    settings: Mapping[str, object],
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> dict[str, float]:
    """Return all :data:`FEATURES` of one region; NaN or infinite where pyradiomics does not define one.

    The region is cut out first, as pyradiomics' extractor does; what lies outside the mask enters no feature. Regions
    are not checked here: :func:`extract` does that.

    Args:
        image: (D, H, W) of numbers.
        mask: (D, H, W) bool, not empty.
        settings: pyradiomics' own, such as ``binWidth``, ``voxelArrayShift``, ``force2D`` (neighbours in the same slice
            only).
        spacing: of the voxels as (z, y, x) in mm; it enters ``firstorder_TotalEnergy`` only.

    Raises:
        DataError: for what pyradiomics refuses.
    """
    box = bounding_box(mask)
    voxels = sitk.GetImageFromArray(np.where(mask[box], image[box], 0).astype(float))
    voxels.SetSpacing(spacing[::-1])  # SimpleITK counts x, y, z
    inside = sitk.GetImageFromArray(mask[box].astype(np.uint8))
    logging.getLogger("radiomics").setLevel(logging.CRITICAL)  # what fails is NaN among the values
    values: dict[str, float] = {}
    with warnings.catch_warnings():  # of means over nothing, which give the NaN that is promised
        warnings.simplefilter("ignore", RuntimeWarning)
        for kind, feature_class in _CLASSES.items():
            try:
                features = feature_class(voxels, inside, **settings).execute()  # all that are not deprecated
            except ValueError as error:
                raise DataError(f"pyradiomics: {brief(error)}") from error
            values |= {f"{kind}_{name}": float(value) for name, value in features.items()}
    return {name: values[name] for name in FEATURES}


def bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box, one slice for each axis, around a ``mask`` with at least one pixel."""
    return tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in np.nonzero(mask))


def checked_values(image: np.ndarray, mask: np.ndarray, bins: Bins) -> np.ndarray:
    """(N,) float: the grey levels of ``image`` (H, W) inside ``mask`` (H, W) bool, row by row.

    Outside the mask the image may hold anything, NaN too, and a region may touch the border.

    Raises:
        DataError: arrays of different size; a region without features, or with constants in their place: empty, of
            less than :data:`FEWEST_PIXELS` pixels or one pixel wide (pyradiomics refuses those as well); grey levels
            that are NaN or above :data:`LARGEST`, that all fall into one bin, or that span more than
            :data:`MOST_LEVELS`.
    """
    image, mask = np.asarray(image), np.asarray(mask)
    if image.shape != mask.shape:
        raise DataError(f"the image is of size {image.shape} and the mask of {mask.shape}: they must be the same")
    values = image[mask].astype(float)
    if not len(values):
        raise DataError("the region is empty")
    bad = np.count_nonzero(~(np.abs(values) <= LARGEST))
    if bad:
        raise DataError(
            f"the image is not finite, or beyond {LARGEST:g}, in {bad} of the region's {len(values)} pixels"
        )
    if len(values) < FEWEST_PIXELS:
        raise DataError(f"the region is too small: {len(values)} of at least {FEWEST_PIXELS} pixels")
    height, width = mask[bounding_box(mask)].shape
    if min(height, width) < 2:
        raise DataError(f"the region is a line of {height} x {width} pixels, which has texture in one direction only")
    levels, span = bins.levels(values), f"{values.min():g} to {values.max():g}"
    if levels < 2:
        raise DataError(f"the region is constant: its grey levels, {span}, are one bin")
    if not levels <= MOST_LEVELS:
        raise DataError(
            f"the region's grey levels, {span}, span {levels:g} bins, more than {MOST_LEVELS}; if the image is not in "
            "HU, use BinCount"
        )
    return values


def soft_first_order(image: np.ndarray, alpha: np.ndarray, *, bins: Bins | None = None) -> dict[str, float]:
    """Beyond the paper: the 18 first-order features with weights a = alpha, ordered as in :data:`FEATURES`.

    With A = sum a, mean m = sum a x / A and central moments m_k = sum a (x - m)^k / A: variance m_2, skewness
    m_3 / m_2^1.5, kurtosis m_4 / m_2^2 (3 for a Gaussian), mean absolute deviation sum a |x - m| / A (the robust one
    over the pixels between the 10th and the 90th percentile, around their mean), energy sum a (x + c)^2, root mean
    square sqrt(energy / A); entropy (bits) and uniformity of the histogram of weights. Minimum, maximum and range are
    those of all pixels with a > 0, percentiles :func:`quantile`. For alpha of 0 and 1 they are pyradiomics' own;
    energies grow in proportion to alpha, the rest depends on its proportions only.

    Args:
        image: (H, W).
        alpha: (H, W) in [0, 1].
        bins: of the histogram, and c, as in :func:`extract`; default ``BinCount()``.

    Raises:
        DataError: where :func:`checked_values` refuses the region {alpha > 0}.
    """
    bins = BinCount() if bins is None else bins
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


class Regions(NamedTuple):
    """Regions of interest of one soft mask (CasGAN, figure 6), each (H, W) bool."""

    binary: np.ndarray
    soft: np.ndarray
    band: np.ndarray


def regions(alpha: np.ndarray, binary: np.ndarray) -> Regions:
    """The binary mask, the soft mask's region {alpha > 0 in eight bits} with the binary mask, and what lies between.

    The paper prints no threshold; in its figure 6 the soft mask's outline runs around the binary mask's. Equation 6
    takes the maximum of both, so that no pixel of the binary mask is lost, and so does this region.

    Args:
        alpha: (H, W) in [0, 1].
        binary: (H, W) bool.
    """
    soft = (alpha >= LEAST_ALPHA) | binary
    return Regions(binary, soft, soft & ~binary)


def dilated_to(binary: np.ndarray, area: int) -> np.ndarray:
    """(H, W) bool: ``binary`` grown to exactly ``area`` pixels, the nearest first (Euclidean distance to the mask).

    A control that has the soft region's size, but knows nothing of the soft mask. Of pixels at the same distance, a
    fixed shuffle decides: taken row by row, the last ring would fill up from above.

    Args:
        binary: (H, W) bool with at least one pixel, and at most ``area``.
    """
    outside = np.flatnonzero(~binary)
    distance = distance_transform_edt(~binary).ravel()[outside]
    shuffle = np.random.default_rng(0).permutation(binary.size)[outside]
    grown = binary.copy()
    grown.flat[outside[np.lexsort((shuffle, distance))[: int(area) - np.count_nonzero(binary)]]] = True
    return grown
