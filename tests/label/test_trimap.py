"""Trimaps from a mask, from readers, from a RECIST mark."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from softmask.errors import LabelError
from softmask.label.recist import axes_from_mask, axes_pixels, grabcut_mask
from softmask.label.trimap import from_mask, from_readers, from_recist, radius_of


def disc(radius: float, centre=(32, 32), shape=(64, 64)) -> np.ndarray:
    row, column = np.indices(shape)
    return np.hypot(row - centre[0], column - centre[1]) <= radius


def blobs(seed: int, level: float, shape=(40, 48)) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.5)
    return noise >= np.quantile(noise, 1 - level)


def test_erosion_and_dilation_by_a_disc():
    mask = disc(14)
    for radius in (1, 2, 3.5):
        reach = int(radius)
        footprint = disc(radius, (reach, reach), (2 * reach + 1, 2 * reach + 1))
        trimap = from_mask(mask, radius)
        assert ((trimap == 1) == ndimage.binary_erosion(mask, footprint)).all()
        assert ((trimap == 0) == ~ndimage.binary_dilation(mask, footprint)).all()


def test_the_radius_of_discs_and_strips_and_their_band():
    for size, radius in ((5, 1), (14, 2), (20, 3), (30, 4)):
        mask = disc(size, (40, 40), (81, 81))
        assert radius_of(mask) == pytest.approx(size, rel=0.08)
        assert (from_mask(mask) == from_mask(mask, radius)).all()
    strip = np.zeros((60, 60), bool)
    strip[20:26] = True  # from border to border: only its two long sides are outline
    assert radius_of(strip) == pytest.approx(4 / np.pi * 6)
    assert radius_of(~strip) == radius_of(strip)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.floats(0.005, 0.97), st.sampled_from([None, 1, 2.5, 6]))
def test_every_part_keeps_a_core_and_background_stays(seed, level, radius):
    mask = blobs(seed, level)
    trimap = from_mask(mask, radius)
    assert set(np.unique(trimap)) <= {0, 0.5, 1}
    assert not (trimap[~mask] == 1).any()
    assert not (trimap[mask] == 0).any()
    assert (trimap == 0).any()
    assert (trimap == 0.5).any()
    part, count = ndimage.label(mask, np.ones((3, 3)))
    assert all((trimap[part == index] == 1).any() for index in range(1, count + 1))
    assert (from_mask(mask.T, radius) == trimap.T).all()


def test_the_border_does_not_erode_a_lesion_that_it_cuts():
    mask = disc(12, (0, 20))
    trimap = from_mask(mask, 3)
    assert trimap[0, 20] == 1
    assert trimap[0, 20 + 11] == 0.5
    assert trimap[11, 20] == 0.5


@pytest.mark.parametrize(
    ("mask", "radius", "message"),
    [
        (np.zeros((8, 8), bool), None, "empty"),
        (np.ones((8, 8), bool), None, "whole image"),
        (np.ones((2, 8, 8), bool), None, r"\(H, W\)"),
        (np.linspace(0, 1, 64).reshape(8, 8), None, "binary"),
        (np.full((8, 8), "x"), None, "binary"),
        (disc(5), 0.5, "radius"),
        (disc(5), np.nan, "radius"),
        (disc(5), np.inf, "radius"),
    ],
)
def test_unusable_masks_and_radii_are_refused(mask, radius, message):
    with pytest.raises(LabelError, match=message):
        from_mask(mask, radius)


def test_masks_of_0_and_255_are_masks():
    assert (from_mask(disc(9).astype(np.uint8) * 255) == from_mask(disc(9))).all()


def test_readers_give_intersection_union_and_the_rest():
    masks = np.stack([disc(8), disc(10, (33, 30)), disc(9, (32, 35)), disc(7, (30, 32))])
    trimap = from_readers(masks)
    assert ((trimap == 1) == masks.all(axis=0)).all()
    assert ((trimap == 0) == ~masks.any(axis=0)).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 4), st.floats(0.01, 0.4))
def test_any_readers_give_a_trimap_that_can_be_solved(seed, count, level):
    masks = np.stack([blobs(seed + reader, level) for reader in range(count)])
    if masks.any(axis=0).all():
        return
    trimap = from_readers(masks)
    assert all((trimap == value).any() for value in (0, 0.5, 1))
    assert not (trimap[~masks.any(axis=0)] == 1).any()
    order = np.random.default_rng(seed).permutation(count)
    assert (from_readers(masks[order]) == trimap).all()


def test_without_a_common_pixel_the_most_voted_core_stands_in():
    masks = np.stack([disc(8, (20, 20)), disc(8, (20, 24)), disc(3, (50, 50))])
    trimap = from_readers(masks)
    both = masks[0] & masks[1]
    assert (trimap == 1).any()
    assert both[trimap == 1].all()
    assert (trimap[masks.any(axis=0) & ~both] == 0.5).all()


def test_readers_who_agree_get_a_band_of_one_pixel_and_one_reader_the_mask_rule():
    mask = disc(20)
    assert (from_readers(np.stack([mask] * 3)) == from_mask(mask, 1)).all()
    assert (from_readers(mask[None]) == from_mask(mask)).all()


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (np.zeros((0, 8, 8), bool), "no reader"),
        (np.stack([disc(5), disc(-1)]), "reader 1 is empty"),
        (np.stack([disc(60, (0, 0)), ~disc(30, (0, 0))]), "whole image"),
        ([disc(5), disc(5, shape=(64, 65))], "differ in size"),
    ],
)
def test_unusable_readers_are_refused(masks, message):
    with pytest.raises(LabelError, match=message):
        from_readers(masks)


def test_from_recist_is_grabcut_then_the_mask_rule_with_the_axes_kept():
    image = np.clip(0.2 + 0.5 * disc(11) + np.random.default_rng(0).normal(0, 0.03, (64, 64)), 0, 1)
    axes = axes_from_mask(disc(10))
    trimap = from_recist(image, axes)
    on_axes = axes_pixels(axes, image.shape)
    assert (trimap[on_axes] == 1).all()
    assert (trimap == from_mask(grabcut_mask(image, axes)))[~on_axes].all()
