"""Training step of a segmentor, and of its adversary if there is one.

Supervised training: Adam (betas 0.9 and 0.999, the network's weight decay) on the weighted sum of the losses on masks
and soft labels, each averaged over the network's outputs: the main output and those of deep supervision.

With a discriminator: SoftGAN (ICME 2022), section 3.2, equations 4 to 6, with the pixel discriminator of figure 4. It
classifies pairs (x, y) of an image and a mask y in [-1, 1]: 2 alpha - 1 for the soft label alpha, or tanh of the
logits. Choices that the paper leaves open: the discriminator is updated first, on masks from before the segmentor's
update; both have the same learning rate. The discriminator's Adam has betas 0.5 and 0.999, as is customary.

With a critic: LGAN (CMIG 2021), equations 6 to 11; Arjovsky, Chintala and Bottou, "Wasserstein GAN", ICML 2017,
algorithm 1: a critic has to be Lipschitz, so all of its parameters, including those of batch normalisation, are clipped
to [-c, c] after its step. The critic minimises E[D(fake)] - E[D(real)], the negative of its estimate of the distance;
the generator minimises BCE - E[D(fake)]. With the printed weight of 1, the gradient of the clipped critic is about a
hundredth of that of the pixel loss, or less. The weight of an amplified loss is set at the first step so that the
critic has the share :attr:`softmask.train.losses.WassersteinLoss.share` of the gradient at the generator's output.
Choices that the paper leaves open: c is 0.01, as in the first WGAN; one critic step per generator step, before it; both
have the same learning rate, but the critic at most :data:`FASTEST`; the critic sees the generator's probabilities, not
a binary mask. Adam's beta1 is 0.9 for both ("momentum 0.9").
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from softmask.nets.base import SegmentationNet
from softmask.nets.critics import CLIP, CRITICS
from softmask.nets.softgan import PixelDiscriminator
from softmask.train.device import autocast, compiled, derived, seeded
from softmask.train.losses import LOSSES, Batch, GanLoss, WassersteinLoss, Weighted, split, weighted

FASTEST = 1e-4
"""Maximum learning rate of a critic, ten times the paper's. At 1e-3, as in the small profiles, its parameters jump
between the bounds, and it separates real and fake masks only by chance (the gap had either sign)."""

Values = dict[str, torch.Tensor]
"""Scalars by name, for the curves."""


class Adversary:
    """Discriminator or critic: a network of ``width`` channels, initialised from ``seed``, and its optimiser.

    Attributes:
        name, weight: name and weight of the adversarial loss among the segmentor's losses.
        module, optimiser: the network and its Adam optimiser.
        mask: function from the segmentor's logits to the mask that the adversary sees, both (B, 1, H, W).
    """

    NAME = ""

    def __init__(
        self,
        loss: GanLoss | WassersteinLoss,
        network: type[nn.Module],
        width: int,
        device: torch.device,
        *,
        name: str = "",
        weight: float = 1.0,
        learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        seed: int,
        steps: int,
    ) -> None:
        self.name, self.weight, self.loss, self.device = name, weight, loss, device
        with seeded(derived(seed, self.NAME)):
            module = network(width).to(device, memory_format=torch.channels_last)
        self.module = compiled(module, device, steps)
        self.optimiser = torch.optim.Adam(self.module.parameters(), learning_rate, betas=betas, fused=True)


class Discriminator(Adversary):
    """Adversary that learns to distinguish real from generated images or masks."""

    NAME = "discriminator"
    mask = staticmethod(torch.tanh)

    def update_on(self, real: Sequence[torch.Tensor], fake: Sequence[torch.Tensor]) -> Values:
        """Update the discriminator once on the inputs ``real`` and ``fake``, which have no gradient. Returns its loss,
        and its accuracy on real and on fake inputs."""
        with autocast(self.device):
            real_logits, fake_logits = self.module(*real), self.module(*fake)
        loss = self.loss.discriminator(real_logits.float(), fake_logits.float())
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return {
            "discriminator_loss": loss.detach(),
            "discriminator_accuracy_real": (real_logits > self.loss.boundary).float().mean(),
            "discriminator_accuracy_fake": (fake_logits <= self.loss.boundary).float().mean(),
        }

    def generator_loss(self, *fake: torch.Tensor) -> torch.Tensor:
        """Return the generator's side of the loss for ``fake``, a scalar without gradient for the discriminator."""
        self.module.requires_grad_(False)
        with autocast(self.device):
            fake_logits = self.module(*fake)
        self.module.requires_grad_(True)
        return self.loss.generator(fake_logits.float())

    def update(self, batch: Batch, mask: torch.Tensor) -> Values:
        """Update the discriminator on soft labels and the segmentor's ``mask`` (B, 1, H, W), which has no gradient."""
        return self.update_on((batch.images, 2 * batch.soft - 1), (batch.images, mask))

    def backward(
        self,
        batch: Batch,
        mask: torch.Tensor,
        outputs: Sequence[torch.Tensor],
        terms: Values,
        active_losses: Collection[str],
    ) -> Values:
        """Add the segmentor's side of the GAN loss to ``terms``, and backpropagate the ``active_losses`` terms."""
        terms[self.name] = self.weight * self.generator_loss(batch.images, mask)
        sum(terms[name] for name in active_losses).backward()
        return {}


