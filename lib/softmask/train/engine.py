"""The training loop that all networks share: epochs, batches, schedule, validation, checkpoints.

Adam with the poly learning rate (SoftGAN and DSNet, section "Implementation"): lr (1 - step / steps)^0.9 at each step,
after some epochs at a constant rate where the settings ask for it (CasGAN).

What the papers leave open: augmentation (orientations and small shifts); which epoch's weights are tested: those with
the best mean Dice on the validation images, cut at 0.5, the earlier one of two equals, the warm-up's epochs aside. An
incomplete last batch is left out; batches are drawn anew in each epoch, so that no image is left out for long.

Order, augmentation and dropout come from (seed, epoch). A training that was interrupted after some epochs goes on from
its checkpoint to the same weights, bit for bit, as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn

from softmask.errors import ConfigError, TrainingError
from softmask.files import sha256_of
from softmask.measure.segmentation import dice
from softmask.nets.base import SegmentationNet
from softmask.nets.softgan import PixelDiscriminator
from softmask.train import checkpoints
from softmask.train.adversarial import Adversarial
from softmask.train.augment import augment, draw
from softmask.train.checkpoints import Checkpoint
from softmask.train.device import Place, derived, deterministic, generator, pick, seeded
from softmask.train.losses import Batch, Weighted, by_tanh, looking_at, split
from softmask.train.supervised import Supervised

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


@dataclass(frozen=True)
class Settings:
    """How long and how fast to train.

    Attributes:
        epochs: passes over the training images.
        batch_size: images in a step; all of them where there are fewer. Processes share a batch.
        learning_rate: at the first step.
        power: of the poly schedule.
        hold: epochs at the beginning in which the rate stays as it is (CasGAN: 35).
        warmup: epochs at the beginning in which a network with a soft L1 or squared loss follows the losses of the
            binary mask alone; the Dice loss, where it has none. Not in the papers: with SoftGAN's and CasGAN's weights
            the soft L1 loss is nearly all of the sum, and an empty mask is a minimum of it that a fresh network falls
            into. A discriminator learns from the start. None of these epochs is chosen as the best.
        discriminator_width: channels of the discriminator, where there is one.

    Raises:
        ConfigError: for a value that is not positive (``warmup``: negative, or that leaves no epoch after it).
    """

    epochs: int
    batch_size: int
    learning_rate: float
    power: float = 0.9
    hold: int = 0
    warmup: int = 0
    discriminator_width: int = PixelDiscriminator.FULL_WIDTH

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (value > 0 or (name in ("warmup", "hold") and value == 0)):
                raise ConfigError(f"{name} must be positive, not {value!r}")
        if self.hold >= self.epochs:
            raise ConfigError(f"{self.hold} of {self.epochs} epochs at a constant rate leave none to lower it in")
        if self.warmup >= self.epochs:
            raise ConfigError(f"a warmup of {self.warmup} epochs leaves none of {self.epochs} to follow all losses")

    def steps(self, n: int) -> int:
        """Steps of the whole training on ``n`` images."""
        return self.epochs * (n // min(self.batch_size, n))

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of ``step``, from 0, out of ``steps``: constant in the epochs of ``hold``, then poly."""
        held = steps * self.hold // self.epochs
        return self.learning_rate * (1 - max(step - held, 0) / (steps - held)) ** self.power


Curves = Mapping[str, list[float]]


@dataclass(frozen=True)
class Outcome:
    """What a training leaves besides the network's weights.

    Attributes:
        curves: one number for each epoch, by name: ``train_loss`` and its parts ``loss_<name>`` (with their weights;
            ``loss_gan`` is the segmentor's side), ``validation_dice``, ``learning_rate`` (at the epoch's first step);
            in adversarial training ``discriminator_loss``, and ``discriminator_accuracy_real`` and ``..._fake``, the
            shares of pixels judged rightly. Those of training are means over the epoch's steps.
        best_epoch: whose weights the network holds, from 1.
        seconds: of training, interruptions not counted.
        device: ``cpu`` or ``cuda``.
    """

    curves: Curves
    best_epoch: int
    seconds: float
    device: str


