"""The modules of both versions of DSNet, as their equations say."""

import pytest
import torch

from softmask.errors import ConfigError
from softmask.nets import build
from softmask.nets.dsnet import (
    PICTURES,
    ChannelSelectiveFusion,
    DetailTextureEnhancement,
    DSNet,
    WithoutDRTM,
    WithoutSelection,
    drtm,
    edrfm,
    sdrfm,
)

B, C, H, W = 2, 6, 20, 24


@pytest.fixture
def image():
    return torch.randn(B, PICTURES + C, H, W)


def test_one_pass_gives_the_difference_of_both_convolutions():
    enhancement = DetailTextureEnhancement(C)
    features = torch.randn(B, C, H, W)
    expected = torch.sigmoid(enhancement.fine(features) - enhancement.coarse(features))  # equation 9
    torch.testing.assert_close(enhancement.gate(features), expected)


def test_the_fusion_by_hand():
    fusion = ChannelSelectiveFusion(1)
    with torch.no_grad():
        for layer, weight in (
            (fusion.common[0], [[2.0, 1.0]]),
            (fusion.of_context, [[1.0]]),
            (fusion.of_detail, [[-1.0]]),
        ):
            layer.weight.copy_(torch.tensor(weight))
            layer.bias.zero_()
    context, detail = torch.full((1, 1, 2, 2), 0.4), torch.full((1, 1, 2, 2), 0.3)
    a = torch.sigmoid(torch.tensor(2 * (2 * 0.3 + 0.4)))  # of 1 against -1; equation 11 has the detail first
    torch.testing.assert_close(fusion(context, detail), a * context + (1 - a) * detail)


@pytest.mark.parametrize("module", [drtm, WithoutSelection.transfer, WithoutDRTM.transfer, sdrfm, edrfm])
def test_every_transfer_keeps_the_size_and_reads_pictures_and_features(module, image):
    image.requires_grad_()
    transferred = module(C)(image)
    assert transferred.shape == (B, C, H, W)
    transferred.square().mean().backward()
    assert (image.grad.abs().amax((0, 2, 3)) > 0).all()


def test_gradients_reach_both_branches():
    network = build("dsnet", 4, PICTURES + C, 2)
    network(torch.randn(2, PICTURES + C, 64, 64)).square().mean().backward()
    for part in (network.module.context, network.module.enhance, network.module.fuse, network.reduce):
        assert all(parameter.grad.abs().max() > 0 for parameter in part.parameters())


def test_features_are_missing():
    with pytest.raises(ConfigError, match=r"DSNet takes images of at least 3 channels .*, not of 2"):
        DSNet(4, 2)


@pytest.mark.parametrize("name", ["dsnet", "sr_input"])
def test_images_are_reduced_by_powers_of_two(name):
    with pytest.raises(ConfigError, match="by a power of 2, not by 3"):
        build(name, 4, reduction=3)
