"""Crops: means over the area they cover, and the same tissue whatever the size of the image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softmask.data.sample import Sample
from softmask.data.splits import CROPS, FIELD_MM, SECTION_PX, Crop, crops
from softmask.errors import ConfigError, DataError


def sample(height: int, width: int, spacing: float = 0.5, patient: str = "p0") -> Sample:
    image = np.random.default_rng(0).uniform(size=(height, width)).astype(np.float32)
    readers = np.ones((1, height, width), bool)
    return Sample("d", "embedded", patient, "n0", "s0", image, readers, np.ones(1, bool), (spacing, spacing))


def test_the_same_size_gives_the_pixels_themselves() -> None:
    image = sample(9, 7).image
    np.testing.assert_array_equal(Crop(2, 1, 5, 5).of(image, 5), image[2:7, 1:6])
    assert Crop(2, 1, 5, 5).of(image, 5).dtype == np.float32
    mask = image > 0.5
    np.testing.assert_array_equal(Crop(0, 0, 7, 7).of(mask, 7), mask[:7])


def test_edges_between_pixels_by_hand() -> None:
    row = np.array([[0.0, 0.4, 1.0, 0.8]], np.float32).repeat(4, axis=0)
    # half of the first pixel and the second; the third and half of the last
    expected = [[(0.5 * 0.0 + 0.4) / 1.5, (1.0 + 0.5 * 0.8) / 1.5]] * 2
    np.testing.assert_allclose(Crop(0.5, 0.5, 3, 3).of(row, 2), expected, atol=1e-6)


def test_a_cell_is_lesion_from_one_half_on() -> None:
    mask = np.array([[1, 0, 1, 0, 1, 1], [0, 0, 0, 1, 0, 1]], bool).repeat(3, axis=1).repeat(3, axis=0)
    shares = np.array([1, 2, 3]) / 4
    result = Crop(0, 0, 6, 18).of(mask, 3)  # cells of 2 x 6 pixels; the middle row is half one, half the other
    np.testing.assert_array_equal(result[1], shares >= 0.5)


@given(st.integers(2, 30), st.integers(1, 12), st.floats(0, 5), st.floats(0, 5), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_the_mean_and_the_range_stay(n, size, before, after, seed) -> None:
    image = np.random.default_rng(seed).uniform(size=(n + 10, n + 10)).astype(np.float32)
    crop = Crop(before, after, n, n)
    shown = crop.of(image, size)
    assert shown.shape == (size, size)
    assert shown.min() >= image.min() - 1e-6
    assert shown.max() <= image.max() + 1e-6
    np.testing.assert_allclose(shown.mean(), crop.of(image, 1)[0, 0], atol=1e-5)
    assert crop.of(np.ones(image.shape, bool), size).all()


def test_lidc_is_its_centre() -> None:
    assert crops("lidc", sample(128, 128), 64) == [Crop(32, 32, 64, 64)]
    assert crops("lnsm", sample(65, 66), 64) == [Crop(0, 1, 64, 64)]


@pytest.mark.parametrize("side", [256, 512, SECTION_PX])
def test_sections_give_seeded_crops_of_one_extent(side) -> None:
    result = crops("isbi2012", sample(side, side), 64)
    assert len(result) == CROPS["isbi2012"]
    for crop in result:
        assert (crop.height, crop.width) == (SECTION_PX, SECTION_PX)
        assert 0 <= crop.top <= side - SECTION_PX
        assert 0 <= crop.left <= side - SECTION_PX
    assert result == crops("isbi2012", sample(side, side), 32), "the size says how finely, not which part"
    if side > SECTION_PX:
        assert len(set(result)) == len(result)
        assert result != crops("isbi2012", sample(side, side, patient="p1"), 64)


@pytest.mark.parametrize(("side", "spacing"), [(256, 0.625), (320, 0.6), (512, 0.39)])
def test_slices_give_the_same_field_around_their_centre(side, spacing) -> None:
    (crop,) = crops("promise12", replace(sample(side, side), spacing=(spacing, 0.9 * spacing)), 64)
    np.testing.assert_allclose([crop.height * spacing, crop.width * 0.9 * spacing], FIELD_MM)
    np.testing.assert_allclose([crop.top + crop.height / 2, crop.left + crop.width / 2], side / 2)


@pytest.mark.parametrize(
    ("dataset", "side", "size", "message"),
    [
        ("isbi2012", 256, 129, "128 x 128 pixels hold no crop of 129 x 129"),
        ("promise12", 256, 201, "200 x 200 pixels hold no crop of 201 x 201"),
    ],
)
def test_no_pixel_is_invented(dataset, side, size, message) -> None:
    with pytest.raises(ConfigError, match=message):
        crops(dataset, sample(side, side), size)


@pytest.mark.parametrize(
    ("dataset", "window"), [("isbi2012", "128 x 128"), ("promise12", "200 x 200"), ("lidc", "121 x 121")]
)
def test_an_image_smaller_than_what_is_shown_is_an_error(dataset, window) -> None:
    with pytest.raises(DataError, match=f"d/p0/n0/s0: 120 x 300 pixels are fewer than the {window}"):
        crops(dataset, sample(120, 300), 121 if dataset == "lidc" else 64)
