"""Time of a training step on one core: U-Net and MONAI's U-Net, every network, and SoftGAN's networks by loss.

Eight images of 64 x 64, channels last. Run with ``pytest benchmarks/bench_training_step.py --benchmark-enable
--benchmark-only``.
"""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from monai.networks.nets import BasicUNet
from torch import nn

from softmask.nets import NETWORKS, build
from softmask.train.losses import Batch, Weighted, dice_loss
from softmask.train.objectives import Segmentation

BATCH, SIZE = 8, 64
SOFTGAN: Weighted = [("dice", 0.5), ("soft_l1", 100.0), ("gan", 1.0)]


def batch(inputs: int = 1) -> Batch:
    """Return noise in ``inputs`` channels; masks are the bright pixels of the first, soft labels the first itself."""
    images = torch.rand(BATCH, inputs, SIZE, SIZE).to(memory_format=torch.channels_last)
    return Batch(images, (images[:, :1] > 0.5).float(), images[:, :1])


def monai_unet(width: int) -> nn.Module:
    """Return MONAI's U-Net with the channels, batch normalisation and ReLU of ours."""
    features = (*(width * 2**level for level in range(5)), width)
    return BasicUNet(2, 1, 1, features, act=("relu", {"inplace": True}), norm="batch", bias=False)


def trained(name: str, losses: Weighted) -> Callable[[], object]:
    """Return a step of the training loop, including Adam's updates, of a network at its width in the cpu profile."""
    width = NETWORKS[name].cpu
    network = build(name, width).to(memory_format=torch.channels_last).train()
    objective = Segmentation(network, losses, torch.device("cpu"), 1e-3, width=width)
    return partial(objective.step, batch(network.inputs), [name for name, _ in losses])


@pytest.mark.benchmark(group="training step, U-Net by MONAI's")
@pytest.mark.parametrize("width", [8, 16])
@pytest.mark.parametrize("make", [partial(build, "unet"), monai_unet], ids=["softmask", "MONAI"])
def test_unet_beside_monai(benchmark, make: Callable[[int], nn.Module], width: int) -> None:
    network = make(width).to(memory_format=torch.channels_last).train()
    images, masks, _ = batch()

    def step() -> None:
        network.zero_grad()
        dice_loss(network(images), masks).backward()

    benchmark(step)


@pytest.mark.benchmark(group="training step, every network at its width in cpu")
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_networks(benchmark, name: str) -> None:
    step = trained(name, [("dice", 1.0)])
    benchmark.pedantic(step, rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="training step, what SoftGAN's losses add")
@pytest.mark.parametrize("losses", [SOFTGAN[:1], SOFTGAN[:2], SOFTGAN], ids=["dice", "+ soft", "+ gan"])
def test_softgan(benchmark, losses: Weighted) -> None:
    step = trained("improved_backbone", losses)
    benchmark.pedantic(step, rounds=10, warmup_rounds=1)