class Critic(Adversary):
    """Adversary that learns the distance between predicted and true lung masks."""

    NAME = "critic"
    mask = staticmethod(torch.sigmoid)

    def __init__(self, *arguments, **more) -> None:
        super().__init__(*arguments, **more)
        clip(self.module)
        factor = torch.full((), 1.0 if self.loss.share is None else 0.0, device=self.device)
        self.module.register_buffer("factor", factor)  # on the weight, in the checkpoint; 0: not known yet

    def update(self, batch: Batch, mask: torch.Tensor) -> Values:
        """Update the critic once on the generator's ``mask`` (B, 1, H, W), which has no gradient. Returns
        ``critic_gap``, E[D(real)] - E[D(fake)] before the update."""
        with autocast(self.device):
            distance = self.module(batch.images, batch.masks, mask)  # (B,)
        loss = self.loss.discriminator(distance.float())
        for group in self.optimiser.param_groups:
            group["lr"] = min(group["lr"], FASTEST)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        clip(self.module)
        return {"critic_gap": -distance.detach().float().mean()}

    def backward(
        self,
        batch: Batch,
        mask: torch.Tensor,
        outputs: Sequence[torch.Tensor],
        terms: Values,
        active_losses: Collection[str],
    ) -> Values:
        """Add the generator's side of the loss to ``terms``, and backpropagate the ``active_losses`` terms. Returns
        ``adversarial_share``, in [0, 1]: the norm of the critic's gradient at the main output, divided by the sum of
        this norm and that of the pixel losses' gradient."""
        self.module.requires_grad_(False)  # the critic is not trained here
        with autocast(self.device):
            score = self.module.score(batch.images, mask, batch.masks)  # (B,)
        printed_terms = {self.name: self.weight * self.loss.generator(score.float())}
        pixel_grads = _pull(terms, [name for name in active_losses if name != self.name], outputs)
        critic_grads = _pull(printed_terms, [name for name in active_losses if name == self.name], outputs)
        norms = torch.stack([torch.linalg.vector_norm(grads[0]) for grads in (pixel_grads, critic_grads)])
        factor = self.module.factor
        if self.loss.share is not None and factor == 0 and (norms > 0).all():  # the first step with both
            factor.copy_(self.loss.share / (1 - self.loss.share) * norms[0] / norms[1])
        terms[self.name] = factor * printed_terms[self.name]
        torch.autograd.backward(outputs, [p + factor * c for p, c in zip(pixel_grads, critic_grads, strict=True)])
        self.module.requires_grad_(True)
        pixel_norm, critic_norm = norms[0], factor * norms[1]
        share = critic_norm / (pixel_norm + critic_norm).clamp_min(torch.finfo(norms.dtype).tiny)
        return {"adversarial_share": share}


