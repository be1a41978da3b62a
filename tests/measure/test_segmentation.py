"""Measures of binary masks against scikit-learn, scikit-image, scipy and MONAI, and agreement of readers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from monai.metrics import DiceMetric, compute_hausdorff_distance, compute_surface_dice
from scipy.spatial.distance import directed_hausdorff
from skimage.metrics import hausdorff_distance
from sklearn import metrics as sk

from softmask.errors import DataError
from softmask.measure import segmentation as seg

SHAPE = (6, 7)
MASKS = hnp.arrays(bool, SHAPE, elements=st.booleans())
EMPTY = np.zeros(SHAPE, bool)
FULL = np.ones(SHAPE, bool)
SQUARE = np.zeros(SHAPE, bool)
SQUARE[1:4, 2:5] = True
SYMMETRIC = [seg.dice, seg.iou, seg.accuracy, seg.hausdorff, seg.hd95, seg.surface_dice]
FILLED = hnp.arrays(bool, (9, 8), elements=st.booleans()).filter(np.any)


def random_pairs(n):
    generator = np.random.default_rng(0)
    density = generator.random((n, 1, 1))
    return generator.random((n, 9, 11)) < density, generator.random((n, 9, 11)) < density[::-1]


@pytest.mark.parametrize(
    ("measure", "reference"),
    [
        (seg.dice, sk.f1_score),
        (seg.iou, sk.jaccard_score),
        (seg.accuracy, sk.accuracy_score),
        (seg.sensitivity, sk.recall_score),
        (seg.ppv, sk.precision_score),
    ],
)
def test_overlap_measures_agree_with_scikit_learn(measure, reference):
    a, b = random_pairs(200)
    filled = a.any(axis=(1, 2)) & b.any(axis=(1, 2))
    a, b = a[filled], b[filled]
    expected = [reference(y.ravel(), x.ravel()) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(measure(a, b), expected, atol=1e-12)


def test_hausdorff_agrees_with_scikit_image():
    a, b = random_pairs(80)
    a[40] = b[41] = False
    expected = [hausdorff_distance(x, y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_array_equal(seg.hausdorff(a, b), expected)


@given(FILLED, FILLED)
@settings(max_examples=25)
def test_any_two_masks_measure_as_in_scipy_and_monai(a, b):
    pairs = [[np.argwhere(mask) for mask in pair] for pair in ((a, b), (b, a))]
    assert seg.hausdorff(a, b) == pytest.approx(max(directed_hausdorff(*pair)[0] for pair in pairs))
    x, y = (torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (a, b))
    assert seg.dice(a, b) == pytest.approx(float(DiceMetric()(x, y)[0, 0]))
    # MONAI interpolates the percentile in single precision, which moves it by up to 1e-5 of the distances beside it
    expected = float(compute_hausdorff_distance(x, y, True, percentile=95)[0, 0])
    assert seg.hd95(a, b) == pytest.approx(expected, rel=1e-5, abs=1e-4)
    for tolerance in (0, 1, 1.5):
        expected = float(compute_surface_dice(x, y, [tolerance], True)[0, 0])
        assert seg.surface_dice(a, b, tolerance) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("predicted", "truth", "overlap", "sensitivity", "ppv", "distance"),
    [
        (EMPTY, EMPTY, 1, np.nan, np.nan, 0),
        (EMPTY, SQUARE, 0, 0, np.nan, np.inf),
        (SQUARE, EMPTY, 0, np.nan, 0, np.inf),
        (FULL, FULL, 1, 1, 1, 0),
    ],
)
def test_empty_and_full_masks(predicted, truth, overlap, sensitivity, ppv, distance):
    expected = dict.fromkeys(("dice", "iou", "surface_dice"), overlap) | {"sensitivity": sensitivity, "ppv": ppv}
    expected |= {"hausdorff": distance, "hd95": distance}
    values = {name: getattr(seg, name)(predicted, truth) for name in expected}
    assert values == pytest.approx(expected, nan_ok=True)


@given(MASKS, MASKS)
@settings(max_examples=60)
def test_symmetry_bounds_and_order(a, b):
    for measure in SYMMETRIC:
        assert measure(a, b) == measure(b, a)
    dice, iou = seg.dice(a, b), seg.iou(a, b)
    assert 0 <= iou <= dice <= 1
    assert dice == pytest.approx(2 * iou / (1 + iou))
    assert 0 <= seg.accuracy(a, b) <= 1
    np.testing.assert_equal(seg.sensitivity(a, b), seg.ppv(b, a))
    assert 0 <= seg.surface_dice(a, b) <= seg.surface_dice(a, b, 2) <= 1
    assert (seg.surface_dice(a, a), seg.hd95(a, a)) == (1, 0)
    assert (seg.hausdorff(a, b) == 0) == np.array_equal(a, b)


@given(MASKS, MASKS)
@settings(max_examples=30)
def test_flipping_and_turning_both_changes_nothing(a, b):
    for measure in (*SYMMETRIC, seg.sensitivity, seg.ppv):
        for turn in (np.flipud, np.fliplr, np.transpose):
            np.testing.assert_allclose(measure(turn(a), turn(b)), measure(a, b))


@pytest.mark.parametrize("measure", [*SYMMETRIC, seg.sensitivity, seg.ppv])
def test_leading_axes_are_images_and_broadcast(measure):
    a, b = random_pairs(6)
    stacked = measure(a.reshape(2, 3, 9, 11), b.reshape(2, 3, 9, 11))
    np.testing.assert_array_equal(stacked, np.reshape([measure(x, y) for x, y in zip(a, b, strict=True)], (2, 3)))
    np.testing.assert_array_equal(measure(a[:, None], b[None])[2], measure(a[2], b))  # every pair
    assert np.ndim(measure(a[0], b[0])) == 0


@pytest.mark.parametrize("bad", [SQUARE * 0.5, SQUARE * 255, np.full(SHAPE, np.nan)])
def test_soft_masks_are_refused(bad):
    for measure in (seg.dice, seg.hausdorff, seg.accuracy):
        with pytest.raises(DataError, match="binarise"):
            measure(bad, SQUARE)


def test_a_matrix_of_readers_is_dice_pair_by_pair():
    masks = random_pairs(5)[0]
    matrix = seg.dice_of_pairs(masks)
    np.testing.assert_array_equal(np.diag(matrix), 1)
    np.testing.assert_array_equal(matrix, matrix.T)
    np.testing.assert_array_equal(matrix[:4, 4], seg.dice(masks[:4], masks[4]))


@pytest.mark.parametrize("measure", [*SYMMETRIC, seg.sensitivity, seg.ppv])
def test_masks_of_different_sizes_are_not_compared(measure):
    for other in (FULL[:1], FULL[:, :1], np.ones((4, 1, 7), bool)):
        with pytest.raises(DataError, match="cannot be compared"):
            measure(FULL, other)
