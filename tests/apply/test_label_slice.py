"""A part of a slice is labelled as the whole is: to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from softmask.apply.label import label_slice
from softmask.errors import LabelError
from softmask.label import soft_mask
from softmask.label.recist import validate


@st.composite
def slices(draw) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Image and mask: an ellipse anywhere, also cut by the border."""
    height, width = draw(st.integers(24, 110)), draw(st.integers(24, 110))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    row, column = np.indices((height, width))
    centre = rng.uniform(0, height), rng.uniform(0, width)
    half = rng.uniform(2, 12, 2)
    distance = np.hypot((row - centre[0]) / half[0], (column - centre[1]) / half[1])
    image = np.clip(0.2 + 0.5 / (1 + np.exp(4 * (distance - 1))) + rng.normal(0, 0.04, distance.shape), 0, 1)
    mask = distance <= 1
    mask[np.unravel_index(distance.argmin(), mask.shape)] = True
    return image.astype(np.float32), mask, rng


def same(labelled, whole):
    mask, part = labelled
    np.testing.assert_array_equal(mask.alpha, whole.alpha)
    np.testing.assert_array_equal(mask.trimap, whole.trimap)
    outside = np.ones(whole.alpha.shape, bool)
    outside[part] = False
    assert not whole.alpha[outside].any()


@settings(max_examples=60)
@given(slices(), st.sampled_from([None, 1.0, 4.5]))
def test_from_a_mask(drawn, radius):
    image, mask, _ = drawn
    same(label_slice(image, readers=mask[None], radius=radius), soft_mask(image, mask=mask, radius=radius))


@settings(max_examples=40)
@given(slices())
def test_from_readers(drawn):
    image, mask, rng = drawn
    readers = np.stack([np.roll(mask, rng.integers(-2, 3, 2), (0, 1)), mask])
    same(label_slice(image, readers=readers), soft_mask(image, readers=readers))


@pytest.mark.parametrize(("drew", "readers", "found"), [(1, 3, False), (2, 3, True), (1, 2, True), (2, 4, True)])
def test_readers_who_drew_nothing_in_a_slice_count_as_background(made, drew, readers, found):
    """A pixel is certain where at least half of all marked it, and alpha never exceeds what they marked."""
    image, mask = made.grey() / 255, made.disc()
    stack = np.stack([mask] * drew + [np.zeros_like(mask)] * (readers - drew))
    labelled, _ = label_slice(image, readers=stack)
    assert labelled.alpha.any() == found
    assert not labelled.alpha[~mask].any()
    assert (labelled.trimap[mask] == 1).any() == found
    assert set(np.unique(labelled.trimap[~mask])) == {0}
    with pytest.raises(LabelError, match="radius can be used only with"):
        label_slice(image, readers=stack, radius=2.0)


@settings(max_examples=40)
@given(slices(), st.booleans())
def test_from_recist_ends_also_at_half_pixels(drawn, halves):
    image, mask, _ = drawn
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    middle = np.array([rows.mean(), columns.mean()])
    ends = [[(rows[0], middle[1]), (rows[-1], middle[1])], [(middle[0], columns[0]), (middle[0], columns[-1])]]
    axes = np.array(ends, float)
    if halves:
        axes = np.minimum(np.floor(axes) + 0.5, np.array(mask.shape) - 1)
    try:
        axes = validate(axes, mask.shape)  # long axis first
    except LabelError:
        reject()
    same(label_slice(image, axes=axes), soft_mask(image, recist=axes))


def test_a_wide_mask_keeps_its_band_in_a_part_of_the_image():
    """The band is in proportion to the smaller of mask and surroundings, which a narrow part would swap."""
    rng = np.random.default_rng(0)
    image, mask = rng.uniform(0, 1, (120, 40)), np.zeros((120, 40), bool)
    mask[2:30] = True
    labelled = label_slice(image, readers=mask[None])
    assert labelled[1][0].stop < 120
    same(labelled, soft_mask(image, mask=mask))
