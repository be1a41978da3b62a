"""What lessons 3 and 4 go on with where an exercise is not solved, and what their checks compare an answer with.

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
    optimiser.zero_grad()
    loss = loss_of(network(images), masks)
    loss.backward()
    optimiser.step()
    return loss.item()


@torch.no_grad()
def predicted_masks(network: nn.Module, images: torch.Tensor) -> np.ndarray:
    """Return masks (N, H, W) bool: where the probability is 0.5 at least, the logit 0."""
    return network(images)[:, 0].numpy() >= 0


def pair(images: torch.Tensor, signed: torch.Tensor) -> torch.Tensor:
    """Return what the discriminator judges, (N, 2, H, W): the images, and masks in [-1, 1]."""
    return torch.cat([images, signed], dim=1)


def discriminator_turn(
    D: nn.Module, optimiser: torch.optim.Optimizer, images: torch.Tensor, soft: torch.Tensor, logits: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Update ``D`` once on soft labels in [0, 1] and on a segmentor's ``logits``, all (N, 1, H, W); return its logits
    for the real and for the predicted masks, before the update and without gradient."""
    real, fake = D(pair(images, 2 * soft - 1)), D(pair(images, torch.tanh(logits.detach())))
    loss = LOSSES["gan"].discriminator(real, fake)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
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
    """Update ``network`` once, down ``loss_of(logits, masks, soft, d)``, ``d`` being D's logits for its prediction;
    return that loss before the update. D's parameters stay as they are."""
    logits = network(images)
    loss = loss_of(logits, masks, soft, D(pair(images, torch.tanh(logits))))
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()
