"""SegNet.

Badrinarayanan, Kendall and Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image
Segmentation", PAMI 2017.

Differs from the publication: one input channel and one map of logits; random initial weights instead of VGG16's.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from softmask.nets.base import SegmentationNet, conv_bn_relu
from softmask.nets.fcn import STAGES


class SegNet(SegmentationNet):
    """VGG16's thirteen convolutions and a mirrored decoder; unpooling puts values back where pooling found maxima."""

    STRIDE = SMALLEST = 2 ** len(STAGES)
    PARAMETERS = 29_400_000  # 14.7 million in the encoder (section 3), as many in the decoder

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        inputs = 1
        for multiple, count in STAGES:
            channels = multiple * width
            self.encoder.append(conv_bn_relu(inputs, channels, count))
            # The decoder's last stage keeps its channels, and the head replaces its last convolution.
            last = nn.Conv2d(channels, 1, 3, padding=1) if inputs == 1 else conv_bn_relu(channels, inputs)
            self.decoder.append(nn.Sequential(conv_bn_relu(channels, channels, count - 1), last))
            inputs = channels

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        x, pool_indices = image, []
        for stage in self.encoder:
            x, index = F.max_pool2d(stage(x), 2, return_indices=True)  # both (B, C, H/2, W/2)
            pool_indices.append(index)
        for stage in reversed(self.decoder):
            x = stage(unpool(x, pool_indices.pop()))  # (B, C', 2H, 2W)
        return (x,)


def unpool(x: Tensor, places: Tensor) -> Tensor:
    """Return (B, C, 2H, 2W): ``x`` (B, C, H, W) at ``places``, the flat indices of ``F.max_pool2d``; zero elsewhere.

    The same as ``F.max_unpool2d``, which torch refuses in deterministic mode, because indices can be equal in general.
    """
    b, c, h, w = x.shape
    return x.new_zeros(b, c, 4 * h * w).scatter(2, places.flatten(2), x.flatten(2)).view(b, c, 2 * h, 2 * w)
