"""SoftGAN: an improved U-Net under a binary, a soft and an adversarial loss.

"SoftGAN: Towards Accurate Lung Nodule Segmentation via Soft Mask Supervision", ICME 2022, sections 3.2 and 3.3.
The CBAM block is that of Woo, Park, Lee and Kweon, "CBAM: Convolutional Block Attention Module", ECCV 2018, drawn
in figure 4 of the authors' later paper (DSNet, TNNLS 2023).

What the paper leaves open, and what is done here: numbers of channels and levels (the U-Net's: five levels,
64 to 1024 channels at full width, so that no published parameter count can be compared); where the number of channels
changes (the first convolution of a block, and a 1x1 convolution in its shortcut); attention after the second
convolution and before the shortcut is added, as in CBAM's residual network; one map of logits for both heads, so that
sigmoid at 0.5 and tanh at 0 cut it at the same place.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from softmask.nets.base import SegmentationNet

LEVELS = 5
REDUCTION = 16
"""Of the channel attention's hidden layer (CBAM)."""


class ChannelAttention(nn.Module):
    """Weights of channels from their mean and their maximum, through one shared two-layer perceptron."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // REDUCTION, 4)  # a narrow network must not squeeze through one number
        self.perceptron = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean, largest = F.adaptive_avg_pool2d(x, 1), F.adaptive_max_pool2d(x, 1)  # (B, C, 1, 1)
        return x * torch.sigmoid(self.perceptron(mean) + self.perceptron(largest))  # (B, C, H, W)


class SpatialAttention(nn.Module):
    """Weights of places from the mean and the maximum over channels, through a 7x7 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def weights(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) in [0, 1]: the attention map itself, which figures show."""
        pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)  # (B, 2, H, W)
        return torch.sigmoid(self.conv(pooled))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weights(x)


class CBAMBlock(nn.Module):
    """Basic block: two 3x3 convolutions, each with ReLU and batch normalisation; attention; a residual shortcut."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(inputs, channels, 3, padding=1),
            nn.ReLU(),
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.BatchNorm2d(channels),
        )
        self.channel_attention = ChannelAttention(channels)
        self.spatial_attention = SpatialAttention()
        self.shortcut = nn.Identity() if inputs == channels else nn.Conv2d(inputs, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.spatial_attention(self.channel_attention(self.convs(x))) + self.shortcut(x)


class ImprovedBackbone(SegmentationNet):
    """The segmentor: encoder and decoder of CBAM blocks, strided convolutions instead of pooling, U-Net's skips.

    Args:
        width: channels of the first level, doubled at each of the five levels.
        inputs: channels of the images, or of the features that a module hands on (DSNet).
    """

    STRIDE: ClassVar[int] = 2 ** (LEVELS - 1)
    SMALLEST: ClassVar[int] = 2 ** (LEVELS - 1)

    def __init__(self, width: int, inputs: int = 1) -> None:
        super().__init__()
        self.inputs = inputs
        channels = [width * 2**level for level in range(LEVELS)]
        steps = list(pairwise(channels))  # (finer, coarser)
        self.first = CBAMBlock(inputs, width)
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(fine, fine, 4, stride=2, padding=1), nn.ReLU(), CBAMBlock(fine, coarse))
            for fine, coarse in steps
        )
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(coarse, fine, 4, stride=2, padding=1), nn.ReLU()) for fine, coarse in steps
        )
        self.merge = nn.ModuleList(CBAMBlock(2 * fine, fine) for fine, _ in steps)
        self.head = nn.Conv2d(width, 1, 3, padding=1)

    def decode(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, 1, H, W) of features or images (B, inputs, H, W)."""
        x = self.first(x)  # (B, w, H, W)
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(x)  # (B, 2C, H/2, W/2), last (B, 16w, H/16, W/16)
        for level in reversed(range(LEVELS - 1)):
            x = self.merge[level](torch.cat([skips[level], self.up[level](x)], dim=1))  # (B, C/2, 2H, 2W)
        return self.head(x)

    def outputs(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.decode(image),)


class PixelDiscriminator(nn.Module):
    """Judges every pixel of a soft mask, given the image: real or made by the segmentor (figure 4).

    Conditional: image and mask enter as channels of one input. The sigmoid at the end is left to the loss, which is
    exact in floating point only on logits.

    Args:
        width: channels of the two hidden layers (the paper names none).
    """

    FULL_WIDTH: ClassVar[int] = 64

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 1, 3, padding=1),
        )

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits (B, 1, H, W), above 0 where ``mask`` (B, 1, H, W) in [-1, 1] looks like a true soft mask of ``image``
        (B, 1, H, W)."""
        return self.layers(torch.cat([image, mask], dim=1))
