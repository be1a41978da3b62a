"""Training of SRGAN on patches: towards the content alone first, then generator and discriminator in turns.

Ledig et al., CVPR 2017, section 2.2, with the losses and weights of CasGAN, section "Training details": 1 content (mean
squared error), 0.001 adversarial, 0.008 of VGG19's features, 2e-8 total variation.

What the papers leave open, and what is done here: the low resolution is the area average of 4 x 4 pixels, which is what
a detector of larger pixels sees. A step takes patches of 64 x 64 pixels from anywhere in the training images, in one of
eight orientations; in an epoch there are as many of them as would cover all training images once. Adam's betas are 0.9
and 0.999 for both; the rate follows the settings' schedule over all epochs. Content and adversarial training are one
training: the first ``warmup`` epochs are the former. The last epoch's weights are kept, not the best ones: what an
adversarial training improves is not what the validation's PSNR measures.

As in :mod:`softmask.train.epochs`, random numbers come from (seed, epoch), and a training that was interrupted goes on
to the same weights, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from softmask.errors import ConfigError
from softmask.nets.perceptual import LAYERS, Perceptual
from softmask.nets.srgan import SCALE, Discriminator, Generator
from softmask.train.device import Place, derived, generator, pick, seeded
from softmask.train.engine import Data
from softmask.train.epochs import Curves, NotFinite, Outcome, Progress, Settings, digest, one_epoch, over_epochs
from softmask.train.evaluate import evaluate
from softmask.train.losses import LOSSES, Weighted, check

SR_LOSSES = ("content", "adversarial", "vgg22", "vgg54", "total_variation")
"""What a generator can be trained towards."""

PATCH = 64
"""Height and width of a patch of high resolution; of the whole image where that is smaller."""
PERFECT = 1e-10
"""Least mean squared error in a PSNR (100 dB): an empty image can be met exactly."""


def degrade(high: torch.Tensor) -> torch.Tensor:
    """``high`` (B, 1, 4H, 4W) at low resolution: the mean of every 4 x 4 pixels, (B, 1, H, W)."""
    return F.avg_pool2d(high, SCALE)


def total_variation(image: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of neighbours in a column, plus that in a row, of images (B, 1, H, W): a scalar."""
    return image.diff(dim=-2).square().mean() + image.diff(dim=-1).square().mean()


def upscale(network: Generator, images: np.ndarray, batch_size: int = 16) -> np.ndarray:
    """``images`` (N, 1, H, W) in [0, 1] super-resolved: (N, 1, 4H, 4W) float32 in [0, 1]."""
    return evaluate(network, lambda batch: network(batch).clamp(0, 1), images, batch_size)


def details(network: Generator, images: np.ndarray, batch_size: int = 16) -> np.ndarray:
    """What the last convolution reads for ``images`` (N, 1, H, W) in [0, 1]: (N, width, 4H, 4W) float32."""
    return evaluate(network, lambda batch: network.features(batch)[1], images, batch_size)


class Judgements(nn.Module):
    """A discriminator's logits of true and super-resolved patches, in one call (see train/adversarial.py)."""

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, real: torch.Tensor, fake: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.discriminator(real), self.discriminator(fake)


