"""RECIST marks: checked, measured on contours, drawn as ellipses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softmask.errors import LabelError
from softmask.label.recist import axes_from_contour, axes_from_mask, ellipse_mask, quadrilateral, validate

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


def test_a_rectangle_contour() -> None:
    # diagonal of a 6 x 8 rectangle; a perpendicular through its corners is 8 * 6 / 8 / cos(atan(6 / 8)) long
    axes = axes_from_contour(np.array([[0, 0], [0, 8], [6, 8], [6, 0]], float))
    np.testing.assert_allclose(lengths(axes), [10, 7.5], rtol=1e-6)
    assert abs((axes[0, 1] - axes[0, 0]) @ (axes[1, 1] - axes[1, 0])) < 1e-6


def test_a_concave_contour_is_not_measured_across_its_gap() -> None:
    # a U: two arms of width 2 with a gap of 6 between them, on a base of height 2
    points = np.array([[0, 0], [20, 0], [20, 10], [0, 10], [0, 8], [18, 8], [18, 2], [0, 2]], float)
    axes = axes_from_contour(points)
    assert lengths(axes)[0] == pytest.approx(np.hypot(20, 10))
    assert lengths(axes)[1] < 10


def test_a_contour_on_one_line_has_a_short_axis_of_zero() -> None:
    np.testing.assert_allclose(
        lengths(axes_from_contour(np.array([[0, 0], [2, 2], [4, 4]]))), [np.sqrt(32), 0], atol=1e-6
    )


@settings(deadline=None, max_examples=50)
@given(
    st.floats(5, 20),
    st.floats(0.3, 1),
    st.floats(0, np.pi),
    st.integers(40, 90),
    st.tuples(st.floats(0, 9), st.floats(0, 9)),
)
def test_an_ellipse_is_measured_whatever_its_turn(half, ratio, turn, count, centre) -> None:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    along, across = half * np.cos(angle), ratio * half * np.sin(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = np.stack([along, across], axis=1) @ rotation + centre
    measured = lengths(axes_from_contour(points))
    if ratio < 0.95:
        np.testing.assert_allclose(measured, [2 * half, 2 * half * ratio], rtol=0.02)
    np.testing.assert_allclose(lengths(axes_from_contour(np.roll(points, 7, axis=0))), measured, rtol=1e-6)


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.zeros((1, 2)), np.zeros((4, 3)), np.full((4, 2), np.nan)])
def test_a_contour_without_extent_is_refused(points: np.ndarray) -> None:
    with pytest.raises(LabelError, match="contour"):
        axes_from_contour(points)


def test_the_ellipse_has_the_extents_of_the_mark() -> None:
    mask = ellipse_mask(CROSS, (32, 32))
    row, column = np.nonzero(mask)
    assert (column.min(), column.max()) == (6, 26)
    assert (row.min(), row.max()) == (11, 21)
    assert mask.sum() == pytest.approx(np.pi * 10.5 * 5.5, rel=0.05)


def test_the_quadrilateral_goes_round() -> None:
    corners = quadrilateral(CROSS)
    following = np.roll(corners, -1, axis=0)
    area = abs((corners[:, 0] * following[:, 1] - corners[:, 1] * following[:, 0]).sum()) / 2
    assert area == pytest.approx(20 * 10 / 2)
