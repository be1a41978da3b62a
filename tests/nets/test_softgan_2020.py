"""CasGAN's segmentor is the U-Net of pix2pix, two levels shorter."""

import pytest
import torch

from softmask.nets import n_parameters
from softmask.nets.softgan_2020 import SoftGAN2020


@pytest.mark.parametrize(("inputs", "millions"), [(1, 54.408), (3, 54.414)])
def test_with_eight_levels_it_has_the_parameters_of_pix2pix(inputs: int, millions: float) -> None:
    """As its code prints them, for as many channels out as in; ours gives one map."""

    class Pix2Pix(SoftGAN2020):
        LEVELS = 8

    with torch.device("meta"):
        found = n_parameters(Pix2Pix(64, inputs))
    assert round((found + (inputs - 1) * (2 * 64 * 4 * 4 + 1)) / 1e6, 3) == millions


def test_one_image_of_the_smallest_size_can_be_trained_on() -> None:
    """It reaches the bottom as one pixel, which a batch normalisation would refuse."""
    network = SoftGAN2020(2).train()
    network(torch.rand(1, 2, 64, 64)).square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