class SuperResolution:
    """Updates of the generator down its losses, and of the discriminator where one of them is adversarial.

    Attributes:
        modules, optimisers: what is trained and its optimisers, by name; their states make a checkpoint.
        perceptual: the losses of VGG19's features, by name.
    """

    gan = LOSSES["gan"]

    def __init__(
        self, network: Generator, discriminator: Discriminator | None, losses: Weighted, place: Place, steps: int
    ) -> None:
        self.losses, self.place = losses, place
        self.modules: dict[str, nn.Module] = {"network": network}
        self.upscaled = place.ready(network, steps)
        if discriminator is not None:
            self.modules["discriminator"] = discriminator
            self.judgements = place.ready(Judgements(discriminator), steps)
        self.optimisers = {
            name: torch.optim.Adam(module.parameters(), fused=True) for name, module in self.modules.items()
        }
        self.perceptual = {name: Perceptual(name).to(place.device) for name, _ in losses if name in LAYERS}
        self.distances: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
            "content": F.mse_loss,
            "adversarial": self.adversarial,
            "total_variation": lambda fake, _: total_variation(fake),
            **self.perceptual,
        }

    def step(self, high: torch.Tensor, followed: Collection[str]) -> dict[str, torch.Tensor]:
        """One update towards patches ``high`` (B, 1, P, P), the generator's down the losses ``followed``; one of the
        discriminator if ``adversarial`` is among them. Returns those losses with their weights, and the
        discriminator's loss and the shares of patches it judges rightly: scalars by name."""
        with self.place.autocast():
            fake = self.upscaled(degrade(high))  # (B, 1, P, P)
        fake = fake.float()
        judged = self.discriminator_step(high, fake.detach()) if "adversarial" in followed else {}
        with self.place.autocast():
            terms = {
                name: weight * self.distances[name](fake, high) for name, weight in self.losses if name in followed
            }
        self._descend("network", sum(terms.values()))
        return {**{f"loss_{name}": term.detach() for name, term in terms.items()}, **judged}

    def discriminator_step(self, high: torch.Tensor, fake: torch.Tensor) -> dict[str, torch.Tensor]:
        """The discriminator's turn, on true patches ``high`` and patches ``fake`` that carry no gradient."""
        discriminator = self.modules["discriminator"].requires_grad_(True)
        with self.place.autocast():
            on_real, on_fake = self.judgements(high, fake)  # logits, each (B, 1)
        loss = self.gan.discriminator(on_real.float(), on_fake.float())
        self._descend("discriminator", loss)
        discriminator.requires_grad_(False)  # it only judges until its next turn
        return {
            "discriminator_loss": loss.detach(),
            "discriminator_accuracy_real": (on_real > self.gan.boundary).float().mean(),
            "discriminator_accuracy_fake": (on_fake <= self.gan.boundary).float().mean(),
        }

    def adversarial(self, fake: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        """The generator's side of the GAN loss."""
        return self.gan.generator(self.modules["discriminator"](fake).float())

    def _descend(self, name: str, loss: torch.Tensor) -> None:
        self.optimisers[name].zero_grad()
        loss.backward()
        self.optimisers[name].step()


def train_super_resolution(
    network: Generator,
    losses: Weighted,
    data: Data,
    settings: Settings,
    seed: int,
    folder: Path,
    *,
    name: str,
    progress: Progress | None = None,
) -> Outcome:
    """Train ``network``, fresh from :func:`~softmask.train.device.seeded`, until it holds the last epoch's weights.

    Goes on from ``folder/checkpoint.pt`` where there is one of the same training. The network stays on the device it
    was trained on. For the arguments and the curves see :func:`softmask.train.engine.train` and
    :class:`~softmask.train.epochs.Outcome`, but for these:

    Args:
        losses: names of :data:`SR_LOSSES` with weights.
        data: ``images`` of its parts count, (N, 1, S, S), S a multiple of 4.

    Returns:
        Its curves have ``validation_psnr`` (dB, of the degraded validation images super-resolved, mean over images)
        instead of ``validation_dice``; ``loss_adversarial`` is the generator's side. The curves of the discriminator
        and of the losses that are not followed in the warm-up begin after it, and are shorter by its epochs.

    Raises:
        ConfigError: for losses that are unknown or do not go together, or images that do not fit.
        TrainingError: when images, a loss, or weights are no longer finite, or a checkpoint cannot be written.
    """
    check_losses(losses)
    _check_images(data)
    place = pick()
    images = torch.as_tensor(data.train.images, dtype=torch.float32, device=place.device)
    n = _patches(images)
    loop = _loop(network, losses, settings, seed, place, settings.steps(n))

    def epoch(number: int, _: Curves) -> dict[str, float]:
        moves = draw(n, images.shape[-1], generator(seed, "moves", number))

        def batch(chosen: torch.Tensor) -> torch.Tensor:
            cut = [patch(images[i % len(images)], *moves[i].tolist()) for i in chosen.tolist()]
            return torch.stack(cut).contiguous(memory_format=torch.channels_last)  # (B, 1, P, P)

        followed = ["content"] if number < settings.warmup else [loss for loss, _ in losses]
        values = one_epoch(loop, images, n, batch, settings, seed, number, followed, losses)
        return {**values, "validation_psnr": _validate(network, data.validation.images, settings.batch_size)}

    depends_on = {
        "data": digest(images, torch.as_tensor(data.validation.images)),
        "features": repr([perceptual.digest() for perceptual in loop.perceptual.values()]),
    }
    state = over_epochs(
        loop, losses, settings, seed, folder, name=name, depends_on=depends_on, epoch=epoch, progress=progress
    )
    return Outcome(state.curves, settings.epochs, state.seconds, place.device.type)


def check_losses(losses: Weighted) -> None:
    """Raises ConfigError for a loss that is not in :data:`SR_LOSSES`, is named twice, or has no positive weight, or
    where the content loss is missing, which training begins with."""
    check(losses, SR_LOSSES)
    names = [name for name, _ in losses]
    if "content" not in names:
        raise ConfigError(f"the losses {names} of super-resolution must name content, which training begins with")


def _check_images(data: Data) -> None:
    for name, part in (("training", data.train), ("validation", data.validation)):
        n, channels, height, width = part.images.shape
        if not n:
            raise ConfigError(f"there are no {name} images")
        if channels != 1 or height != width or height % SCALE:
            raise ConfigError(
                f"the {name} images are {channels} x {height} x {width}; super-resolution learns from grey square "
                f"images, 1 x S x S, with an S that {SCALE} divides"
            )


def _loop(
    network: Generator, losses: Weighted, settings: Settings, seed: int, place: Place, steps: int
) -> SuperResolution:
    network.to(place.device, memory_format=torch.channels_last)
    if all(name != "adversarial" for name, _ in losses):
        return SuperResolution(network, None, losses, place, steps)
    with seeded(derived(seed, "discriminator")):
        discriminator = Discriminator(settings.discriminator_width)
    discriminator.to(place.device, memory_format=torch.channels_last)
    return SuperResolution(network, discriminator, losses, place, steps)


def _patches(images: torch.Tensor) -> int:
    """How many patches cover ``images`` (N, 1, S, S): those of an epoch."""
    n, _, size, _ = images.shape
    return n * max(size // PATCH, 1) ** 2


def draw(n: int, size: int, source: torch.Generator) -> torch.Tensor:
    """Places of ``n`` patches in images of ``size`` x ``size`` pixels, (n, 5) int64: arguments of :func:`patch`."""
    flips = torch.randint(0, 2, (n, 3), generator=source)
    corners = torch.randint(0, max(size - PATCH, 0) + 1, (n, 2), generator=source)
    return torch.cat([flips, corners], dim=1)


def patch(image: torch.Tensor, transposed: int, upside: int, mirrored: int, top: int, left: int) -> torch.Tensor:
    """(1, P, P): the patch of ``image`` (1, S, S) that begins at ``top`` and ``left``, in one of eight orientations."""
    cut = image[:, top : top + PATCH, left : left + PATCH]
    if transposed:
        cut = cut.mT
    return cut.flip([dim for dim, flipped in ((1, upside), (2, mirrored)) if flipped])


def _validate(network: Generator, images: np.ndarray, batch_size: int) -> float:
    """PSNR in dB of ``images`` (N, 1, S, S), degraded and super-resolved again: the mean over images."""
    upscaled = upscale(network, degrade(torch.tensor(images)).numpy(), batch_size)
    if not np.isfinite(upscaled).all():
        raise NotFinite("validation: NaN or infinite numbers in the super-resolved images")
    errors = np.square(upscaled - images, dtype=np.float64).mean((1, 2, 3))
    return float(-10 * np.log10(np.maximum(errors, PERFECT)).mean())