class Loop(Protocol):
    """One of :class:`Supervised` and :class:`Adversarial`."""

    modules: Mapping[str, nn.Module]
    optimisers: Mapping[str, torch.optim.Optimizer]

    def step(self, batch: Batch, followed: Collection[str]) -> dict[str, torch.Tensor]: ...


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
    progress: Callable[[int, int, Curves], None] | None = None,
) -> Outcome:
    """Train ``network``, fresh from :func:`~softmask.train.device.seeded`, until it holds the best epoch's weights.

    Goes on from ``folder/checkpoint.pt`` where there is one of the same training. A GAN loss brings in a
    :class:`~softmask.nets.softgan.PixelDiscriminator`. The network stays on the device it was trained on.

    Args:
        losses: names of :data:`~softmask.train.losses.LOSSES` with weights.
        label: soft label to train on, a name in ``data.train.soft``, or ``binary``.
        name: of the run, for messages.
        progress: called with the number of epochs done, that of all epochs, and the curves so far.

    Raises:
        ConfigError: for unknown losses or label, no images, or batches that the processes cannot share alike.
        TrainingError: when images, a loss, or weights are no longer finite, or a checkpoint cannot be written.
    """
    place = pick()
    _check_data(data, label, settings, place)
    images = _tensors(data.train, label, place.device)
    network.to(place.device, memory_format=torch.channels_last)
    warmup, warm, added = _warm_up(losses, settings)
    loop = _loop(network, [*losses, *added], settings, seed, place, settings.steps(len(images.images)))
    path = Path(folder) / "checkpoint.pt"
    fingerprint = {
        "name": name,
        "losses": repr([(loss, float(weight)) for loss, weight in losses]),
        "label": label,
        "settings": repr(settings),
        "seed": str(seed),
        "first weights": _digest(*network.state_dict().values()),
        "data": _digest(*images, *map(torch.tensor, (data.validation.images, data.validation.masks))),
    }
    with place.first():
        state = checkpoints.load(path, fingerprint)
    _restore(loop, state)
    if state.epochs and progress:
        progress(state.epochs, settings.epochs, state.curves)
    with deterministic(place.device):
        for epoch in range(state.epochs, settings.epochs):
            started = time.perf_counter()
            try:
                followed = warm if epoch < warmup else [loss for loss, _ in losses]
                values = _epoch(loop, images, settings, seed, epoch, place, followed, losses)
                values["validation_dice"] = _validate(network, data.validation, settings.batch_size)
            except _NotFinite as error:
                kept = f"the last good checkpoint is kept at {path}" if epoch else "there is no checkpoint yet"
                raise TrainingError(
                    f"{name}: epoch {epoch + 1}, {error}; {kept}. Check those numbers, or lower the learning rate"
                ) from error
            if values["validation_dice"] > max(state.curves.get("validation_dice", [])[warmup:], default=-1.0):
                state.best = {key: value.clone() for key, value in network.state_dict().items()}
            for key, value in values.items():
                state.curves.setdefault(key, []).append(value)
            state.seconds += time.perf_counter() - started
            if place.rank == 0:
                state.states = {key: part.state_dict() for key, part in _parts(loop)}
                checkpoints.save(path, state, fingerprint)
            if progress:
                progress(epoch + 1, settings.epochs, state.curves)
    network.load_state_dict(state.best)
    best = warmup + int(np.argmax(state.curves["validation_dice"][warmup:])) + 1
    return Outcome(state.curves, best, state.seconds, place.device.type)


