"""Soft labels made from a mask alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from softmask.errors import LabelError
from softmask.label.soft_labels import (
    FROM_MASK,
    geodesic,
    gros_interpolation,
    kats_dilation,
    label_smoothing,
    readers_mean,
    signed_distance,
    softened,
    svls,
)
from softmask.label.trimap import default_radius

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


def test_smoothed_labels_by_hand():
    mask = np.array([[True, False]])
    np.testing.assert_array_equal(label_smoothing(mask), np.float32([[0.95, 0.05]]))
    np.testing.assert_array_equal(label_smoothing(mask, 0), [[1, 0]])
    np.testing.assert_array_equal(label_smoothing(mask, 1), [[0.5, 0.5]])


@settings(deadline=None)
@given(masks, st.floats(0.3, 3))
def test_svls_by_loops_over_the_neighbours(mask, sigma):
    """Weights exp(-d^2 / 2 sigma^2), the middle as much as all others; rows and columns repeated beyond the edge."""
    expected = np.zeros(mask.shape)
    for row, column in np.ndindex(mask.shape):
        others = weight = 0.0
        for down, right in np.ndindex(3, 3):
            if (down, right) != (1, 1):
                own = np.exp(-((down - 1) ** 2 + (right - 1) ** 2) / (2 * sigma**2))
                place = np.clip([row + down - 1, column + right - 1], 0, np.subtract(mask.shape, 1))
                others, weight = others + own * mask[tuple(place)], weight + own
        expected[row, column] = (mask[row, column] * weight + others) / (2 * weight)
    np.testing.assert_allclose(svls(mask, sigma), expected, atol=1e-6)


def test_svls_of_an_edge_is_what_the_authors_code_gives():
    """Their get_svls_filter_2d(ksize=3, sigma=1) on a straight edge and on a corner."""
    mask = np.zeros((8, 8), bool)
    mask[2:, 3:] = True
    label = svls(mask)
    np.testing.assert_allclose(label[5, 1:5], [0, 0.17219, 0.82781, 1], atol=1e-5)
    np.testing.assert_allclose([label[1, 2], label[2, 3]], [0.04719, 0.70281], atol=1e-5)


outlined = masks.filter(lambda mask: not mask.all())


@settings(deadline=None)
@given(outlined, st.floats(0.6, 8))
def test_signed_distance_by_loops_over_all_pairs_of_pixels(mask, width):
    inside, outside = np.argwhere(mask), np.argwhere(~mask)
    expected = np.zeros(mask.shape)
    for pixel in np.ndindex(mask.shape):
        nearest = np.hypot(*((outside if mask[pixel] else inside) - pixel).T).min() - 0.5
        expected[pixel] = 0.5 + (nearest if mask[pixel] else -nearest) / (2 * width)
    np.testing.assert_allclose(signed_distance(mask, width), expected.clip(0, 1), atol=1e-6)


@settings(deadline=None)
@given(outlined, st.floats(0.6, 8), st.integers(0, 1000))
def test_ramps_are_bounded_and_cut_at_half_they_are_the_mask(mask, width, seed):
    image = np.random.default_rng(seed).random(mask.shape)
    for label in (signed_distance(mask, width), geodesic(mask, image, width), signed_distance(mask), svls(mask)):
        assert label.dtype == np.float32
        assert ((label >= 0) & (label <= 1)).all()
        assert (label[mask] >= 0.5 - 1e-6).all()
    for label in (signed_distance(mask, width), geodesic(mask, image, width)):
        np.testing.assert_array_equal(label >= 0.5, mask)


def test_ramps_are_as_wide_as_a_trimap_unless_told_otherwise():
    mask, image = disc(15), disc(15, 41).astype(float)
    assert default_radius(mask) == 2
    np.testing.assert_array_equal(signed_distance(mask), signed_distance(mask, 2))
    np.testing.assert_array_equal(geodesic(mask, image), geodesic(mask, image, 2))


def test_geodesic_without_contrast_is_the_signed_distance():
    """Within half a pixel, by which fast marching of first order may be wrong, over twice the width."""
    image = np.random.default_rng(0).random((41, 41))
    np.testing.assert_allclose(geodesic(disc(12), image, 5, contrast=0), signed_distance(disc(12), 5), atol=0.05)
    np.testing.assert_allclose(geodesic(disc(12), image * 0, 5), signed_distance(disc(12), 5), atol=0.05)


def test_geodesic_is_steeper_where_the_edge_is_stronger():
    """A disc, the right half of which is hardly brighter than its surroundings."""
    mask = disc(12)
    image = np.where(mask, 0.6, 0.2)
    image[:, 20:] = np.where(mask, 0.25, 0.2)[:, 20:]
    label = geodesic(mask, image, 3)
    strong, weak = label[20, 8] - label[20, 7], label[20, 32] - label[20, 33]
    plain = signed_distance(mask, 3)[20, 8] - signed_distance(mask, 3)[20, 7]
    assert 1.2 * weak < plain < strong / 1.2


def test_geodesic_of_one_row_of_pixels_by_hand():
    """Costs along a line, in units of their mean beside the outline; half a step to the outline, then averages."""
    row = np.array([0.2, 0.2, 0.2, 0.2, 0.4, 0.8, 0.8, 0.8, 0.8, 0.8])
    mask = np.tile(np.arange(10) >= 5, (9, 1))
    costs = 1 + 10 * np.abs(np.gradient(row))
    costs /= costs[4:6].mean()
    distance = np.zeros(10)
    distance[[4, 5]] = costs[[4, 5]] / 2
    for beside, pixel in ((5, 6), (6, 7), (7, 8), (4, 3), (3, 2), (2, 1)):
        distance[pixel] = distance[beside] + costs[pixel]  # fast marching takes the pixel's own cost
    signed = np.where(np.arange(10) >= 5, distance, -distance)
    label = geodesic(mask, np.tile(row, (9, 1)), 2)
    np.testing.assert_allclose(label[4, 2:8], (0.5 + signed / 4).clip(0, 1)[2:8], atol=1e-5)


def test_the_mean_of_the_readers_by_hand():
    readers = np.zeros((3, 4, 4), bool)
    readers[:, 1, 1] = readers[0, 2, 2] = True
    label = readers_mean(readers)
    assert label.dtype == np.float32
    assert (label[1, 1], label[2, 2], label.sum()) == pytest.approx((1, 1 / 3, 4 / 3))
    np.testing.assert_array_equal(readers_mean(readers[:1]), readers[0])
    for absent in (readers[:0], readers * (np.arange(3) > 0)[:, None, None]):
        with pytest.raises(LabelError, match=r"no reader|empty"):
            readers_mean(absent)


def test_masks_without_an_outline_are_refused():
    labels = [*FROM_MASK.values(), lambda mask: softened(mask, mask), lambda mask: geodesic(mask, mask.astype(float))]
    for label in labels:
        with pytest.raises(LabelError, match="empty"):
            label(np.zeros((4, 4), bool))
    for ramp in (signed_distance, labels[-1]):
        with pytest.raises(LabelError, match="whole image"):
            ramp(np.ones((4, 4), bool))
    with pytest.raises(LabelError, match="does not fit"):
        geodesic(disc(3, 9), np.zeros((9, 8)))


@pytest.mark.parametrize("width", [0, -2, np.nan, np.inf])
def test_ramps_without_a_width_are_refused(width):
    for label in (lambda: signed_distance(disc(3, 9), width), lambda: geodesic(disc(3, 9), np.zeros((9, 9)), width)):
        with pytest.raises(LabelError, match="must be above 0 pixels"):
            label()


def test_geodesic_needs_two_rows_and_columns():
    mask = np.arange(6)[None] < 3
    for row in (mask, mask.T):
        with pytest.raises(LabelError, match="larger crop"):
            geodesic(row, np.zeros(row.shape))
