"""SoftSeg's last layer, a normalised rectifier in place of the sigmoid, on the two networks used with soft labels.

Gros, Lemay and Cohen-Adad, "SoftSeg: Advantages of soft versus binary training for image segmentation", Medical Image
Analysis 71 (2021) 102038: max(x, 0) divided by its largest value. The authors' code (ivadomed) uses the largest value
of the batch; here it is that of the image, so that no prediction depends on other images. The network returns the
logits of these values, clipped to :data:`LEAST` and 1 - :data:`LEAST`, so that the prediction is their sigmoid.
"""

import torch
from torch import Tensor

from softmask.nets.base import SegmentationNet
from softmask.nets.softgan import ImprovedBackbone
from softmask.nets.unet import UNet

LEAST = 1e-6


class NormalisedReLU(SegmentationNet):
    """Logits of a network's rectified, normalised output, which is 0, without a gradient, if no value is positive."""

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        rectified = [x.float().relu() for x in super().outputs(image)]
        return tuple(torch.logit(x / x.amax((1, 2, 3), keepdim=True).clamp_min(LEAST), eps=LEAST) for x in rectified)


class SoftSeg(NormalisedReLU, ImprovedBackbone):
    """SoftGAN's backbone with SoftSeg's last layer."""


class SoftSegUNet(NormalisedReLU, UNet):
    """U-Net with SoftSeg's last layer, as in the publication."""
