"""U-Net.

Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015.

Differs from the publication: convolutions are padded, so that the map is as large as the image and skips need no
cropping; batch normalisation follows every 3x3 convolution (the publication starts from He's initialisation alone);
no dropout at the bottom; one map of logits instead of one per class.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
from torch import nn

from softmask.nets.base import SegmentationNet
from softmask.nets.blocks import conv_bn_relu

LEVELS = 5


class UNet(SegmentationNet):
    """Two 3x3 convolutions per level, 2x2 max pooling down, 2x2 transposed convolutions up, skips by concatenation.

    Args:
        width: channels of the first level, doubled at each of the five levels.
    """

    STRIDE: ClassVar[int] = 2 ** (LEVELS - 1)
    SMALLEST: ClassVar[int] = 2 ** (LEVELS - 1)
    PARAMETERS: ClassVar[int | None] = 31_030_593  # figure 1 with one input channel and one output map, biases included

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(LEVELS)]
        steps = list(pairwise(channels))  # (finer, coarser)
        self.first = conv_bn_relu(1, width, 2)
        self.down = nn.ModuleList(
            nn.Sequential(nn.MaxPool2d(2), conv_bn_relu(fine, coarse, 2)) for fine, coarse in steps
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in steps)
        self.merge = nn.ModuleList(conv_bn_relu(2 * fine, fine, 2) for fine, _ in steps)
        self.head = nn.Conv2d(width, 1, 1)

    def outputs(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.first(image)  # (B, w, H, W)
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(x)  # (B, 2C, H/2, W/2), last (B, 16w, H/16, W/16)
        for level in reversed(range(LEVELS - 1)):
            x = self.merge[level](torch.cat([skips[level], self.up[level](x)], dim=1))  # (B, C/2, 2H, 2W)
        return (self.head(x),)
