"""Training of segmentation networks: augmentation, validation, the warm-up and the choice of the weights.

What the papers leave open: augmentation (orientations and small shifts); which epoch's weights are tested: those with
the best mean Dice on the validation images, cut at 0.5, the earlier one of two equals, the warm-up's epochs aside. How
a training starts, and when it has failed, is in :mod:`softmask.train.start`.
What is common to all trainings is in :mod:`softmask.train.epochs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from softmask.errors import ConfigError
from softmask.measure.segmentation import dice
from softmask.nets.base import SegmentationNet
from softmask.nets.critics import CRITICS
from softmask.nets.softgan import PixelDiscriminator
from softmask.train.adversarial import Adversarial
from softmask.train.augment import augment, draw
from softmask.train.device import Place, derived, generator, pick, seeded
from softmask.train.epochs import Curves, Loop, NotFinite, Outcome, Progress, Settings, digest, one_epoch, over_epochs
from softmask.train.evaluate import evaluate
from softmask.train.losses import LOSSES, Batch, WassersteinLoss, Weighted, by_tanh, split
from softmask.train.start import Start, baseline
from softmask.train.supervised import Supervised
from softmask.train.wasserstein import Wasserstein

BINARY = "binary"
"""Label of a training without soft labels: the masks stand in for them."""


class Part(Protocol):
    """Images (N, C, S, S), masks and soft labels (N, 1, S, S), float32 (:class:`softmask.runs.prepared.Part`)."""

    images: np.ndarray
    masks: np.ndarray
    soft: Mapping[str, np.ndarray]


class Data(Protocol):
    """What training needs of :class:`softmask.runs.prepared.Prepared`."""

    train: Part
    validation: Part


def train(
    network: SegmentationNet,
    losses: Weighted,
    label: str,
    data: Data,
    settings: Settings,
    seed: int,
    folder: Path,
    *,
    name: str,
    upright: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Train ``network``, fresh from :func:`~softmask.train.device.seeded`, until it holds the best epoch's weights, or
    has failed to start.

    Goes on from ``folder/checkpoint.pt`` where there is one of the same training. A GAN loss brings in a
    :class:`~softmask.nets.softgan.PixelDiscriminator`, a Wasserstein loss its critic of
    :mod:`softmask.nets.critics`. The network stays on the device it was trained on.

    Args:
        losses: names of :data:`~softmask.train.losses.LOSSES` with weights.
        label: soft label to train on, a name in ``data.train.soft``, or ``binary``.
        name: of the run, for messages.
        upright: whether these are whole slices of a body, some of which hold nothing: augmentation leaves up where it
            is, and validation takes one Dice over the pixels of all images together.

    Raises:
        ConfigError: for unknown losses or label, no images, or batches that the processes cannot share alike.
        TrainingError: when images, a loss, or weights are no longer finite, or a checkpoint cannot be written.
    """
    place = pick()
    _check_data(data, label, settings, place)
    images = _tensors(data.train, label, place.device)
    network.to(place.device, memory_format=torch.channels_last)
    n = len(images.images)
    warm_losses, added = _warm_up(losses)
    truth = data.validation.masks[:, 0] >= 0.5  # (N, S, S)
    start = Start(
        baseline(truth, together=upright),
        settings.warmup if warm_losses else 0,
        settings.epochs,
        settings.steps(n) // settings.epochs,
    )
    loop = _loop(network, [*losses, *added], settings, seed, place, settings.steps(n))

    def epoch(number: int, curves: Curves) -> dict[str, float]:
        validation = curves.get("validation_dice", [])
        first = start.first(validation)
        warm = first is None
        if start.warmup and number == first:
            _start_afresh(loop)
        moves = draw(n, images.masks.shape[-1], generator(seed, "moves", number), upright).to(place.device)

        def batch(chosen: torch.Tensor) -> Batch:
            return augment(Batch(*(part[chosen] for part in images)), moves[chosen])

        followed = warm_losses if warm else [loss for loss, _ in losses]
        since = first if start.warmup else None
        values = one_epoch(loop, images.images, n, batch, settings, seed, number, followed, losses, since)
        warmed = {"warmup": float(warm)} if start.warmup else {}
        return {**values, **warmed, "validation_dice": _validate(network, data.validation, together=upright)}

    def counted(curves: Curves) -> float:
        """Validation Dice of the last epoch, below that of any other epoch where it followed the Dice loss alone."""
        return curves["validation_dice"][-1] - 2 * curves.get("warmup", [0])[-1]

    def failed(curves: Curves) -> bool:
        return start.failed(curves.get("validation_dice", []))

    depends_on = {
        "label": label,
        "data": digest(*images, *map(torch.as_tensor, (data.validation.images, data.validation.masks))),
    }
    state = over_epochs(
        loop,
        losses,
        settings,
        seed,
        folder,
        name=name,
        depends_on=depends_on,
        epoch=epoch,
        progress=progress,
        best=counted,
        over=failed,
    )
    network.load_state_dict(state.best)
    validation = state.curves["validation_dice"]
    first = start.first(validation)
    best = first + int(np.argmax(validation[first:])) + 1
    return Outcome(state.curves, best, state.seconds, place.device.type, failed(state.curves))


