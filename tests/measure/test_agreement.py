import numpy as np
import pytest

from softmask.errors import DataError
from softmask.measure.agreement import dice_matrix, icc, summary
from softmask.measure.segmentation import dice


def readers(n=12, seed=0):
    generator = np.random.default_rng(seed)
    masks = generator.random((n, 4, 8, 9)) < generator.random((n, 1, 1, 1))
    present = generator.random((n, 4)) < 0.7
    return masks & present[:, :, None, None], present


def test_agrees_with_dice_pair_by_pair_over_the_images_both_marked():
    masks, present = readers()
    result = dice_matrix(masks, present)
    for i in range(4):
        for j in range(4):
            both = present[:, i] & present[:, j]
            values = dice(masks[both, i], masks[both, j])
            assert result.counts[i, j] == both.sum()
            assert result.mean[i, j] == pytest.approx(values.mean())
            assert result.std[i, j] == pytest.approx(values.std(ddof=1))
            np.testing.assert_allclose(result.values[both, i, j], values)
            assert np.isnan(result.values[~both, i, j]).all()


def test_symmetric_with_a_diagonal_of_one():
    masks, present = readers()
    result = dice_matrix(masks, present)
    np.testing.assert_array_equal(result.mean, result.mean.T)
    np.testing.assert_array_equal(np.diag(result.mean), 1)
    np.testing.assert_array_equal(np.diag(result.std), 0)
    assert (result.mean <= 1).all()
    assert (result.mean >= 0).all()


def test_extra_masks_are_further_columns_that_are_always_present():
    masks, present = readers()
    consensus = masks.sum(axis=1, keepdims=True) * 2 >= present.sum(axis=1)[:, None, None, None]
    result = dice_matrix(masks, present, consensus)
    assert result.mean.shape == (5, 5)
    np.testing.assert_array_equal(result.counts[4, :4], present.sum(axis=0))
    assert result.counts[4, 4] == len(masks)
    both = present[:, 2]
    assert result.mean[2, 4] == pytest.approx(dice(masks[both, 2], consensus[both, 0]).mean())
    np.testing.assert_array_equal(result.mean[:4, :4], dice_matrix(masks, present).mean)


def test_images_of_different_size_may_come_one_by_one():
    masks, present = readers(4)
    padded = (np.pad(m, ((0, 0), (i, 2), (0, i))) for i, m in enumerate(masks))
    result = dice_matrix(padded, iter(present))
    np.testing.assert_allclose(result.mean, dice_matrix(masks, present).mean)


def test_a_pair_that_never_met_is_nan_and_one_image_has_no_spread():
    masks = np.ones((2, 3, 4, 4), bool)
    present = np.array([[True, True, False], [True, False, True]])
    result = dice_matrix(masks, present)
    assert result.counts.tolist() == [[2, 1, 1], [1, 1, 0], [1, 0, 1]]
    assert np.isnan(result.mean[1, 2])
    assert result.mean[0, 1] == 1
    assert np.isnan(result.std[0, 1])
    assert result.std[0, 0] == 0


def test_a_present_reader_with_an_empty_mask_counts():
    masks = np.zeros((1, 2, 3, 3), bool)
    assert dice_matrix(masks).mean[0, 1] == 1
    masks[0, 0, 1, 1] = True
    assert dice_matrix(masks).mean[0, 1] == 0


def test_summary_of_the_values_is_the_matrix():
    masks, present = readers()
    result = dice_matrix(masks, present)
    again = summary(result.values)
    np.testing.assert_array_equal(again.mean, result.mean)
    np.testing.assert_array_equal(again.counts, result.counts)


MASKS = np.ones((2, 3, 4, 4), bool)


@pytest.mark.parametrize(
    ("masks", "present", "extra", "message"),
    [
        ([], None, None, "no image"),
        (MASKS.astype(float), None, None, "image 0: reader masks"),
        (MASKS[:, 0], None, None, "image 0: reader masks"),
        (MASKS, np.ones((2, 2), bool), None, "image 0: present"),
        (MASKS, np.ones((2, 3)), None, "image 0: present"),
        (MASKS, np.ones((1, 3), bool), None, "2 masks for 1 images"),
        (MASKS, np.ones((3, 3), bool), None, "3 present flags for 2 images"),
        (MASKS, None, np.ones((2, 1, 4, 5), bool), "image 0: extra"),
        ([MASKS[0], MASKS[1, :2]], None, None, "differs between images"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(masks, present, extra, message):
    with pytest.raises(DataError, match=message):
        dice_matrix(masks, present, extra)


def test_icc_is_shrout_and_fleiss_own():
    table = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
    assert icc(table) == pytest.approx(0.29, abs=0.005)  # their table 4: ICC(2,1)
    assert icc(np.repeat(table[:, :1], 2, axis=1)) == pytest.approx(1)
    assert np.isnan(icc(np.ones((6, 2))))
    assert icc(np.stack([table, table])).shape == (2,)
