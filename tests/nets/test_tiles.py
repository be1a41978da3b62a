"""Tiled super-resolution: the whole image's result, whatever the tile."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softmask.errors import DataError
from softmask.nets.srgan import Generator
from softmask.nets.tiles import enlarge, super_resolve
from softmask.train.super_resolution import details, upscale


@pytest.fixture(scope="module")
def generator():
    """With weights and running means that are not those of a fresh network, and an output that fills [0, 1]."""
    torch.manual_seed(2020)
    generator = Generator(2).train()
    with torch.no_grad():
        for _ in range(20):
            generator(torch.rand(4, 1, 16, 16))
        spread = generator.eval()(torch.rand(1, 1, 64, 64))
        generator.last.weight /= 4 * spread.std()
        generator.last.bias += 0.5 - generator(torch.rand(1, 1, 64, 64)).mean()
    return generator


def noise(height, width, seed=0):
    return np.random.default_rng(seed).random((height, width), dtype=np.float32)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 25))
def test_equals_the_untiled_result(generator, height, width, tile):
    tile = max(tile, height // 6, width // 6)  # at most some tens of tiles
    image = noise(height, width)
    expected = upscale(generator, image[None, None])[0, 0]
    found = super_resolve(generator, image, tile)
    assert found.dtype == np.float32
    assert found.shape == (4 * height, 4 * width)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_the_comparison_can_fail(generator, monkeypatch):
    """With a narrower margin there would be seams."""
    image = noise(60, 60)
    expected = super_resolve(generator, image, 60)
    assert expected.std() > 0.1
    monkeypatch.setattr("softmask.nets.tiles.REACH", 4)
    assert np.abs(super_resolve(generator, image, 30) - expected).max() > 1e-5


def test_a_constant_image_has_no_seam(generator):
    found = super_resolve(generator, np.full((90, 90), 0.3, np.float32), 20)[80:-80, 80:-80]  # away from the border
    np.testing.assert_allclose(found[:-4], found[4:], rtol=0, atol=1e-5)  # the pattern of one pixel, again and again
    np.testing.assert_allclose(found[:, :-4], found[:, 4:], rtol=0, atol=1e-5)


def test_leaves_the_generator_as_it_was(generator):
    generator.train()
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    super_resolve(generator, noise(8, 8))
    assert generator.training
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (noise(4, 4) + 1, r"values in \[0, 1\], not 1\.\d+ to"),
        (noise(4, 4) - 1, r"values in \[0, 1\]"),
        (np.full((4, 4), np.nan), "nan"),
        (noise(4, 4)[None], r"shape \(1, 4, 4\)"),
        (np.zeros((0, 4)), r"shape \(0, 4\)"),
    ],
)
def test_what_is_no_grey_image_is_refused(generator, image, message):
    with pytest.raises(DataError, match=message):
        super_resolve(generator, image)


@pytest.mark.parametrize("scale", [4, 2])
def test_image_and_features_together_are_those_of_the_whole_image_averaged(generator, scale):
    image = noise(22, 37)
    both = np.concatenate([make(generator, image[None, None])[0] for make in (upscale, details)])  # (1 + w, 4H, 4W)
    ratio = 4 // scale
    expected = both.reshape(3, 22 * scale, ratio, 37 * scale, ratio).mean(axis=(2, 4))
    found = enlarge(generator, image, scale, tile=10)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
