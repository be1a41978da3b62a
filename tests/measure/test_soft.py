import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import convolve
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from softmask.errors import DataError
from softmask.measure import segmentation, soft

ALPHAS = hnp.arrays(float, (5, 6), elements=st.floats(0, 1))


def random_alphas(n=4, seed=0):
    return np.random.default_rng(seed).random((2, n, 9, 11))


@given(ALPHAS, ALPHAS)
@settings(max_examples=60)
def test_symmetry_bounds_perfection_and_dice_of_binary_masks(a, b):
    for measure in (soft.mae, soft.mse, soft.gradient_error, soft.soft_dice):
        assert measure(a, b) == measure(b, a)
    assert soft.mae(a, a) == soft.mse(a, a) == soft.gradient_error(a, a) == 0
    assert soft.soft_dice(a, a) == pytest.approx(1)
    assert 0 <= soft.mse(a, b) <= soft.mae(a, b) <= 1
    assert 0 <= soft.soft_dice(a, b) <= 1 + 1e-12
    assert soft.mae(a, b) ** 2 <= soft.mse(a, b) + 1e-12
    binary = a > 0.5, b > 0.5
    assert soft.soft_dice(*binary) == pytest.approx(segmentation.dice(*binary))


def test_means_over_a_band():
    a, b = random_alphas()
    band = np.random.default_rng(1).random(a.shape) < 0.3
    inside = [(x - y)[m] for x, y, m in zip(a, b, band, strict=True)]
    np.testing.assert_allclose(soft.mae(a, b, band), [np.abs(values).mean() for values in inside])
    np.testing.assert_allclose(soft.mse(a, b, band), [(values**2).mean() for values in inside])
    np.testing.assert_allclose(soft.mae(a, b, band[0])[1], np.abs(a[1] - b[1])[band[0]].mean())
    assert np.isnan(soft.mae(a[0], b[0], np.zeros(a[0].shape, bool)))


def test_gradient_error_is_that_of_the_benchmark():
    """Written out after the evaluation code: two explicit 2D filters, edges repeated, squared amplitude difference."""
    a, b = random_alphas(1)[:, 0]
    sigma = 1.4
    half = int(np.ceil(sigma * np.sqrt(-2 * np.log(np.sqrt(2 * np.pi) * sigma * 0.01))))
    u, v = np.mgrid[-half : half + 1, -half : half + 1].astype(float)

    def gauss(x):
        return np.exp(-(x**2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))

    filter_x = gauss(u) * (-v * gauss(v) / sigma**2)
    filter_x /= np.sqrt((np.abs(filter_x) * np.abs(filter_x)).sum())

    def amplitude(image):
        return np.hypot(convolve(image, filter_x, mode="nearest"), convolve(image, filter_x.T, mode="nearest"))

    expected = ((amplitude(a) - amplitude(b)) ** 2).sum() / 1000
    assert soft.gradient_error(a, b) == pytest.approx(expected, rel=1e-10)


def test_two_empty_soft_masks_agree():
    empty = np.zeros((4, 4))
    assert (soft.soft_dice(empty, empty), soft.soft_dice(empty, empty + 0.5)) == (1, 0)


def test_leading_axes_are_images():
    a, b = random_alphas(6)
    for measure in (soft.mae, soft.mse, soft.gradient_error, soft.soft_dice):
        stacked = measure(a.reshape(2, 3, 9, 11), b.reshape(2, 3, 9, 11))
        np.testing.assert_allclose(stacked.ravel(), [measure(x, y) for x, y in zip(a, b, strict=True)], rtol=1e-12)


MASKS = hnp.arrays(bool, (5, 6), elements=st.booleans())
COARSE = hnp.arrays(float, (5, 6), elements=st.sampled_from([0, 0.25, 0.5, 1]))  # with many equal probabilities


@given(st.one_of(ALPHAS, COARSE), MASKS.filter(lambda mask: mask.any() and not mask.all()))
@settings(max_examples=60)
def test_auc_and_brier_score_agree_with_scikit_learn(probabilities, truth):
    assert soft.auc(probabilities, truth) == pytest.approx(roc_auc_score(truth.ravel(), probabilities.ravel()))
    expected = brier_score_loss(truth.ravel(), probabilities.ravel())
    assert soft.brier(probabilities, truth) == pytest.approx(expected, abs=1e-12)


@given(COARSE, MASKS)
@settings(max_examples=30)
def test_auc_depends_on_the_order_alone_and_turns_with_the_truth(probabilities, truth):
    area = soft.auc(probabilities, truth)
    np.testing.assert_equal(soft.auc(probabilities**2, truth), area)
    np.testing.assert_allclose(soft.auc(1 - probabilities, truth), 1 - area)
    np.testing.assert_allclose(soft.auc(probabilities, ~truth), 1 - area)


@pytest.mark.parametrize("measure", [soft.auc, soft.brier, soft.calibration])
def test_probabilities_are_compared_with_binary_masks_only(measure):
    with pytest.raises(DataError, match="binarise"):
        measure(np.full((4, 4), 0.5), np.full((4, 4), 0.5))


def test_auc_image_by_image_is_undefined_without_both_classes():
    truth = np.zeros((4, 4), bool)
    truth[:2] = True
    masks = np.stack([truth, ~truth, truth | True, truth & False])
    areas = soft.auc(np.broadcast_to(truth, masks.shape).astype(float), masks)
    np.testing.assert_array_equal(areas, [1, 0, np.nan, np.nan])


