"""Adversarial training: the discriminator and the segmentor take turns on every batch.

SoftGAN (ICME 2022), section 3.2, equations 4 to 6, with the pixel discriminator of figure 4. In the pair (x, y) that
the discriminator judges, y is a mask in [-1, 1]: 2 alpha - 1 of the soft label, or tanh of the segmentor's logits.

What the paper leaves open: the discriminator moves first, on the masks of the segmentor before its own move; both use
the same learning rate. Adam's betas are 0.5 and 0.999 for the discriminator, as is customary, and 0.9 and 0.999 for
the segmentor, as without the GAN loss, so that a row with it differs from the row without it in nothing else.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn
from torch.nn import functional as F

from softmask.nets.base import SegmentationNet
from softmask.train.device import Place
from softmask.train.losses import LOSSES, Batch, Weighted, split, weighted
from softmask.train.supervised import Outputs, adam


class Judgements(nn.Module):
    """A discriminator's logits of real and fake masks, in one call: gradients are shared once for both."""

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(
        self, images: torch.Tensor, real: torch.Tensor, fake: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.discriminator(images, real), self.discriminator(images, fake)


def beside(masks: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """(B, 1, s, s): what a discriminator sees of ``images`` (B, C, S, S), the first channel, averaged to the size s of
    the ``masks``. It is the original image (SoftGAN, section 3.2; CasGAN, section 3.2.2), enlarged by interpolation
    where the network sees enlarged ones, and never what another network made of it."""
    seen = images[:, :1]
    factor = images.shape[-1] // masks.shape[-1]
    return F.avg_pool2d(seen, factor) if factor > 1 else seen


class Adversarial:
    """Losses of pixels on all outputs, the GAN loss on the main one.

    Attributes:
        modules, optimisers: what is trained and its optimisers, by name; their states make a checkpoint.
    """

    def __init__(
        self,
        network: SegmentationNet,
        discriminator: nn.Module,
        losses: Weighted,
        place: Place,
        learning_rate: float,
        steps: int,
    ) -> None:
        self.pixel, [(self.gan_name, self.gan_weight)] = split(losses)
        self.gan = LOSSES[self.gan_name]
        self.place = place
        self.modules = {"network": network, "discriminator": discriminator}
        self.optimisers = {
            "network": adam(network, learning_rate),
            "discriminator": torch.optim.Adam(
                discriminator.parameters(), learning_rate, betas=(0.5, 0.999), fused=True
            ),
        }
        self.outputs = place.ready(Outputs(network), steps)
        self.judgements = place.ready(Judgements(discriminator), steps)

    def step(self, batch: Batch, followed: Collection[str]) -> dict[str, torch.Tensor]:
        """One update of each, the segmentor's down the losses ``followed``. Returns the segmentor's losses with their
        weights, the discriminator's loss, and the share of pixels it judges rightly, of real and of fake masks:
        scalars by name."""
        with self.place.autocast():
            outputs = self.outputs(batch.images)  # each (B, 1, H, W)
        outputs = [logits.float() for logits in outputs]
        fake = torch.tanh(outputs[0])
        batch = batch._replace(images=beside(fake, batch.images))
        judged = self.discriminator_step(batch, fake.detach())
        return {**self.segmentor_step(batch, outputs, fake, followed), **judged}

    def discriminator_step(self, batch: Batch, fake: torch.Tensor) -> dict[str, torch.Tensor]:
        """The discriminator's turn, on masks ``fake`` (B, 1, H, W) in [-1, 1] that carry no gradient."""
        with self.place.autocast():
            on_real, on_fake = self.judgements(batch.images, 2 * batch.soft - 1, fake)  # logits, each (B, 1, H, W)
        loss = self.gan.discriminator(on_real.float(), on_fake.float())
        self._descend("discriminator", loss)
        return {
            "discriminator_loss": loss.detach(),
            "discriminator_accuracy_real": (on_real > self.gan.boundary).float().mean(),
            "discriminator_accuracy_fake": (on_fake <= self.gan.boundary).float().mean(),
        }

    def segmentor_step(
        self, batch: Batch, outputs: list[torch.Tensor], fake: torch.Tensor, followed: Collection[str]
    ) -> dict[str, torch.Tensor]:
        """The segmentor's turn: ``outputs`` and ``fake``, each (B, 1, H, W), carry its gradient."""
        discriminator = self.modules["discriminator"].requires_grad_(False)  # it only judges now
        with self.place.autocast():
            on_fake = discriminator(batch.images, fake)
        terms = weighted(outputs, batch, self.pixel)
        terms[self.gan_name] = self.gan_weight * self.gan.generator(on_fake.float())
        self._descend("network", sum(terms[name] for name in followed))
        discriminator.requires_grad_(True)
        return {f"loss_{name}": term.detach() for name, term in terms.items()}

    def _descend(self, name: str, loss: torch.Tensor) -> None:
        self.optimisers[name].zero_grad()
        loss.backward()
        self.optimisers[name].step()
