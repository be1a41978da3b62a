"""Wasserstein training of LGAN: a critic and the generator take turns on every batch.

"LGAN: Lung Segmentation in CT Scans Using Generative Adversarial Network", CMIG 2021, equations 6 to 11; the critics
are in :mod:`softmask.nets.critics`. Arjovsky, Chintala and Bottou, "Wasserstein GAN", ICML 2017, algorithm 1: a critic
has to be Lipschitz, so that all of its parameters, those of batch normalisation too, are cut to [-c, c] after its step.

One loop for all five. The critic lowers the distance of fake from real masks, E[D(fake)] - E[D(real)]; the generator
lowers BCE - E[D(fake)]. Of the regression critic, which is given both masks, the one number that comes out is that
distance and is E[D(fake)], too: the critic lowers it (equation 11), the generator raises it
(:class:`softmask.nets.critics.Regression` says how the paper is read; the reversed loss is the other reading).

With the printed weight of 1 the clipped critic's gradient is about a hundredth of the pixels', or less: such a row is
nearly its control. An amplified loss has its weight set at the first step such that the critic has the share
:attr:`softmask.train.losses.WassersteinLoss.share` of the gradient at the generator's output; it stays so.

What the paper leaves open: c is 0.01, as in the first WGAN; one critic step for each of the generator's, the critic's
first; both move at the same learning rate, but the critic at :data:`FASTEST` at most; the critic sees the generator's
probabilities, not cut. Adam's beta1 is 0.9 for both ("momentum 0.9"); the weight decay is the generator's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch

from softmask.nets.base import SegmentationNet
from softmask.nets.critics import CLIP, Critic
from softmask.train.adversarial import beside
from softmask.train.device import Place
from softmask.train.losses import LOSSES, Batch, Weighted, split, weighted
from softmask.train.supervised import Outputs, adam

FASTEST = 1e-4
"""The highest learning rate of a critic, ten times the paper's: a step of Adam then moves a parameter by about a
hundredth of :data:`~softmask.nets.critics.CLIP`. At the small profiles' 1e-3 parameters jump from bound to bound, and
real and fake masks are told apart by chance (the gap had either sign)."""


class Wasserstein:
    """Losses of pixels on all outputs, the critic's on the main one.

    Attributes:
        modules, optimisers: what is trained and its optimisers, by name; their states make a checkpoint.
    """

    def __init__(
        self,
        network: SegmentationNet,
        critic: Critic,
        losses: Weighted,
        place: Place,
        learning_rate: float,
        steps: int,
    ) -> None:
        self.pixel, [(self.name, self.weight)] = split(losses)
        self.loss = LOSSES[self.name]
        self.place = place
        self.modules = {"network": network, "critic": critic}
        self.optimisers = {
            "network": adam(network, learning_rate),
            "critic": torch.optim.Adam(critic.parameters(), learning_rate, fused=True),
        }
        clip(critic)
        factor = torch.full((), 1.0 if self.loss.share is None else 0.0, device=place.device)
        critic.register_buffer("factor", factor)  # of the weight; 0: not found yet. A checkpoint keeps it
        self.outputs = place.ready(Outputs(network), steps)
        self.distance = place.ready(critic, steps)

    def step(self, batch: Batch, followed: Collection[str]) -> dict[str, torch.Tensor]:
        """One update of each, the generator's down the losses ``followed``. Returns scalars by name: the generator's
        losses with their weights, ``critic_gap``, and ``adversarial_share``."""
        with self.place.autocast():
            outputs = self.outputs(batch.images)  # each (B, 1, H, W)
        outputs = [logits.float() for logits in outputs]
        batch = batch._replace(images=beside(outputs[0], batch.images))
        judged = self.critic_step(batch, torch.sigmoid(outputs[0]).detach())
        return {**self.generator_step(batch, outputs, followed), **judged}

    def critic_step(self, batch: Batch, fake: torch.Tensor) -> dict[str, torch.Tensor]:
        """The critic's turn, on masks ``fake`` (B, 1, H, W) in [0, 1] that carry no gradient. ``critic_gap`` is
        E[D(real)] - E[D(fake)] before it."""
        with self.place.autocast():
            distance = self.distance(batch.images, batch.masks, fake)  # (B,)
        loss = self.loss.discriminator(distance.float())
        optimiser = self.optimisers["critic"]
        for group in optimiser.param_groups:
            group["lr"] = min(group["lr"], FASTEST)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        clip(self.modules["critic"])
        return {"critic_gap": -distance.detach().float().mean()}

    def generator_step(
        self, batch: Batch, outputs: list[torch.Tensor], followed: Collection[str]
    ) -> dict[str, torch.Tensor]:
        """The generator's turn: ``outputs``, each (B, 1, H, W), carry its gradient.

        The losses' gradients are taken at the outputs and only their sum is carried on, so that the length of the
        critic's beside that of the pixels' costs nothing to know: ``adversarial_share``, in [0, 1], of the two lengths.
        """
        critic = self.modules["critic"].requires_grad_(False)  # it only judges now
        heads = [logits.detach().requires_grad_() for logits in outputs]
        with self.place.autocast():
            score = critic.score(batch.images, torch.sigmoid(heads[0]), batch.masks)  # (B,)
        terms = weighted(heads, batch, self.pixel)
        printed = {self.name: self.weight * self.loss.generator(score.float())}
        pixels = _pull(terms, [name for name in followed if name != self.name], heads)
        adversary = _pull(printed, [name for name in followed if name == self.name], heads)
        lengths = torch.stack([torch.linalg.vector_norm(pull[0]) for pull in (pixels, adversary)])
        factor = self._factor(lengths)
        terms[self.name] = factor * printed[self.name]
        adversary = [factor * pull for pull in adversary]
        self.optimisers["network"].zero_grad()
        torch.autograd.backward(outputs, [sum(pair) for pair in zip(pixels, adversary, strict=True)])
        self.optimisers["network"].step()
        critic.requires_grad_(True)
        pixel, adversarial = lengths[0], factor * lengths[1]
        share = adversarial / (pixel + adversarial).clamp_min(torch.finfo(lengths.dtype).tiny)
        return {f"loss_{name}": term.detach() for name, term in terms.items()} | {"adversarial_share": share}

    def _factor(self, lengths: torch.Tensor) -> torch.Tensor:
        """What the critic's loss is multiplied by besides its weight: 1, or what gives it its share, found at the first
        step from the ``lengths`` (2,) of the gradients of the pixels' losses and of its own."""
        factor = self.modules["critic"].factor
        if self.loss.share is not None and factor == 0:
            pixels, adversary = self.place.mean(lengths.clone())
            if pixels > 0 and adversary > 0:  # both are followed
                factor.copy_(self.loss.share / (1 - self.loss.share) * pixels / adversary)
        return factor


def clip(critic: Critic) -> None:
    """Cut all parameters of the critic to [-c, c]."""
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.clamp_(-CLIP, CLIP)


def _pull(terms: Mapping[str, torch.Tensor], names: Collection[str], heads: list[torch.Tensor]) -> list[torch.Tensor]:
    """The gradient at each of ``heads`` of the sum of the ``terms`` of these ``names``; 0 where it has none."""
    if not names:
        return [torch.zeros_like(head) for head in heads]
    total = sum(terms[name] for name in names)
    return list(torch.autograd.grad(total, heads, retain_graph=True, materialize_grads=True))