@torch.inference_mode()
def predict(network: SegmentationNet, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """Probabilities (N, 1, H, W) float32 in [0, 1] for ``images`` (N, C, H, W) in [0, 1], on the network's device."""
    device = next(network.parameters()).device
    training = network.training
    network.eval()
    try:
        batches = torch.tensor(images, dtype=torch.float32).split(batch_size)
        return torch.cat([torch.sigmoid(network(batch.to(device))).cpu() for batch in batches]).numpy()
    finally:
        network.train(training)


class _NotFinite(Exception):
    """Numbers that are NaN or infinite: where."""


def _epoch(
    loop: Loop,
    images: Batch,
    settings: Settings,
    seed: int,
    epoch: int,
    place: Place,
    followed: Collection[str],
    losses: Weighted,
) -> dict[str, float]:
    """One pass over the training images, following the losses ``followed``. Returns its numbers by name, for the
    curves: of ``losses``, not of one that only warms up."""
    batches = _batches(len(images.images), settings, generator(seed, "batches", epoch))  # (steps, B)
    moves = draw(len(images.images), images.images.shape[-1], generator(seed, "moves", epoch)).to(place.device)
    steps, done = settings.epochs * len(batches), epoch * len(batches)
    for module in loop.modules.values():
        module.train()
    rows = []
    with seeded(derived(seed, "dropout", epoch)):
        for step, chosen in enumerate(batches.to(place.device)):
            for optimiser in loop.optimisers.values():
                for group in optimiser.param_groups:
                    group["lr"] = settings.rate(done + step, steps)
            mine = chosen[place.rank :: place.processes]
            batch = augment(Batch(*(part[mine] for part in images)), moves[mine])
            values = loop.step(batch, followed)
            rows.append(torch.stack(list(values.values())))
    # Looked at once for all steps: asking each of them whether it is finite would make a GPU wait for every answer.
    table = place.mean(torch.stack(rows)).cpu()  # (steps, values)
    place.agree(loop.modules["network"])
    _check_finite(table, list(values), images.images, batches, loop)
    means = dict(zip(values, table.double().mean(0).tolist(), strict=True))
    own = {f"loss_{name}" for name, _ in losses}
    means = {key: mean for key, mean in means.items() if key in own or not key.startswith("loss_")}
    return {
        "train_loss": sum(mean for key, mean in means.items() if key.startswith("loss_")),
        **means,
        "learning_rate": settings.rate(done, steps),
    }


def _warm_up(losses: Weighted, settings: Settings) -> tuple[int, list[str], Weighted]:
    """Epochs of the warm-up, the losses followed in it, and the one that is added for it (none or one)."""
    if not settings.warmup or not by_tanh(losses):
        return 0, [], ()
    masks = looking_at("masks", losses)
    return (settings.warmup, masks, ()) if masks else (settings.warmup, ["dice"], (("dice", 1.0),))


def _batches(n: int, settings: Settings, source: torch.Generator) -> torch.Tensor:
    """(steps, B) int64: a random order of ``n`` images in whole batches."""
    size = min(settings.batch_size, n)
    return torch.randperm(n, generator=source)[: n // size * size].view(-1, size)


def _check_finite(
    table: torch.Tensor, names: list[str], images: torch.Tensor, batches: torch.Tensor, loop: Loop
) -> None:
    """Raises _NotFinite for the first row of ``table`` (steps, values) that is not finite, or for such weights."""
    for step, row in enumerate(table):
        if not row.isfinite().all():
            bad = [int(i) for i in batches[step] if not images[i].isfinite().all()]
            wrong = ", ".join(name for name, value in zip(names, row, strict=True) if not value.isfinite())
            what = f"training images {bad} (from 0)" if bad else wrong
            raise _NotFinite(f"batch {step + 1} of {len(batches)}: NaN or infinite numbers in {what}")
    for name, module in loop.modules.items():
        for key, value in module.state_dict().items():
            if not value.isfinite().all():
                raise _NotFinite(f"after its last batch: NaN or infinite numbers in {key} of the {name}")


def _validate(network: SegmentationNet, part: Part, batch_size: int) -> float:
    """Mean Dice of the predictions for ``part``, cut at 0.5, in [0, 1]."""
    probabilities = predict(network, part.images, batch_size)
    if not np.isfinite(probabilities).all():
        raise _NotFinite("validation: NaN or infinite numbers in the predictions")
    return float(dice(probabilities[:, 0] >= 0.5, part.masks[:, 0] >= 0.5).mean())


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
    """All of a part's images, masks and labels, on the device."""
    soft = part.masks if label == BINARY else part.soft[label]
    return Batch(*(torch.tensor(x, dtype=torch.float32, device=device) for x in (part.images, part.masks, soft)))


def _loop(network: SegmentationNet, losses: Weighted, settings: Settings, seed: int, place: Place, steps: int) -> Loop:
    pixel, adversarial = split(losses)
    if not adversarial:
        return Supervised(network, pixel, place, settings.learning_rate, steps)
    with seeded(derived(seed, "discriminator")):
        discriminator = PixelDiscriminator(settings.discriminator_width, network.inputs + 1)
    discriminator.to(place.device, memory_format=torch.channels_last)
    return Adversarial(network, discriminator, losses, place, settings.learning_rate, steps)


def _parts(loop: Loop) -> list[tuple[str, nn.Module | torch.optim.Optimizer]]:
    """All that has a state, by name."""
    modules = [(f"module {key}", module) for key, module in loop.modules.items()]
    return modules + [(f"optimiser {key}", optimiser) for key, optimiser in loop.optimisers.items()]


def _restore(loop: Loop, state: Checkpoint) -> None:
    if state.epochs:
        for key, part in _parts(loop):
            part.load_state_dict(state.states[key])


def _digest(*tensors: torch.Tensor) -> str:
    return sha256_of(*(tensor.cpu().contiguous().numpy().tobytes() for tensor in tensors))
