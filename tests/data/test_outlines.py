"""Filling polygons, against a point-in-polygon test written out; RECIST axes, against shapes whose axes are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softmask.data.outlines import contour_mask, fill, long_axis, recist_axes
from softmask.errors import DataError

polygons = st.lists(st.tuples(st.integers(-4, 20), st.integers(-4, 20)), min_size=3, max_size=12)


def polygon_mask(points, shape, origin=(0, 0)):
    return contour_mask([(True, points)], shape, origin)


def _inside(point, polygon):
    """Even-odd rule by counting crossings of a ray to the left; None for a point on an edge."""
    r, c = point
    odd = False
    for (r0, c0), (r1, c1) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        cross = (r1 - r0) * (c - c0) - (c1 - c0) * (r - r0)
        if cross == 0 and min(r0, r1) <= r <= max(r0, r1) and min(c0, c1) <= c <= max(c0, c1):
            return None
        if (r0 > r) != (r1 > r) and c0 + (r - r0) * (c1 - c0) / (r1 - r0) < c:
            odd = not odd
    return odd


@given(polygons)
@settings(max_examples=150, deadline=None)
def test_fill_is_the_even_odd_rule(polygon):
    filled, lesion = fill(np.array(polygon), (17, 15)), polygon_mask(np.array(polygon), (17, 15))
    for r in range(17):
        for c in range(15):
            expected = _inside((r, c), polygon)
            assert expected is None or filled[r, c] == expected, (r, c)
            assert lesion[r, c] == (expected is True), "a pixel on the contour is outside"


@given(polygons, st.integers(-9, 9), st.integers(-9, 9))
@settings(max_examples=60, deadline=None)
def test_a_window_is_a_cut_of_the_whole_frame(polygon, row, column):
    whole = polygon_mask(np.array(polygon), (60, 60), (-20, -20))
    window = polygon_mask(np.array(polygon), (12, 9), (row, column))
    assert np.array_equal(window, whole[20 + row : 32 + row, 20 + column : 29 + column])


@given(polygons)
@settings(max_examples=60, deadline=None)
def test_direction_start_and_closing_do_not_matter(polygon):
    mask = polygon_mask(np.array(polygon), (20, 20))
    turned = polygon[3:] + polygon[:3]
    assert np.array_equal(mask, polygon_mask(np.array(turned + turned[:1]), (20, 20)))


@pytest.mark.parametrize("points", [[(4, 4)], [(4, 4), (4, 5)], [(4, 4), (5, 5), (4, 4)]])
def test_a_contour_that_encloses_nothing(points):
    assert not polygon_mask(np.array(points), (9, 9)).any()


def test_holes_and_parts():
    def box(low, high):
        return np.array([(low, low), (low, high), (high, high), (high, low)])

    outer, hole = box(1, 15), box(5, 10)
    mask = contour_mask([(False, hole), (True, outer)], (20, 20))
    assert mask[3, 3]
    assert not mask[7, 7]
    assert not mask[5, 5], "a hole's own contour is no lesion"
    both = contour_mask([(True, box(1, 4)), (True, box(8, 12))], (20, 20))
    assert both[2, 2]
    assert both[10, 10]
    assert not both[6, 6]
    assert not contour_mask([(False, outer)], (20, 20)).any()


def ellipse(shape, centre, long, short, degrees):
    """Pixels of an ellipse with the given half axes; ``degrees`` from the row axis."""
    row, col = np.indices(shape) - np.array(centre)[:, None, None]
    angle = np.deg2rad(degrees)
    u = np.cos(angle) * row + np.sin(angle) * col
    v = np.sin(angle) * row - np.cos(angle) * col
    return (u / long) ** 2 + (v / short) ** 2 <= 1


def lengths(axes):
    return np.linalg.norm(axes[:, 1] - axes[:, 0], axis=1)


@pytest.mark.parametrize("degrees", [0, 17, 133])
def test_ellipse(degrees):
    mask = ellipse((128, 128), (60.3, 64.2), 30, 14, degrees)
    axes = recist_axes(mask)
    assert lengths(axes) == pytest.approx([60, 28], abs=1.6)
    direction = axes[0, 1] - axes[0, 0]
    expected = np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))])
    assert abs(direction @ expected) / np.linalg.norm(direction) > np.cos(np.deg2rad(6))
    assert axes.mean(axis=(0, 1)) == pytest.approx([60.3, 64.2], abs=1.5)
    mask[120:124, 3] = True  # another part, and a hole: neither counts
    mask[59:63, 62:67] = False
    np.testing.assert_array_equal(recist_axes(mask), axes)


def test_rectangle_is_exact():
    mask = np.zeros((40, 40), bool)
    mask[10, 5:26] = True
    mask[6:15, 15] = True  # a cross: 21 pixels long, 9 pixels across
    axes = recist_axes(mask)
    np.testing.assert_allclose(axes, [[[10, 5], [10, 25]], [[6, 15], [14, 15]]], atol=1e-9)


@pytest.mark.parametrize("degrees", [0, 17, 90])
def test_long_axis_alone_is_the_one_of_both(degrees):
    mask = ellipse((64, 48), (30.3, 22.2), 17, 8, degrees)
    mask[60:, 44:] = True  # another, smaller part
    mask[30, 22] = False
    assert long_axis(mask) == pytest.approx(lengths(recist_axes(mask))[0])
    assert long_axis(mask[30:31, 20:22]) == 1
    for measure in (long_axis, recist_axes):
        with pytest.raises(DataError, match="empty mask"):
            measure(np.zeros((4, 4), bool))


def test_longest_chord_is_the_brute_force_one():
    rng = np.random.default_rng(3)
    for _ in range(20):
        row, col = np.indices((24, 24))
        mask = np.zeros((24, 24), bool)
        centre = np.array([12, 12])
        for _ in range(4):  # overlapping discs: one connected, irregular part
            mask |= np.hypot(row - centre[0], col - centre[1]) <= rng.uniform(2, 4)
            centre = np.clip(centre + rng.integers(-2, 3, 2), 5, 18)
        points = np.argwhere(mask)
        farthest = np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1).max())
        assert lengths(recist_axes(mask))[0] == pytest.approx(farthest)


def test_short_axis_stays_inside_a_crescent():
    mask = ellipse((64, 64), (32, 32), 24, 24, 0) & ~ellipse((64, 64), (32, 44), 26, 26, 0)
    axes = recist_axes(mask)
    middle = np.rint(axes[1].mean(axis=0)).astype(int)
    assert mask[tuple(middle)]
    assert lengths(axes)[1] < 14


@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.6))
def test_axes_of_any_mask_are_perpendicular_and_ordered(seed, density):
    mask = np.random.default_rng(seed).random((12, 15)) < density
    mask[5, 5] = True
    axes = recist_axes(mask)
    long, short = lengths(axes)
    assert axes.shape == (2, 2, 2)
    assert np.isfinite(axes).all()
    assert short <= long + 1e-9
    assert abs((axes[0, 1] - axes[0, 0]) @ (axes[1, 1] - axes[1, 0])) < 1e-6
    assert (axes >= -0.5).all()
    assert (axes <= np.array(mask.shape) - 0.5).all()
    for end in axes[0]:
        assert mask[tuple(end.astype(int))]
