"""CE-Net: a ResNet-34 encoder with a dense atrous convolution block and residual multi-kernel pooling.

Gu et al., "CE-Net: Context Encoder Network for 2D Medical Image Segmentation", IEEE Transactions on Medical Imaging
38(10), 2019.

Differs from the publication: He's random weights instead of ImageNet's; a pooling kernel larger than the map is reduced
to the size of the map (2x2 for images of 64x64, for which the four poolings are equal).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from softmask.nets.base import SegmentationNet, conv_bn, levels_of

DEPTHS = (3, 4, 6, 3)  # blocks in each stage of ResNet-34
POOLS = (2, 3, 5, 6)  # kernel sizes of the residual multi-kernel pooling


class ResidualBlock(nn.Module):
    """ResNet's basic block: two 3x3 convolutions, and a shortcut (1x1 where the size changes)."""

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(*conv_bn(inputs, channels, stride=stride), *conv_bn(channels, channels, relu=False))
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != channels:
            self.shortcut = nn.Sequential(*conv_bn(inputs, channels, 1, stride, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.convs(x) + self.shortcut(x))


class DenseAtrousConv(nn.Module):
    """DAC: four cascades of dilated convolutions (1; 3; 1-3; 1-3-5), which share their weights, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dilated = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation) for dilation in (1, 3, 5)
        )
        self.point = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        first, third, fifth = self.dilated
        rate_1 = first(x)  # (B, C, H, W), as all maps below
        rates_1_3 = third(rate_1)
        cascades = F.relu(self.point(third(x))) + F.relu(self.point(rates_1_3)) + F.relu(self.point(fifth(rates_1_3)))
        return x + F.relu(rate_1) + cascades


class MultiKernelPooling(nn.Module):
    """RMP: four max poolings, each reduced to one channel and enlarged, followed by the input: (B, 4 + C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        pools = [F.max_pool2d(x, [min(kernel, side) for side in size]) for kernel in POOLS]  # (B, C, H / k, W / k)
        maps = [F.interpolate(self.reduce(pool), size, mode="bilinear") for pool in pools]  # (B, 1, H, W)
        return torch.cat([*maps, x], dim=1)


def decoder_block(inputs: int, channels: int) -> nn.Sequential:
    """Return layers (B, inputs, H, W) -> (B, channels, 2H, 2W): 1x1, transposed 3x3 and 1x1 convolutions."""
    inner = max(inputs // 4, 1)
    return nn.Sequential(
        *conv_bn(inputs, inner, 1),
        nn.ConvTranspose2d(inner, inner, 3, stride=2, padding=1, output_padding=1, bias=False),
        nn.BatchNorm2d(inner),
        nn.ReLU(inplace=True),
        *conv_bn(inner, channels, 1),
    )


class CENet(SegmentationNet):
    """CE-Net."""

    STRIDE = 32
    SMALLEST = 64  # at 32 the last stage has one pixel, too few for batch normalisation
    PARAMETERS = 28_996_821  # the authors' code

    def __init__(self, width: int, inputs: int = 1) -> None:
        super().__init__(inputs)
        channels = levels_of(width, len(DEPTHS))
        self.stem = nn.Sequential(*conv_bn(inputs, width, 7, 2), nn.MaxPool2d(3, stride=2, padding=1))
        self.stages = nn.ModuleList()
        for (channels_in, outputs), depth in zip(pairwise([width, *channels]), DEPTHS, strict=True):
            first = ResidualBlock(channels_in, outputs, stride=2 if outputs > channels_in else 1)
            self.stages.append(nn.Sequential(first, *(ResidualBlock(outputs, outputs, 1) for _ in range(depth - 1))))
        self.context = nn.Sequential(DenseAtrousConv(channels[3]), MultiKernelPooling(channels[3]))
        coarse_to_fine = [channels[3] + len(POOLS), *channels[2::-1], channels[0]]
        self.decoder = nn.ModuleList(decoder_block(coarse, fine) for coarse, fine in pairwise(coarse_to_fine))
        half = max(width // 2, 1)
        self.head = nn.Sequential(
            nn.ConvTranspose2d(width, half, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(half, half, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(half, 1, 3, padding=1),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        x = self.stem(image)  # (B, w, H/4, W/4)
        skips = []
        for stage in self.stages:
            x = stage(x)  # (B, w, H/4, W/4), (B, 2w, H/8, W/8), ... (B, 8w, H/32, W/32)
            skips.append(x)
        x = self.context(x)  # (B, 8w + 4, H/32, W/32)
        for block, skip in zip(self.decoder[:-1], reversed(skips[:-1]), strict=True):
            x = block(x) + skip  # (B, 4w, H/16, W/16), ... (B, w, H/4, W/4)
        return (self.head(self.decoder[-1](x)),)
