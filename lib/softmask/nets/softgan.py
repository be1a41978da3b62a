"""SoftGAN: an improved U-Net under a binary, a soft and an adversarial loss.

"SoftGAN: Towards Accurate Lung Nodule Segmentation via Soft Mask Supervision", ICME 2022, sections 3.2 and 3.3.
The CBAM block is that of Woo, Park, Lee and Kweon, "CBAM: Convolutional Block Attention Module", ECCV 2018, drawn
in figure 4 of the authors' later paper (DSNet, TNNLS 2023):

    M_c(x) = sigmoid(MLP(mean over positions) + MLP(maximum over positions))   channel attention
    M_s(x) = sigmoid(conv7x7([mean over channels, maximum over channels]))     spatial attention
    block(x) = M_s(y) y + shortcut(x)  with  y = M_c(z) z,  z = convolutions of x

Chosen here: channels and levels are the U-Net's, so that no published parameter count can be compared; attention comes
before the shortcut is added, as in CBAM's residual network; one map of logits serves both heads, so that sigmoid at 0.5
and tanh at 0 binarise it alike.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from softmask.nets.base import UShape

REDUCTION = 16  # reduction ratio of the channel-attention MLP (CBAM)


class ChannelAttention(nn.Module):
    """Channel attention: M_c(x) x for x (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // REDUCTION, 4)  # a narrow network must keep more than one hidden channel
        self.perceptron = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        mean, largest = F.adaptive_avg_pool2d(x, 1), F.adaptive_max_pool2d(x, 1)  # (B, C, 1, 1)
        return x * torch.sigmoid(self.perceptron(mean) + self.perceptron(largest))


class SpatialAttention(nn.Module):
    """Spatial attention: M_s(x) x for x (B, C, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def weights(self, x: Tensor) -> Tensor:
        """Return M_s (B, 1, H, W) in [0, 1]."""
        pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)  # (B, 2, H, W)
        return torch.sigmoid(self.conv(pooled))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weights(x)


class CBAMBlock(nn.Module):
    """Basic block: two 3x3 convolutions, each with ReLU and batch normalisation; attention; a residual shortcut."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(inputs, channels, 3, padding=1),
            nn.ReLU(),
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.BatchNorm2d(channels),
        )
        self.channel_attention = ChannelAttention(channels)
        self.spatial_attention = SpatialAttention()
        self.shortcut = nn.Identity() if inputs == channels else nn.Conv2d(inputs, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.spatial_attention(self.channel_attention(self.convs(x))) + self.shortcut(x)


class ImprovedBackbone(UShape):
    """The segmentor: encoder and decoder of CBAM blocks, strided convolutions instead of pooling, U-Net's skips."""

    def __init__(self, width: int, inputs: int = 1) -> None:
        def halve(channels: int) -> list[nn.Module]:
            return [nn.Conv2d(channels, channels, 4, stride=2, padding=1), nn.ReLU()]

        def double(coarse: int, fine: int) -> nn.Sequential:
            return nn.Sequential(nn.ConvTranspose2d(coarse, fine, 4, stride=2, padding=1), nn.ReLU())

        super().__init__(width, inputs, CBAMBlock, halve, double, head=3)


class PixelDiscriminator(nn.Module):
    """Conditional discriminator of every pixel of a soft mask: real, or made by the segmentor (figure 4).

    The final sigmoid is part of the loss. The paper states no number of channels.
    """

    FULL_WIDTH = 64

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 1, 3, padding=1),
        )

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Return logits (B, 1, H, W), above 0 where ``mask`` (B, 1, H, W) in [-1, 1] looks like a true soft mask of
        ``image`` (B, 1, H, W)."""
        return self.layers(torch.cat([image, mask], dim=1))
