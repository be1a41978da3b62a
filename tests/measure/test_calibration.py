import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.calibration import calibration_curve

from softmask.errors import DataError
from softmask.measure.calibration import calibration

PROBABILITIES = hnp.arrays(float, (60,), elements=st.one_of(st.floats(0, 1), st.sampled_from([0, 0.1, 0.5, 0.9, 1])))
MASKS = hnp.arrays(bool, (60,), elements=st.booleans())


@given(PROBABILITIES, MASKS, st.sampled_from([1, 2, 10]))
@settings(max_examples=60, deadline=None)
def test_the_curve_is_that_of_scikit_learn(probabilities, masks, bins):
    found = calibration(probabilities, masks, bins)
    observed, mean_probability = calibration_curve(masks, probabilities, n_bins=bins)
    filled = found.counts > 0
    np.testing.assert_allclose(found.observed[filled], observed)
    np.testing.assert_allclose(found.mean_probability[filled], mean_probability)
    assert found.counts.sum() == 60
    assert np.isnan(found.observed[~filled]).all()
    assert found.error == pytest.approx((found.counts[filled] / 60 * abs(observed - mean_probability)).sum())
    assert 0 <= found.error <= 1


def test_a_prediction_that_can_be_taken_at_its_word_has_no_error():
    probabilities = np.repeat([0.25, 0.75], 8)
    masks = np.tile([1, 0, 0, 0], 2).tolist() + np.tile([1, 1, 1, 0], 2).tolist()
    found = calibration(probabilities, np.array(masks), bins=2)
    assert found.error == 0
    np.testing.assert_array_equal(found.observed, [0.25, 0.75])
    np.testing.assert_array_equal(found.counts, [8, 8])


@pytest.mark.parametrize(("probability", "error"), [(1.0, 0.6), (0.7, 0.3), (0.4, 0.0)])
def test_the_error_is_how_far_confidence_and_truth_lie_apart(probability, error):
    masks = np.zeros((2, 5, 5), bool)
    masks[:, :2] = True  # 40 % of the pixels
    assert calibration(np.full(masks.shape, probability), masks).error == pytest.approx(error)


@given(PROBABILITIES, MASKS)
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_pixels_does_not_matter(probabilities, masks):
    first = calibration(probabilities, masks)
    again = calibration(probabilities[::-1].reshape(5, 12), masks[::-1].reshape(5, 12))
    np.testing.assert_array_equal(first.counts, again.counts)
    assert first.error == pytest.approx(again.error)


@pytest.mark.parametrize(
    ("probabilities", "masks", "bins", "message"),
    [
        (np.zeros(3), np.zeros(4), 10, "one shape"),
        (np.zeros(0), np.zeros(0), 10, "one shape"),
        (np.array([np.nan, 0]), np.zeros(2), 10, "NaN"),
        (np.array([1.2, 0]), np.zeros(2), 10, r"\[0, 1\]"),
        (np.zeros(2), np.array([0, 0.5]), 10, "binarise"),
        (np.zeros(2), np.zeros(2), 0, "at least one bin"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(probabilities, masks, bins, message):
    with pytest.raises(DataError, match=message):
        calibration(probabilities, masks, bins)
