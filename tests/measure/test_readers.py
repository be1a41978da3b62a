"""Measures against readers: brute force over explicit masks, scipy's matching, and integration of the CRPS."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from softmask.errors import DataError
from softmask.measure import readers as measures
from softmask.measure.readers import against_readers, crps_area, ged, matched_iou, reliability, vote_dice
from softmask.measure.soft import calibration

STEPS = 8
SHAPE = (4, 5)
SOFT = hnp.arrays(int, SHAPE, elements=st.integers(0, STEPS)).map(lambda steps: steps / STEPS)
MASK = hnp.arrays(bool, SHAPE)
READERS = st.integers(1, 4).flatmap(lambda number: hnp.arrays(bool, (number, *SHAPE)))

MEASURES = (ged, matched_iou, vote_dice, crps_area)


def iou(a, b):
    return (a & b).sum() / (a | b).sum() if (a | b).any() else 1.0


def masks_of(prediction):
    """All masks of a prediction whose values are whole eighths, one for each threshold 1/8, 2/8 ... 1."""
    return [prediction >= step / STEPS for step in range(1, STEPS + 1)]


def mean_distance(some, others):
    return np.mean([[1 - iou(a, b) for b in others] for a in some])


@given(st.one_of(SOFT, MASK), READERS)
@settings(max_examples=60)
def test_ged_is_that_of_all_masks(prediction, readers):
    masks = masks_of(prediction)
    expected = 2 * mean_distance(masks, readers) - mean_distance(masks, masks) - mean_distance(readers, readers)
    assert ged(prediction, readers) == pytest.approx(expected, abs=1e-12)
    assert 0 <= ged(prediction, readers) <= 2


@given(st.one_of(SOFT, MASK), READERS)
@settings(max_examples=60)
def test_matched_iou_is_the_best_of_all_matchings(prediction, readers):
    """Against every assignment of groups: 12 masks, of which as many go to each reader."""
    from scipy.optimize import linprog

    masks = [prediction >= (i + 0.5) / 12 for i in range(12)]
    pairs = np.array([[iou(mask, reader) for reader in readers] for mask in masks])
    # as a transport of equal weights, a linear programme instead of the Hungarian algorithm
    n, m = pairs.shape
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    limits = np.r_[np.full(n, 1 / n), np.full(m, 1 / m)]
    best = linprog(-pairs.ravel(), A_eq=np.vstack([rows, columns]), b_eq=limits, method="highs")
    assert matched_iou(prediction, readers) == pytest.approx(-best.fun, abs=1e-9)


def test_five_readers_do_not_divide_twelve_masks():
    readers = np.random.default_rng(0).random((5, 6, 6)) < 0.5
    assert matched_iou(readers[0], readers) == pytest.approx(np.mean([iou(readers[0], reader) for reader in readers]))


@given(st.one_of(SOFT, MASK), READERS)
def test_vote_dice_by_loops(prediction, readers):
    total = 0.0
    for tenth in range(1, 10):
        a, b = prediction >= tenth / 10, 10 * readers.sum(axis=0) >= tenth * len(readers)
        total += 2 * (a & b).sum() / (a.sum() + b.sum()) if a.any() or b.any() else 1
    assert vote_dice(prediction, readers) == pytest.approx(total / 9)


@given(READERS)
def test_the_vote_itself_has_a_vote_dice_of_1(readers):
    assert vote_dice(readers.mean(axis=0), readers) == 1


@given(st.one_of(SOFT, MASK), READERS)
@settings(max_examples=60)
def test_crps_is_the_integral_of_the_squared_difference_of_distributions(prediction, readers):
    """Integrated over areas: the distribution function is constant between two whole numbers of pixels."""
    areas = np.array([mask.sum() for mask in masks_of(prediction)])
    expected = sum(((areas <= low).mean() - (readers.sum(axis=(1, 2)) <= low)) ** 2 for low in range(21)).mean()
    assert crps_area(prediction, readers) == pytest.approx(expected, abs=1e-9)


@given(hnp.arrays(float, SHAPE, elements=st.floats(0, 1)), MASK)
def test_the_mean_area_of_a_soft_mask_is_its_sum(prediction, reader):
    """With a reader far above all areas the CRPS is linear in it: y - E A - E|A - A'| / 2."""
    wide = np.ones((1, *SHAPE), bool)
    values = np.sort(np.append(prediction.ravel(), 0))
    areas = np.array([(prediction >= v).sum() for v in values[1:]] + [0])
    shares = np.append(np.diff(values), 1 - values[-1])
    spread = shares @ np.abs(areas[:, None] - areas) @ shares
    assert crps_area(prediction, wide) == pytest.approx(20 - prediction.sum() - spread / 2, abs=1e-9)


