"""First-order features with weights: of 0 and 1, pyradiomics' own; of whole numbers, those of pixels repeated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softmask.errors import DataError
from softmask.measure.radiomics import FEATURES, BinCount, BinWidth, soft_first_order
from softmask.measure.radiomics.features import feature_values
from softmask.measure.radiomics.weighted import quantile

FIRST_ORDER = [name for name in FEATURES if name.startswith("firstorder_")]
OF_RANKS = {  # to these, a weight of 2 is not quite a pixel that is there twice
    "firstorder_10Percentile",
    "firstorder_90Percentile",
    "firstorder_InterquartileRange",
    "firstorder_Median",
    "firstorder_RobustMeanAbsoluteDeviation",
}


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
    expected = feature_values(image[None], mask[None], {**bins.settings, "force2D": True})
    found = soft_first_order(image, mask.astype(np.float32), bins=bins)
    assert list(found) == FIRST_ORDER
    for name, value in found.items():
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
    found = soft_first_order(image, times / 8)
    expected = soft_first_order(repeated.reshape(2, -1), np.full((2, len(repeated) // 2), 1 / 8))
    for name in set(FIRST_ORDER) - OF_RANKS:
        assert found[name] == pytest.approx(expected[name], rel=1e-9, abs=1e-12), name


def test_only_energies_depend_on_the_sum_of_the_weights() -> None:
    image, alpha = case(1)
    whole, half = soft_first_order(image, alpha), soft_first_order(image, alpha / 2)
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
    with_it, without = soft_first_order(image, faint), soft_first_order(image, gone)
    for name in set(FIRST_ORDER) - jumps:
        assert with_it[name] == pytest.approx(without[name], rel=1e-5), name


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12), st.floats(0, 1))
def test_equal_weights_give_the_quantiles_of_numpy(values, q) -> None:
    x = np.array(values)
    assert quantile(x, np.full(len(x), 0.3), (q,))[0] == pytest.approx(np.quantile(x, q), rel=1e-9, abs=1e-9)


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(0.01, 1)), min_size=1, max_size=12))
def test_quantiles_rise_within_the_values(pairs) -> None:
    x, weights = np.array(pairs).T
    found = quantile(x, weights, tuple(np.linspace(0, 1, 11)))
    assert (np.diff(found) >= -1e-9).all()
    assert found[0] >= x.min() - 1e-9
    assert found[-1] <= x.max() + 1e-9


def test_what_has_no_features_is_refused() -> None:
    image, alpha = case(3)
    with pytest.raises(DataError, match="empty"):
        soft_first_order(image, np.zeros_like(alpha))
    with pytest.raises(DataError, match="constant"):
        soft_first_order(np.ones_like(image), alpha)
    with pytest.raises(DataError, match="not finite"):
        soft_first_order(np.where(alpha == alpha.max(), np.nan, image), alpha)
    with pytest.raises(DataError, match="size"):
        soft_first_order(image[:10], alpha)
    for wrong in (np.full_like(alpha, np.nan), alpha * 2, -alpha):
        with pytest.raises(DataError, match=r"must lie in \[0, 1\]"):
            soft_first_order(image, wrong)


def test_nothing_between_the_outer_percentiles() -> None:
    image = np.repeat([[0.0, 1.0]], 5, axis=0)
    alpha = np.full(image.shape, 1e-6)
    alpha[2] = 1
    with pytest.raises(DataError, match="no pixel lies between the 10th and the 90th percentile"):
        soft_first_order(image, alpha)
