"""Losses for segmentation and for adversarial training, computed from logits.

SoftGAN (ICME 2022), equations 2, 3 and 5; DSNet (TNNLS 2023), equation 15; CasGAN (2020), equations 2 and 5; LGAN
(CMIG 2021), equations 6 to 11; least squares after Mao et al., "Least Squares Generative Adversarial Networks",
ICCV 2017. Losses for soft labels beyond these papers: :func:`dice_semimetric_loss` and :func:`adaptive_wing_loss`.

Differences from the papers: the Dice loss is computed for each image and then averaged, so that a large nodule does not
outweigh a small one; the segmentor's side of the GAN loss is the non-saturating form, -log D(x, S(x)), whose gradient
does not vanish while the discriminator wins (Goodfellow et al. 2014, section 3). The soft L1 loss is the mean over
pixels, as in pix2pix, where SoftGAN (equation 3) and DSNet (equation 16) print a norm. CasGAN's losses, too, compare
tanh with 2 alpha - 1, so that the squared error is 4 times, and the L1 loss twice, that of values in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch.nn import functional as F

from softmask.errors import ConfigError, unknown
from softmask.nets.critics import CRITICS

EPSILON = 1e-6
"""Constant in the denominator of the Dice loss, to avoid 0 / 0 if mask and prediction are empty (the loss is 1)."""

AMPLIFIED = 1 / 3
"""Share of an amplified critic in the gradient at the first step; in the next steps the share stays above a fifth."""


class Batch(NamedTuple):
    """Images (B, C, H, W) in [0, 1], binary masks (B, 1, H, W) of 0 and 1, soft labels (B, 1, H, W) in [0, 1]."""

    images: torch.Tensor
    masks: torch.Tensor
    soft: torch.Tensor


def dice_loss(logits: torch.Tensor, target: torch.Tensor, squared: bool = False) -> torch.Tensor:
    """Return 1 - 2 sum(p y) / (sum p^k + sum y^k), in [0, 1], the mean over images, with p = sigmoid(logits).

    ``logits`` and ``target`` in [0, 1] are (B, 1, H, W). ``squared``: k = 2 (DSNet's journal version, equation 15)
    instead of k = 1 (SoftGAN, equation 2).
    """
    p = torch.sigmoid(logits).flatten(1)  # (B, HW)
    y = target.flatten(1)
    size = (p * p + y * y if squared else p + y).sum(1)  # (B,)
    return (1 - 2 * (p * y).sum(1) / (size + EPSILON)).mean()


def soft_l1_loss(logits: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """Return the mean |tanh(logits) - (2 alpha - 1)|, in [0, 2], over pixels and images (SoftGAN, equation 3).

    ``logits`` and the soft mask ``alpha`` in [0, 1] are (B, 1, H, W).
    """
    return (torch.tanh(logits) - (2 * alpha - 1)).abs().mean()


def soft_mse_loss(logits: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """Return the mean (tanh(logits) - (2 alpha - 1))^2, in [0, 4] (CasGAN, equation 2); see :func:`soft_l1_loss`."""
    return (torch.tanh(logits) - (2 * alpha - 1)).square().mean()


def dice_semimetric_loss(logits: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """Return sum |p - y| / (sum p + sum y), in [0, 1], the mean over images, with p = sigmoid(logits).

    Wang, Popordanoska, Bertels, Lemmens and Blaschko, "Dice Semimetric Losses: Optimizing the Dice Score with Soft
    Labels", MICCAI 2023, their DML_1: equal to :func:`dice_loss` for binary labels. For soft labels it is 0 at p = y,
    while the Dice loss, which contains a product, is smallest for a binary p. For an empty label and prediction it is
    0, not 1. ``logits`` and ``alpha`` in [0, 1] are (B, 1, H, W).
    """
    p, y = torch.sigmoid(logits).flatten(1), alpha.flatten(1)  # (B, HW)
    return ((p - y).abs().sum(1) / ((p + y).sum(1) + EPSILON)).mean()


def adaptive_wing_loss(
    logits: torch.Tensor,
    alpha: torch.Tensor,
    omega: float = 14,
    theta: float = 0.5,
    epsilon: float = 1,
    power: float = 2.1,
) -> torch.Tensor:
    """Return the mean of w(p - y) over pixels and images, at least 0, with p = sigmoid(logits).

    With d = |p - y| and k = ``power`` - y, w is omega log(1 + (d / epsilon)^k) for d below ``theta``, and above it the
    line that continues value and slope. Wang, Bo and Li, "Adaptive Wing Loss for Robust Face Alignment via Heatmap
    Regression", ICCV 2019, equation 3, with their parameters; SoftSeg (Gros et al. 2021) uses this loss. The weight map
    of Wang et al. is left out, as in ivadomed, the code of SoftSeg, where it is 1 everywhere; the sum in that code is a
    mean here. ``logits`` and ``alpha`` in [0, 1] are (B, 1, H, W).
    """
    d, k = (torch.sigmoid(logits) - alpha).abs(), power - alpha
    joint = (theta / epsilon) ** k
    slope = omega / (1 + joint) * k * (theta / epsilon) ** (k - 1) / epsilon
    near = omega * torch.log1p((d / epsilon) ** k)
    far = slope * (d - theta) + omega * torch.log1p(joint)
    return torch.where(d < theta, near, far).mean()


@dataclass(frozen=True)
class Loss:
    """Loss between logits and the field of :class:`Batch` that ``target`` names, ``masks`` or ``soft``. If ``tanh``,
    the network's soft mask is the tanh of the logits, in [-1, 1]; otherwise their sigmoid."""

    function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    target: str
    tanh: bool = False


@dataclass(frozen=True)
class GanLoss:
    """Both sides of a GAN loss, computed from the discriminator's logits (any shape).

    Attributes:
        distance: function that returns the scalar distance of logits from a label, 1 for real or 0 for fake.
        boundary: value above which a logit means real.
    """

    distance: Callable[[torch.Tensor, float], torch.Tensor]
    boundary: float

    def discriminator(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """Return the discriminator's loss: small if real masks are classified as real and the segmentor's as fake."""
        return self.distance(real, 1.0) + self.distance(fake, 0.0)

    def generator(self, fake: torch.Tensor) -> torch.Tensor:
        """Return the segmentor's loss: small if its masks are classified as real."""
        return self.distance(fake, 1.0)


@dataclass(frozen=True)
class WassersteinLoss:
    """Both sides of a Wasserstein loss, computed from a critic's scores (B,).

    Attributes:
        critic: name in :data:`softmask.nets.critics.CRITICS`.
        reverse: whether each side maximises what it otherwise minimises, as a sentence of LGAN's section 3.5 ("By
            playing the min-max game ...") says for the regression critic.
        share: critic's share, in (0, 1), of the gradient at the generator's output at the first step; None: no scaling.
    """

    critic: str
    reverse: bool = False
    share: float | None = None

    def discriminator(self, distance: torch.Tensor) -> torch.Tensor:
        """Return the critic's loss: E[D(fake)] - E[D(real)], or what replaces it (LGAN, equations 7 to 11)."""
        return -distance.mean() if self.reverse else distance.mean()

    def generator(self, fake: torch.Tensor) -> torch.Tensor:
        """Return the generator's adversarial loss, in addition to the pixel loss: -E[D(fake)] (LGAN, equation 6)."""
        return fake.mean() if self.reverse else -fake.mean()


def _cross_entropy(logits: torch.Tensor, label: float) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def _half_square(logits: torch.Tensor, label: float) -> torch.Tensor:
    return 0.5 * (logits - label).square().mean()


LOSSES: Mapping[str, Loss | GanLoss | WassersteinLoss] = MappingProxyType(
    {
        "dice": Loss(dice_loss, "masks"),
        "dice_squared": Loss(partial(dice_loss, squared=True), "masks"),
        "soft_l1": Loss(soft_l1_loss, "soft", tanh=True),
        "soft_mse": Loss(soft_mse_loss, "soft", tanh=True),
        # a student is trained with alpha L(soft) + (1 - alpha) L(hard), CasGAN, equation 5
        "soft_cross_entropy": Loss(F.binary_cross_entropy_with_logits, "soft"),
        "hard_cross_entropy": Loss(F.binary_cross_entropy_with_logits, "masks"),
        "dice_semimetric": Loss(dice_semimetric_loss, "soft"),
        "adaptive_wing": Loss(adaptive_wing_loss, "soft"),
        "gan": GanLoss(_cross_entropy, boundary=0.0),
        "gan_least_squares": GanLoss(_half_square, boundary=0.5),
        **{f"wasserstein_{critic}": WassersteinLoss(critic) for critic in CRITICS},
        **{f"wasserstein_{critic}_amplified": WassersteinLoss(critic, share=AMPLIFIED) for critic in CRITICS},
        "wasserstein_regression_reversed": WassersteinLoss("regression", reverse=True),
        "wasserstein_regression_reversed_amplified": WassersteinLoss("regression", reverse=True, share=AMPLIFIED),
    }
)

Weighted = Sequence[tuple[str, float]]
"""Names of :data:`LOSSES` and their weights."""


def check(losses: Weighted, known: Collection[str]) -> None:
    """Raise ConfigError for a loss that is not ``known``, is named twice, or has no positive weight."""
    for name, weight in losses:
        if name not in known:
            raise unknown("loss", name, sorted(known))
        if not weight > 0:
            raise ConfigError(f"the weight of loss {name!r} must be positive, not {weight!r}")
    names = [name for name, _ in losses]
    if len(set(names)) < len(names):
        raise ConfigError(f"the losses {names} must name each loss once")


def split(losses: Weighted) -> tuple[Weighted, Weighted]:
    """Return the pixel losses among ``losses``, and the adversarial losses (at most one).

    Raises ConfigError as :func:`check` does, and for two adversarial losses or no pixel loss.
    """
    check(losses, LOSSES)
    pixel_losses = [(name, weight) for name, weight in losses if isinstance(LOSSES[name], Loss)]
    adversarial_losses = [(name, weight) for name, weight in losses if not isinstance(LOSSES[name], Loss)]
    if not pixel_losses or len(adversarial_losses) > 1:
        names = [name for name, _ in losses]
        raise ConfigError(f"the losses {names} must name a loss of pixels, and one GAN loss at most")
    return pixel_losses, adversarial_losses


def weighted(outputs: Sequence[torch.Tensor], batch: Batch, losses: Weighted) -> dict[str, torch.Tensor]:
    """Return each pixel loss by name: its weight times the mean over ``outputs``, main and deeply supervised."""
    terms = {}
    for name, weight in losses:
        loss = LOSSES[name]
        target = getattr(batch, loss.target)
        terms[name] = weight * torch.stack([loss.function(logits, target) for logits in outputs]).mean()
    return terms


def uses_tanh(losses: Weighted) -> bool:
    """Return whether the soft mask of a network trained with ``losses`` is the tanh of its logits."""
    return any(getattr(LOSSES[name], "tanh", False) for name, _ in losses)


def uses_masks(losses: Weighted) -> bool:
    """Return whether one of the ``losses`` compares with the binary masks."""
    return any(getattr(LOSSES[name], "target", "") == "masks" for name, _ in losses)
