"""Filling polygons: against a point-in-polygon test written out, and on outlines whose inside is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softmask.data.rasterise import contour_mask, fill
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


def test_contour_pixels_are_outside():
    square = np.array([(r, c) for r in range(2, 7) for c in range(3, 9) if r in (2, 6) or c in (3, 8)])
    ring = np.array(
        [(2, c) for c in range(3, 9)]
        + [(r, 8) for r in range(3, 7)]
        + [(6, c) for c in range(7, 2, -1)]
        + [(r, 3) for r in range(5, 2, -1)]
    )
    assert set(map(tuple, square)) == set(map(tuple, ring))
    mask = polygon_mask(ring, (12, 12))
    expected = np.zeros((12, 12), bool)
    expected[3:6, 4:8] = True
    assert np.array_equal(mask, expected)


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


def test_subpixel_vertices():
    mask = fill(np.array([(1.5, 1.5), (1.5, 4.5), (3.5, 4.5), (3.5, 1.5)]), (6, 6))
    assert np.argwhere(mask).tolist() == [[2, 2], [2, 3], [2, 4], [3, 2], [3, 3], [3, 4]]


@pytest.mark.parametrize("points", [[], [[1, 2, 3]], [[0, np.nan], [1, 1], [2, 0]], [1, 2, 3]])
def test_points_that_are_no_contour(points):
    with pytest.raises(DataError, match="contour must be finite"):
        fill(np.array(points, float), (5, 5))
