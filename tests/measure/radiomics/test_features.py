"""Feature values against pyradiomics' own baseline, its extractor, and numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from radiomics import firstorder, glcm, gldm, glrlm, glszm, ngtdm
from radiomics.featureextractor import RadiomicsFeatureExtractor
from scipy.ndimage import gaussian_filter

from softmask.errors import ConfigError
from softmask.measure.radiomics import FEATURES, BinCount, BinWidth
from softmask.measure.radiomics.features import feature_values

KINDS = {
    "firstorder": firstorder.RadiomicsFirstOrder,
    "glcm": glcm.RadiomicsGLCM,
    "glrlm": glrlm.RadiomicsGLRLM,
    "glszm": glszm.RadiomicsGLSZM,
    "gldm": gldm.RadiomicsGLDM,
    "ngtdm": ngtdm.RadiomicsNGTDM,
}
TEXTURES = tuple(KINDS)[1:]
IN_2D = {"force2D": True}


def test_names_are_those_pyradiomics_has_by_default() -> None:
    assert len(FEATURES) == len(set(FEATURES)) == 93
    for kind, feature_class in KINDS.items():
        current = [name for name, deprecated in feature_class.getFeatureNames().items() if not deprecated]
        assert [f"{kind}_{name}" for name in current] == [name for name in FEATURES if name.startswith(f"{kind}_")]


@pytest.mark.parametrize("case", ["brain1", "breast1"])
@pytest.mark.parametrize(
    ("variant", "kinds", "settings"),
    [
        ("", tuple(KINDS), BinWidth(25).settings),
        ("_2d", TEXTURES, {"binWidth": 25, **IN_2D}),
        ("_FBN", TEXTURES, BinCount(64).settings),
    ],
)
def test_values_are_the_baseline_of_pyradiomics(real_data, case, variant, kinds, settings) -> None:
    folder = real_data / "pyradiomics"
    if not folder.is_dir():
        pytest.skip("pyradiomics' regression data is not there")
    image = sitk.ReadImage(folder / f"{case}_image.nrrd")
    mask = sitk.GetArrayFromImage(sitk.ReadImage(folder / f"{case}_label.nrrd")) == 1
    values = feature_values(sitk.GetArrayFromImage(image), mask, settings, image.GetSpacing()[::-1])
    for kind in kinds:
        baseline = pd.read_csv(folder / f"baseline/baseline_{kind}.csv", index_col=0)[case + variant]
        named = {name.removeprefix("original_"): value for name, value in baseline.items()}
        expected = {name: float(value) for name, value in named.items() if name.startswith(f"{kind}_")}
        assert set(expected) == {name for name in FEATURES if name.startswith(f"{kind}_")}
        for name, value in expected.items():
            assert values[name] == pytest.approx(value, rel=1e-6, abs=0), name


@pytest.mark.parametrize("bins", [BinCount(32), BinCount(8), BinWidth(25), BinWidth(7.5)])
def test_values_are_those_of_the_extractor(bins) -> None:
    rng = np.random.default_rng(3)
    image = 400 * gaussian_filter(rng.normal(size=(30, 40)), 1) - 300
    row, column = np.indices(image.shape)
    mask = (np.hypot(row - 8, column - 15) < 10 + 2 * np.cos(column)) & (rng.random(image.shape) < 0.9)
    assert mask[0].any()  # at the border
    extractor = RadiomicsFeatureExtractor(**bins.settings, **IN_2D, additionalInfo=False)
    extractor.disableAllFeatures()
    for kind in KINDS:
        extractor.enableFeatureClassByName(kind)
    found = extractor.execute(sitk.GetImageFromArray(image[None]), sitk.GetImageFromArray(mask[None].astype(np.uint8)))
    values = feature_values(image[None], mask[None], {**bins.settings, **IN_2D})
    assert list(values) == list(FEATURES)
    for name, value in values.items():
        assert value == pytest.approx(float(found[f"original_{name}"]), rel=1e-12, abs=1e-12), name


def test_stripes_by_hand() -> None:
    """4 x 4 pixels, columns of 0 and 1 in turn."""
    image = np.tile([0.0, 1.0], (1, 4, 2))
    values = feature_values(image, np.ones(image.shape, bool), {**BinCount(2).settings, **IN_2D})
    # Mean absolute difference to the neighbours: corners 2/3, top and bottom 4/5, sides 3/5, inner pixels 3/4.
    difference = 4 * (2 / 3 + 4 / 5 + 3 / 5 + 3 / 4)
    expected = {
        "firstorder_Mean": 0.5,
        "firstorder_Entropy": 1,
        "firstorder_Variance": 0.25,
        "glcm_Contrast": 3 / 4,  # every pair but those along the stripes
        "glcm_JointEntropy": 1,
        "glcm_Correlation": (1 - 3) / 4,
        "glrlm_LongRunEmphasis": (16 + 1 + 1 + 1) / 4,
        "glszm_LargeAreaEmphasis": 16,
        "glszm_ZonePercentage": 4 / 16,
        "gldm_LargeDependenceEmphasis": (2**2 + 3**2) / 2,
        "ngtdm_Coarseness": 2 / difference,
    }
    assert {name: values[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("count", [1, 0, -3, 2.5, True, 5000])
def test_numbers_of_bins_that_make_no_sense(count) -> None:
    with pytest.raises(ConfigError, match="number of bins must be a whole number"):
        BinCount(count)


@pytest.mark.parametrize("width", [0, -25, float("nan"), float("inf"), True])
def test_widths_of_bins_that_make_no_sense(width) -> None:
    with pytest.raises(ConfigError, match="width of a bin must be a positive number"):
        BinWidth(width)
