"""Training of SRGAN on patches: towards the content alone first, then generator and discriminator in turns.

Ledig et al., CVPR 2017, section 2.2, with the losses and weights of CasGAN, section "Training details": 1 content (mean
squared error), 0.001 adversarial, 0.008 of VGG19's features, 2e-8 total variation.

What the papers leave open, and what is done here: the low resolution is the area average of 4 x 4 pixels, which is what
a detector of larger pixels sees. A step takes patches of 64 x 64 pixels from anywhere in the training images, in one of
eight orientations; in an epoch there are as many of them as would cover all training images once. Adam's betas are 0.9
and 0.999 for both; the rate follows the settings' schedule over all epochs. Content and adversarial training are one
training: the first ``warmup`` epochs are the former. The last epoch's weights are kept, not the best ones: what an
adversarial training improves is not what the validation's PSNR measures.

As in :mod:`softmask.train.loop`, random numbers come from (seed, epoch), and a training that was interrupted goes on
to the same weights, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from softmask.errors import ConfigError
from softmask.nets.perceptual import LAYERS, Perceptual
from softmask.nets.srgan import SCALE, Discriminator, Generator
from softmask.train.device import autocast, compiled, derived, generator, pick, placed, seeded
from softmask.train.loop import Curves, NotFinite, Outcome, Progress, Settings, digest, fit
from softmask.train.losses import LOSSES, Weighted, check
from softmask.train.segmentation import Data, evaluate

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


class SuperResolution:
    """A generator under its losses, taking turns with a discriminator of patches where one of them is adversarial.

    Attributes:
        modules, optimisers: what is trained and its optimisers, by name; their states make a checkpoint.
        perceptual: the losses of VGG19's features, by name.
    """

    gan = LOSSES["gan"]

    def __init__(
        self, network: Generator, losses: Weighted, device: torch.device, width: int, seed: int, steps: int
    ) -> None:
        """Make the optimisers, and the discriminator, ``width`` channels wide, with weights from ``seed``."""
        self.losses, self.device = losses, device
        self.modules: dict[str, nn.Module] = {"network": network}
        self.upscaled = compiled(network, device, steps)
        if any(name == "adversarial" for name, _ in losses):
            with seeded(derived(seed, "discriminator")):
                self.modules["discriminator"] = compiled(placed(Discriminator(width), device), device, steps)
        self.optimisers = {
            name: torch.optim.Adam(module.parameters(), fused=True) for name, module in self.modules.items()
        }
        self.perceptual = {name: Perceptual(name).to(device) for name, _ in losses if name in LAYERS}
        self.distances: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
            "content": F.mse_loss,
            "adversarial": lambda fake, _: self.gan.generator(self.modules["discriminator"](fake).float()),
            "total_variation": lambda fake, _: total_variation(fake),
            **self.perceptual,
        }

    def step(self, high: torch.Tensor, followed: Collection[str]) -> dict[str, torch.Tensor]:
        """One update towards patches ``high`` (B, 1, P, P), the generator's down the losses ``followed``; one of the
        discriminator if ``adversarial`` is among them. Returns those losses with their weights, and the
        discriminator's loss and the shares of patches it judges correctly: scalars by name."""
        with autocast(self.device):
            fake = self.upscaled(degrade(high))  # (B, 1, P, P)
        fake = fake.float()
        judged = self.update_discriminator(high, fake.detach()) if "adversarial" in followed else {}
        with autocast(self.device):
            terms = {
                name: weight * self.distances[name](fake, high) for name, weight in self.losses if name in followed
            }
        self.optimisers["network"].zero_grad()
        sum(terms.values()).backward()
        self.optimisers["network"].step()
        return {**{f"loss_{name}": term.detach() for name, term in terms.items()}, **judged}

    def update_discriminator(self, high: torch.Tensor, fake: torch.Tensor) -> dict[str, torch.Tensor]:
        """The discriminator's turn, on true patches ``high`` and patches ``fake`` that carry no gradient."""
        discriminator = self.modules["discriminator"].requires_grad_(True)
        with autocast(self.device):
            on_real, on_fake = discriminator(high), discriminator(fake)  # logits, each (B, 1)
        loss = self.gan.discriminator(on_real.float(), on_fake.float())
        self.optimisers["discriminator"].zero_grad()
        loss.backward()
        self.optimisers["discriminator"].step()
        discriminator.requires_grad_(False)  # it only judges until its next turn
        return {
            "discriminator_loss": loss.detach(),
            "discriminator_accuracy_real": (on_real > self.gan.boundary).float().mean(),
            "discriminator_accuracy_fake": (on_fake <= self.gan.boundary).float().mean(),
        }


@dataclass(frozen=True)
class ContentFirst:
    """Start of a training (:class:`softmask.train.start.Start`): so many epochs of the content loss alone."""

    epochs: int
    losses: Sequence[str] = ("content",)
    ramps: ClassVar[bool] = False

    def first(self, curves: Curves) -> int | None:
        """The epoch that is the first to follow all losses; None where the next one does not yet."""
        return self.epochs if len(curves.get("train_loss", ())) >= self.epochs else None

    def failed(self, curves: Curves) -> bool:
        """No training of super-resolution fails to start."""
        return False


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
    was trained on. For the arguments and the curves see :func:`softmask.train.segmentation.train` and
    :class:`~softmask.train.loop.Outcome`, but for these:

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
    device = pick()
    images = torch.as_tensor(data.train.images, dtype=torch.get_default_dtype(), device=device)
    n = _patches(images)
    width, steps = settings.discriminator_width, settings.steps(n)
    objective = SuperResolution(placed(network, device), losses, device, width, seed, steps)

    def patches(epoch: int) -> Callable[[torch.Tensor], torch.Tensor]:
        moves = draw(n, images.shape[-1], generator(seed, "moves", epoch))

        def batch(chosen: torch.Tensor) -> torch.Tensor:
            cut = [patch(images[i % len(images)], *moves[i].tolist()) for i in chosen.tolist()]
            return torch.stack(cut).contiguous(memory_format=torch.channels_last)  # (B, 1, P, P)

        return batch

    state = fit(
        objective,
        losses,
        settings,
        seed,
        folder,
        name=name,
        depends_on={
            "data": digest(images, torch.as_tensor(data.validation.images)),
            "features": repr([perceptual.digest() for perceptual in objective.perceptual.values()]),
        },
        images=images,
        n=n,
        draw=patches,
        validate=lambda: {"validation_psnr": _validate(network, data.validation.images, settings.batch_size)},
        start=ContentFirst(settings.warmup),
        keep_best=False,
        progress=progress,
    )
    return Outcome(state.curves, settings.epochs, state.seconds, device.type)


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
