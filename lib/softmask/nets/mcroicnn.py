"""MCROI-CNN: a small LeNet on several channels made from one region of interest.

Sun, Zheng and Qian, "Automatic feature learning using multichannel ROI based on deep structured algorithms for
computerized lung cancer diagnosis", Computers in Biology and Medicine 89, 2017: the paper's convolutional network.

Differs from the publication: the network decides whether the centre pixel of a patch belongs to the nodule, as in the
papers that compare with MCROI-CNN, not whether a nodule is malignant; dense (:mod:`softmask.nets.dense`).

Chosen here: the three input channels, and the layers of 12, 8 and 6 channels. No parameter count is known.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from softmask.nets.base import SegmentationNet
from softmask.nets.dense import Conv, MaxPool, conv, dense


def roi_channels(image: Tensor) -> Tensor:
    """Return (B, 3, H, W) from ``image`` (B, 1, H, W), with its border repeated: grey level, mean of 3 x 3 pixels, and
    sum along both axes of the absolute difference between a pixel's two neighbours."""
    x = F.pad(image, (1, 1, 1, 1), mode="replicate")  # (B, 1, H + 2, W + 2)
    across = (x[..., 1:-1, 2:] - x[..., 1:-1, :-2]).abs()
    along = (x[..., 2:, 1:-1] - x[..., :-2, 1:-1]).abs()
    return torch.cat([image, F.avg_pool2d(x, 3, stride=1), across + along], dim=1)


def classifier(width: int) -> nn.Sequential:
    """Return a classifier of patches (B, 3, 53, 53)."""
    second, third = max(width * 8 // 12, 1), max(width * 6 // 12, 1)
    return nn.Sequential(
        conv(3, width, 5),  # 49 x 49 positions
        MaxPool(3, stride=2),  # 24 x 24
        conv(width, second, 5),  # 20 x 20
        MaxPool(2, stride=2),  # 10 x 10
        conv(second, third, 5),  # 6 x 6
        MaxPool(2, stride=2),  # 3 x 3
        Conv(third, 1, 3),  # the fully connected layer: 1 x 1
    )


class MCROICNN(SegmentationNet):
    """Multichannel-ROI CNN."""

    FULL_WIDTH = 12

    def __init__(self, width: int) -> None:
        super().__init__()
        self.classifier = dense(classifier(width))

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        return (self.classifier(roi_channels(image)),)
