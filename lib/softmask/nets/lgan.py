"""LGAN's generator: a U-Net with LeakyReLU and without normalisation.

"LGAN: Lung Segmentation in CT Scans Using Generative Adversarial Network", CMIG 2021, section 2.2.1, figure 2. Its
critics are in :mod:`softmask.nets.critics`.

Figure 2 is not legible: levels and channels are the U-Net's, and no published parameter count can be compared;
LeakyReLU's slope is that of DCGAN, which the paper follows. The initial weights have He's normal distribution: with
DCGAN's standard deviation of 0.02 a narrow network without normalisation does not start to learn (docs/choices.md).
"""

from torch import nn

from softmask.nets.base import UShape, gaussian

SLOPE = 0.2


def block(inputs: int, channels: int) -> nn.Sequential:
    """Return two 3x3 convolutions, each with LeakyReLU: (B, inputs, H, W) to (B, channels, H, W)."""
    return nn.Sequential(
        nn.Conv2d(inputs, channels, 3, padding=1),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.LeakyReLU(SLOPE, inplace=True),
    )


class LGANGenerator(UShape):
    """Blocks of two 3x3 convolutions, 2x2 max pooling down, transposed convolutions of stride 2 up, skips, a 1x1 head.

    :meth:`~softmask.nets.base.UShape.levels` gives the activation maps for figures.
    """

    WEIGHT_DECAY = 5e-4

    def __init__(self, width: int) -> None:
        super().__init__(width, 1, block)
        gaussian(self, SLOPE)
