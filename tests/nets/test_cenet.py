"""CE-Net's context module: shared dilated cascades, and pools that a small map cannot break."""

import torch
from torch.nn import functional as F

from softmask.nets.cenet import DEPTHS, CENet, DenseAtrousConv


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


def test_the_encoder_is_resnet_34() -> None:
    network = CENet(64)
    convolutions = [key for key, weight in network.stages.named_parameters() if weight.ndim == 4 and "convs" in key]
    assert len(convolutions) + 2 == 34  # the stem and ImageNet's classifier, which is not here, are two of the layers
    assert [len(stage) for stage in network.stages] == list(DEPTHS)
    encoder = [*network.stem.parameters(), *network.stages.parameters()]
    assert sum(weight.numel() for weight in encoder) == 21_797_672 - 513_000 - 2 * 64 * 49  # torchvision's, one channel
