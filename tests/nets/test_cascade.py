"""Channels that a generator gives a segmentor: the same in one batch, behind it, and tile by tile."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from softmask.nets import build
from softmask.nets.cascade import Transferring, channels, enlarge, transferred
from softmask.nets.srgan import Generator
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
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 25), st.sampled_from([2, 4]))
def test_tiles_make_no_difference(generator, height, width, tile, scale):
    """The interpolated image, the super-resolved one and its features, averaged, as of the whole image."""
    tile = max(tile, height // 6, width // 6)  # at most some tens of tiles
    image = noise(height, width)
    whole = np.concatenate([make(generator, image[None, None])[0] for make in (upscale, details)])  # (1 + w, 4H, 4W)
    ratio = 4 // scale
    expected = whole.reshape(3, height * scale, ratio, width * scale, ratio).mean(axis=(2, 4))
    enlarged = enlarge(generator, image, scale, tile)
    assert enlarged.dtype == np.float32
    np.testing.assert_allclose(enlarged[1:], expected, rtol=0, atol=1e-5)
    interpolated = channels(["bilinear"], image[None, None], scale, {}.get)[0]
    np.testing.assert_allclose(enlarged[:1], interpolated, rtol=0, atol=1e-6)


def test_the_comparison_can_fail(generator, monkeypatch):
    """With a narrower margin there would be seams."""
    image = noise(60, 60)
    expected = enlarge(generator, image, tile=60)
    assert expected[1].std() > 0.1
    monkeypatch.setattr("softmask.nets.cascade.REACH", 4)
    assert np.abs(enlarge(generator, image, tile=30) - expected)[1].max() > 1e-5


@pytest.mark.parametrize("scale", [2, 4])
def test_a_segmentor_behind_a_generator_gives_what_its_parts_give(scale):
    generator, network = Generator(4).eval(), build("dsnet", 4, 6, scale).eval()
    whole = Transferring(generator, network, scale)
    images = torch.rand(3, 1, 32, 16)
    seen = transferred(generator, images, scale)
    assert seen.shape == (3, 6, scale * 32, scale * 16)
    torch.testing.assert_close(seen[:, :1], F.interpolate(images, scale_factor=scale, mode="bilinear"))
    torch.testing.assert_close(whole(images), network(seen))
    assert (whole.STRIDE, whole.SMALLEST, whole.inputs) == (16, -(-network.SMALLEST // scale), 1)


def test_training_behind_a_generator_leaves_it_as_it_is():
    generator, network = Generator(4).eval(), build("dsnet", 4, 6, 4)
    frozen = {name: value.clone() for name, value in generator.state_dict().items()}
    whole = Transferring(generator, network).train()
    whole(torch.rand(2, 1, 16, 16)).square().mean().backward()
    assert network.training
    assert all(torch.equal(value, frozen[name]) for name, value in generator.state_dict().items())
    assert all(parameter.grad is None for parameter in generator.parameters())
    for part in (network.module.context, network.module.enhance, network.module.fuse, network.reduce):
        assert all(parameter.grad.abs().max() > 0 for parameter in part.parameters())
