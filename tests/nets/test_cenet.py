"""CE-Net's context module: shared dilated cascades, and pools that a small map cannot break."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from softmask.nets.cenet import DEPTHS, POOLS, CENet, DenseAtrousConv, MultiKernelPooling


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(2020)


def test_atrous_cascades_see_as_far_as_their_dilations_add_up() -> None:
    module = DenseAtrousConv(1)
    for parameter in module.parameters():
        torch.nn.init.constant_(parameter, 1.0 if parameter.ndim == 4 else 0.0)
    pixel = torch.zeros(1, 1, 31, 31)
    pixel[0, 0, 15, 15] = 1
    reached = module(pixel)[0, 0].nonzero()
    assert (reached.amin().item(), reached.amax().item()) == (15 - 9, 15 + 9)  # 1 + 3 + 5: 19 pixels wide


def test_atrous_cascades_are_the_published_ones() -> None:
    module = DenseAtrousConv(3)
    x = torch.randn(2, 3, 9, 9)
    first, third, fifth = module.dilated
    expected = (
        x
        + F.relu(first(x))
        + F.relu(module.point(third(x)))
        + F.relu(module.point(third(first(x))))
        + F.relu(module.point(fifth(third(first(x)))))
    )
    torch.testing.assert_close(module(x), expected)


def test_pooling_appends_one_channel_for_each_kernel_and_keeps_the_features() -> None:
    x = torch.randn(2, 8, 14, 14)
    pooled = MultiKernelPooling(8)(x)
    assert pooled.shape == (2, 8 + len(POOLS), 14, 14)
    assert torch.equal(pooled[:, len(POOLS) :], x)
    assert not torch.allclose(pooled[:, 0], pooled[:, 1])


def test_on_a_map_smaller_than_its_kernels_a_pool_is_global() -> None:
    x = torch.randn(2, 8, 2, 2)
    module = MultiKernelPooling(8)
    whole = module.reduce(x.amax((2, 3), keepdim=True)).expand(2, 1, 2, 2)
    torch.testing.assert_close(module(x)[:, : len(POOLS)], whole.expand(2, len(POOLS), 2, 2))


def test_the_encoder_is_resnet_34() -> None:
    network = CENet(64)
    convolutions = [key for key, weight in network.stages.named_parameters() if weight.ndim == 4 and "convs" in key]
    assert len(convolutions) + 2 == 34  # the stem and ImageNet's classifier, which is not here, are two of the layers
    assert [len(stage) for stage in network.stages] == list(DEPTHS)
    encoder = [*network.stem.parameters(), *network.stages.parameters()]
    assert sum(weight.numel() for weight in encoder) == 21_797_672 - 513_000 - 2 * 64 * 49  # torchvision's, one channel
