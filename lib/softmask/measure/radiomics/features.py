"""The 93 features that CasGAN (2020, section 4.3) takes from pyradiomics, and how grey levels become bins.

The values are those of pyradiomics 3.0.1 (van Griethuysen et al., "Computational radiomics system to decode the
radiographic phenotype", Cancer Research 2017), from its own feature classes, called without its extractor.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from softmask.errors import ConfigError, DataError, brief

_NAMES = {
    "firstorder": (
        "10Percentile 90Percentile Energy Entropy InterquartileRange Kurtosis Maximum MeanAbsoluteDeviation Mean "
        "Median Minimum Range RobustMeanAbsoluteDeviation RootMeanSquared Skewness TotalEnergy Uniformity Variance"
    ),
    "glcm": (
        "Autocorrelation ClusterProminence ClusterShade ClusterTendency Contrast Correlation DifferenceAverage "
        "DifferenceEntropy DifferenceVariance Id Idm Idmn Idn Imc1 Imc2 InverseVariance JointAverage JointEnergy "
        "JointEntropy MCC MaximumProbability SumAverage SumEntropy SumSquares"
    ),
    "glrlm": (
        "GrayLevelNonUniformity GrayLevelNonUniformityNormalized GrayLevelVariance HighGrayLevelRunEmphasis "
        "LongRunEmphasis LongRunHighGrayLevelEmphasis LongRunLowGrayLevelEmphasis LowGrayLevelRunEmphasis "
        "RunEntropy RunLengthNonUniformity RunLengthNonUniformityNormalized RunPercentage RunVariance "
        "ShortRunEmphasis ShortRunHighGrayLevelEmphasis ShortRunLowGrayLevelEmphasis"
    ),
    "glszm": (
        "GrayLevelNonUniformity GrayLevelNonUniformityNormalized GrayLevelVariance HighGrayLevelZoneEmphasis "
        "LargeAreaEmphasis LargeAreaHighGrayLevelEmphasis LargeAreaLowGrayLevelEmphasis LowGrayLevelZoneEmphasis "
        "SizeZoneNonUniformity SizeZoneNonUniformityNormalized SmallAreaEmphasis SmallAreaHighGrayLevelEmphasis "
        "SmallAreaLowGrayLevelEmphasis ZoneEntropy ZonePercentage ZoneVariance"
    ),
    "gldm": (
        "DependenceEntropy DependenceNonUniformity DependenceNonUniformityNormalized DependenceVariance "
        "GrayLevelNonUniformity GrayLevelVariance HighGrayLevelEmphasis LargeDependenceEmphasis "
        "LargeDependenceHighGrayLevelEmphasis LargeDependenceLowGrayLevelEmphasis LowGrayLevelEmphasis "
        "SmallDependenceEmphasis SmallDependenceHighGrayLevelEmphasis SmallDependenceLowGrayLevelEmphasis"
    ),
    "ngtdm": "Busyness Coarseness Complexity Contrast Strength",
}

FEATURES = tuple(f"{kind}_{name}" for kind, names in _NAMES.items() for name in names.split())
"""The 93 names, in the order of every table: first order 18, GLCM 24, GLRLM 16, GLSZM 16, GLDM 14, NGTDM 5."""

MOST_LEVELS = 1000
"""Most grey levels of a region. CT has 164 of 25 HU; a co-occurrence matrix has their square."""

HU_SHIFT = 2000
"""Added to HU for energy and root mean square, which would take air for bright: pyradiomics' own setting for CT."""


@dataclass(frozen=True)
class BinCount:
    """A fixed number of bins between a region's least and largest grey level, for images that are not in HU.

    Such grey levels (LIDC-IDRI-slices stretches every slice to its own minimum and maximum) have no unit that a width
    could be given in: what can be compared between images is how they are distributed within a region.
    """

    count: int = 32

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or not 2 <= self.count <= MOST_LEVELS:
            raise ConfigError(f"the number of bins must be a whole number from 2 to {MOST_LEVELS}, not {self.count!r}")

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

    def __post_init__(self) -> None:
        if isinstance(self.width, bool) or not (math.isfinite(self.width) and self.width > 0):
            raise ConfigError(f"the width of a bin must be a positive number of HU, not {self.width!r}")

    @property
    def settings(self) -> dict[str, float]:
        """What pyradiomics calls it."""
        return {"binWidth": self.width, "voxelArrayShift": HU_SHIFT}

    def levels(self, values: np.ndarray) -> float:
        """How many bins lie between the least and the largest of ``values`` (N,)."""
        return float(values.max() // self.width - values.min() // self.width + 1)


Bins = BinCount | BinWidth


def feature_values(
    image: np.ndarray,
    mask: np.ndarray,
    settings: Mapping[str, object],
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> dict[str, float]:
    """All of :data:`FEATURES` of one region; NaN or infinite where pyradiomics does not define one.

    The region is cut out first, as pyradiomics' extractor does; what lies outside the mask enters no feature. Regions
    are not checked here: :func:`softmask.measure.radiomics.extract` does that.

    Args:
        image: (D, H, W) of numbers.
        mask: (D, H, W) bool, not empty.
        settings: pyradiomics' own, such as ``binWidth``, ``voxelArrayShift``, ``force2D`` (neighbours in the same slice
            only).
        spacing: of the voxels as (z, y, x) in mm; it enters ``firstorder_TotalEnergy`` only.

    Raises:
        DataError: for what pyradiomics refuses.
    """
    import SimpleITK as sitk  # takes half a second, which every training process would pay

    box = bounding_box(mask)
    voxels = sitk.GetImageFromArray(np.where(mask[box], image[box], 0).astype(float))
    voxels.SetSpacing(spacing[::-1])  # SimpleITK counts x, y, z
    inside = sitk.GetImageFromArray(mask[box].astype(np.uint8))
    values: dict[str, float] = {}
    with warnings.catch_warnings():  # of means over nothing, which give the NaN that is promised
        warnings.simplefilter("ignore", RuntimeWarning)
        for kind, feature_class in _classes().items():
            try:
                found = feature_class(voxels, inside, **settings).execute()  # all features that are not deprecated
            except ValueError as error:
                raise DataError(f"pyradiomics: {brief(error)}") from error
            values |= {f"{kind}_{name}": float(value) for name, value in found.items()}
    return {name: values[name] for name in FEATURES}


def bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box, one slice for each axis, around a ``mask`` with at least one pixel."""
    return tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in np.nonzero(mask))


@cache
def _classes() -> dict[str, type]:
    """pyradiomics' classes by the names of :data:`FEATURES`, silenced: what fails is NaN among the values."""
    from radiomics import firstorder, glcm, gldm, glrlm, glszm, ngtdm

    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    return {
        "firstorder": firstorder.RadiomicsFirstOrder,
        "glcm": glcm.RadiomicsGLCM,
        "glrlm": glrlm.RadiomicsGLRLM,
        "glszm": glszm.RadiomicsGLSZM,
        "gldm": gldm.RadiomicsGLDM,
        "ngtdm": ngtdm.RadiomicsNGTDM,
    }
