"""MV-DCNN: a patch classifier with three branches, each with its own view of the pixel.

Wang, Zhou, Gevaert, Tang, Dong, Liu and Tian, "A multi-view deep convolutional neural networks for lung nodule
segmentation", EMBC 2017.

Differs from the publication: slices are two-dimensional, so that the views are three scales (the last two at a half and
a third of the resolution), not planes; dense (:mod:`softmask.nets.dense`).

Chosen here: the seven layers of a branch are taken as two convolutions and a max pooling, twice, and a fully connected
layer; patches of 35 x 35; numbers of channels; batch normalisation. No parameter count is known.
"""

import torch
from torch import Tensor, nn

from softmask.nets.base import SegmentationNet
from softmask.nets.dense import MaxPool, conv, dense, shrink

SCALES = (1, 2, 3)


def branch(width: int, scale: int) -> nn.Sequential:
    """Return layers for the features (B, 2w, 1, 1) of patches of 35 x 35 positions ``scale`` pixels apart."""
    return nn.Sequential(
        *shrink(scale),
        conv(1, width, 3),  # 33 x 33 positions
        conv(width, width, 3),  # 31 x 31
        MaxPool(3, stride=2),  # 15 x 15
        conv(width, 2 * width, 3),  # 13 x 13
        conv(2 * width, 2 * width, 3),  # 11 x 11
        MaxPool(3, stride=2),  # 5 x 5
        conv(2 * width, 2 * width, 5),  # the fully connected layer: 1 x 1
    )


class MVDCNN(SegmentationNet):
    """Multi-view deep CNN whose views are scales."""

    FULL_WIDTH = 32

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(dense(branch(width, scale)) for scale in SCALES)
        self.classifier = nn.Conv2d(2 * width * len(SCALES), 1, 1)

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        features = torch.cat([branch(image) for branch in self.branches], dim=1)  # (B, 3 x 2w, H, W)
        return (self.classifier(features),)
