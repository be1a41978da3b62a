import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
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
SYMMETRIC = [seg.dice, seg.iou, seg.accuracy, seg.hausdorff]


def random_pairs(n=200, seed=0):
    generator = np.random.default_rng(seed)
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
    a, b = random_pairs()
    filled = a.any(axis=(1, 2)) & b.any(axis=(1, 2))
    a, b = a[filled], b[filled]
    assert len(a) > 150
    expected = [reference(y.ravel(), x.ravel()) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(measure(a, b), expected, atol=1e-12)


def test_hausdorff_agrees_with_scikit_image():
    a, b = random_pairs(80)
    b[:20] = False
    b[np.arange(20), np.arange(20) % 9, np.arange(20) % 11] = True  # single pixels too
    a[40] = b[41] = False
    expected = [hausdorff_distance(x, y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(seg.hausdorff(a, b), expected, atol=1e-12)


def test_hand_made_example():
    a, b = np.zeros((2, 5, 8), bool)
    a[1, 1:5] = True  # 4 pixels
    b[1, 3:7] = True  # 4 pixels, 2 shared
    assert seg.dice(a, b) == 0.5
    assert seg.iou(a, b) == pytest.approx(1 / 3)
    assert seg.accuracy(a, b) == 1 - 4 / 40
    assert seg.sensitivity(a, b[:, :] & a) == 1
    assert seg.ppv(a, b & a) == 0.5
    assert seg.hausdorff(a, b) == 2


@pytest.mark.parametrize(
    ("predicted", "truth", "expected"),
    [
        (EMPTY, EMPTY, {"dice": 1, "iou": 1, "accuracy": 1, "sensitivity": np.nan, "ppv": np.nan, "hausdorff": 0}),
        (EMPTY, SQUARE, {"dice": 0, "iou": 0, "sensitivity": 0, "ppv": np.nan, "hausdorff": np.inf}),
        (SQUARE, EMPTY, {"dice": 0, "iou": 0, "sensitivity": np.nan, "ppv": 0, "hausdorff": np.inf}),
        (FULL, FULL, {"dice": 1, "iou": 1, "accuracy": 1, "sensitivity": 1, "ppv": 1, "hausdorff": 0}),
    ],
)
def test_empty_and_full_masks(predicted, truth, expected):
    found = {name: getattr(seg, name)(predicted, truth) for name in expected}
    assert found == pytest.approx(expected, nan_ok=True)


@given(MASKS, MASKS)
@settings(max_examples=60, deadline=None)
def test_symmetry_bounds_and_order(a, b):
    for measure in SYMMETRIC:
        assert measure(a, b) == measure(b, a)
    dice, iou = seg.dice(a, b), seg.iou(a, b)
    assert 0 <= iou <= dice <= 1
    assert dice == pytest.approx(2 * iou / (1 + iou))
    assert 0 <= seg.accuracy(a, b) <= 1
    np.testing.assert_equal(seg.sensitivity(a, b), seg.ppv(b, a))
    assert seg.hausdorff(a, b) >= 0
    assert (seg.hausdorff(a, b) == 0) == np.array_equal(a, b)


@given(MASKS, MASKS)
@settings(max_examples=30, deadline=None)
def test_flipping_and_turning_both_changes_nothing(a, b):
    for measure in (*SYMMETRIC, seg.sensitivity, seg.ppv):
        for turn in (np.flipud, np.fliplr, np.transpose):
            np.testing.assert_allclose(measure(turn(a), turn(b)), measure(a, b))


@pytest.mark.parametrize("name", ["dice", "iou", "accuracy", "sensitivity", "ppv", "hausdorff"])
def test_leading_axes_are_images_and_broadcast(name):
    measure = getattr(seg, name)
    a, b = random_pairs(6)
    stacked = measure(a.reshape(2, 3, 9, 11), b.reshape(2, 3, 9, 11))
    assert stacked.shape == (2, 3)
    np.testing.assert_array_equal(stacked.ravel(), [measure(x, y) for x, y in zip(a, b, strict=True)])
    table = measure(a[:, None], b[None])  # every pair
    assert table.shape == (6, 6)
    np.testing.assert_array_equal(table[2], measure(a[2], b))
    assert np.ndim(measure(a[0], b[0])) == 0


def test_zeros_and_ones_count_as_masks():
    assert seg.dice(SQUARE.astype(np.uint8), SQUARE.astype(float)) == 1


@pytest.mark.parametrize(
    ("bad", "message"),
    [(SQUARE * 0.5, "binarise"), (SQUARE * 255, "binarise"), (np.full(SHAPE, np.nan), "binarise"),
     (np.ones(5, bool), r"\(\.\.\., H, W\)"), (np.ones((6, 6), bool), "different size")],
)  # fmt: skip
def test_what_is_no_mask_is_refused(bad, message):
    for measure in (seg.dice, seg.hausdorff, seg.accuracy):
        with pytest.raises(DataError, match=message):
            measure(bad, SQUARE)
