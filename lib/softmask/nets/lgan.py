"""LGAN's generator: a U-Net with LeakyReLU, and no normalisation.

"LGAN: Lung Segmentation in CT Scans Using Generative Adversarial Network", CMIG 2021, section 2.2.1, figure 2. Its
critics are in :mod:`softmask.nets.critics`.

What the paper leaves open, and what is done here: numbers of channels and levels are not legible in figure 2 (the
U-Net's: five levels, 64 to 1024 channels at full width, so that no published parameter count can be compared);
LeakyReLU's slope (0.2, that of DCGAN, which the paper follows); whether anything is normalised (the paper's text names
no layer for it: nothing is); the standard deviation of the Gaussian that the first weights come from. DCGAN's is 0.02.
Without normalisation a narrow network cannot start from it: each convolution of 8 channels then makes the signal six
times smaller, and after 250 steps at 1e-3 the mask was still empty, where from He's it had a Dice of 0.95 (simple
simulated slices). He's depends on the layer and is a Gaussian, too; at full width it is 0.058 in the first level and
0.014 in the last, around DCGAN's.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
from torch import nn

from softmask.nets.base import SegmentationNet
from softmask.nets.initial import gaussian

LEVELS = 5
SLOPE = 0.2


def block(inputs: int, channels: int) -> nn.Sequential:
    """Two 3x3 convolutions, each with LeakyReLU: (B, inputs, H, W) to (B, channels, H, W)."""
    return nn.Sequential(
        nn.Conv2d(inputs, channels, 3, padding=1),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.LeakyReLU(SLOPE, inplace=True),
    )


class LGANGenerator(SegmentationNet):
    """Blocks of two 3x3 convolutions, 2x2 max pooling down, transposed convolutions of stride 2 up, skips, a 1x1 head.

    Args:
        width: channels of the first level, doubled at each of the five levels.
    """

    STRIDE: ClassVar[int] = 2 ** (LEVELS - 1)
    SMALLEST: ClassVar[int] = 2 ** (LEVELS - 1)
    WEIGHT_DECAY: ClassVar[float] = 5e-4

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(LEVELS)]
        steps = list(pairwise(channels))  # (finer, coarser)
        self.first = block(1, width)
        self.down = nn.ModuleList(nn.Sequential(nn.MaxPool2d(2), block(fine, coarse)) for fine, coarse in steps)
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in steps)
        self.merge = nn.ModuleList(block(2 * fine, fine) for fine, _ in steps)
        self.head = nn.Conv2d(width, 1, 1)
        gaussian(self, SLOPE)

    def levels(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """What every block gives, from the first to the last, and the logits, by name: activation maps for figures.

        ``encoder1`` (B, w, H, W) to ``encoder5`` (B, 16w, H/16, W/16), ``decoder4`` to ``decoder1`` (B, w, H, W),
        ``logits`` (B, 1, H, W).
        """
        x = self.first(image)  # (B, w, H, W)
        found = {"encoder1": x}
        for level, down in enumerate(self.down, start=2):
            x = down(x)  # (B, 2C, H/2, W/2), last (B, 16w, H/16, W/16)
            found[f"encoder{level}"] = x
        for level in reversed(range(LEVELS - 1)):
            skip = found[f"encoder{level + 1}"]
            x = self.merge[level](torch.cat([skip, self.up[level](x)], dim=1))  # (B, C/2, 2H, 2W)
            found[f"decoder{level + 1}"] = x
        return {**found, "logits": self.head(x)}

    def outputs(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.levels(image)["logits"],)
