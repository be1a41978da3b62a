"""CF-CNN: a patch classifier whose pooling keeps most of the patch's centre.

Wang, Zhou, Liu, Liu, Gu, Zang, Dong, Gevaert and Tian, "Central focused convolutional neural networks: Developing a
data-driven model for lung nodule segmentation", Medical Image Analysis 40, 2017.

Differs from the publication: only the two-dimensional one of its two branches; dense (:mod:`softmask.nets.dense`), so
that the windows of central pooling grow with the distance from the position where the next convolution is centred, not
from the patch's centre; separate layers for the two scales up to the fully connected layers.

Chosen here: windows of 3, 1 and 3 positions; numbers of channels and hidden units; batch normalisation and ReLU; the
second scale, 71 x 71 pixels at half the resolution (published: 65 x 65, resized). No parameter count is known.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from softmask.nets.base import SegmentationNet
from softmask.nets.dense import Conv, Window, conv, dense, largest, shrink

SCALES = (1, 2)
SIDE = 3  # positions in an outer window of central pooling; the inner window has a single position


class CentralPoolConv(Window):
    """Central max pooling of 7 x 7 positions to 3 x 3, by windows of 3, 1 and 3, and the 3x3 convolution that follows.

    Pooling and convolution are one layer, because only the convolution knows where its centre is.
    """

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__(2 * SIDE + 1, stride=2)
        self.kernel = nn.Conv2d(inputs, channels, 3, bias=False)

    def slide(self, x: Tensor) -> Tensor:
        parts = []
        for rows, row_taps in self.windows(x, -2):
            for pooled, column_taps in self.windows(rows, -1):
                weight = self.kernel.weight[..., row_taps, :][..., column_taps]
                # From the start of one outer window to that of the other: its SIDE positions, and the centre.
                parts.append(F.conv2d(pooled, weight, stride=self.stride, dilation=(SIDE + 1) * self.rate))
        return sum(parts[1:], start=parts[0])

    def windows(self, x: Tensor, axis: int) -> list[tuple[Tensor, slice]]:
        """Return the maps for the kernel's outer taps (pooled along ``axis``) and for its middle tap, with the taps."""
        inner = x.narrow(axis, SIDE * self.rate, x.shape[axis] - 2 * SIDE * self.rate)
        return [(largest(x, axis, SIDE, self.rate), slice(0, 3, 2)), (inner, slice(1, 2))]


def central(inputs: int, channels: int) -> nn.Sequential:
    """Return central pooling with its convolution, batch normalisation and ReLU."""
    return nn.Sequential(CentralPoolConv(inputs, channels), nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


def branch(width: int, scale: int) -> nn.Sequential:
    """Return layers for the features (B, 68/36 w, 1, 1) of patches of 35 x 35 positions ``scale`` pixels apart."""
    second, third = width * 48 // 36, width * 68 // 36
    return nn.Sequential(
        *shrink(scale),
        conv(1, width, 3),  # 33 x 33 positions
        conv(width, width, 3),  # 31 x 31
        central(width, second),  # 13 x 13
        conv(second, second, 3),  # 11 x 11
        central(second, third),  # 3 x 3
        conv(third, third, 3),  # 1 x 1
    )


class CFCNN(SegmentationNet):
    """Two-dimensional branch of the central focused CNN at two scales; ``width`` channels in the first convolutions."""

    FULL_WIDTH = 36

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(dense(branch(width, scale)) for scale in SCALES)
        features = len(SCALES) * (width * 68 // 36)
        self.classifier = nn.Sequential(Conv(features, features, 1), nn.ReLU(), Conv(features, 1, 1))

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        features = torch.cat([branch(image) for branch in self.branches], dim=1)  # (B, 2 x 68/36 w, H, W)
        return (self.classifier(features),)
