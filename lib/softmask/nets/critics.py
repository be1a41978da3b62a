"""LGAN's five critics: networks that rate lung masks with a number, higher for true ones than for the generator's.

"LGAN: Lung Segmentation in CT Scans Using Generative Adversarial Network", CMIG 2021, table 1, section 3, figure 3;
Arjovsky, Chintala and Bottou, "Wasserstein GAN", ICML 2017.

Figure 3 is not legible. Blocks are DCGAN's, which the paper follows (4x4 convolution with stride 2, batch normalisation
except in the block that sees images or masks, LeakyReLU); after four of them the dense layer reads the features' means
over the map. Branches of two inputs are joined after two blocks; further convolutions of stride 1 make the image's
branch in late fusion, and both in regression ("a long set of individual convolution layers"), deeper.

Clipped parameters make every activation about c times as large; so the constant that batch normalisation adds to a
variance is c^2 times the usual one, with which narrow critics give 0 for all inputs.
"""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from softmask.nets.base import gaussian

SLOPE = 0.2
STD = 0.02
CLIP = 0.01  # bound of the parameters: c of the first WGAN
EPSILON = CLIP**2 * 1e-5  # constant of batch normalisation


def block(inputs: int, channels: int, kernel: int = 4, stride: int = 2, *, norm: bool = True) -> list[nn.Module]:
    """Return layers (B, inputs, H, W) -> (B, channels, H/stride, W/stride)."""
    conv = nn.Conv2d(inputs, channels, kernel, stride, padding=1, bias=not norm)
    return [conv, *([nn.BatchNorm2d(channels, EPSILON)] if norm else []), nn.LeakyReLU(SLOPE)]


def branch(width: int, *, deep: bool) -> nn.Sequential:
    """Return layers (B, 1, H, W) -> (B, 2w, H/4, W/4): two blocks, each with a second convolution if ``deep``."""
    layers: list[nn.Module] = []
    for inputs, channels in ((1, width), (width, 2 * width)):
        layers += block(inputs, channels, norm=channels > width)
        if deep:
            layers += block(channels, channels, 3, 1)
    return nn.Sequential(*layers)


def judge(inputs: int, width: int) -> nn.Sequential:
    """Return layers (B, inputs, H, W) -> (B, 1): two blocks of 4w and 8w channels and a dense layer."""
    blocks = [*block(inputs, 4 * width), *block(4 * width, 8 * width)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * width, 1))


class Critic(nn.Module):
    """Base of the critics: a subclass implements :meth:`seen`, and takes ``width``, the first block's channels."""

    FULL_WIDTH = 64

    def seen(self, images: Tensor, masks: Tensor, truth: Tensor) -> Tensor:
        """Return the input of the critic's last layers: (B, C, H, W), or (B, C, H/4, W/4) of fused branches."""
        raise NotImplementedError

    def score(self, images: Tensor, masks: Tensor, truth: Tensor) -> Tensor:
        """Return the rating (B,) of ``masks`` (B, 1, H, W) in [0, 1] of ``images`` (B, 1, H, W).

        Only :class:`Regression` uses ``truth`` (B, 1, H, W), the true masks of the images.
        """
        return self.layers(self.seen(images, masks, truth))[:, 0]

    def forward(self, images: Tensor, truth: Tensor, fake: Tensor) -> Tensor:
        """Return (B,): D(fake) - D(truth), masks and images (B, 1, H, W) (equations 7 to 10)."""
        return self.score(images, fake, truth) - self.score(images, truth, truth)


class Basic(Critic):
    """Critic of the mask alone."""

    INPUTS = 1

    def __init__(self, width: int) -> None:
        super().__init__()
        blocks = [*block(self.INPUTS, width, norm=False), *block(width, 2 * width)]
        self.layers = nn.Sequential(*blocks, judge(2 * width, width))
        gaussian(self, std=STD)

    def seen(self, images: Tensor, masks: Tensor, truth: Tensor) -> Tensor:
        return masks


class Product(Basic):
    """Critic of the product of image and mask, also for the true mask: section 3.2 multiplies it by the image, equation
    8 does not."""

    def seen(self, images: Tensor, masks: Tensor, truth: Tensor) -> Tensor:
        return images * masks


class EarlyFusion(Basic):
    """Critic of mask and image as two channels."""

    INPUTS = 2

    def seen(self, images: Tensor, masks: Tensor, truth: Tensor) -> Tensor:
        return torch.cat([masks, images], dim=1)


class LateFusion(Critic):
    """Critic with a branch for the mask and a deeper branch for the image."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.of_image = branch(width, deep=True)
        self.of_mask = branch(width, deep=False)
        self.layers = judge(4 * width, width)
        gaussian(self, std=STD)

    def seen(self, images: Tensor, masks: Tensor, truth: Tensor) -> Tensor:
        return torch.cat([self.of_mask(masks), self.of_image(images)], dim=1)  # (B, 4w, H/4, W/4)


class Regression(Critic):
    """Critic of the predicted and the true mask together; its output is an estimate of their signed distance.

    By equation 11, the critic minimises E[D(G(x), y)] in place of the difference E[D(G(x))] - E[D(y)] that the other
    critics minimise; the generator's loss, BCE - E[D(.)], maximises the same number. The last sentence of section 3.5
    exchanges the two roles: the loss ``wasserstein_regression_reversed`` (:mod:`softmask.train.losses`).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.of_mask = branch(width, deep=True)
        self.of_truth = branch(width, deep=True)
        self.layers = judge(4 * width, width)
        gaussian(self, std=STD)

    def seen(self, images: Tensor, masks: Tensor, truth: Tensor) -> Tensor:
        return torch.cat([self.of_mask(masks), self.of_truth(truth)], dim=1)  # (B, 4w, H/4, W/4)

    def forward(self, images: Tensor, truth: Tensor, fake: Tensor) -> Tensor:
        return self.score(images, fake, truth)


CRITICS: Mapping[str, type[Critic]] = MappingProxyType(
    {
        "basic": Basic,
        "product": Product,
        "early_fusion": EarlyFusion,
        "late_fusion": LateFusion,
        "regression": Regression,
    }
)
