"""The segmentor of CasGAN: the U-Net of pix2pix, from the super-resolved and the enlarged image to a soft mask.

"Accurate 2D soft segmentation of medical image via SoftGAN network" (CasGAN), arXiv 2007.14556, 2020, section 3.2.2:
no pooling, and LeakyReLU in the encoder, as in Isola, Zhu, Zhou and Efros, "Image-to-Image Translation with Conditional
Adversarial Networks" (pix2pix), CVPR 2017, the source of everything else.

Differs from pix2pix: six levels instead of eight, for images of 64x64; no dropout; one map of logits, whose tanh is
part of the losses; torch's default initial weights, not N(0, 0.02).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from softmask.nets.base import SegmentationNet


def down(inputs: int, channels: int) -> nn.Sequential:
    """Return layers (B, inputs, H, W) -> (B, channels, H/2, W/2)."""
    return nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(inputs, channels, 4, stride=2, padding=1, bias=False))


def up(inputs: int, channels: int) -> nn.Sequential:
    """Return layers (B, inputs, H, W) -> (B, channels, 2H, 2W)."""
    return nn.Sequential(
        nn.ReLU(),
        nn.ConvTranspose2d(inputs, channels, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(channels),
    )


class SoftGAN2020(SegmentationNet):
    """Encoder and decoder of 4x4 convolutions with stride 2, joined by skips at every level.

    Activations precede the convolutions, so that skips are not rectified. Batch normalisation follows all convolutions
    except the encoder's first and last and the head. Channels are doubled three times.
    """

    LEVELS = 6
    STRIDE = SMALLEST = 2**LEVELS
    PARAMETERS = 29_238_000  # pix2pix's code with six levels

    def __init__(self, width: int, inputs: int = 2) -> None:
        super().__init__(inputs)
        *steps, bottom = pairwise(width * 2 ** min(level, 3) for level in range(self.LEVELS))  # (finer, coarser)
        self.encoder = nn.ModuleList([nn.Conv2d(inputs, width, 4, stride=2, padding=1, bias=False)])
        self.encoder.extend(down(fine, coarse).append(nn.BatchNorm2d(coarse)) for fine, coarse in steps)
        self.encoder.append(down(*bottom))
        self.decoder = nn.ModuleList([up(*reversed(bottom))])
        self.decoder.extend(up(2 * coarse, fine) for fine, coarse in reversed(steps))
        self.head = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(2 * width, 1, 4, stride=2, padding=1))

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        x, skips = image, []
        for level in self.encoder:
            x = level(x)  # (B, w, H/2, W/2), (B, 2w, H/4, W/4), ..., (B, 8w, H/64, W/64)
            skips.append(x)
        x = skips.pop()
        for level in self.decoder:
            x = torch.cat([skips.pop(), level(x)], dim=1)  # (B, 2C, 2H, 2W), last (B, 2w, H/2, W/2)
        return (self.head(x),)
