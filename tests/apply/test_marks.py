"""RECIST ends: nothing is guessed about their order and unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from softmask.apply.items import Mark, doubts
from softmask.data.volume_files import Grid
from softmask.errors import ConfigError, DataError, LabelError

ENDS = ((10, 12), (30, 12), (20, 4), (20, 18))  # rows, columns; the first axis is the longer one
AXES = np.array(ENDS, float).reshape(2, 2, 2)
SHAPE = (40, 48)
GRID = Grid(
    shape=(5, *SHAPE), spacing_mm=(2.5, 0.7, 0.8), z_mm=np.arange(5) * 2.5, origin=(-20.0, -30.0, 100.0), patient="P",
    path=Path("ct"),
)  # fmt: skip


def test_pixels_are_rows_and_columns_unless_it_is_said_otherwise():
    np.testing.assert_array_equal(Mark(ENDS).axes(SHAPE, None), AXES)
    turned = tuple((column, row) for row, column in ENDS)
    np.testing.assert_array_equal(Mark(turned, "xy").axes(SHAPE, None), AXES)


def test_millimetres_are_of_the_patients_axes():
    ends = tuple((-20 + 0.8 * column, -30 + 0.7 * row) for row, column in ENDS)
    np.testing.assert_allclose(Mark(ends, "xy", "mm").axes(SHAPE, GRID), AXES, atol=1e-12)


def test_the_long_axis_comes_first_however_they_are_given():
    np.testing.assert_array_equal(Mark(ENDS[2:] + ENDS[:2]).axes(SHAPE, None), AXES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((ENDS, "yx"), "unknown order 'yx'"),
        ((ENDS, "rc", "cm"), "unknown units 'cm'"),
        ((ENDS, "rc", "mm"), "say --order xy"),
        ((ENDS[:3],), "eight finite numbers"),
        ((((np.nan, 1), *ENDS[1:]),), "eight finite numbers"),
    ],
)
def test_what_is_no_mark(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Mark(*arguments)


def test_millimetres_without_a_place_are_refused():
    with pytest.raises(DataError, match="says nothing of mm; give them in pixels"):
        Mark(ENDS, "xy", "mm").axes(SHAPE, None)


@pytest.mark.parametrize("ends", [((-9.5, 1), *ENDS[1:]), ((10, 12), (40, 12), *ENDS[2:])])
def test_ends_outside_the_image_are_refused_with_what_they_may_be(ends):
    with pytest.raises(LabelError, match=r"outside the image of 40 x 48.*--order xy.*--units mm"):
        Mark(ends).axes(SHAPE, None)


@pytest.mark.parametrize(
    ("axes", "doubt"),
    [
        (AXES, ""),
        ([[(10, 10), (30, 10)], [(15, 5), (24, 15)]], ""),  # 48 degrees from the long axis is not square, 65 is
        ([[(10, 10), (30, 10)], [(20, 10), (20, 10)]], ""),  # as wide as a pixel
        ([[(10, 10), (30, 10)], [(12, 8), (28, 12)]], "meet at 14 degrees"),
        ([[(10, 10), (30, 10)], [(20, 14), (20, 24)]], "do not cross"),
        ([[(10, 10), (30, 10)], [(20, 10.5), (20, 24)]], ""),  # half a pixel beside
    ],
)
def test_odd_marks_are_remarked_on(axes, doubt):
    found = doubts(np.array(axes, float))
    assert (doubt in found) if doubt else not found or "48" in found
