"""FCN-8s, the segmentor of fusion_gnet.

Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015. LGAN's table 4 names
"Fusion gNet" of Zhao et al. (ISBI 2018) and describes it as a fully convolutional network with the original GAN loss.
The multi-instance loss of Zhao et al. is not described there, and is omitted here.

Differs from the publication: one input channel and one map of logits; batch normalisation after every 3x3 convolution
and random initial weights instead of VGG16's; padded convolutions, and pooling that keeps an odd last row and column,
so that any size fits; no constant factors on the skips. Differs from fusion_gnet: "the original GAN loss" is that of
SoftGAN here, with its pixel discriminator, which sees the image and a mask in [-1, 1], the tanh of the logits.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from softmask.nets.base import SegmentationNet, conv_bn_relu

# stages of VGG16, from fine to coarse: channels as a multiple of the width, number of convolutions
STAGES = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
DENSE = 64  # channels of the two layers that replace VGG16's dense layers, as a multiple of the width: 4096


class FCN(SegmentationNet):
    """Fully convolutional VGG16; the scores of stages 4 and 3 are added to the scores at 1/32 of the image's size."""

    SMALLEST = 2 ** len(STAGES)
    PARAMETERS = 134_000_000  # table 1
    WEIGHT_DECAY = 5e-4  # as in the LGAN paper, for all of its networks

    def __init__(self, width: int) -> None:
        super().__init__()
        inputs = [1, *(width * multiple for multiple, _ in STAGES)]
        self.stages = nn.ModuleList(
            nn.Sequential(conv_bn_relu(inputs[i], width * multiple, count), nn.MaxPool2d(2, ceil_mode=True))
            for i, (multiple, count) in enumerate(STAGES)
        )
        dense_channels = DENSE * width
        self.dense = nn.Sequential(
            nn.Conv2d(inputs[-1], dense_channels, 7, padding=3), nn.ReLU(), nn.Dropout(),
            nn.Conv2d(dense_channels, dense_channels, 1), nn.ReLU(), nn.Dropout(),
        )  # fmt: skip
        self.scores = nn.ModuleList(nn.Conv2d(channels, 1, 1) for channels in (dense_channels, inputs[4], inputs[3]))
        self.twice = nn.ModuleList(nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1, bias=False) for _ in range(2))
        for layer in self.twice:
            layer.weight.data.copy_(bilinear())

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        x, pooled = image, []
        for stage in self.stages:
            x = stage(x)  # (B, C, H/2, W/2), last (B, 8w, H/32, W/32), rounded up
            pooled.append(x)
        last, *scores = self.scores
        logits = last(self.dense(x))  # (B, 1, H/32, W/32)
        for twice, score, skip in zip(self.twice, scores, (pooled[3], pooled[2]), strict=True):
            height, width = skip.shape[-2:]
            logits = twice(logits)[..., :height, :width] + score(skip)  # (B, 1, H/16, W/16), then H/8, W/8
        return (F.interpolate(logits, image.shape[-2:], mode="bilinear", align_corners=False),)


def bilinear() -> Tensor:
    """Return the kernel (1, 1, 4, 4) that doubles a map by bilinear interpolation."""
    line = torch.tensor([0.25, 0.75, 0.75, 0.25])
    return torch.outer(line, line)[None, None]
