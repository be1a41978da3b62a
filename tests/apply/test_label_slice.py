"""A part of a slice is labelled as the whole is: to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softmask.apply.label import label_slice
from softmask.errors import LabelError
from softmask.label import soft_mask


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


def same(labelled, whole) -> None:
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
    whole = soft_mask(image, mask=mask, radius=radius)
    labelled = label_slice(image, readers=mask[None], radius=radius)
    same(labelled, whole)
    np.testing.assert_array_equal(labelled[0].mask, mask)


@settings(max_examples=40)
@given(slices())
def test_from_readers(drawn):
    image, mask, rng = drawn
    readers = np.stack([np.roll(mask, rng.integers(-2, 3, 2), (0, 1)), mask, np.zeros_like(mask)])
    same(label_slice(image, readers=readers), soft_mask(image, readers=readers))


@settings(max_examples=40)
@given(slices(), st.booleans())
def test_from_recist_ends_also_at_half_pixels(drawn, halves):
    image, mask, _ = drawn
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    middle = np.array([rows.mean(), columns.mean()])
    ends = [[(rows[0], middle[1]), (rows[-1], middle[1])], [(middle[0], columns[0]), (middle[0], columns[-1])]]
    axes = np.array(ends, float)
    if halves:
        axes = np.floor(axes) + 0.5
        axes = np.minimum(axes, np.array(mask.shape) - 1)
    if np.linalg.norm(axes[1, 1] - axes[1, 0]) > np.linalg.norm(axes[0, 1] - axes[0, 0]):
        axes = axes[::-1]
    if np.linalg.norm(axes[0, 1] - axes[0, 0]) == 0:
        return
    same(label_slice(image, axes=axes), soft_mask(image, recist=axes))


def test_a_wide_mask_keeps_its_band_in_a_part_of_the_image():
    """The band is in proportion to the smaller of mask and surroundings, which a narrow part would swap."""
    rng = np.random.default_rng(0)
    image, mask = rng.uniform(0, 1, (120, 40)), np.zeros((120, 40), bool)
    mask[2:30] = True
    labelled = label_slice(image, readers=mask[None])
    assert labelled[1][0].stop < 120
    same(labelled, soft_mask(image, mask=mask))


@pytest.mark.parametrize(
    ("masks", "options", "message"),
    [
        (np.zeros((1, 9, 9), bool), {}, "no reader is present"),
        (np.ones((1, 9, 9), bool), {}, "covers the whole image"),
        (np.stack([np.eye(9, dtype=bool)] * 2), {"radius": 2}, "radius goes with mask or recist"),
    ],
)
def test_what_cannot_be_labelled(masks, options, message):
    with pytest.raises(LabelError, match=message):
        label_slice(np.zeros((9, 9)), readers=masks, **options)
