"""SRGAN: an image four times as high and wide, by a residual network that a discriminator keeps sharp.

Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", CVPR 2017,
figure 4; with five residual blocks as in CasGAN, section "Training details".

Different here: one grey channel. The generator adds to the bilinear interpolation of its input what that lacks, as in
Kim, Lee and Lee, "Accurate Image Super-Resolution Using Very Deep Convolutional Networks", CVPR 2016: to learn to copy
the image takes more steps than a small profile has. In the discriminator an average over all places stands before the
dense layers, so that it takes patches of any size, and the sigmoid at the end is left to the loss, which is exact on
logits only.
"""

from __future__ import annotations

from math import gcd
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from softmask.errors import ConfigError
from softmask.nets.base import SegmentationNet

SCALE = 4
BLOCKS = 5
TRANSFERRED = ("bilinear", "super_resolved", "detail")
"""What :func:`transferred` gives, by the names of :data:`softmask.experiments.spec.CHANNELS`."""
AT_ONCE = 1
"""Images that a CPU enlarges at once: the maps of one, of 16 times its pixels, just fit into its caches."""
REACH = 18
"""How far a pixel of the output can see, in pixels of the input: 4 (9x9 convolution), 10 (two 3x3 in each block), 1, 1
and 0.5 (3x3, the last one at twice the size), 1 (9x9 at four times the size)."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, each with batch normalisation, PReLU between them, and the input added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.PReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x)


def _twice(channels: int) -> nn.Sequential:
    """(B, C, H, W) -> (B, C, 2H, 2W) by sub-pixel convolution."""
    return nn.Sequential(nn.Conv2d(channels, 4 * channels, 3, padding=1), nn.PixelShuffle(2), nn.PReLU())


class ToOneChannel(nn.Conv2d):
    """A convolution to one channel with a square kernel, odd k x k: (B, C, H, W) -> (B, 1, H, W), as nn.Conv2d's.

    Convolution libraries compute many output channels at once and idle where there is one. Here the kernel's k rows are
    the output channels of a 1 x k convolution, whose maps are then shifted and added: the same sums in another order,
    in a fifth of the time on a CPU.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__(channels, 1, kernel, padding=kernel // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kernel, reach, height = self.kernel_size[0], self.padding[0], x.shape[-2]
        rows = self.weight[0].transpose(0, 1).unsqueeze(2)  # (k, C, 1, k)
        maps = F.pad(F.conv2d(x, rows, padding=(0, reach)), (0, 0, reach, reach))  # (B, k, H + k - 1, W)
        return sum(maps[:, row : row + 1, row : row + height] for row in range(kernel)) + self.bias  # (B, 1, H, W)


class Generator(nn.Module):
    """Super-resolves grey images by :data:`SCALE`.

    Args:
        width: channels throughout; ``FULL_WIDTH`` is the publication's.
    """

    FULL_WIDTH: ClassVar[int] = 64

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, width, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(
            *(ResidualBlock(width) for _ in range(BLOCKS)),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.enlarge = nn.Sequential(_twice(width), _twice(width))
        self.last = ToOneChannel(width, 9)

    def features(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The super-resolved image (B, 1, 4H, 4W), and what its last convolution reads: the detail representation
        (B, width, 4H, 4W) of CasGAN's successors."""
        if image.ndim != 4 or image.shape[1] != 1:
            raise ConfigError(
                f"the generator takes grey images (B, 1, H, W), not a tensor of shape {tuple(image.shape)}"
            )
        x = self.first(image)  # (B, w, H, W)
        detail = self.enlarge(x + self.blocks(x))  # (B, w, 4H, 4W)
        interpolated = F.interpolate(image, scale_factor=SCALE, mode="bilinear")
        return interpolated + self.last(detail), detail

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(B, 1, 4H, 4W), about [0, 1] but not cut, of grey images (B, 1, H, W) in [0, 1] of any size.

        Raises:
            ConfigError: for another shape.
        """
        return self.features(image)[0]


def transferred(generator: Generator, images: torch.Tensor, scale: int = SCALE) -> torch.Tensor:
    """The channels :data:`TRANSFERRED` of ``images`` (B, 1, S, S) in [0, 1]: (B, 2 + width, s, s), s = scale S.

    One pass of the generator gives image and features together; they are averaged where ``scale`` is less than its own.
    """
    if not images.is_cuda and len(images) > AT_ONCE:
        return torch.cat([transferred(generator, part, scale) for part in images.split(AT_ONCE)])
    super_resolved, detail = generator.features(images)
    super_resolved = super_resolved.clamp(0, 1)
    if scale < SCALE:
        super_resolved, detail = (F.avg_pool2d(x, SCALE // scale) for x in (super_resolved, detail))
    enlarged = F.interpolate(images, scale_factor=scale, mode="bilinear", align_corners=False)
    return torch.cat([enlarged, super_resolved, detail], dim=1)


class Transferring(SegmentationNet):
    """A segmentor behind a generator, as one network of grey images. The generator is frozen: it gets no gradient, and
    stays in evaluation mode.

    Args:
        network: on ``scale`` times enlarged :data:`TRANSFERRED` channels.
    """

    def __init__(self, generator: Generator, network: SegmentationNet, scale: int = SCALE) -> None:
        super().__init__()
        self.generator, self.network, self.scale = generator, network, scale
        self.STRIDE = network.STRIDE // gcd(network.STRIDE, scale)
        self.SMALLEST = -(-network.SMALLEST // scale)
        self.WEIGHT_DECAY = network.WEIGHT_DECAY
        self.train(network.training)

    def train(self, mode: bool = True) -> Transferring:
        super().train(mode)
        self.generator.eval()
        return self

    def outputs(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with torch.no_grad():
            seen = transferred(self.generator, image, self.scale)  # (B, 2 + width, scale H, scale W)
        return self.network.training_outputs(seen)


class Discriminator(nn.Module):
    """Judges patches of at least 32 x 32 pixels: true high resolution or super-resolved.

    Args:
        width: channels of the first two convolutions, doubled at every second one after them, up to eight times.
    """

    FULL_WIDTH: ClassVar[int] = 64

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, width, 3, padding=1), nn.LeakyReLU(0.2)]
        inputs = width
        for channels, stride in [(1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (8, 1), (8, 2)]:
            layers += [
                nn.Conv2d(inputs, channels * width, 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(channels * width),
                nn.LeakyReLU(0.2),
            ]
            inputs = channels * width
        self.layers = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(inputs, 2 * inputs), nn.LeakyReLU(0.2), nn.Linear(2 * inputs, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits (B, 1), above 0 where ``image`` (B, 1, H, W) looks like a true one."""
        return self.head(self.layers(image).mean((2, 3)))  # (B, 8w, H/16, W/16) -> (B, 1)
