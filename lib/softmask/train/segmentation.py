"""Training of segmentation networks: augmentation, validation, warm-up, and selection of the weights.

Choices that the papers leave open: augmentation (one of the eight orientations of a square, and a shift of a few
pixels), and the epoch whose weights are tested: after the warm-up, the one with the highest mean validation Dice.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from softmask.errors import ConfigError, unknown
from softmask.measure.segmentation import dice
from softmask.nets.base import SegmentationNet
from softmask.train.device import generator, pick
from softmask.train.loop import NotFinite, Outcome, Progress, Settings, Start, Task, digest, fit
from softmask.train.losses import Batch, Weighted, uses_tanh
from softmask.train.objectives import Segmentation

BINARY = "binary"
"""Label of a training without soft labels: the binary masks are used in their place."""

SHIFT = 1 / 16
"""Maximum shift up, down, left and right, as a share of the image's side."""
PERCENT, UPRIGHT_SHIFT = (70, 110), 1 / 8
"""Minimum and maximum zoom of upright images in percent, and their maximum shift: the height of the body on the
scanner's table varies more than the position of a lesion in its crop."""


def train(
    network: SegmentationNet,
    losses: Weighted,
    label: str,
    data: Any,
    settings: Settings,
    seed: int,
    folder: Path,
    *,
    name: str,
    upright: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Train ``network``, built within :func:`~softmask.train.device.seeded`, for all epochs or until it has failed. It
    then holds the weights of the best epoch.

    Continues from ``folder/checkpoint.pt`` if it belongs to the same training. A GAN or Wasserstein loss adds its
    adversary (:mod:`softmask.train.objectives`). The network stays on the training device.

    Args:
        losses: names of :data:`~softmask.train.losses.LOSSES` with weights.
        label: soft label to train on, a name in ``data.train.soft``, or ``binary``.
        data: object whose parts ``train`` and ``validation`` have images (N, C, S, S), and masks and soft labels
            (N, 1, S, S), float32, as :class:`softmask.experiments.prepare.Part` has.
        name: name of the run, for messages.
        upright: whether the images are whole slices of a body, some of them without foreground: augmentation keeps
            them upright, and validation computes one Dice over the pixels of all images.

    Raises:
        ConfigError: for unknown losses or label, or no images.
        TrainingError: if images, a loss, or weights are no longer finite, or a checkpoint cannot be written.
    """
    for part_name, part in (("training", data.train), ("validation", data.validation)):
        if not len(part.images):
            raise ConfigError(f"there are no {part_name} images")
    if label != BINARY and label not in data.train.soft:
        raise unknown("label", label, [BINARY, *data.train.soft])
    device, n = pick(), len(data.train.images)
    soft = data.train.masks if label == BINARY else data.train.soft[label]
    arrays = (data.train.images, data.train.masks, soft)  # on the CPU the tensors share their memory
    batch = Batch(*(torch.as_tensor(array, dtype=torch.get_default_dtype(), device=device) for array in arrays))

    warmup_losses = []  # losses of the warm-up, which only networks with a soft loss have
    if uses_tanh(losses):
        warmup_losses = [loss for loss, _ in losses if loss.startswith("dice")] or ["dice"]
    added_losses = [(loss, 1.0) for loss in warmup_losses if loss not in dict(losses)]
    objective = Segmentation(
        network.to(device, memory_format=torch.channels_last),
        [*losses, *added_losses],
        device,
        settings.learning_rate,
        width=settings.discriminator_width,
        seed=seed,
        steps=settings.steps(n),
    )
    start = Start(
        baseline(data.validation.masks[:, 0] >= 0.5, upright),
        settings.warmup if warmup_losses else 0,
        settings.epochs,
        settings.steps(n) // settings.epochs,
        warmup_losses,
    )

    def examples(epoch: int) -> Callable[[torch.Tensor], Batch]:
        moves = draw(n, batch.masks.shape[-1], generator(seed, "moves", epoch), upright).to(device)
        return lambda chosen: augment(Batch(*(part[chosen] for part in batch)), moves[chosen])

    def validate() -> dict[str, float]:
        return {"validation_dice": validation_dice(network, data.validation, upright)}

    validation_tensors = map(torch.as_tensor, (data.validation.images, data.validation.masks))
    depends_on = {"label": label, "data": digest(*batch, *validation_tensors)}
    task = Task(objective, losses, settings, seed, start, batch.images, n, examples, validate, depends_on)
    return fit(task, folder, name=name, progress=progress)


def validation_dice(network: SegmentationNet, part: Any, together: bool) -> float:
    """Return the Dice, in [0, 1], of the predictions for the images of ``part``, binarised at 0.5: the mean over
    images, or one Dice of all images ``together``. Raises NotFinite."""
    probabilities = predict(network, part.images)
    if not np.isfinite(probabilities).all():
        raise NotFinite("validation: NaN or infinite numbers in the predictions")
    predicted, masks = probabilities[:, 0] >= 0.5, part.masks[:, 0] >= 0.5  # (N, S, S)
    if together:
        predicted, masks = (np.concatenate(array)[None] for array in (predicted, masks))  # (1, N S, S)
    return float(dice(predicted, masks).mean())


def baseline(masks: np.ndarray, together: bool = False) -> float:
    """Return the Dice of ``masks`` (N, S, S) bool with an empty mask or with foreground everywhere, whichever is
    larger: the mean over images, or one Dice of all images ``together``."""
    if together:
        masks = masks.reshape(1, -1, masks.shape[-1])
    return max(float(dice(np.full_like(masks, value), masks).mean()) for value in (False, True))


@torch.inference_mode()
def evaluate(
    network: nn.Module, call: Callable[[torch.Tensor], torch.Tensor], images: np.ndarray, batch_size: int
) -> np.ndarray:
    """Return the results of ``call`` for ``images`` (N, C, H, W), (N, ...) float32, computed in batches on the
    network's device, with the ``network`` in evaluation mode."""
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    try:
        batches = torch.as_tensor(images, dtype=torch.get_default_dtype()).split(batch_size)
        return torch.cat([call(batch.to(device)).cpu() for batch in batches]).numpy()
    finally:
        network.train(was_training)


def predict(network: SegmentationNet, images: np.ndarray, batch_size: int = 16) -> np.ndarray:
    """Return probabilities (N, 1, H, W) float32 of ``images`` (N, C, H, W), both in [0, 1], from :func:`evaluate`."""
    return evaluate(network, lambda batch: torch.sigmoid(network(batch)), images, batch_size)


def draw(n: int, size: int, source: torch.Generator, upright: bool = False) -> torch.Tensor:
    """Return random moves for ``n`` images of ``size`` x ``size`` pixels, (n, 5) int64: transposed, flipped up-down,
    flipped left-right (0 or 1); rows and columns to shift.

    With ``upright``, images are only flipped left-right, because patients lie on their backs; a sixth column is the
    zoom in percent, because the scanner's operator chooses how much of the image the body fills.
    """
    flips = torch.randint(0, 2, (n, 3), generator=source)
    max_shift = int(size * (UPRIGHT_SHIFT if upright else SHIFT))
    shifts = torch.randint(-max_shift, max_shift + 1, (n, 2), generator=source)
    if not upright:
        return torch.cat([flips, shifts], dim=1)
    flips[:, :2] = 0
    percent = torch.randint(PERCENT[0], PERCENT[1] + 1, (n, 1), generator=source)
    return torch.cat([flips, shifts, percent], dim=1)


def augment(batch: Batch, moves: torch.Tensor) -> Batch:
    """Return ``batch`` (of square images), each image moved together with its mask and soft label (:func:`draw`).

    A transposition and two flips generate all flips and quarter turns. Pixels from outside the image repeat its edge,
    and are background: 0 in mask and soft label. Images may be larger than masks and soft labels by an integer factor;
    shifts are in pixels of the masks. ``moves`` are (B, 5) or (B, 6), on the batch's device.
    """
    size = batch.masks.shape[-1]
    factor = batch.images.shape[-1] // size
    source, inside = _source(moves, size, 1)
    images = _source(moves, size, factor)[0] if factor > 1 else source
    return Batch(
        _gather(batch.images, images), _gather(batch.masks, source) * inside, _gather(batch.soft, source) * inside
    )


def _source(moves: torch.Tensor, size: int, factor: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the source index of each pixel of a moved image with sides of S = ``factor`` x ``size`` pixels,
    (B, 1, S*S), and whether the source lies inside the image, (B, 1, S, S)."""
    b, size = len(moves), factor * size
    transposed, upside, mirrored, down, right, *percent = moves.view(b, -1, 1, 1).unbind(1)  # each (B, 1, 1)
    row, column = torch.meshgrid(*2 * [torch.arange(size, device=moves.device)], indexing="ij")  # (S, S)
    rows = torch.where(transposed == 1, column, row)  # (B, S, S)
    columns = torch.where(transposed == 1, row, column)
    rows = torch.where(upside == 1, size - 1 - rows, rows) + factor * down
    columns = torch.where(mirrored == 1, size - 1 - columns, columns) + factor * right
    for zoom in percent:  # a smaller zoom takes pixels farther from the middle
        middle = (size - 1) / 2
        rows, columns = (((index - middle) * (100 / zoom) + middle).round().long() for index in (rows, columns))
    inside = ((rows >= 0) & (rows < size) & (columns >= 0) & (columns < size)).unsqueeze(1)
    return (rows.clamp(0, size - 1) * size + columns.clamp(0, size - 1)).view(b, 1, -1), inside


def _gather(x: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """Return the pixels of ``x`` (B, C, S, S) at ``source`` (B, 1, S*S)."""
    return x.flatten(2).gather(2, source.expand(-1, x.shape[1], -1)).view_as(x)