class Segmentation:
    """Training of a segmentor on its losses, alternating with an adversary if one of the losses is adversarial.

    Attributes:
        adversary: discriminator or critic; None without an adversarial loss.
    """

    def __init__(
        self,
        network: SegmentationNet,
        losses: Weighted,
        device: torch.device,
        learning_rate: float,
        *,
        width: int = 0,
        seed: int = 0,
        steps: int = 1,
    ) -> None:
        """Create the optimisers of ``network``, which is on ``device``, and the adversary that the losses name, with
        ``width`` channels and initialised from ``seed``. The loop sets the learning rate; the number of ``steps``
        decides whether networks are compiled."""
        self.device = device
        self.pixel, adversarial_losses = split(losses)
        self.modules: dict[str, nn.Module] = {"network": network}
        adam = torch.optim.Adam(network.parameters(), learning_rate, weight_decay=network.WEIGHT_DECAY, fused=True)
        self.optimisers = {"network": adam}
        self.outputs = compiled(_Outputs(network), device, steps)
        self.adversary: Discriminator | Critic | None = None
        for name, weight in adversarial_losses:
            loss = LOSSES[name]
            options = {"name": name, "weight": weight, "learning_rate": learning_rate, "seed": seed, "steps": steps}
            if isinstance(loss, WassersteinLoss):
                self.adversary = Critic(loss, CRITICS[loss.critic], width, device, **options)
            else:
                self.adversary = Discriminator(loss, PixelDiscriminator, width, device, betas=(0.5, 0.999), **options)
            self.modules[self.adversary.NAME] = self.adversary.module
            self.optimisers[self.adversary.NAME] = self.adversary.optimiser

    def step(self, batch: Batch, active_losses: Collection[str]) -> Values:
        """Update each module once, the segmentor on the losses ``active_losses``.

        Returns:
            The weighted losses, ``loss_<name>``, and the values that the adversary reports.
        """
        with autocast(self.device):
            outputs = self.outputs(batch.images)  # each (B, 1, H, W)
        outputs = [logits.float() for logits in outputs]
        adversary_values = {}
        if self.adversary:
            batch = batch._replace(images=beside(outputs[0], batch.images))
            # before the losses, because the order decides the last bits of the summed gradients at the output
            mask = self.adversary.mask(outputs[0])
            adversary_values = self.adversary.update(batch, mask.detach())
        terms = weighted(outputs, batch, self.pixel)
        self.optimisers["network"].zero_grad()
        if self.adversary:
            adversary_values = self.adversary.backward(batch, mask, outputs, terms, active_losses) | adversary_values
        else:
            sum(terms[name] for name in active_losses).backward()
        self.optimisers["network"].step()
        return {f"loss_{name}": term.detach() for name, term in terms.items()} | adversary_values


class _Outputs(nn.Module):
    """Wrapper whose call returns all training outputs of a network, so that it can be compiled."""

    def __init__(self, network: SegmentationNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.network.training_outputs(images)


def beside(masks: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Return the images that an adversary sees beside ``masks``: the first channel of ``images`` (B, C, S, S), averaged
    to the size s of the masks, (B, 1, s, s). This is the original image (SoftGAN, section 3.2; CasGAN, section 3.2.2),
    interpolated if the network's input is enlarged, and never the output of another network."""
    factor = images.shape[-1] // masks.shape[-1]
    return F.avg_pool2d(images[:, :1], factor) if factor > 1 else images[:, :1]


def clip(critic: nn.Module) -> None:
    """Clip all parameters of the critic to [-c, c]."""
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.clamp_(-CLIP, CLIP)


def _pull(terms: Values, names: Collection[str], outputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return the gradient of the sum of the ``terms`` of these ``names`` at each of ``outputs``, 0 where there is none.
    The graph is kept."""
    if not names:
        return [torch.zeros_like(output) for output in outputs]
    total = sum(terms[name] for name in names)
    return list(torch.autograd.grad(total, outputs, retain_graph=True, materialize_grads=True))
