"""LGAN's five critics: networks that tell true lung masks from the generator's by a number.

"LGAN: Lung Segmentation in CT Scans Using Generative Adversarial Network", CMIG 2021, table 1, section 3, figure 3;
Arjovsky, Chintala and Bottou, "Wasserstein GAN", ICML 2017.

Figure 3 is not legible. What is done here: down-sampling blocks of a 4x4 convolution with stride 2, batch normalisation
and LeakyReLU of slope 0.2, without normalisation in the block that sees images or masks (DCGAN, which the paper
follows); the channels double from block to block, from 64 at full width; four blocks from an input to the features that
the dense layer reads. Where two inputs are fused, their branches are joined after two blocks; a convolution of stride 1
after each of its blocks makes the image's branch in late fusion, and both branches in regression ("a long set of
individual convolution layers"), deeper. First weights are N(0, 0.02) (DCGAN).

The dense layer reads the last features' means over the map: a critic's number is then a mean over places, as the binary
cross entropy beside it is one over pixels, and its size does not depend on the image's. Reading 3 x 3 areas apart, the
critic gave more than half of the generator's gradient after an epoch, and the masks were the worse for it (200 simple
simulated slices, 4 epochs: IoU 0.74, with the means 0.91).

Clipped parameters make every activation about c times what it was; the constant that batch normalisation adds to a
variance is c^2 times the usual one. With the usual one, narrow critics give 0 whatever they see.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import nn

from softmask.nets.initial import gaussian

SLOPE = 0.2
STD = 0.02
CLIP = 0.01
"""The largest parameter: c of the first WGAN."""
EPSILON = CLIP**2 * 1e-5
"""Of batch normalisation."""


def block(inputs: int, channels: int, *, norm: bool = True) -> list[nn.Module]:
    """Layers from (B, inputs, H, W) to (B, channels, H/2, W/2)."""
    conv = nn.Conv2d(inputs, channels, 4, stride=2, padding=1, bias=not norm)
    return [conv, *([nn.BatchNorm2d(channels, EPSILON)] if norm else []), nn.LeakyReLU(SLOPE)]


def more(channels: int) -> list[nn.Module]:
    """Layers that keep the shape (B, channels, H, W)."""
    conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(channels, EPSILON), nn.LeakyReLU(SLOPE)]


def branch(width: int, *, deep: bool) -> nn.Sequential:
    """(B, 1, H, W) to (B, 2w, H/4, W/4): two blocks, each followed by a further convolution where ``deep``."""
    layers = block(1, width, norm=False)
    layers += more(width) if deep else []
    layers += block(width, 2 * width)
    return nn.Sequential(*layers, *(more(2 * width) if deep else []))


def judge(inputs: int, width: int) -> nn.Sequential:
    """(B, inputs, H, W) to (B, 1): two blocks of 4w and 8w channels and a dense layer."""
    return nn.Sequential(
        *block(inputs, 4 * width),
        *block(4 * width, 8 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8 * width, 1),
    )


class Critic(nn.Module):
    """Base of the critics: a subclass implements :meth:`score`.

    Args:
        width: channels of the first block.
    """

    FULL_WIDTH: ClassVar[int] = 64

    def score(self, images: torch.Tensor, masks: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """(B,): how true ``masks`` (B, 1, H, W) in [0, 1] of ``images`` (B, 1, H, W) look, higher for truer ones.

        Only :class:`Regression` looks at ``truth`` (B, 1, H, W), the true masks of the images.
        """
        raise NotImplementedError

    def forward(self, images: torch.Tensor, truth: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """(B,): scores of the ``fake`` masks minus those of the ``truth``, all (B, 1, H, W): equations 7 to 10."""
        return self.score(images, fake, truth) - self.score(images, truth, truth)


class Basic(Critic):
    """Sees the mask alone."""

    INPUTS: ClassVar[int] = 1

    def __init__(self, width: int) -> None:
        super().__init__()
        blocks = [*block(self.INPUTS, width, norm=False), *block(width, 2 * width)]
        self.layers = nn.Sequential(*blocks, judge(2 * width, width))
        gaussian(self, std=STD)

    def seen(self, images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """(B, INPUTS, H, W): the critic's input."""
        return masks

    def score(self, images: torch.Tensor, masks: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        return self.layers(self.seen(images, masks))[:, 0]


class Product(Basic):
    """Sees the image where the mask is, and 0 elsewhere. Of the truth, too: equation 8 leaves the image out there,
    section 3.2 does not."""

    def seen(self, images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        return images * masks


class EarlyFusion(Basic):
    """Sees mask and image as two channels."""

    INPUTS: ClassVar[int] = 2

    def seen(self, images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        return torch.cat([masks, images], dim=1)


class LateFusion(Critic):
    """Mask and image go through branches of their own, the image through the deeper one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.of_image, self.of_mask = branch(width, deep=True), branch(width, deep=False)
        self.layers = judge(4 * width, width)
        gaussian(self, std=STD)

    def score(self, images: torch.Tensor, masks: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        fused = torch.cat([self.of_mask(masks), self.of_image(images)], dim=1)  # (B, 4w, H/4, W/4)
        return self.layers(fused)[:, 0]


class Regression(Critic):
    """Sees the predicted and the true mask at once; its number stands for the signed distance of the two.

    Equation 11 has the critic lower E[D(G(x), y)], which stands for E[D(G(x))] - E[D(y)], as the other critics lower
    that difference; the generator's loss, BCE - E[D(.)], raises the same number. That is how the min-max game is read
    here: the critic draws the distance down, the generator holds it up. The sentence that closes section 3.5 (the
    generator keeps the distance from positive infinity, the discriminator from negative infinity) has the two the other
    way round, and would fit a distance counted from real to fake: that is the loss ``wasserstein_regression_reversed``
    (:mod:`softmask.train.losses`). A critic without a bound would have no least value;
    clipped weights bound it.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.of_mask, self.of_truth = branch(width, deep=True), branch(width, deep=True)
        self.layers = judge(4 * width, width)
        gaussian(self, std=STD)

    def score(self, images: torch.Tensor, masks: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        fused = torch.cat([self.of_mask(masks), self.of_truth(truth)], dim=1)  # (B, 4w, H/4, W/4)
        return self.layers(fused)[:, 0]

    def forward(self, images: torch.Tensor, truth: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        return self.score(images, fake, truth)


CRITICS: Mapping[str, type[Critic]] = MappingProxyType(
    {
        "basic": Basic,
        "product": Product,
        "early_fusion": EarlyFusion,
        "late_fusion": LateFusion,
        "regression": Regression,
    }
)