def predict(network: SegmentationNet, images: np.ndarray, batch_size: int = 16) -> np.ndarray:
    """Probabilities (N, 1, H, W) float32 in [0, 1] for ``images`` (N, C, H, W) in [0, 1], on the network's device."""
    return evaluate(network, lambda batch: torch.sigmoid(network(batch)), images, batch_size)


def _warm_up(losses: Weighted) -> tuple[list[str], Weighted]:
    """The losses followed in the warm-up, and the one that is added for it (none or one); none without a soft loss."""
    if not by_tanh(losses):
        return [], ()
    dice_losses = [name for name, _ in losses if name.startswith("dice")]
    return (dice_losses, ()) if dice_losses else (["dice"], (("dice", 1.0),))


def _start_afresh(loop: Loop) -> None:
    """Forget what the segmentor's optimiser knows of gradients. The soft losses' weights make them a hundred times as
    large when the warm-up ends: divided by the root of what their squares were until then, Adam's first steps would
    throw the network far away."""
    loop.optimisers["network"].state.clear()


def _validate(network: SegmentationNet, part: Part, together: bool) -> float:
    """Dice of the predictions for ``part``, cut at 0.5, in [0, 1]: the mean over images, or of all ``together``."""
    probabilities = predict(network, part.images)
    if not np.isfinite(probabilities).all():
        raise NotFinite("validation: NaN or infinite numbers in the predictions")
    found, masks = probabilities[:, 0] >= 0.5, part.masks[:, 0] >= 0.5  # (N, S, S)
    if together:
        found, masks = (np.concatenate(one)[None] for one in (found, masks))  # (1, N S, S)
    return float(dice(found, masks).mean())


def _check_data(data: Data, label: str, settings: Settings, place: Place) -> None:
    for name, part in (("training", data.train), ("validation", data.validation)):
        if not len(part.images):
            raise ConfigError(f"there are no {name} images")
    if label != BINARY and label not in data.train.soft:
        raise ConfigError(f"unknown label {label!r}; choose one of {', '.join([BINARY, *data.train.soft])}")
    size = min(settings.batch_size, len(data.train.images))
    if size % place.processes:
        raise ConfigError(f"{place.processes} processes cannot share batches of {size} images alike")


def _tensors(part: Part, label: str, device: torch.device) -> Batch:
    """All of a part's images, masks and labels, on the device; on the CPU they share the arrays' memory."""
    soft = part.masks if label == BINARY else part.soft[label]
    return Batch(*(torch.as_tensor(x, dtype=torch.float32, device=device) for x in (part.images, part.masks, soft)))


def _loop(network: SegmentationNet, losses: Weighted, settings: Settings, seed: int, place: Place, steps: int) -> Loop:
    pixel, adversarial = split(losses)
    if not adversarial:
        return Supervised(network, pixel, place, settings.learning_rate, steps)
    [(name, _)] = adversarial
    if isinstance(LOSSES[name], WassersteinLoss):
        with seeded(derived(seed, "critic")):
            critic = CRITICS[LOSSES[name].critic](settings.discriminator_width)
        critic.to(place.device, memory_format=torch.channels_last)
        return Wasserstein(network, critic, losses, place, settings.learning_rate, steps)
    with seeded(derived(seed, "discriminator")):
        discriminator = PixelDiscriminator(settings.discriminator_width)
    discriminator.to(place.device, memory_format=torch.channels_last)
    return Adversarial(network, discriminator, losses, place, settings.learning_rate, steps)
