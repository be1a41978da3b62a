"""Published networks on super-resolved images (the dagger of DSNet's tables), at the cost they have on plain ones.

The r x r pixels that super-resolution makes of one become channels of that one (PixelUnshuffle), so that the network
reads all of them and works at the image's own size. The paper does not say how the enlarged image is fed; a network
that works at the enlarged size costs r^2 times as much.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from softmask.nets.base import SegmentationNet
from softmask.nets.infnet import InfNet
from softmask.nets.medt import MedT


class Folded(SegmentationNet):
    """A network of the class ``OF`` on enlarged images.

    Args:
        width: of the network.
        inputs: channels of the images.
        reduction: how much larger they are than the logits.
    """

    OF: ClassVar[type[SegmentationNet]]

    def __init__(self, width: int, inputs: int = 1, reduction: int = 1) -> None:
        super().__init__()
        self.inputs = inputs
        self.STRIDE, self.SMALLEST = reduction * self.OF.STRIDE, reduction * self.OF.SMALLEST
        self.fold = nn.PixelUnshuffle(reduction)
        self.network = self.OF(width, inputs * reduction**2)

    def outputs(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.network.outputs(self.fold(image))  # of (B, inputs r^2, H, W)


class InfNetSR(Folded):
    """Inf-Net on the super-resolved image."""

    OF = InfNet
    FULL_WIDTH = InfNet.FULL_WIDTH


class MedTSR(Folded):
    """MedT on the super-resolved image."""

    OF = MedT
    FULL_WIDTH = MedT.FULL_WIDTH
