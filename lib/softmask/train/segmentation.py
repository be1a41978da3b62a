"""Training of segmentation networks: what they see, validation, the start, and which weights are kept.

What the papers leave open: augmentation (orientations and small shifts); which epoch's weights are tested: those with
the best mean Dice on the validation images, cut at 0.5, the earlier one of two equals, the warm-up's epochs aside. How
a training starts, and when it has failed, is in :mod:`softmask.train.start`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn

from softmask.errors import ConfigError
from softmask.measure.segmentation import dice
from softmask.nets.base import SegmentationNet
from softmask.train.augment import augment, draw
from softmask.train.device import generator, pick, placed
from softmask.train.loop import NotFinite, Outcome, Progress, Settings, digest, fit
from softmask.train.losses import Batch, Weighted, by_tanh
from softmask.train.objectives import Segmentation
from softmask.train.start import Start, baseline

BINARY = "binary"
"""Label of a training without soft labels: the masks stand in for them."""


class Part(Protocol):
    """Images (N, C, S, S), masks and soft labels (N, 1, S, S), float32, as in
    :class:`softmask.experiments.prepared.Part`."""

    images: np.ndarray
    masks: np.ndarray
    soft: Mapping[str, np.ndarray]


class Data(Protocol):
    """What training needs of :class:`softmask.experiments.prepared.Prepared`."""

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

    Goes on from ``folder/checkpoint.pt`` where there is one of the same training. A GAN or Wasserstein loss brings in
    its adversary (:mod:`softmask.train.objectives`). The network stays on the device it was trained on.

    Args:
        losses: names of :data:`~softmask.train.losses.LOSSES` with weights.
        label: soft label to train on, a name in ``data.train.soft``, or ``binary``.
        name: of the run, for messages.
        upright: whether these are whole slices of a body, some of which hold nothing: augmentation leaves up where it
            is, and validation takes one Dice over the pixels of all images together.

    Raises:
        ConfigError: for unknown losses or label, or no images.
        TrainingError: when images, a loss, or weights are no longer finite, or a checkpoint cannot be written.
    """
    _check(data, label)
    device = pick()
    soft = data.train.masks if label == BINARY else data.train.soft[label]
    arrays = (data.train.images, data.train.masks, soft)  # on the CPU the tensors share their memory
    images = Batch(*(torch.as_tensor(array, dtype=torch.get_default_dtype(), device=device) for array in arrays))
    n = len(images.images)
    warm, added = _warm_up(losses)
    truth = data.validation.masks[:, 0] >= 0.5  # (N, S, S)
    steps = settings.steps(n)
    start = Start(
        baseline(truth, together=upright),
        settings.warmup if warm else 0,
        settings.epochs,
        steps // settings.epochs,
        warm,
    )
    objective = Segmentation(
        placed(network, device),
        [*losses, *added],
        device,
        settings.learning_rate,
        width=settings.discriminator_width,
        seed=seed,
        steps=steps,
    )

    def examples(epoch: int) -> Callable[[torch.Tensor], Batch]:
        moves = draw(n, images.masks.shape[-1], generator(seed, "moves", epoch), upright).to(device)
        return lambda chosen: augment(Batch(*(part[chosen] for part in images)), moves[chosen])

    state = fit(
        objective,
        losses,
        settings,
        seed,
        folder,
        name=name,
        depends_on={
            "label": label,
            "data": digest(*images, *map(torch.as_tensor, (data.validation.images, data.validation.masks))),
        },
        images=images.images,
        n=n,
        draw=examples,
        validate=lambda: {"validation_dice": _validate(network, data.validation, together=upright)},
        start=start,
        progress=progress,
    )
    network.load_state_dict(state.best)
    first = start.first(state.curves)
    best = first + int(np.argmax(state.curves["validation_dice"][first:])) + 1
    return Outcome(state.curves, best, state.seconds, device.type, start.failed(state.curves))


@torch.inference_mode()
def evaluate(
    network: nn.Module, call: Callable[[torch.Tensor], torch.Tensor], images: np.ndarray, batch_size: int
) -> np.ndarray:
    """What ``call`` gives for ``images`` (N, C, H, W), ``batch_size`` at a time on the network's device, with the
    ``network`` in evaluation mode meanwhile: (N, ...) float32."""
    device = next(network.parameters()).device
    training = network.training
    network.eval()
    try:
        batches = torch.as_tensor(images, dtype=torch.get_default_dtype()).split(batch_size)
        return torch.cat([call(batch.to(device)).cpu() for batch in batches]).numpy()
    finally:
        network.train(training)


def predict(network: SegmentationNet, images: np.ndarray, batch_size: int = 16) -> np.ndarray:
    """Probabilities (N, 1, H, W) float32 in [0, 1] for ``images`` (N, C, H, W) in [0, 1], on the network's device."""
    return evaluate(network, lambda batch: torch.sigmoid(network(batch)), images, batch_size)


def _warm_up(losses: Weighted) -> tuple[list[str], Weighted]:
    """The losses followed in the warm-up, and the one that is added for it (none or one); none without a soft loss."""
    if not by_tanh(losses):
        return [], ()
    dice_losses = [name for name, _ in losses if name.startswith("dice")]
    return (dice_losses, ()) if dice_losses else (["dice"], (("dice", 1.0),))


def _validate(network: SegmentationNet, part: Part, together: bool) -> float:
    """Dice of the predictions for ``part``, cut at 0.5, in [0, 1]: the mean over images, or of all ``together``."""
    probabilities = predict(network, part.images)
    if not np.isfinite(probabilities).all():
        raise NotFinite("validation: NaN or infinite numbers in the predictions")
    predicted, masks = probabilities[:, 0] >= 0.5, part.masks[:, 0] >= 0.5  # (N, S, S)
    if together:
        predicted, masks = (np.concatenate(array)[None] for array in (predicted, masks))  # (1, N S, S)
    return float(dice(predicted, masks).mean())


def _check(data: Data, label: str) -> None:
    for name, part in (("training", data.train), ("validation", data.validation)):
        if not len(part.images):
            raise ConfigError(f"there are no {name} images")
    if label != BINARY and label not in data.train.soft:
        raise ConfigError(f"unknown label {label!r}; choose one of {', '.join([BINARY, *data.train.soft])}")
