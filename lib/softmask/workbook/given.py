"""Given answers, used by lessons 3 and 4 if an exercise is not solved or is wrong, and as references of their checks.

Plain PyTorch, as the lessons write it; the workbook's own training is :mod:`softmask.train`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from softmask.train.losses import LOSSES

Loss = Callable[..., torch.Tensor]


def same(answer: object, right: torch.Tensor, atol: float = 1e-5) -> bool:
    """Return whether an answer is a tensor with the right shape and approximately the right values."""
    same_shape = isinstance(answer, torch.Tensor) and answer.shape == right.shape
    return same_shape and torch.allclose(answer, right, atol=atol)


def dice_slip(answer: torch.Tensor, logits: torch.Tensor, masks: torch.Tensor) -> str:
    """Return the comment on a wrong Dice loss: the mistake that gives its value or, if unknown, the right value."""

    def loss(p: torch.Tensor) -> torch.Tensor:
        return 1 - (2 * (p * masks).sum((1, 2, 3)) / (p + masks).sum((1, 2, 3))).mean()

    p = torch.sigmoid(logits)
    right, flat_batch = loss(p), [part.reshape(1, 1, -1, 1) for part in (logits, masks)]
    slips = {
        "sum over each image, then take the mean of the images' losses": LOSSES["dice"].function(*flat_batch),
        "this is the Dice itself: the loss is 1 - Dice": 1 - right,
        "the factor 2 of (1) is missing": (1 + right) / 2,
        "p is missing: take the sigmoid of the logits": loss(logits),
        "the sigmoid is taken twice": loss(torch.sigmoid(p)),
    }
    default = f"expected {right:.4f}, not {answer:.4f}; compare with (1)"
    return next((comment for comment, value in slips.items() if same(answer, value, 1e-4)), default)


def block(inputs: int, outputs: int) -> nn.Sequential:
    """Return two 3x3 convolutions, each with normalisation and ReLU: (N, inputs, H, W) -> (N, outputs, H, W)."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.GroupNorm(4, outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """U-Net of three levels, from images (N, 1, H, W) to logits (N, 1, H, W); H and W are multiples of 4."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.fine, self.middle, self.coarse = block(1, width), block(width, 2 * width), block(2 * width, 4 * width)
        self.up_to_middle = nn.ConvTranspose2d(4 * width, 2 * width, 2, stride=2)
        self.join_middle = block(4 * width, 2 * width)
        self.up_to_fine = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.join_fine = block(2 * width, width)
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        fine = self.fine(x)
        middle = self.middle(F.max_pool2d(fine, 2))
        coarse = self.coarse(F.max_pool2d(middle, 2))
        middle = self.join_middle(torch.cat([middle, self.up_to_middle(coarse)], dim=1))
        return self.last(self.join_fine(torch.cat([fine, self.up_to_fine(middle)], dim=1)))


def train_step(
    network: nn.Module, optimiser: torch.optim.Optimizer, images: torch.Tensor, masks: torch.Tensor, loss_of: Loss
) -> float:
    """Update ``network`` once on a batch; return ``loss_of(logits, masks)`` before the update."""
    loss = loss_of(network(images), masks)
    _update(optimiser, loss)
    return loss.item()


def _update(optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


@torch.no_grad()
def predicted_masks(network: nn.Module, images: torch.Tensor) -> np.ndarray:
    """Return masks (N, H, W) bool: where the probability is at least 0.5, so the logit at least 0."""
    return network(images)[:, 0].numpy() >= 0


def leaked_share(train_patients: np.ndarray, test_patients: np.ndarray) -> float:
    """Return the share, in [0, 1], of test images whose patient has an image in training; one name per image."""
    return float(np.isin(test_patients, train_patients).mean())


@torch.no_grad()
def cut_parameters(module: nn.Module, c: float) -> None:
    """Clip every parameter of ``module`` to [-c, c], in place."""
    for parameter in module.parameters():
        parameter.clamp_(-c, c)


def softgan_loss(logits: torch.Tensor, masks: torch.Tensor, soft: torch.Tensor, d: torch.Tensor) -> torch.Tensor:
    """Return SoftGAN's loss of the segmentor, a scalar, with the paper's weights; all four are (N, 1, H, W)."""
    pixels = 0.5 * LOSSES["dice"].function(logits, masks) + 100 * LOSSES["soft_l1"].function(logits, soft)
    return pixels + LOSSES["gan"].generator(d)


def pair(images: torch.Tensor, signed: torch.Tensor) -> torch.Tensor:
    """Return the input of the discriminator, (N, 2, H, W): the images, and masks in [-1, 1]."""
    return torch.cat([images, signed], dim=1)


def discriminator_turn(
    D: nn.Module, optimiser: torch.optim.Optimizer, images: torch.Tensor, soft: torch.Tensor, logits: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Update ``D`` once on soft labels in [0, 1] and on a segmentor's ``logits``, all (N, 1, H, W); return its logits
    for the real and for the predicted masks, before the update and without gradient."""
    real, fake = D(pair(images, 2 * soft - 1)), D(pair(images, torch.tanh(logits.detach())))
    _update(optimiser, LOSSES["gan"].discriminator(real, fake))
    return real.detach(), fake.detach()


def segmentor_turn(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    D: nn.Module,
    images: torch.Tensor,
    masks: torch.Tensor,
    soft: torch.Tensor,
    loss_of: Loss,
) -> float:
    """Update ``network`` once to reduce ``loss_of(logits, masks, soft, d)``, with ``d`` D's logits for its prediction;
    return the loss before the update. D's parameters do not change."""
    logits = network(images)
    loss = loss_of(logits, masks, soft, D(pair(images, torch.tanh(logits))))
    _update(optimiser, loss)
    return loss.item()
