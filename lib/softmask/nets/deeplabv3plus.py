"""DeepLabv3+, from segmentation_models_pytorch and timm.

Chen, Zhu, Papandreou, Schroff and Adam, "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
Segmentation", ECCV 2018.

Built as in section 4.1: ResNet-101 with output stride 16, atrous rates 6, 12 and 18, low-level features from stride 4.
The stem is three 3x3 convolutions, as in the authors' code. A width other than the published 64 scales every stage of
the encoder and the 256 channels of pyramid and decoder; the 48 channels of the low-level features stay. The publication
counts multiply-adds and prints no number of parameters.

Differs from the publication: separable convolutions in pyramid and decoder also with the ResNet (they belong to its
best model), one of them instead of two in the decoder, its upsampling with aligned corners (all as in the package); no
dropout; random weights instead of ImageNet's. A batch of one image leaves one number for each channel of the pyramid's
image pooling, over which no batch normalisation can be taken: such batches are normalised with the running statistics,
as outside training.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from softmask.nets.base import SegmentationNet


class NormOfSeveral(nn.BatchNorm2d):
    """Batch normalisation that takes a batch with one number for each channel as it is taken outside training."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)


class DeepLabV3Plus(SegmentationNet):
    """ResNet-101 with dilation, an atrous spatial pyramid, and one skip from stride 4.

    Args:
        width: channels of the encoder's first stage, before the bottleneck's factor of four.
    """

    STRIDE: ClassVar[int] = 16
    SMALLEST: ClassVar[int] = 16

    def __init__(self, width: int) -> None:
        super().__init__()
        import segmentation_models_pytorch as smp

        self.model = smp.DeepLabV3Plus(
            "tu-resnet101",  # "tu-": timm's, whose channels can be chosen
            encoder_weights=None,
            encoder_output_stride=16,
            decoder_channels=4 * width,
            decoder_atrous_rates=(6, 12, 18),
            decoder_aspp_dropout=0.0,
            in_channels=1,
            channels=tuple(width * 2**stage for stage in range(4)),
            stem_type="deep",
            stem_width=width,
        )
        pooling = self.model.decoder.aspp[0].convs[-1]  # average, convolution, normalisation, ReLU
        pooling[2] = NormOfSeveral(pooling[2].num_features)

    def outputs(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.model(image),)
