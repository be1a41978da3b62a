"""Radiomics: values against pyradiomics' baseline and extractor, regions, weights, and many regions at once."""

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from radiomics.featureextractor import RadiomicsFeatureExtractor
from scipy.ndimage import distance_transform_edt, gaussian_filter

from softmask.errors import DataError
from softmask.measure import radiomics
from softmask.measure.radiomics import (
    FEATURES,
    BinCount,
    BinWidth,
    dilated_to,
    extract,
    feature_values,
    quantile,
    regions,
    soft_first_order,
)

KINDS = ("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
IN_2D = {"force2D": True}
BINS = BinCount(32)
FIRST_ORDER = [name for name in FEATURES if name.startswith("firstorder_")]
OF_RANKS = {  # to these, a weight of 2 is not quite a pixel that is there twice
    "firstorder_10Percentile",
    "firstorder_90Percentile",
    "firstorder_InterquartileRange",
    "firstorder_Median",
    "firstorder_RobustMeanAbsoluteDeviation",
}


def disc(radius: float = 4, centre: tuple[int, int] = (10, 12), shape: tuple[int, int] = (24, 26)) -> np.ndarray:
    row, column = np.indices(shape)
    return np.hypot(row - centre[0], column - centre[1]) < radius


def noise(seed: int = 0, shape: tuple[int, int] = (24, 26)) -> np.ndarray:
    return np.random.default_rng(seed).random(shape)


@pytest.mark.parametrize("case", ["brain1", "breast1"])
@pytest.mark.parametrize(
    ("variant", "kinds", "settings"),
    [
        ("", KINDS, BinWidth(25).settings),
        ("_2d", KINDS[1:], {"binWidth": 25, **IN_2D}),
        ("_FBN", KINDS[1:], BinCount(64).settings),
    ],
)
def test_values_are_the_baseline_of_pyradiomics(real_data, case, variant, kinds, settings) -> None:
    folder = real_data / "pyradiomics"
    if not folder.is_dir():
        pytest.skip("pyradiomics' regression data is not there")
    image = sitk.ReadImage(folder / f"{case}_image.nrrd")
    mask = sitk.GetArrayFromImage(sitk.ReadImage(folder / f"{case}_label.nrrd")) == 1
    values = feature_values(sitk.GetArrayFromImage(image), mask, settings)
    values["firstorder_TotalEnergy"] *= np.prod(image.GetSpacing())
    for kind in kinds:
        baseline = pd.read_csv(folder / f"baseline/baseline_{kind}.csv", index_col=0)[case + variant]
        named = {name.removeprefix("original_"): value for name, value in baseline.items()}
        expected = {name: float(value) for name, value in named.items() if name.startswith(f"{kind}_")}
        assert set(expected) == {name for name in FEATURES if name.startswith(f"{kind}_")}
        for name, value in expected.items():
            assert values[name] == pytest.approx(value, rel=1e-6, abs=0), name


@pytest.mark.parametrize("bins", [BinCount(32), BinCount(8), BinWidth(25), BinWidth(7.5)])
def test_values_are_those_of_the_extractor(bins) -> None:
    assert len(FEATURES) == len(set(FEATURES)) == 93
    rng = np.random.default_rng(3)
    image = 400 * gaussian_filter(rng.normal(size=(30, 40)), 1) - 300
    row, column = np.indices(image.shape)
    mask = (np.hypot(row - 8, column - 15) < 10 + 2 * np.cos(column)) & (rng.random(image.shape) < 0.9)
    assert mask[0].any()  # at the border
    extractor = RadiomicsFeatureExtractor(**bins.settings, **IN_2D, additionalInfo=False)
    extractor.disableAllFeatures()
    for kind in KINDS:
        extractor.enableFeatureClassByName(kind)
    expected = extractor.execute(*(sitk.GetImageFromArray(a) for a in (image[None], mask[None].astype(np.uint8))))
    values = extract([image], [mask], bins)[0].loc[0]
    assert list(values.index) == list(FEATURES)
    for name, value in values.items():
        assert value == pytest.approx(float(expected[f"original_{name}"]), rel=1e-12, abs=1e-12), name


def test_what_lies_outside_the_region_does_not_matter() -> None:
    image, mask = noise(), disc()
    elsewhere = np.where(mask, image, np.nan)
    box = np.s_[7:15, 9:]
    table, _ = extract([image, elsewhere, image[box]], [mask, mask, mask[box]], BINS)
    assert len(table) == 3
    assert (table == table.loc[0]).all(axis=None)


def refused() -> dict[str, tuple[np.ndarray, np.ndarray, str]]:
    image, mask = noise(), disc()
    line, apart = np.zeros((2, *mask.shape), bool)
    line[3, 2:20] = True
    apart[::4, ::4] = True  # no pixel has a neighbour
    return {
        "one pixel": (image, disc(0.5), "too small: 1 of at least 5 pixels"),
        "four pixels": (image, disc(1.1) & ~disc(0.5), "too small: 4 of at least 5"),
        "constant": (np.full_like(image, 0.4), mask, "constant: its grey levels, 0.4 to 0.4"),
        "nearly constant": (0.4 + 1e-16 * image, mask, "constant"),
        "empty": (image, np.zeros_like(mask), "too small: 0 of"),
        "line": (image, line, "a line of 1 x 18 pixels"),
        "apart": (image, apart, "not defined in this region of 42 pixels: glcm_Autocorrelation, "),
    }


def test_what_has_no_features_is_left_out_with_the_reason(capfd) -> None:
    bad = refused()
    images = [noise(1), *(image for image, _, _ in bad.values()), noise(2)]
    masks = [disc(), *(mask for _, mask, _ in bad.values()), disc()]
    table, reasons = extract(images, masks, BINS)
    assert list(table.index) == [0, len(bad) + 1]
    assert len(reasons) == len(bad)
    for i, (_, _, why) in enumerate(bad.values(), start=1):
        assert why in reasons[i]
    assert "GLCM" not in capfd.readouterr().err  # nothing is logged
    table, reasons = extract([noise(), 300 * noise() - 800], [disc()] * 2, BinWidth(25))
    assert list(table.index) == [1]
    assert "constant" in reasons[0]
    assert extract([], [], BINS)[0].shape == (0, 93)


@given(
    hnp.arrays(float, (6, 7), elements=st.sampled_from([0.0, 0.1, 0.5, 1.0])),
    hnp.arrays(bool, (6, 7)),
    st.sampled_from([BinCount(2), BinCount(32), BinWidth(0.25)]),
)
@settings(max_examples=60)
def test_no_table_holds_a_nan(image, mask, bins) -> None:
    table, reasons = extract([image], [mask], bins)
    assert np.isfinite(table.to_numpy()).all()
    assert len(table) + len(reasons) == 1


def test_the_same_regions_are_extracted_once(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("SOFTMASK_CACHE", str(tmp_path))
    masks = [disc(), refused()["apart"][1], disc(3)]
    first = extract([noise()] * 3, masks, BINS)
    monkeypatch.setattr(radiomics, "map_items", lambda *_, **__: pytest.fail("extracted again"))
    again = extract([np.where(disc(6) | masks[1], noise(), 9)] * 3, masks, BINS)  # the same regions, another image
    assert again[0].equals(first[0])
    assert again[1] == first[1]
    for changed in ((masks, BinCount(16)), ([*masks[:2], disc(3.5)], BINS)):
        with pytest.raises(pytest.fail.Exception, match="extracted again"):
            extract([noise()] * 3, *changed)


def test_processes_do_not_change_the_result() -> None:
    images, masks = [noise(i) for i in range(70)], [disc(2 + i / 20) for i in range(70)]
    masks[30] = disc(0.5)
    table, _ = extract(images, masks, BINS)
    assert list(table.index) == [i for i in range(70) if i != 30]
    assert table.loc[60:].equals(extract(images[60:], masks[60:], BINS)[0].set_axis(range(60, 70)))


def case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    row, column = np.indices((20, 20)) - 9.5
    distance = np.hypot(row, column)
    return rng.gamma(2, size=(20, 20)) - distance / 10, np.clip((rng.uniform(3, 9) - distance) / 3, 0, 1)


@given(st.integers(0, 10_000), st.sampled_from([BinCount(32), BinCount(5), BinWidth(0.3)]))
@settings(max_examples=25)
def test_binary_weights_give_the_features_of_pyradiomics(seed, bins) -> None:
    image, alpha = case(seed)
    mask = alpha > 0.4
    expected = feature_values(image[None], mask[None], {**bins.settings, **IN_2D})
    weighted = soft_first_order(image, mask.astype(np.float32), bins)
    assert list(weighted) == FIRST_ORDER
    for name, value in weighted.items():
        assert value == pytest.approx(expected[name], rel=1e-9, abs=1e-12), name


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_whole_weights_are_pixels_repeated(seed) -> None:
    image, alpha = case(seed)
    times = np.rint(alpha * 4).astype(int)  # 0 to 4
    repeated = np.repeat(image.ravel(), times.ravel())
    if len(repeated) % 2:  # a region must be two pixels wide
        repeated = np.append(repeated, repeated[-1])
        times[np.unravel_index(np.flatnonzero(times.ravel())[-1], times.shape)] += 1
    weighted = soft_first_order(image, times / 8, BINS)
    expected = soft_first_order(repeated.reshape(2, -1), np.full((2, len(repeated) // 2), 1 / 8), BINS)
    for name in set(FIRST_ORDER) - OF_RANKS:
        assert weighted[name] == pytest.approx(expected[name], rel=1e-9, abs=1e-12), name


def test_only_energies_depend_on_the_sum_of_the_weights() -> None:
    image, alpha = case(1)
    whole, half = soft_first_order(image, alpha, BINS), soft_first_order(image, alpha / 2, BINS)
    for name, value in whole.items():
        factor = 0.5 if name.endswith("Energy") else 1
        assert half[name] == pytest.approx(factor * value, rel=1e-9), name


def test_a_pixel_that_fades_out_is_gone() -> None:
    image, alpha = case(2)
    place = np.unravel_index(np.argmax(np.where(alpha > 0, image, -np.inf)), image.shape)
    faint, gone = alpha.copy(), alpha.copy()
    faint[place], gone[place] = 1e-9, 0
    # the histogram's bins, like minimum and maximum, reach as far as any weight does
    jumps = {"firstorder_Maximum", "firstorder_Range", "firstorder_Entropy", "firstorder_Uniformity"}
    with_it, without = soft_first_order(image, faint, BINS), soft_first_order(image, gone, BINS)
    for name in set(FIRST_ORDER) - jumps:
        assert with_it[name] == pytest.approx(without[name], rel=1e-5), name


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(0.01, 1)), min_size=1, max_size=12))
def test_quantiles_rise_and_are_those_of_numpy(pairs) -> None:
    x, weights = np.array(pairs).T
    q = tuple(np.linspace(0, 1, 11))
    np.testing.assert_allclose(quantile(x, np.full(len(x), 0.3), q), np.quantile(x, q), rtol=1e-9, atol=1e-9)
    values = quantile(x, weights, q)
    assert (np.diff(values) >= -1e-9).all()
    assert x.min() - 1e-9 <= values[0]
    assert values[-1] <= x.max() + 1e-9


def test_weights_without_features_are_refused() -> None:
    image, alpha = case(3)
    with pytest.raises(DataError, match="constant"):
        soft_first_order(np.ones_like(image), alpha, BINS)
    stripes, weights = np.repeat([[0.0, 1.0]], 5, axis=0), np.full((5, 2), 1e-6)
    weights[2] = 1
    with pytest.raises(DataError, match="no pixel lies between the 10th and the 90th percentile"):
        soft_first_order(stripes, weights, BINS)


def test_the_soft_region_is_where_eight_bits_are_not_zero() -> None:
    alpha = np.array([[0, 0.4 / 255, 0.6 / 255, 0.3], [0, 0, 0.7, 1]])
    binary = np.array([[0, 0, 0, 0], [1, 0, 1, 1]], bool)
    region = regions(alpha, binary)
    np.testing.assert_array_equal(region.binary, binary)
    np.testing.assert_array_equal(region.soft, [[0, 0, 1, 1], [1, 0, 1, 1]])
    np.testing.assert_array_equal(region.band, [[0, 0, 1, 1], [0, 0, 0, 0]])


@given(hnp.arrays(bool, (7, 9)).filter(np.any), st.data())
def test_growing_adds_the_nearest_pixels(binary, data) -> None:
    area = data.draw(st.integers(binary.sum(), binary.size))
    grown = dilated_to(binary, area)
    assert grown.sum() == area
    assert not (binary & ~grown).any()
    distance = distance_transform_edt(~binary)
    if not grown.all():
        assert distance[grown].max() <= distance[~grown].min()
