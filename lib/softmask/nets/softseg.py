"""SoftSeg's last layer, a normalised rectifier in place of the sigmoid, on the two networks that soft labels share.

Gros, Lemay and Cohen-Adad, "SoftSeg: Advantages of soft versus binary training for image segmentation", Medical Image
Analysis 71 (2021) 102038: max(x, 0) divided by its largest value. Their code (ivadomed) takes the largest value of the
batch; here it is that of the image, so that no prediction depends on others. The network gives the logits of these
values, within :data:`LEAST` of 0 and 1, so that their sigmoid is what it predicts.
"""

import torch
from torch import Tensor

from softmask.nets.base import SegmentationNet
from softmask.nets.softgan import ImprovedBackbone
from softmask.nets.unet import UNet

LEAST = 1e-6


class NormalisedReLU(SegmentationNet):
    """Logits of the normalised rectifier of a network's output; 0, without a gradient, where no output is positive."""

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        rectified = [x.float().relu() for x in super().outputs(image)]
        return tuple(torch.logit(x / x.amax((1, 2, 3), keepdim=True).clamp_min(LEAST), eps=LEAST) for x in rectified)


class SoftSeg(NormalisedReLU, ImprovedBackbone):
    """SoftGAN's backbone with this last layer."""


class SoftSegUNet(NormalisedReLU, UNet):
    """The U-Net with this last layer, as in the publication."""
