"""RECIST marks: checked, and drawn as ellipses."""

from __future__ import annotations

import numpy as np
import pytest

from softmask.errors import LabelError
from softmask.label.recist import axes_from_mask, ellipse_mask, validate

CROSS = np.array([[[16, 6], [16, 26]], [[11, 14], [21, 14]]], float)


def lengths(axes: np.ndarray) -> np.ndarray:
    return np.linalg.norm(axes[:, 1] - axes[:, 0], axis=1)


def test_a_good_mark_passes_and_the_long_axis_comes_first() -> None:
    assert (validate(CROSS, (32, 32)) == CROSS).all()
    assert (validate(CROSS[::-1].tolist(), (32, 32)) == CROSS).all()


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (CROSS[0], r"\(2, 2, 2\)"),
        (np.full((2, 2, 2), np.nan), "NaN"),
        (CROSS + np.array([0, 6]), "row 16, column 32, outside the image of 32 x 32"),
        (CROSS - np.array([12, 0]), "row -1, column 14"),
        (np.full((2, 2, 2), 7.0), "row 7, column 7: label this lesion from its mask"),
    ],
)
def test_a_bad_mark_is_refused(axes: np.ndarray, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        validate(axes, (32, 32))


def test_a_lesion_one_pixel_wide_has_a_mark() -> None:
    mask = np.zeros((9, 9), bool)
    mask[4, 2:7] = True
    axes = validate(axes_from_mask(mask), mask.shape)
    np.testing.assert_allclose(lengths(axes), [4, 0])
    assert (ellipse_mask(axes, mask.shape) == mask).all()


def test_the_ellipse_has_the_extents_of_the_mark() -> None:
    mask = ellipse_mask(CROSS, (32, 32))
    row, column = np.nonzero(mask)
    assert (column.min(), column.max()) == (6, 26)
    assert (row.min(), row.max()) == (11, 21)
    assert mask.sum() == pytest.approx(np.pi * 10.5 * 5.5, rel=0.05)
