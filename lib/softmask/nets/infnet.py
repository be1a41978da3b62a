"""Inf-Net: a Res2Net-50 encoder, a parallel partial decoder, and reverse attention that refines its map three times.

Fan et al., "Inf-Net: Automatic COVID-19 Lung Infection Segmentation From CT Images", IEEE Transactions on Medical
Imaging 39(8), 2020. The encoder is that of Gao et al., "Res2Net: A New Multi-Scale Backbone Architecture", IEEE
Transactions on Pattern Analysis and Machine Intelligence 43(2), 2021 (26 channels, 4 scales; stem of 3x3 convolutions).

Differs from the publication: random initial weights instead of ImageNet's, and no classifier, so that there are 31.1
million parameters instead of 33.1; the edge features guide the reverse attention, but there is no edge map, which the
authors also train; plain convolutions give the maps of logits. The finest map has an eighth of the image's height and
width and is then enlarged, as in the publication, whose images are 352x352.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from softmask.nets.base import SegmentationNet, conv_bn

DEPTHS = (3, 4, 6, 3)  # blocks in each stage of Res2Net-50
EXPANSION = 4  # output channels of a Res2Net block, as a multiple of the channels inside it
SCALES = 4  # groups of channels in a Res2Net block


def resize(x: Tensor, like: Tensor) -> Tensor:
    """Return ``x`` (B, C, H, W) bilinearly resized to the height and width of ``like``."""
    return F.interpolate(x, like.shape[-2:], mode="bilinear")


def conv_norm(inputs: int, channels: int, kernel: int | tuple[int, int], dilation: int = 1) -> nn.Sequential:
    """Return a convolution that keeps the size, and batch normalisation."""
    conv = nn.Conv2d(inputs, channels, kernel, padding="same", dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels))


class Res2NetBlock(nn.Module):
    """Bottleneck whose 3x3 convolutions pass their result on from one group of channels to the next, except in the
    first block of a stage, where sizes may differ."""

    def __init__(self, inputs: int, channels: int, stride: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.group = max(channels * 26 // 64, 1)
        outputs = channels * EXPANSION
        self.enter = nn.Sequential(conv_norm(inputs, self.group * SCALES, 1), nn.ReLU())
        self.convs = nn.ModuleList(
            nn.Sequential(*conv_bn(self.group, self.group, stride=stride)) for _ in range(SCALES - 1)
        )
        self.rest = nn.AvgPool2d(3, stride, padding=1) if first else nn.Identity()
        self.leave = conv_norm(self.group * SCALES, outputs, 1)
        self.shortcut: nn.Module = nn.Identity()
        if first:
            self.shortcut = nn.Sequential(nn.AvgPool2d(stride), conv_norm(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        *groups, last = self.enter(x).split(self.group, dim=1)  # four of (B, g, H, W)
        outputs: list[Tensor] = []
        for conv, group in zip(self.convs, groups, strict=True):
            outputs.append(conv(group if self.first or not outputs else group + outputs[-1]))  # (B, g, H/s, W/s)
        return F.relu(self.leave(torch.cat([*outputs, self.rest(last)], dim=1)) + self.shortcut(x))


class ReceptiveField(nn.Module):
    """Four branches with growing kernels and dilations, merged, with a shortcut: features for the partial decoder."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList([conv_norm(inputs, channels, 1)])
        for kernel in (3, 5, 7):
            self.branches.append(
                nn.Sequential(
                    conv_norm(inputs, channels, 1),
                    conv_norm(channels, channels, (1, kernel)),
                    conv_norm(channels, channels, (kernel, 1)),
                    conv_norm(channels, channels, 3, dilation=kernel),
                )
            )
        self.merge = conv_norm(4 * channels, channels, 3)
        self.shortcut = conv_norm(inputs, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        branches = [branch(x) for branch in self.branches]  # four of (B, channels, H, W)
        return F.relu(self.merge(torch.cat(branches, dim=1)) + self.shortcut(x))


class PartialDecoder(nn.Module):
    """First map of logits: products and concatenations of the three coarse levels (Wu, Su and Huang, CVPR 2019)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.coarse_to_middle = conv_norm(channels, channels, 3)
        self.coarse_to_fine = conv_norm(channels, channels, 3)
        self.middle_to_fine = conv_norm(channels, channels, 3)
        self.coarse_beside = conv_norm(channels, channels, 3)
        self.merge_middle = conv_norm(2 * channels, 2 * channels, 3)
        self.middle_beside = conv_norm(2 * channels, 2 * channels, 3)
        joined = 3 * channels
        self.merge_fine = nn.Sequential(
            conv_norm(joined, joined, 3), conv_norm(joined, joined, 3), nn.Conv2d(joined, 1, 1)
        )

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> Tensor:
        """Return logits (B, 1, H, W) of levels (B, C, H, W), (B, C, H/2, W/2) and (B, C, H/4, W/4)."""
        coarse_2 = resize(coarse, middle)  # (B, C, H/2, W/2)
        product = self.coarse_to_middle(coarse_2) * middle
        side_map = self.merge_middle(torch.cat([product, self.coarse_beside(coarse_2)], dim=1))  # (B, 2C, H/2, W/2)
        product = self.coarse_to_fine(resize(coarse, fine)) * self.middle_to_fine(resize(middle, fine)) * fine
        side_map = self.middle_beside(resize(side_map, fine))  # (B, 2C, H, W)
        return self.merge_fine(torch.cat([product, side_map], dim=1))


class ReverseAttention(nn.Module):
    """Refinement of a coarser map by the features outside its foreground: logits + refine([(1 - sigmoid(logits)) x,
    edges]), where ``refine`` is ``depth`` convolutions with ``channels`` and one with a kernel of size ``last``."""

    def __init__(self, inputs: int, edges: int, channels: int, depth: int, kernel: int, last: int) -> None:
        super().__init__()
        self.reduce = conv_norm(inputs, channels, 1)
        layers: list[nn.Module] = []
        for i in range(depth):
            layers += [conv_norm(channels + (0 if i else edges), channels, kernel), nn.ReLU()]
        self.refine = nn.Sequential(*layers, nn.Conv2d(channels, 1, last, padding="same"))

    def forward(self, x: Tensor, edges: Tensor, logits: Tensor) -> Tensor:
        """Return refined logits (B, 1, H, W) from features ``x`` (B, C, H, W); the other inputs may differ in size."""
        logits = resize(logits, x)
        features = self.reduce(torch.sigmoid(-logits) * x)  # (B, channels, H, W)
        return logits + self.refine(torch.cat([features, resize(edges, x)], dim=1))


class InfNet(SegmentationNet):
    """Inf-Net, whose outputs are the maps after the third, second and first refinement and of the partial decoder.
    ``width`` is the number of channels inside the encoder's first stage, whose output has four times as many."""

    STRIDE = 32
    SMALLEST = 64  # at 32 the last stage has one pixel, too few for batch normalisation
    PARAMETERS = 31_072_145  # the authors' code without ImageNet's classifier

    def __init__(self, width: int, inputs: int = 1) -> None:
        super().__init__(inputs)
        half = max(width // 2, 1)
        self.stem = nn.Sequential(
            *conv_bn(inputs, half, stride=2),
            conv_norm(half, half, 3),
            nn.ReLU(),
            conv_norm(half, width, 3),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.stages = nn.ModuleList()
        channels_in = width
        for stage, depth in enumerate(DEPTHS):
            channels = width * 2**stage
            blocks = [Res2NetBlock(channels_in, channels, stride=2 if stage else 1, first=True)]
            channels_in = channels * EXPANSION
            blocks += [Res2NetBlock(channels_in, channels, stride=1, first=False) for _ in range(depth - 1)]
            self.stages.append(nn.Sequential(*blocks))
        low, *high = (width * 2**stage * EXPANSION for stage in range(len(DEPTHS)))  # 4w; 8w, 16w, 32w
        self.fields = nn.ModuleList(ReceptiveField(channels, half) for channels in high)
        self.decoder = PartialDecoder(half)
        self.edges = nn.Sequential(conv_norm(low, width, 1), conv_norm(width, width, 3), conv_norm(width, width, 3))
        self.refinements = nn.ModuleList(  # coarse to fine
            [
                ReverseAttention(high[2], width, 4 * width, depth=3, kernel=5, last=1),
                ReverseAttention(high[1], width, width, depth=2, kernel=3, last=3),
                ReverseAttention(high[0], width, width, depth=2, kernel=3, last=3),
            ]
        )

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        levels = [self.stem(image)]  # (B, w, H/4, W/4)
        for stage in self.stages:
            levels.append(stage(levels[-1]))
        _, low, *high = levels  # (B, 4w, H/4, W/4); (B, 8w, H/8, W/8), (B, 16w, H/16, W/16), (B, 32w, H/32, W/32)
        edges = self.edges(low)  # (B, w, H/4, W/4)
        maps = [self.decoder(*(field(level) for field, level in zip(self.fields, high, strict=True)))]
        for refinement, level in zip(self.refinements, reversed(high), strict=True):
            maps.append(refinement(level, edges, maps[-1]))  # (B, 1, H/32, W/32), ... (B, 1, H/8, W/8)
        return tuple(resize(logits, image) for logits in reversed(maps))
