"""SRGAN: four-fold super-resolution by a residual network, which a discriminator keeps sharp.

Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", CVPR 2017,
figure 4; with five residual blocks as in CasGAN, section "Training details".

Differs from the publication: one grey channel. The generator adds a residual to the bilinear interpolation of its input
(Kim, Lee and Lee, "Accurate Image Super-Resolution Using Very Deep Convolutional Networks", CVPR 2016), because to
learn to copy the image takes more steps than a small profile has. The discriminator averages over the map before its
dense layers, so that it takes patches of any size, and its final sigmoid is part of the loss.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from softmask.nets.base import conv_bn

SCALE = 4
BLOCKS = 5
REACH = 18
"""Reach of an output pixel's receptive field to each side, in pixels of the input: 4 (9x9 convolution), 10 (two 3x3 in
each block), 1, 1 and 0.5 (3x3, the last one at twice the size), 1 (9x9 at four times the size)."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, each with batch normalisation, PReLU between them, and the input added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = (conv_bn(channels, channels, relu=False) for _ in range(2))
        self.layers = nn.Sequential(*first, nn.PReLU(), *second)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class ToOneChannel(nn.Conv2d):
    """nn.Conv2d to one channel with an odd square kernel: (B, C, H, W) -> (B, 1, H, W), in a fifth of the time.

    The kernel's k rows are the output channels of a 1 x k convolution, whose maps are then shifted and added.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__(channels, 1, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        kernel, reach, height = self.kernel_size[0], self.padding[0], x.shape[-2]
        rows = self.weight[0].transpose(0, 1).unsqueeze(2)  # (k, C, 1, k)
        maps = F.pad(F.conv2d(x, rows, padding=(0, reach)), (0, 0, reach, reach))  # (B, k, H + k - 1, W)
        return sum(maps[:, row : row + 1, row : row + height] for row in range(kernel)) + self.bias  # (B, 1, H, W)


class Generator(nn.Module):
    """Generator that super-resolves grey images by :data:`SCALE`, with ``width`` channels throughout."""

    FULL_WIDTH = 64

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, width, 9, padding=4), nn.PReLU())
        residual = [ResidualBlock(width) for _ in range(BLOCKS)]
        self.blocks = nn.Sequential(*residual, *conv_bn(width, width, relu=False))

        def twice() -> nn.Sequential:  # sub-pixel convolution, (B, C, H, W) -> (B, C, 2H, 2W)
            return nn.Sequential(nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2), nn.PReLU())

        self.enlarge = nn.Sequential(twice(), twice())
        self.last = ToOneChannel(width, 9)

    def features(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the super-resolved image (B, 1, 4H, 4W), not clipped, of grey images (B, 1, H, W) in [0, 1], and the
        input of the last convolution: the detail representation F_SR (B, width, 4H, 4W) of DSNet."""
        x = self.first(image)  # (B, w, H, W)
        detail = self.enlarge(x + self.blocks(x))  # (B, w, 4H, 4W)
        interpolated = F.interpolate(image, scale_factor=SCALE, mode="bilinear")
        return interpolated + self.last(detail), detail

    def forward(self, image: Tensor) -> Tensor:
        """Return the super-resolved image of :meth:`features`."""
        return self.features(image)[0]


class Discriminator(nn.Module):
    """Discriminator of patches of at least 32 x 32 pixels. The number of channels is doubled at every second
    convolution, up to eight times ``width``."""

    FULL_WIDTH = 64

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, width, 3, padding=1), nn.LeakyReLU(0.2)]
        inputs = width
        for channels, stride in [(1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (8, 1), (8, 2)]:
            layers += [*conv_bn(inputs, channels * width, stride=stride, relu=False), nn.LeakyReLU(0.2)]
            inputs = channels * width
        self.layers = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Linear(inputs, 2 * inputs),
            nn.LeakyReLU(0.2),
            nn.Linear(2 * inputs, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, 1), above 0 for images (B, 1, H, W) that look like real high-resolution images."""
        return self.head(self.layers(image).mean((2, 3)))  # (B, 8w, H/16, W/16) -> (B, 1)
