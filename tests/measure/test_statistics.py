"""Intervals, tests and corrections against scipy, by hand, and by how often they hold the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from softmask.errors import DataError
from softmask.measure.statistics import (
    bootstrap_interval,
    bootstrap_weights,
    holm,
    icc,
    mean_difference,
    paired_test,
    percentile_interval,
    seed_spread,
)

VALUES = np.random.default_rng(0).normal(0.8, 0.1, 120)
OTHERS = VALUES + np.random.default_rng(1).normal(0.02, 0.05, 120)
SIZES = np.sort(np.random.default_rng(2).integers(0, 25, 120))  # patients of many sizes


@pytest.mark.parametrize("names", [None, np.repeat(np.arange(30), 4), SIZES])
def test_bootstrap_interval_agrees_with_scipy(names):
    """The mean over images is a ratio of two sums over patients, which scipy can resample together."""
    numbers = np.arange(120) if names is None else np.unique(names, return_inverse=True)[1]
    sums = (np.bincount(numbers, weights=VALUES), np.bincount(numbers))

    def ratio(sums, counts, axis):
        return sums.sum(axis=axis) / counts.sum(axis=axis)

    expected = stats.bootstrap(
        sums, ratio, paired=True, vectorized=True, n_resamples=9999, method="percentile", rng=0
    ).confidence_interval
    assert bootstrap_interval(VALUES, 7, n=9999, groups=names) == pytest.approx(tuple(expected), abs=2e-3)


@pytest.mark.parametrize("each", [1, 4])
def test_intervals_cover_the_true_mean(each):
    generator, inside = np.random.default_rng(3), []
    for i in range(200):
        values = np.repeat(generator.normal(size=50), each) + generator.normal(0, 0.3, 50 * each)
        low, high = bootstrap_interval(values, i, 400, np.repeat(np.arange(50), each))
        inside.append(low <= 0 <= high)
    assert 0.87 <= np.mean(inside) <= 0.99


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=20), st.integers(0, 99))
@settings(max_examples=40)
def test_an_interval_lies_within_the_values(values, seed):
    low, high = bootstrap_interval(np.array(values), seed, n=50)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


@pytest.mark.parametrize(("values", "message"), [([np.nan], "no value is defined"), ([np.inf], "must be finite")])
def test_what_cannot_be_compared_is_refused(values, message):
    for call in (lambda: bootstrap_interval(values, 0), lambda: paired_test(values, values, 0)):
        with pytest.raises(DataError, match=message):
            call()
    with pytest.raises(DataError, match="not 2 with 1"):
        paired_test([1, 2], [1], 0)


def test_paired_test_agrees_with_scipy():
    result = paired_test(OTHERS, VALUES, seed=0)
    assert result.p == pytest.approx(stats.wilcoxon(OTHERS, VALUES).pvalue)
    assert result.mean_difference == pytest.approx((OTHERS - VALUES).mean())
    assert (result.low, result.high) == bootstrap_interval(OTHERS - VALUES, 0)
    assert (result.n, result.n_groups) == (120, 120)
    assert result.low < result.mean_difference < result.high


def test_equal_methods_differ_by_nothing_with_certainty():
    result = paired_test(VALUES, VALUES, 0)
    assert (result.mean_difference, result.low, result.high, result.p) == (0, 0, 0, 1)


def test_pairs_with_nan_and_their_groups_are_left_out():
    a, names = VALUES.copy(), np.arange(120) // 2
    a[:3] = np.nan
    test = paired_test(a, OTHERS, 0, names)
    assert (test.n, test.n_groups) == (117, 59)
    assert bootstrap_interval(a, 0, groups=names) == bootstrap_interval(a[3:], 0, groups=names[3:])
    assert paired_test(a, OTHERS, 0).p == stats.wilcoxon(a[3:], OTHERS[3:]).pvalue


def test_images_repeated_within_a_group_tell_no_more():
    repeated, names = np.repeat(VALUES, 5), np.repeat(np.arange(120), 5)
    grouped = bootstrap_interval(repeated, 4, groups=names)
    assert grouped == pytest.approx(bootstrap_interval(VALUES, 4), abs=1e-12)
    low, high = bootstrap_interval(repeated, 4)
    assert high - low < 0.6 * (grouped[1] - grouped[0])
    test = paired_test(np.repeat(OTHERS, 5), repeated, 4, names)
    assert (test.n, test.n_groups) == (600, 120)
    assert test.p == pytest.approx(paired_test(OTHERS, VALUES, 4).p)


def test_the_interval_weighs_images_and_the_ranks_weigh_groups():
    """One patient with most of the images gains, every other one loses a little."""
    differences, names = np.array([0.3] * 60 + [-0.01] * 20), [0] * 60 + list(range(1, 21))
    result = paired_test(differences, np.zeros(80), 0, names)
    assert result.mean_difference == pytest.approx((60 * 0.3 - 20 * 0.01) / 80)
    assert result.p == pytest.approx(stats.wilcoxon([0.3] + [-0.01] * 20).pvalue)
    assert bootstrap_interval([0.0] * 9 + [1.0], 0, groups=["a"] * 9 + ["b"]) == (0, 1)


def test_weights_are_the_resamples_of_the_interval():
    groups = [f"p{i // 3}" for i in range(len(VALUES))]
    weights = bootstrap_weights(groups, 5, n=300)
    means = weights @ VALUES / weights.sum(axis=1)
    assert percentile_interval(means) == pytest.approx(bootstrap_interval(VALUES, 5, 300, groups))


def test_a_difference_of_means_is_that_of_the_paired_test():
    groups = [i // 3 for i in range(120)]
    test = paired_test(OTHERS, VALUES, 7, groups)
    mean_a, mean_b, low, high = mean_difference(VALUES, OTHERS, 7, groups)
    assert (mean_b - mean_a, low, high) == pytest.approx((test.mean_difference, test.low, test.high))


def test_each_mean_is_over_its_own_values_and_weights():
    a, b = [1.0, np.nan, 3.0, 2.0], [1.0, 5.0, np.nan, 2.0]
    mean_a, mean_b, low, high = mean_difference(a, b, 0, "wxyz", weights=np.array([1, 2, 9, 1]))
    assert (mean_a, mean_b) == (2, pytest.approx((1 + 10 + 2) / 4))
    assert low <= mean_b - mean_a <= high


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.04, 0.2, 0.3, 0.01], [0.12, 0.4, 0.4, 0.04]),
        ([0.02] * 5, [0.1] * 5),
        ([0.5, np.nan, 0.9], [1, np.nan, 1]),
        ([], []),
    ],
)
def test_holm_by_hand(p, adjusted):
    """The smallest of N counts N times, the next N - 1 times, and none is smaller than the one before it."""
    assert holm(p) == pytest.approx(adjusted, nan_ok=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=40)
def test_holm_lies_between_the_value_and_bonferroni(p):
    adjusted = holm(p)
    assert (adjusted >= np.array(p)).all()
    assert (adjusted <= np.minimum(np.array(p) * len(p), 1) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


def test_the_spread_between_seeds_by_hand():
    means, spread = seed_spread([[0.1, 0.3, np.nan], [0.4, np.inf, 0.6], [0.0, 0.1, 0.2]])
    assert means == pytest.approx([0.2, 0.5, 0.1])
    assert spread == pytest.approx(np.sqrt(0.13 / 3))  # sum of squares around 0.8 / 3: 0.26 / 3
    assert np.isnan(seed_spread([[0.1, 0.3]])[1])
    means, spread = seed_spread([[0.1, 0.3], [np.nan, np.nan]])
    assert np.isnan([means[1], spread]).all()


def test_icc_is_shrout_and_fleiss_own():
    table = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
    assert icc(table) == pytest.approx(0.29, abs=0.005)  # their table 4: ICC(2,1)
    assert icc(np.repeat(table[:, :1], 2, axis=1)) == pytest.approx(1)
    assert np.isnan(icc(np.ones((6, 2))))
    assert icc(np.stack([table, table])).shape == (2,)
