"""UNet 3+.

Huang et al., "UNet 3+: A Full-Scale Connected UNet for Medical Image Segmentation", ICASSP 2020.

Differs from the publication: no classification-guided module, as every image contains a lesion; one map of logits.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from softmask.nets.base import SegmentationNet, conv_bn_relu, levels_of

LEVELS = 5


def resized(x: Tensor, level: int, target: int) -> Tensor:
    """Return the features of a ``level`` (0 the finest) at the size of the level ``target``."""
    if level < target:
        return F.max_pool2d(x, 2 ** (target - level))
    return F.interpolate(x, scale_factor=2 ** (level - target), mode="bilinear") if level > target else x


class FullScaleSkips(nn.Module):
    """Node of the decoder: features of all levels, resized to its ``level``, reduced to ``channels`` and merged."""

    def __init__(self, level: int, inputs: list[int], channels: int) -> None:
        super().__init__()
        self.level = level
        self.reduce = nn.ModuleList(conv_bn_relu(size, channels) for size in inputs)
        self.merge = conv_bn_relu(len(inputs) * channels, len(inputs) * channels)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return (B, LEVELS * channels, H, W) from the features of every level, from fine to coarse."""
        reduced = [self.reduce[level](resized(x, level, self.level)) for level, x in enumerate(features)]
        return self.merge(torch.cat(reduced, dim=1))


class UNet3Plus(SegmentationNet):
    """U-Net's encoder, and a decoder whose nodes read the encoder at their own and all finer levels and all coarser
    nodes. Skips are reduced to ``width`` channels."""

    STRIDE = SMALLEST = 2 ** (LEVELS - 1)
    PARAMETERS = 26_970_000  # table 1

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = levels_of(width, LEVELS)
        wide = LEVELS * width  # channels of a node of the decoder
        self.encoder = nn.ModuleList(conv_bn_relu(inputs, outputs, 2) for inputs, outputs in pairwise([1, *channels]))
        self.decoder = nn.ModuleList(
            FullScaleSkips(level, channels[: level + 1] + [wide] * (LEVELS - 2 - level) + channels[-1:], width)
            for level in range(LEVELS - 1)
        )
        self.heads = nn.ModuleList(nn.Conv2d(size, 1, 3, padding=1) for size in [wide] * (LEVELS - 1) + channels[-1:])

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        features = [self.encoder[0](image)]  # (B, w, H, W)
        for encode in self.encoder[1:]:
            features.append(encode(F.max_pool2d(features[-1], 2)))  # (B, 2C, H/2, W/2), last (B, 16w, H/16, W/16)
        for node in reversed(self.decoder):
            features[node.level] = node(features)  # (B, 5w, H / 2^level, W / 2^level), which finer nodes see
        maps = [head(x) for head, x in zip(self.heads, features, strict=True)]  # (B, 1, H / 2^level, W / 2^level)
        return tuple(resized(logits, level, 0) for level, logits in enumerate(maps))
