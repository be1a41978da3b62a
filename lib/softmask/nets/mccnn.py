"""MC-CNN: a patch classifier that pools the patch's rim more often than its centre.

Shen, Zhou, Yang, Yu, Dong, Yang, Zang and Tian, "Multi-crop convolutional neural networks for lung nodule malignancy
suspiciousness classification", Pattern Recognition 61, 2017.

Multi-crop pooling: the whole map pooled twice, its middle half pooled once, and its middle quarter not at all, each
then of the same size. A fully connected layer on the three is the sum of one layer on each, and each of these has its
dense form (:mod:`softmask.nets.dense`) at a rate of its own.

What differs: the publication judges the malignancy of a nodule in a cube of 64 voxels; as in the papers that compare
with it, it says here whether the centre pixel of a patch belongs to the nodule. Chosen here: the patch and the layers
below, batch normalisation, half as many hidden units as channels. No parameter count is known for slices.
"""

from torch import Tensor, nn

from softmask.nets.base import SegmentationNet
from softmask.nets.dense import Branches, Conv, MaxPool, conv, dense

CROP = 4  # height and width of each crop after its pooling


def multi_crop(channels: int, hidden: int) -> Branches:
    """Multi-crop pooling of maps (B, C, 16, 16) and the fully connected layer after it: (B, hidden, 1, 1)."""
    return Branches(
        nn.Sequential(MaxPool(2, 2), MaxPool(2, 2), Conv(channels, hidden, CROP, bias=False)),  # all 16 x 16 places
        nn.Sequential(MaxPool(2, 2), Conv(channels, hidden, CROP, bias=False)),  # the middle 8 x 8
        Conv(channels, hidden, CROP, bias=False),  # the middle 4 x 4
        summed=True,
    )


def classifier(width: int) -> nn.Sequential:
    """Logits (B, 1, 1, 1) of patches (B, 1, 45, 45)."""
    hidden = max(width // 2, 1)
    return nn.Sequential(
        conv(1, width, 5),  # 41 x 41 places
        MaxPool(3, stride=2),  # 20 x 20
        conv(width, width, 5),  # 16 x 16
        multi_crop(width, hidden),  # 1 x 1
        nn.BatchNorm2d(hidden),
        nn.ReLU(),
        Conv(hidden, 1, 1),
    )


class MCCNN(SegmentationNet):
    """Multi-crop CNN, ``width`` channels in both convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.classifier = dense(classifier(width))

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        return (self.classifier(image),)
