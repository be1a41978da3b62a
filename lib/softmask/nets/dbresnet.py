"""DB-ResNet: two residual branches and the grey level of the centre pixel.

Cao, Liu, Song, Hung, Ma, Xu, Jin and Lu, "Dual-branch residual network for lung nodule segmentation", Applied Soft
Computing 86, 2020.

Differs from the publication: two-dimensional slices, so that one branch sees the patch and the other a patch of twice
the size at half the resolution, instead of three orthogonal slices and three scales; dense
(:mod:`softmask.nets.dense`): convolutions are unpadded, and a shortcut is cropped to the middle of its map.

Chosen here: the layers of a branch; central intensity pooling as the centre's grey level and the means of the 3 x 3 and
5 x 5 pixels around it, next to the convolutional features. No parameter count is known.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from softmask.nets.base import SegmentationNet
from softmask.nets.dense import Branches, Conv, conv, dense, shrink

SCALES = (1, 2)
CENTRES = (1, 3, 5)  # sizes in pixels of the central squares whose mean grey levels are features


def residual(inputs: int, channels: int, stride: int = 1) -> nn.Sequential:
    """Return a basic block of two 3x3 convolutions; a strided shortcut has windows with the same centres."""
    body = nn.Sequential(
        conv(inputs, channels, 3, stride), Conv(channels, channels, 3, bias=False), nn.BatchNorm2d(channels)
    )
    strided = nn.Sequential(Conv(inputs, channels, 3, stride, bias=False), nn.BatchNorm2d(channels))
    shortcut = nn.Identity() if stride == 1 else strided
    return nn.Sequential(Branches(body, shortcut, summed=True), nn.ReLU(inplace=True))


def branch(width: int, scale: int) -> nn.Sequential:
    """Return layers for the features (B, 2w, 1, 1) of patches of 35 x 35 positions ``scale`` pixels apart."""
    return nn.Sequential(
        *shrink(scale),
        conv(1, width, 5),  # 31 x 31 positions
        residual(width, width),  # 27 x 27
        residual(width, 2 * width, stride=2),  # 11 x 11
        residual(2 * width, 2 * width),  # 7 x 7
        residual(2 * width, 2 * width, stride=2),  # 1 x 1
    )


def central_intensities(image: Tensor) -> Tensor:
    """Return (B, 3, H, W): mean grey levels around each pixel of ``image`` (B, 1, H, W), with its border repeated."""
    padded = [F.pad(image, (size // 2,) * 4, mode="replicate") for size in CENTRES]
    return torch.cat([F.avg_pool2d(x, size, stride=1) for x, size in zip(padded, CENTRES, strict=True)], dim=1)


class DBResNet(SegmentationNet):
    """Dual-branch residual network with central intensity pooling."""

    FULL_WIDTH = 32

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(dense(branch(width, scale)) for scale in SCALES)
        features = 2 * width * len(SCALES) + len(CENTRES)
        self.classifier = nn.Sequential(nn.Conv2d(features, 2 * width, 1), nn.ReLU(), nn.Conv2d(2 * width, 1, 1))

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        features = [branch(image) for branch in self.branches]  # each (B, 2w, H, W)
        return (self.classifier(torch.cat([*features, central_intensities(image)], dim=1)),)
