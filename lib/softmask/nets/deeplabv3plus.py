"""DeepLabv3+, from segmentation_models_pytorch and timm.

Chen, Zhu, Papandreou, Schroff and Adam, "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
Segmentation", ECCV 2018, built as in section 4.1: ResNet-101 with output stride 16, atrous rates 6, 12 and 18,
low-level features from stride 4; the authors' stem of three 3x3 convolutions. No parameter count is printed.

Differs from the publication: separable convolutions in pyramid and decoder also with the ResNet, one separable
convolution instead of two in the decoder, and upsampling with aligned corners (all as in the package); no dropout;
random weights instead of ImageNet's; running statistics normalise the pooled features of a single training image.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from softmask.nets.base import SegmentationNet, levels_of


class NormOfSeveral(nn.BatchNorm2d):
    """Batch normalisation that uses the running statistics if there is only one value per channel."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)


class DeepLabV3Plus(SegmentationNet):
    """ResNet-101 with dilation, an atrous spatial pyramid, and one skip from stride 4. ``width`` is the number of
    channels before the bottleneck's factor of four; it scales all channels except the 48 of the low-level features."""

    STRIDE = SMALLEST = 16

    def __init__(self, width: int) -> None:
        super().__init__()
        import segmentation_models_pytorch as smp

        self.model = smp.DeepLabV3Plus(
            "tu-resnet101",  # "tu-": from timm, where the numbers of channels can be chosen
            encoder_weights=None,
            encoder_output_stride=16,
            decoder_channels=4 * width,
            decoder_atrous_rates=(6, 12, 18),
            decoder_aspp_dropout=0.0,
            in_channels=1,
            channels=tuple(levels_of(width, 4)),
            stem_type="deep",
            stem_width=width,
        )
        pooling = self.model.decoder.aspp[0].convs[-1]  # average, convolution, normalisation, ReLU
        pooling[2] = NormOfSeveral(pooling[2].num_features)

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        return (self.model(image),)
