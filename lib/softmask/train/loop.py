"""The training loop: epochs, batches, validation, checkpoints. Every network goes through :func:`fit`.

Adam with the poly learning rate (SoftGAN and DSNet, section "Implementation"): lr (1 - step / steps)^0.9 at each step,
after some epochs at a constant rate where the settings ask for it (CasGAN).

What the papers leave open: an incomplete last batch is left out; batches are drawn anew in each epoch, so that no image
is left out for long. Their order and dropout come from (seed, epoch). A training that was interrupted continues from
its checkpoint to the same weights, bit for bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from softmask.errors import ConfigError, TrainingError
from softmask.files import sha256_of
from softmask.nets.softgan import PixelDiscriminator
from softmask.train import checkpoints
from softmask.train.device import derived, deterministic, generator, seeded
from softmask.train.losses import Weighted

Curves = Mapping[str, list[float]]
Progress = Callable[[int, int, Curves], None]
"""Called with the number of epochs done, that of all epochs, and the curves so far."""

LEARNT = 0.5
"""Share of the way from the baseline to 1 at which all losses are followed."""
FAILED_BELOW = 0.02
"""Gain over the baseline in validation Dice that a training run must have reached."""
FAILED_AFTER = 0.2
"""Share of all steps after which that is checked."""
FEWEST_STEPS = 200
"""Steps that a network is given before it is checked. Shorter runs never fail: too few steps tell nothing."""
SLOW = 0.1
"""Share of the learning rate at the first step that follows all losses, from which it rises (:meth:`Settings.rate`)."""


@dataclass(frozen=True)
class Settings:
    """How long and how fast to train.

    Attributes:
        epochs: passes over the training images.
        batch_size: images in a step; all of them where there are fewer.
        learning_rate: at the first step.
        power: of the poly schedule.
        hold: epochs at the beginning with a constant rate (CasGAN: 35).
        warmup: maximum number of initial epochs trained with the Dice loss alone (:class:`Start`); in super-resolution
            the number of epochs of the content loss alone.
        ramp: steps after the warm-up in which the learning rate rises from a tenth to its full value.
        discriminator_width: channels of the discriminator, or of the critic's first block, where there is one.

    Raises:
        ConfigError: for a value that is not positive, or a start that leaves no epoch after it.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    power: float = 0.9
    hold: int = 0
    warmup: int = 0
    ramp: int = 0
    discriminator_width: int = PixelDiscriminator.FULL_WIDTH

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            may_be_zero = name in ("warmup", "hold", "ramp")
            if not (value > 0 or (may_be_zero and value == 0)):
                raise ConfigError(f"{name} must be positive, not {value!r}")
        for name, epochs in (("hold", self.hold), ("warmup", self.warmup)):
            if epochs >= self.epochs:
                raise ConfigError(f"{name} must be below the number of epochs, {self.epochs}, not {epochs}")

    def steps(self, n: int) -> int:
        """Return the number of steps of the whole training on ``n`` images."""
        return self.epochs * (n // min(self.batch_size, n))

    def rate(self, step: int, steps: int, since: int | None = None) -> float:
        """Return the learning rate of ``step``, from 0, out of ``steps``: constant in the epochs of ``hold``, then
        poly. Where all losses began at step ``since``, it rises from a tenth of that over ``ramp`` steps."""
        held = steps * self.hold // self.epochs
        rate = self.learning_rate * (1 - max(step - held, 0) / (steps - held)) ** self.power
        if since is None or step >= since + self.ramp:
            return rate
        return rate * (SLOW + (1 - SLOW) * (step - since) / self.ramp)


@dataclass(frozen=True)
class Start:
    """The start of training, and when a run has failed: one rule for every network, fixed before the runs.

    With SoftGAN's and CasGAN's weights a soft L1 loss is nearly all of the sum, and an empty mask is a minimum of it
    that a fresh network falls into. So a network with a soft loss follows the Dice loss of the binary mask alone until
    it has come half of the way from b to 1, then all losses, with a learning rate that rises from a tenth. A run
    has failed when the validation Dice stays below b + 0.02 for a fifth of its steps, at the first that follow all
    losses or later. It is restarted once with another seed (:mod:`softmask.experiments.kinds`); a run that fails twice
    enters no mean. The papers say nothing of this.

    Attributes:
        baseline: b, in [0, 1]: the validation Dice that needs no network, the better of an empty mask and of foreground
            everywhere (0.86 on ISBI 2012).
        warmup: the most epochs of the warm-up.
        epochs, steps: of the whole training; ``steps`` in each epoch.
        losses: names of those that are followed in the warm-up.
        restarts: whether the optimiser starts afresh, and the learning rate rises, after a warm-up.
    """

    baseline: float
    warmup: int
    epochs: int
    steps: int
    losses: Sequence[str] = ()
    restarts: bool = True

    @property
    def ramps(self) -> bool:
        """Whether there is a warm-up after which the learning rate rises."""
        return self.restarts and self.warmup > 0

    def first(self, curves: Curves) -> int | None:
        """Return the first epoch, from 0, that follows all losses, from the ``curves`` of the epochs so far; None where
        the next one is still warm-up."""
        validation = curves.get("validation_dice", ())
        learnt = self.baseline + LEARNT * (1 - self.baseline)
        for epoch in range(max(map(len, curves.values()), default=0) + 1):
            if epoch == self.warmup or (epoch and validation and validation[epoch - 1] > learnt):
                return epoch
        return None

    def failed(self, curves: Curves) -> bool:
        """Return whether the training has failed, after the epochs of these ``curves``."""
        validation, first = curves.get("validation_dice", ()), self.first(curves)
        if not validation or first is None or self.epochs * self.steps < FEWEST_STEPS:
            return False
        given = math.ceil(max(FAILED_AFTER * self.epochs * self.steps, FEWEST_STEPS) / self.steps)  # epochs
        given = min(given, self.epochs - first)
        windows = (validation[start : start + given] for start in range(first, len(validation) - given + 1))
        return any(max(window) < self.baseline + FAILED_BELOW for window in windows)


@dataclass(frozen=True)
class Outcome:
    """What a training leaves besides the network's weights.

    Attributes:
        curves: one number for each epoch, by name: ``train_loss`` and its parts ``loss_<name>`` (with their weights;
            ``loss_gan`` is the segmentor's side), ``validation_dice``, ``learning_rate`` (at the epoch's first step),
            ``warmup`` (1 in epochs of the warm-up, where there is one), and what an adversary reports
            (:mod:`softmask.train.objectives`). Those of training are means over the epoch's steps.
        best_epoch: whose weights the network holds, from 1.
        seconds: of training, without interruptions.
        failed: whether training ended early because it had failed (:class:`Start`).
    """

    curves: Curves
    best_epoch: int
    seconds: float
    failed: bool = False


@dataclass(frozen=True, eq=False)
class Task:
    """What is trained on what.

    Attributes:
        objective: has ``modules`` (the network that is kept is called ``network``) and ``optimisers`` by name, and
            ``step(batch, followed)``, which takes one optimiser step of each module on the losses ``followed``, and
            returns scalars by name.
        losses: names and weights that the curves report.
        images: (N, C, H, W), on the device of training: example i of an epoch is made of image i modulo N.
        n: number of examples in an epoch.
        examples: called with the number of an epoch, from 0: draws its augmentation, and returns a function that makes
            a batch from numbers of examples.
        validate: gives numbers for the curves. Raises NotFinite.
        depends_on: what the training depends on besides losses, settings, seed and first weights, by name.
        keeps_best: whether the weights of the epoch with the best ``validation_dice`` are kept.
    """

    objective: Any
    losses: Weighted
    settings: Settings
    seed: int
    start: Start
    images: torch.Tensor
    n: int
    examples: Callable[[int], Callable[[torch.Tensor], Any]]
    validate: Callable[[], dict[str, float]]
    depends_on: Mapping[str, str]
    keeps_best: bool = True


class NotFinite(Exception):
    """Numbers that are NaN or infinite: where."""


def fit(task: Task, folder: Path, *, name: str, progress: Progress | None = None) -> Outcome:
    """Train for all epochs, or until training has failed; the network holds the kept weights then.

    Continues from ``folder/checkpoint.pt`` where there is one of the same training. ``name`` is the run's.

    Raises:
        TrainingError: when numbers are no longer finite, or a checkpoint cannot be written.
    """
    settings, seed, start, device = task.settings, task.seed, task.start, task.images.device
    modules, optimisers = task.objective.modules, task.objective.optimisers
    network, path = modules["network"], Path(folder) / "checkpoint.pt"
    parts = {f"module {key}": module for key, module in modules.items()}
    parts |= {f"optimiser {key}": optimiser for key, optimiser in optimisers.items()}
    fingerprint = {
        "name": name,
        "losses": repr([(loss, float(weight)) for loss, weight in task.losses]),
        "settings": repr(settings),
        "seed": str(seed),
        "first weights": digest(*network.state_dict().values()),
        **task.depends_on,
    }
    state = checkpoints.load(path, fingerprint)
    if state.epochs:  # of an interrupted training
        for key, part in parts.items():
            part.load_state_dict(state.states[key])
        if progress:
            progress(state.epochs, settings.epochs, state.curves)
    with deterministic(device):
        for epoch in range(state.epochs, settings.epochs):
            if start.failed(state.curves):
                break
            began = time.perf_counter()
            first = start.first(state.curves)  # the epoch from which all losses are followed; None: not yet
            if start.ramps and epoch == first:
                # The soft losses' weights make gradients a hundred times as large now: divided by the root of what
                # their squares were until here, Adam's first steps would throw the network far away.
                optimisers["network"].state.clear()
            batches = _batches(task.n, settings, generator(seed, "batches", epoch)).to(device)  # (steps, B)
            done, steps = epoch * len(batches), settings.epochs * len(batches)
            since = first * len(batches) if start.ramps and first is not None else None
            followed = start.losses if first is None else [loss for loss, _ in task.losses]
            examples = task.examples(epoch)
            for module in modules.values():
                module.train()
            rows = []
            try:
                with seeded(derived(seed, "dropout", epoch)):
                    for step, chosen in enumerate(batches, start=done):
                        for optimiser in optimisers.values():
                            optimiser.param_groups[0]["lr"] = settings.rate(step, steps, since)
                        values = task.objective.step(examples(chosen), followed)
                        rows.append(torch.stack(list(values.values())))
                # All steps at once: asking each of them whether it is finite would make a GPU wait for every answer.
                table = torch.stack(rows).cpu()  # (steps, values)
                _check_finite(table, list(values), batches.cpu(), task)
                numbers = _means(table, list(values), task.losses)
                numbers["learning_rate"] = settings.rate(done, steps, since)
                if start.ramps:
                    numbers["warmup"] = float(first is None)
                numbers |= task.validate()
            except NotFinite as error:
                kept = f"the last good checkpoint is kept at {path}" if epoch else "there is no checkpoint yet"
                raise TrainingError(
                    f"{name}: epoch {epoch + 1}, {error}; {kept}. Check the named images or losses, or lower the "
                    "learning rate"
                ) from error
            for key, value in numbers.items():
                state.curves.setdefault(key, []).append(value)
            if task.keeps_best:
                # an epoch of the warm-up counts less than any that followed all losses
                score = numbers["validation_dice"] - 2 * numbers.get("warmup", 0)
                if not state.best or score > state.best_value:
                    state.best_value = score
                    state.best = {key: tensor.clone() for key, tensor in network.state_dict().items()}
            state.seconds += time.perf_counter() - began
            state.states = {key: part.state_dict() for key, part in parts.items()}
            checkpoints.save(path, state, fingerprint)
            if progress:
                progress(epoch + 1, settings.epochs, state.curves)
    best = settings.epochs
    if task.keeps_best:
        network.load_state_dict(state.best)
        first = start.first(state.curves)
        best = first + int(np.argmax(state.curves["validation_dice"][first:])) + 1
    return Outcome(state.curves, best, state.seconds, start.failed(state.curves))


def digest(*tensors: torch.Tensor) -> str:
    """Return the hex digest of the tensors' content."""
    arrays = (tensor.cpu().contiguous().numpy() for tensor in tensors)
    return sha256_of(*(array.reshape(-1).view(np.uint8).data for array in arrays))  # not copied: they may be gigabytes


def _batches(n: int, settings: Settings, source: torch.Generator) -> torch.Tensor:
    """Return (steps, B) int64: a random order of ``n`` examples in whole batches."""
    size = min(settings.batch_size, n)
    return torch.randperm(n, generator=source)[: n // size * size].view(-1, size)


def _means(table: torch.Tensor, names: Sequence[str], losses: Weighted) -> dict[str, float]:
    """Return means over the steps of ``table`` (steps, values) by name, and the sum of the losses; without a loss that
    is followed in a warm-up alone."""
    means = dict(zip(names, table.double().mean(0).tolist(), strict=True))
    own = {f"loss_{name}" for name, _ in losses}
    means = {key: mean for key, mean in means.items() if key in own or not key.startswith("loss_")}
    return {"train_loss": sum(mean for key, mean in means.items() if key in own), **means}


def _check_finite(table: torch.Tensor, names: Sequence[str], batches: torch.Tensor, task: Task) -> None:
    """Raise NotFinite for the first row of ``table`` (steps, values) that is not finite, or for such weights."""
    for step, row in enumerate(table):
        if not row.isfinite().all():
            chosen = batches[step] % len(task.images)
            bad = [int(i) for i in chosen if not task.images[i].isfinite().all()]
            wrong = ", ".join(name for name, value in zip(names, row, strict=True) if not value.isfinite())
            culprit = f"training images {bad} (from 0)" if bad else wrong
            raise NotFinite(f"batch {step + 1} of {len(batches)}: NaN or infinite numbers in {culprit}")
    for name, module in task.objective.modules.items():
        for key, value in module.state_dict().items():
            if not value.isfinite().all():
                raise NotFinite(f"after its last batch: NaN or infinite numbers in {key} of the {name}")
