"""Soft labels made from a mask alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from softmask.errors import LabelError
from softmask.label.soft_labels import gros_interpolation, kats_dilation, softened

masks = arrays(bool, st.tuples(st.integers(4, 20), st.integers(4, 20))).filter(np.any)


def disc(radius: float, size: int = 41) -> np.ndarray:
    row, column = np.indices((size, size)) - size // 2
    return np.hypot(row, column) <= radius


@settings(deadline=None)
@given(masks, st.floats(0, 1))
def test_kats_keeps_the_mask_and_adds_one_value(mask, probability):
    label = kats_dilation(mask, probability=probability)
    band = ndimage.binary_dilation(mask) & ~mask  # the cross is the disc of radius 1
    assert (label[mask] == 1).all()
    assert (label[band] == np.float32(probability)).all()
    assert (label[~mask & ~band] == 0).all()
    assert label.dtype == np.float32


def test_kats_band_has_the_radius_asked_for_and_lies_below_the_cut_of_predictions():
    assert ((kats_dilation(disc(8)) >= 0.5) == disc(8)).all()
    assert ((kats_dilation(disc(8), radius=4) > 0) & ~disc(12.5)).sum() == 0
    assert (kats_dilation(disc(8), radius=4)[disc(11.4)] > 0).all()


@settings(deadline=None)
@given(masks, st.floats(1.1, 5))
def test_gros_is_bounded(mask, factor):
    label = gros_interpolation(mask, factor)
    assert label.shape == mask.shape
    assert label.dtype == np.float32
    assert ((label >= 0) & (label <= 1)).all()


def test_gros_by_hand():
    # 8 pixels, of which the last 3 are lesion -> pairs 0, 0, 1/2, 1 -> bilinear at quarter distances
    label = gros_interpolation(np.tile([0, 0, 0, 0, 0, 1, 1, 1], (8, 1)).astype(bool), 2)
    np.testing.assert_allclose(label[4], [0, 0, 0, 0.125, 0.375, 0.625, 0.875, 1], atol=1e-6)


@settings(deadline=None)
@given(masks, st.integers(0, 1000))
def test_softened_is_the_maximum(mask, seed):
    alpha = np.random.default_rng(seed).random(mask.shape)
    label = softened(mask, alpha)
    assert (label[mask] == 1).all()
    assert (label[~mask] == alpha[~mask].astype(np.float32)).all()
    assert label.dtype == np.float32


def test_an_empty_mask_is_refused():
    for label in (kats_dilation, gros_interpolation, lambda mask: softened(mask, mask)):
        with pytest.raises(LabelError, match="empty"):
            label(np.zeros((4, 4), bool))