@pytest.mark.parametrize(
    ("partial", "first", "last"),
    [({}, 28, 35), ({32: 0.4}, 29, 35), ({32: 0.6}, 29, 35), ({31: 0.7, 32: 0.2}, 28, 35)],
)
def test_the_band_reaches_as_far_on_both_sides_of_the_edge(partial, first, last):
    alpha = np.zeros((16, 64), np.float32)
    alpha[:, :32] = 1
    for column, value in partial.items():
        alpha[:, column] = value
    band = soft.edge_band(alpha)
    np.testing.assert_array_equal(band, np.broadcast_to((np.arange(64) >= first) & (np.arange(64) <= last), band.shape))
    np.testing.assert_array_equal(soft.edge_band(1 - alpha), band)


def test_the_band_of_nothing_is_empty_and_of_a_dot_is_a_diamond():
    assert not soft.edge_band(np.zeros((9, 9), np.float32)).any()
    assert not soft.edge_band(np.ones((9, 9), np.float32)).any()
    dot = np.zeros((9, 9), np.float32)
    dot[4, 4] = 0.3
    row, column = np.indices(dot.shape)
    np.testing.assert_array_equal(soft.edge_band(dot), abs(row - 4) + abs(column - 4) <= 3)


def test_the_bands_of_several_images_do_not_touch_each_other():
    alphas = random_alphas(3)[0].round()
    np.testing.assert_array_equal(soft.edge_band(alphas), [soft.edge_band(alpha) for alpha in alphas])


def test_soft_head_is_the_tanh_of_the_logits():
    logits = np.linspace(-6, 6, 25)
    np.testing.assert_allclose(soft.soft_head(1 / (1 + np.exp(-logits))), (np.tanh(logits) + 1) / 2, atol=1e-12)


@given(st.one_of(ALPHAS, COARSE), MASKS, st.sampled_from([1, 2, 10]))
@settings(max_examples=60)
def test_the_curve_is_that_of_scikit_learn(probabilities, masks, bins):
    result = soft.calibration(probabilities, masks, bins)
    observed, mean_probability = calibration_curve(masks.ravel(), probabilities.ravel(), n_bins=bins)
    filled = result.counts > 0
    np.testing.assert_allclose(result.observed[filled], observed)
    np.testing.assert_allclose(result.mean_probability[filled], mean_probability)
    assert result.counts.sum() == 30
    assert np.isnan(result.observed[~filled]).all()
    assert result.error == pytest.approx((result.counts[filled] / 30 * abs(observed - mean_probability)).sum())
    assert 0 <= result.error <= 1


@given(st.floats(0.25, 4))
@settings(max_examples=20)
def test_the_temperature_that_spoilt_probabilities_is_found_again(spoilt):
    random = np.random.default_rng(4)
    logits = random.normal(0, 2, (20, 50, 40))
    masks = random.random(logits.shape) < 1 / (1 + np.exp(-logits))  # so that these logits are right
    probabilities = 1 / (1 + np.exp(-spoilt * logits))
    assert soft.best_temperature(probabilities, masks) == pytest.approx(spoilt, rel=0.03)


def test_the_best_temperature_is_that_of_a_fine_grid():
    random = np.random.default_rng(5)
    probabilities, masks = random.random((2, 9, 9)), random.random((2, 9, 9)) < 0.4
    grid = np.geomspace(0.01, 100, 4001)
    losses = [log_loss(masks.ravel(), soft.tempered(probabilities, t).ravel()) for t in grid]
    best = soft.tempered(probabilities, soft.best_temperature(probabilities, masks))
    assert log_loss(masks.ravel(), best.ravel()) <= min(losses) + 1e-9


def test_a_temperature_keeps_the_cut_and_certain_probabilities_finite():
    probabilities = np.array([[0, 1e-9, 0.3, 0.5], [0.50001, 0.9, 1 - 1e-9, 1]])
    np.testing.assert_allclose(soft.tempered(probabilities, 1), probabilities, atol=2e-7)
    for temperature in (0.01, 3, 100):
        changed = soft.tempered(probabilities, temperature)
        assert np.isfinite(changed).all()
        np.testing.assert_array_equal(changed >= 0.5, probabilities >= 0.5)


@pytest.mark.parametrize(("value", "missing"), [(0, "foreground"), (1, "background")])
def test_no_temperature_without_both_classes(value, missing):
    with pytest.raises(DataError, match=f"without {missing}"):
        soft.best_temperature(np.full((2, 4, 4), 0.3), np.full((2, 4, 4), value))


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.1])
def test_values_that_are_no_probabilities_have_no_calibration(value):
    probabilities, masks = np.full((4, 5), 0.1), np.zeros((4, 5), bool)
    probabilities[2, 3] = value
    for calibration in (lambda: soft.calibration(probabilities, masks), lambda: soft.frequencies(masks, probabilities)):
        with pytest.raises(DataError, match=r"finite and lie in \[0, 1\]"):
            calibration()


@pytest.mark.parametrize("measure", [soft.mae, soft.mse, soft.soft_dice, soft.gradient_error, soft.brier])
def test_images_of_different_sizes_are_not_compared(measure):
    alphas = np.ones((2, 9, 11))
    for other in (alphas[:, :1], alphas[..., :1], np.ones((11,))):
        with pytest.raises(DataError, match="cannot be compared"):
            measure(alphas, other)
