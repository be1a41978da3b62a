"""Cascaded CNN: two classifiers of two pathways each, of which the second also sees the output of the first.

Havaei, Davy, Warde-Farley, Biard, Courville, Bengio, Pal, Jodoin and Larochelle, "Brain tumor segmentation with deep
neural networks", Medical Image Analysis 35, 2017: InputCascadeCNN (figure 3a), two TwoPathCNNs (figure 2).

Differs from the publication: one grey channel and one output map instead of four sequences and five classes; both
networks are trained at once, with deep supervision of the first; batch normalisation before maxout, no dropout; dense
also at the borders (:mod:`softmask.nets.dense`).

The figures print 651,488 parameters for TwoPathCNN and 802,368 for InputCascadeCNN. These numbers include only one of
the two kernels of each maxout unit, no biases, and only the second network of the cascade. Counted in the same way, the
numbers of this implementation are equal.
"""

import torch
from torch import Tensor, nn

from softmask.nets.base import SegmentationNet
from softmask.nets.dense import Branches, Conv, MaxPool, Window, dense, larger

PIECES = 2  # linear pieces of a maxout unit, each with its own kernel


class Maxout(Window):
    """Maximum over the pieces: (B, 2C, H, W) -> (B, C, H, W)."""

    def __init__(self) -> None:
        super().__init__(size=1)

    def slide(self, x: Tensor) -> Tensor:
        return larger(*x.chunk(PIECES, dim=1))


class SpectralConv(Window):
    """Convolution to one map by the Fourier transform, for a rate of 1 only: many times faster for 21 x 21 windows."""

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__(size)
        self.kernel = nn.Conv2d(inputs, 1, size)

    def slide(self, x: Tensor) -> Tensor:
        x = x.to(self.kernel.weight.dtype)  # under autocast, CUDA has no transform of bfloat16
        height, width = x.shape[-2:]
        kernel = torch.fft.rfft2(self.kernel.weight, s=(height, width))  # (1, C, H, W/2 + 1)
        # The correlation theorem. The result wraps around, except where the window fits.
        product = (torch.fft.rfft2(x) * kernel.conj()).sum(1, keepdim=True)  # (B, 1, H, W/2 + 1)
        response = torch.fft.irfft2(product, s=(height, width))
        return response[..., : height - self.size + 1, : width - self.size + 1] + self.kernel.bias[:, None, None]


def maxout_conv(inputs: int, channels: int, size: int) -> nn.Sequential:
    """Return a convolution, batch normalisation and maxout."""
    pieces = PIECES * channels
    return nn.Sequential(Conv(inputs, pieces, size, bias=False), nn.BatchNorm2d(pieces), Maxout())


def two_pathways(width: int, inputs: int) -> nn.Sequential:
    """Return a classifier of patches (B, inputs, 33, 33)."""
    context = width * 160 // 64
    local = nn.Sequential(maxout_conv(inputs, width, 7), MaxPool(4), maxout_conv(width, width, 3), MaxPool(2))
    return nn.Sequential(Branches(local, maxout_conv(inputs, context, 13)), SpectralConv(width + context, 21))


class CascadedCNN(SegmentationNet):
    """InputCascadeCNN; ``width`` channels in the local pathway, 2.5 times as many in the global pathway."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = dense(two_pathways(width, inputs=1))
        self.second = dense(two_pathways(width, inputs=2))

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        first = self.first(image)  # (B, 1, H, W)
        second = self.second(torch.cat([image, torch.sigmoid(first)], dim=1))  # (B, 1, H, W)
        return second, first