@given(SOFT, READERS)
def test_reliability_is_the_share_of_readers(prediction, readers):
    """Bins by loops over pixels and readers."""
    result = reliability([prediction], [readers], bins=4)
    vote = readers.mean(axis=0)
    error = 0.0
    for i in range(4):
        inside = (prediction > i / 4) & (prediction <= (i + 1) / 4) | ((prediction == 0) & (i == 0))
        assert result.counts[i] == inside.sum()
        if inside.any():
            assert result.observed[i] == pytest.approx(vote[inside].mean())
            assert result.mean_probability[i] == pytest.approx(prediction[inside].mean())
            error += inside.mean() * abs(vote[inside].mean() - prediction[inside].mean())
    assert result.error == pytest.approx(error)


def test_the_vote_is_calibrated_against_readers_but_not_against_their_consensus():
    readers = np.random.default_rng(1).random((4, 16, 16)) < np.linspace(0, 1, 16)
    vote = readers.mean(axis=0)
    assert reliability([vote], [readers]).error == pytest.approx(0, abs=1e-12)
    assert calibration(vote, vote >= 0.5).error > 0.1


def test_images_of_different_numbers_of_readers_are_pooled():
    random = np.random.default_rng(2)
    images = [(random.random((6, 6)), random.random((r, 6, 6)) < 0.4) for r in (1, 3)]
    pooled = reliability(*zip(*images, strict=True))
    single = [reliability([p], [r]) for p, r in images]
    np.testing.assert_array_equal(pooled.counts, single[0].counts + single[1].counts)


@given(st.one_of(SOFT, MASK), MASK, st.integers(2, 4))
def test_identical_readers_count_as_one(prediction, reader, number):
    same = np.repeat(reader[None], number, axis=0)
    for measure in MEASURES:
        assert measure(prediction, same) == pytest.approx(measure(prediction, reader[None]), abs=1e-12)


@given(READERS)
def test_empty_and_full_predictions(readers):
    areas = readers.sum(axis=(1, 2))
    for value in (0.0, 1.0):
        prediction = np.full(SHAPE, value)
        errors = np.abs(areas - value * prediction.size)
        assert crps_area(prediction, readers) == pytest.approx(errors.mean())
        assert matched_iou(prediction, readers) == pytest.approx(np.mean([iou(prediction > 0, r) for r in readers]))
        assert 0 <= ged(prediction, readers) <= 2


def test_empty_readers_are_an_answer():
    nothing, first = np.zeros((2, *SHAPE), bool), np.zeros((2, *SHAPE), bool)
    first[0, 1:3, 1:3] = True
    empty = np.zeros(SHAPE)
    assert [measure(empty, nothing) for measure in MEASURES] == [0, 1, 1, 0]
    assert [measure(first[0], nothing) for measure in MEASURES] == [2, 0, 0, 4]
    assert ged(empty, first) == pytest.approx(2 * 0.5 - 0.5)  # one of two readers agrees, and the two do not
    assert crps_area(empty, first) == 2


def test_all_measures_by_name_of_the_prediction_in_8_bits():
    random = np.random.default_rng(3)
    readers = random.random((4, 8, 8)) < 0.3
    prediction = random.random((8, 8)).astype(np.float32)
    rounded = np.rint(255 * prediction.astype(float)) / 255
    values = against_readers(prediction, readers)
    assert tuple(values) == measures.MEASURES
    expected = [measure(rounded, readers) for measure in MEASURES] + [reliability([rounded], [readers]).error]
    assert list(values.values()) == pytest.approx(expected)
    assert len(set(values.values())) == 5
    assert against_readers(rounded, readers) == values


@pytest.mark.parametrize(
    ("prediction", "readers", "message"),
    [
        (np.zeros((4, 4)), np.zeros((0, 4, 4), bool), "no reader is present"),
        (np.zeros((4, 4)), np.zeros((4, 5), bool), r"not \(4, 4\) with \(4, 5\)"),
        (np.zeros((4, 4)), np.zeros((2, 4, 5), bool), r"\(H, W\)"),
        (np.zeros((3, 4, 4)), np.zeros((2, 4, 4), bool), r"\(H, W\)"),
        (np.full((4, 4), np.nan), np.zeros((2, 4, 4), bool), "finite"),
        (np.full((4, 4), 1.5), np.zeros((2, 4, 4), bool), r"\[0, 1\]"),
        (np.zeros((4, 4)), np.full((2, 4, 4), 0.5), "binarise"),
    ],
)
def test_what_does_not_fit_is_refused(prediction, readers, message):
    for measure in (*MEASURES, lambda p, r: reliability([p], [r])):
        with pytest.raises(DataError, match=message):
            measure(prediction, readers)
