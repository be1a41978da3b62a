"""Regions of a soft mask, and a mask grown to a given size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import binary_dilation, distance_transform_edt

from softmask.errors import DataError
from softmask.measure.radiomics import band, dilated_to, regions

MASKS = hnp.arrays(bool, (7, 9))


def square(side: int, size: int = 15) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    start = (size - side) // 2
    mask[start : start + side, start : start + side] = True
    return mask


def test_the_soft_region_is_where_eight_bits_are_not_zero() -> None:
    alpha = np.array([[0, 0.4 / 255, 0.6 / 255, 0.3], [0, 0, 0.7, 1]])
    binary = np.array([[0, 0, 0, 0], [1, 0, 1, 1]], bool)
    found = regions(alpha, binary)
    np.testing.assert_array_equal(found.binary, binary)
    np.testing.assert_array_equal(found.soft, [[0, 0, 1, 1], [1, 0, 1, 1]])
    np.testing.assert_array_equal(found.band, [[0, 0, 1, 1], [0, 0, 0, 0]])


@given(hnp.arrays(float, (7, 9), elements=st.floats(0, 1)), MASKS)
def test_the_regions_make_a_partition(alpha, binary) -> None:
    found = regions(alpha, binary)
    assert not (found.band & found.binary).any()
    np.testing.assert_array_equal(found.band | found.binary, found.soft)
    np.testing.assert_array_equal(found.soft & ~binary, np.rint(255 * alpha).astype(bool) & ~binary)


@given(MASKS, MASKS, st.data())
def test_growing(binary, within, data) -> None:
    room = within & ~binary
    if not binary.any():
        with pytest.raises(DataError, match="empty"):
            dilated_to(binary, 5)
        return
    area = data.draw(st.integers(binary.sum(), binary.sum() + room.sum()))
    grown = dilated_to(binary, area, within)
    assert grown.sum() == area
    assert not (binary & ~grown).any()
    added = grown & ~binary
    assert not (added & ~within).any()
    distance = distance_transform_edt(~binary)
    if added.any() and (room & ~added).any():
        assert distance[added].max() <= distance[room & ~added].min()
    np.testing.assert_array_equal(grown, dilated_to(binary, area, within))


def test_whole_rings_are_dilations() -> None:
    mask = square(5)
    ring = binary_dilation(mask)
    np.testing.assert_array_equal(dilated_to(mask, ring.sum()), ring)
    np.testing.assert_array_equal(dilated_to(mask, 25), mask)


def test_part_of_a_ring_has_no_preferred_side() -> None:
    mask = square(11, 31)
    row, column = np.nonzero(dilated_to(mask, 121 + 22) & ~mask)  # half of the first ring
    assert abs(row.mean() - 15) < 2
    assert abs(column.mean() - 15) < 2


def test_what_cannot_be_grown() -> None:
    mask = square(5)
    for area in (24, 15 * 15 + 1):
        with pytest.raises(
            DataError, match=f"mask of 25 pixels cannot be grown to {area}: there is room for 25 to 225"
        ):
            dilated_to(mask, area)
    with pytest.raises(DataError, match="room for 25 to 49"):
        dilated_to(mask, 50, within=square(7))


def test_arrays_that_do_not_fit() -> None:
    mask = square(5)
    with pytest.raises(DataError, match="one size"):
        regions(np.zeros((4, 4)), mask)
    with pytest.raises(DataError, match="one size"):
        band(square(5, 9), mask)
    with pytest.raises(DataError, match=r"must be \(H, W\) bool, not float64"):
        band(mask.astype(float), mask)
    for alpha in (np.full(mask.shape, np.nan), 1.5 * mask, -1.0 * mask):
        with pytest.raises(DataError, match=r"must lie in \[0, 1\]"):
            regions(alpha, mask)
