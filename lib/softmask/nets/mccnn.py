"""MC-CNN: a patch classifier that pools the patch's rim more often than its centre.

Shen, Zhou, Yang, Yu, Dong, Yang, Zang and Tian, "Multi-crop convolutional neural networks for lung nodule malignancy
suspiciousness classification", Pattern Recognition 61, 2017.

Differs from the publication: the network decides whether the centre pixel of a patch belongs to the nodule, as in the
papers that compare with MC-CNN, not whether a cube of 64 voxels is malignant; dense (:mod:`softmask.nets.dense`).

Chosen here: patch size and layers, batch normalisation, half as many hidden units as channels. No parameter count is
known for slices.
"""

from torch import Tensor, nn

from softmask.nets.base import SegmentationNet
from softmask.nets.dense import Branches, Conv, MaxPool, conv, dense


def multi_crop(channels: int, hidden: int) -> Branches:
    """Return multi-crop pooling of maps (B, C, 16, 16) and the fully connected layer after it: (B, hidden, 1, 1).

    The whole map is pooled twice, its middle half once, and its middle quarter not at all. A fully connected layer on
    these three maps is the sum of three layers, one per map, each with a dense form of its own rate.
    """
    return Branches(
        nn.Sequential(MaxPool(2, 2), MaxPool(2, 2), Conv(channels, hidden, 4, bias=False)),  # all 16 x 16 positions
        nn.Sequential(MaxPool(2, 2), Conv(channels, hidden, 4, bias=False)),  # the middle 8 x 8
        Conv(channels, hidden, 4, bias=False),  # the middle 4 x 4
        summed=True,
    )


def classifier(width: int) -> nn.Sequential:
    """Return a classifier of patches (B, 1, 45, 45)."""
    hidden = max(width // 2, 1)
    return nn.Sequential(
        conv(1, width, 5),  # 41 x 41 positions
        MaxPool(3, stride=2),  # 20 x 20
        conv(width, width, 5),  # 16 x 16
        multi_crop(width, hidden),  # 1 x 1
        nn.BatchNorm2d(hidden),
        nn.ReLU(),
        Conv(hidden, 1, 1),
    )


class MCCNN(SegmentationNet):
    """Multi-crop CNN with ``width`` channels in both convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.classifier = dense(classifier(width))

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        return (self.classifier(image),)
