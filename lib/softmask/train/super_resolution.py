"""Training of SRGAN on patches: first with the content loss alone, then generator and discriminator alternately.

Ledig et al., CVPR 2017, section 2.2, with the losses and weights of CasGAN, section "Training details": 1 content (mean
squared error), 0.001 adversarial, 0.008 of VGG19's features, 2e-8 total variation.

Choices that the papers leave open: a pixel of low resolution is the mean of 4 x 4 pixels, as in a detector with larger
pixels. A step takes patches of 64 x 64 pixels from random places in the training images, in one of eight orientations;
an epoch has as many patches as would cover all training images once. Adam's betas are 0.9 and 0.999 for both; the
learning rate follows the settings' schedule over all epochs. The first ``warmup`` epochs use the content loss alone.
The weights of the last epoch are kept, because the validation PSNR does not measure what adversarial training improves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from softmask.errors import ConfigError
from softmask.nets.perceptual import LAYERS, Perceptual
from softmask.nets.srgan import SCALE, Generator
from softmask.nets.srgan import Discriminator as PatchDiscriminator
from softmask.train.device import autocast, compiled, generator, pick
from softmask.train.loop import NotFinite, Outcome, Progress, Settings, Start, Task, digest, fit
from softmask.train.losses import LOSSES, Weighted, check
from softmask.train.objectives import Discriminator, Values
from softmask.train.segmentation import evaluate

SR_LOSSES = ("content", "adversarial", "vgg22", "vgg54", "total_variation")
"""Names of the losses that a generator can be trained with."""

PATCH = 64
"""Height and width of a high-resolution patch; a smaller image is one patch."""
PERFECT = 1e-10
"""Minimum mean squared error in a PSNR (100 dB), because an empty image can be reproduced exactly."""


def degrade(high: torch.Tensor) -> torch.Tensor:
    """Return ``high`` (B, 1, 4H, 4W) at low resolution: the mean of every 4 x 4 pixels, (B, 1, H, W)."""
    return F.avg_pool2d(high, SCALE)


def total_variation(image: torch.Tensor) -> torch.Tensor:
    """Return the mean squared difference of neighbours in a column, plus that in a row, of images (B, 1, H, W)."""
    return image.diff(dim=-2).square().mean() + image.diff(dim=-1).square().mean()


def upscale(network: Generator, images: np.ndarray, batch_size: int = 16) -> np.ndarray:
    """Return ``images`` (N, 1, H, W) in [0, 1] super-resolved: (N, 1, 4H, 4W) float32 in [0, 1]."""
    return evaluate(network, lambda batch: network(batch).clamp(0, 1), images, batch_size)


def details(network: Generator, images: np.ndarray, batch_size: int = 16) -> np.ndarray:
    """Return the input of the last convolution for ``images`` (N, 1, H, W) in [0, 1]: (N, width, 4H, 4W) float32."""
    return evaluate(network, lambda batch: network.features(batch)[1], images, batch_size)


class SuperResolution:
    """Training of a generator on its losses, alternating with a patch discriminator of ``width`` channels if one of the
    losses is adversarial."""

    def __init__(
        self, network: Generator, losses: Weighted, device: torch.device, width: int, seed: int, steps: int
    ) -> None:
        self.losses, self.device = losses, device
        self.modules: dict[str, nn.Module] = {"network": network}
        self.optimisers = {"network": torch.optim.Adam(network.parameters(), fused=True)}
        self.upscaled = compiled(network, device, steps)
        self.perceptual = {name: Perceptual(name).to(device) for name, _ in losses if name in LAYERS}
        self.distances: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
            "content": F.mse_loss,
            "total_variation": lambda fake, _: total_variation(fake),
            **self.perceptual,
        }
        if "adversarial" in dict(losses):
            self.adversary = Discriminator(LOSSES["gan"], PatchDiscriminator, width, device, seed=seed, steps=steps)
            self.modules["discriminator"] = self.adversary.module
            self.optimisers["discriminator"] = self.adversary.optimiser
            self.distances["adversarial"] = lambda fake, _: self.adversary.generator_loss(fake)

    def step(self, high: torch.Tensor, active_losses: Collection[str]) -> Values:
        """Update the generator once on patches ``high`` (B, 1, P, P) with the losses ``active_losses``, after the
        discriminator if ``adversarial`` is among them.

        Returns:
            The weighted losses, and the values that the discriminator reports: scalars by name.
        """
        with autocast(self.device):
            fake = self.upscaled(degrade(high))  # (B, 1, P, P)
        fake = fake.float()
        adversary_values = self.adversary.update_on([high], [fake.detach()]) if "adversarial" in active_losses else {}
        with autocast(self.device):
            terms = {
                name: weight * self.distances[name](fake, high) for name, weight in self.losses if name in active_losses
            }
        self.optimisers["network"].zero_grad()
        sum(terms.values()).backward()
        self.optimisers["network"].step()
        return {f"loss_{name}": term.detach() for name, term in terms.items()} | adversary_values


def train_super_resolution(
    network: Generator,
    losses: Weighted,
    data: Any,
    settings: Settings,
    seed: int,
    folder: Path,
    *,
    name: str,
    progress: Progress | None = None,
) -> Outcome:
    """Train ``network`` as :func:`softmask.train.segmentation.train` does; it then holds the weights of the last epoch.

    Args:
        losses: names of :data:`SR_LOSSES` with weights.
        data: object whose parts ``train`` and ``validation`` have ``images`` (N, 1, S, S), S a multiple of 4.

    Returns:
        Outcome whose curves have ``validation_psnr`` instead of ``validation_dice``; ``loss_adversarial`` is the
        generator's side. Curves of the discriminator and of losses that the warm-up does not use begin after it.

    Raises:
        ConfigError: for losses that are unknown or cannot be combined, or images that do not fit.
        TrainingError: if images, a loss, or weights are no longer finite, or a checkpoint cannot be written.
    """
    check_losses(losses)
    for part_name, part in (("training", data.train), ("validation", data.validation)):
        n, channels, height, width = part.images.shape
        if not n:
            raise ConfigError(f"there are no {part_name} images")
        if channels != 1 or height != width or height % SCALE:
            raise ConfigError(
                f"the {part_name} images are {n} x {channels} x {height} x {width}; super-resolution needs grey square "
                f"images, N x 1 x S x S, with an S that {SCALE} divides"
            )
    device, validation_images = pick(), data.validation.images
    images = torch.as_tensor(data.train.images, dtype=torch.get_default_dtype(), device=device)
    size = images.shape[-1]
    n = len(images) * patches_in(size)
    network = network.to(device, memory_format=torch.channels_last)
    objective = SuperResolution(network, losses, device, settings.discriminator_width, seed, settings.steps(n))
    # with a baseline of 1, only its maximum length ends the warm-up
    start = Start(1.0, settings.warmup, settings.epochs, 1, ["content"], restarts=False)

    def examples(epoch: int) -> Callable[[torch.Tensor], torch.Tensor]:
        moves = draw(n, size, generator(seed, "moves", epoch)).tolist()

        def batch(chosen: torch.Tensor) -> torch.Tensor:
            patches = [patch(images[i % len(images)], *moves[i]) for i in chosen.tolist()]
            return torch.stack(patches).contiguous(memory_format=torch.channels_last)  # (B, 1, P, P)

        return batch

    def validate() -> dict[str, float]:
        return {"validation_psnr": validation_psnr(network, validation_images, settings.batch_size)}

    depends_on = {
        "data": digest(images, torch.as_tensor(validation_images)),
        "features": repr([perceptual.digest() for perceptual in objective.perceptual.values()]),
    }
    task = Task(objective, losses, settings, seed, start, images, n, examples, validate, depends_on, keeps_best=False)
    return fit(task, folder, name=name, progress=progress)


def validation_psnr(network: Generator, images: np.ndarray, batch_size: int) -> float:
    """Return the PSNR in dB, averaged over ``images`` (N, 1, S, S), of degraded and again super-resolved images. Raises
    NotFinite."""
    upscaled = upscale(network, degrade(torch.tensor(images)).numpy(), batch_size)
    if not np.isfinite(upscaled).all():
        raise NotFinite("validation: NaN or infinite numbers in the super-resolved images")
    errors = np.square(upscaled - images, dtype=np.float64).mean((1, 2, 3))
    return float(-10 * np.log10(np.maximum(errors, PERFECT)).mean())


def check_losses(losses: Weighted) -> None:
    """Raise ConfigError for a loss that is not in :data:`SR_LOSSES`, is named twice, or has no positive weight, or if
    the content loss, with which training begins, is missing."""
    check(losses, SR_LOSSES)
    names = [name for name, _ in losses]
    if "content" not in names:
        raise ConfigError(f"the losses {names} of super-resolution must name content, which training begins with")


def patches_in(size: int) -> int:
    """Return the number of patches that cover an image of ``size`` x ``size`` pixels, which an epoch takes from each
    image."""
    return max(size // PATCH, 1) ** 2


def draw(n: int, size: int, source: torch.Generator) -> torch.Tensor:
    """Return random orientations and places of ``n`` patches in images of ``size`` x ``size`` pixels, (n, 5) int64: the
    arguments of :func:`patch`."""
    flips = torch.randint(0, 2, (n, 3), generator=source)
    corners = torch.randint(0, max(size - PATCH, 0) + 1, (n, 2), generator=source)
    return torch.cat([flips, corners], dim=1)


def patch(image: torch.Tensor, transposed: int, upside: int, mirrored: int, top: int, left: int) -> torch.Tensor:
    """Return the patch (1, P, P) of ``image`` (1, S, S) that begins at ``top`` and ``left``, in one of eight
    orientations."""
    cut = image[:, top : top + PATCH, left : left + PATCH]
    if transposed:
        cut = cut.mT
    return cut.flip([dim for dim, flipped in ((1, upside), (2, mirrored)) if flipped])
