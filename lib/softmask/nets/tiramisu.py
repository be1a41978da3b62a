"""Tiramisu: FC-DenseNet103.

Jegou, Drozdzal, Vazquez, Romero and Bengio, "The One Hundred Layers Tiramisu: Fully Convolutional DenseNets for
Semantic Segmentation", CVPR workshops 2017, table 2.

Differs from the publication: one input channel and one map of logits; pooling keeps an odd last row and column, and the
up-sampled map is cropped to the skip's size, so that any size fits; He's normal initial weights, not uniform ones.
"""

import torch
from torch import Tensor, nn

from softmask.nets.base import SegmentationNet, gaussian

# numbers of layers of the dense blocks on the way down, and at the bottom; the way up mirrors the way down
DOWN, BOTTOM = (4, 5, 7, 10, 12), 15
FIRST = 3  # channels of the first convolution, as a multiple of the growth rate: 48 for 16
DROPOUT = 0.2


def layer(inputs: int, channels: int, kernel: int) -> nn.Sequential:
    """Return batch normalisation, ReLU, convolution and dropout."""
    return nn.Sequential(
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(inputs, channels, kernel, padding=kernel // 2),
        nn.Dropout2d(DROPOUT),
    )


class DenseBlock(nn.Module):
    """Dense block, in which each layer reads the input and the maps of all earlier layers, and adds ``growth`` maps."""

    def __init__(self, inputs: int, growth: int, count: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layer(inputs + i * growth, growth, 3) for i in range(count))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new maps (B, count growth, H, W), and the input (B, inputs, H, W) followed by the new maps."""
        maps = [x]
        for layer in self.layers:
            maps.append(layer(torch.cat(maps, dim=1)))
        return torch.cat(maps[1:], dim=1), torch.cat(maps, dim=1)


class Tiramisu(SegmentationNet):
    """Dense blocks down, at the bottom and up; only the new maps of a block are up-sampled. ``width`` is the growth
    rate, the number of maps that each layer adds."""

    SMALLEST = 2 ** len(DOWN)
    FULL_WIDTH = 16
    PARAMETERS = 9_400_000  # table 3
    WEIGHT_DECAY = 5e-4  # as in the LGAN paper, for all of its networks

    def __init__(self, width: int) -> None:
        super().__init__()
        channels, skips = FIRST * width, []
        self.first = nn.Conv2d(1, channels, 3, padding=1)
        self.down, self.pool, self.up, self.merge = (nn.ModuleList() for _ in range(4))
        for count in DOWN:
            self.down.append(DenseBlock(channels, width, count))
            channels += count * width
            skips.append(channels)
            self.pool.append(nn.Sequential(*layer(channels, channels, 1), nn.MaxPool2d(2, ceil_mode=True)))
        self.bottom = DenseBlock(channels, width, BOTTOM)
        new_channels = BOTTOM * width
        for count in reversed(DOWN):
            self.up.append(nn.ConvTranspose2d(new_channels, new_channels, 3, stride=2, padding=1, output_padding=1))
            channels = new_channels + skips.pop()
            self.merge.append(DenseBlock(channels, width, count))
            new_channels = count * width
        self.head = nn.Conv2d(channels + new_channels, 1, 1)
        gaussian(self)

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        x, skips = self.first(image), []  # (B, 3g, H, W)
        for dense, pool in zip(self.down, self.pool, strict=True):
            skips.append(dense(x)[1])
            x = pool(skips[-1])  # (B, C, H/2, W/2), last (B, C, H/32, W/32), rounded up
        new_maps, x = self.bottom(x)
        for up, dense in zip(self.up, self.merge, strict=True):
            skip = skips.pop()
            new_maps, x = dense(torch.cat([up(new_maps)[..., : skip.shape[-2], : skip.shape[-1]], skip], dim=1))
        return (self.head(x),)
