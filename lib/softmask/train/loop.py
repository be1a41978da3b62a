"""Training loop: epochs, batches, validation, checkpoints. All networks are trained by :func:`fit`.

Adam with the poly learning rate (SoftGAN and DSNet, section "Implementation"): lr (1 - step / steps)^power at each
step, after some epochs at a constant rate if the settings ask for it (CasGAN).

Choices that the papers leave open: the power 0.9, that of DeepLab, also for LGAN and super-resolution, whose papers
describe no decay; an incomplete last batch is left out; batches are drawn again in each epoch, so that no image is left
out for long. The order of the images and dropout are seeded with (seed, epoch). An interrupted training continues from
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
"""Callback with the number of finished epochs, the total number of epochs, and the curves so far."""

WARMUP_END = 0.5
"""Validation Dice that ends the warm-up, as a share of the way from the baseline to 1."""
FAILED_BELOW = 0.02
"""Gain in validation Dice over the baseline that a training run must reach."""
FAILURE_WINDOW = 0.2
"""Share of all steps within which this gain must be reached."""
MIN_STEPS = 200
"""Number of steps before the first check. Shorter runs are never counted as failed: too few steps show nothing."""
RAMP_FROM = 0.1
"""Share of the learning rate at the first step after the warm-up, from which it rises (:meth:`Settings.rate`)."""


@dataclass(frozen=True)
class Settings:
    """Settings of a training: its length, batch size and learning rate.

    Attributes:
        epochs: number of passes over the training images.
        batch_size: number of images per step; all images if there are fewer.
        learning_rate: learning rate at the first step.
        power: exponent of the poly schedule.
        hold: number of initial epochs with a constant learning rate (CasGAN: 35).
        warmup: maximum number of initial epochs trained with the Dice loss alone (:class:`Start`); in super-resolution
            the number of epochs trained with the content loss alone.
        ramp: number of steps after the warm-up in which the learning rate rises from a tenth to its full value.
        discriminator_width: number of channels of the discriminator, or of the first block of the critic, if any.
        second_rate: factor of the learning rate after the epochs of ``warmup``, in super-resolution.

    Raises:
        ConfigError: for a value that is not positive (``hold``, ``warmup`` and ``ramp`` may be 0), or if ``hold`` or
            ``warmup`` takes all epochs.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    power: float = 0.9
    hold: int = 0
    warmup: int = 0
    ramp: int = 0
    discriminator_width: int = PixelDiscriminator.FULL_WIDTH
    second_rate: float = 1.0

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

    def rate(self, step: int, steps: int, ramp_start: int | None = None) -> float:
        """Return the learning rate at ``step`` (from 0) of ``steps``: constant in the epochs of ``hold``, then poly. If
        the warm-up ended at step ``ramp_start``, the rate rises from a tenth of this value over ``ramp`` steps."""
        hold_steps = steps * self.hold // self.epochs
        rate = self.learning_rate * (1 - max(step - hold_steps, 0) / (steps - hold_steps)) ** self.power
        if step >= steps * self.warmup // self.epochs:
            rate *= self.second_rate
        if ramp_start is None or step >= ramp_start + self.ramp:
            return rate
        return rate * (RAMP_FROM + (1 - RAMP_FROM) * (step - ramp_start) / self.ramp)


@dataclass(frozen=True)
class Start:
    """Rule for the warm-up and for failed training runs, the same for every network and fixed before the runs.

    With SoftGAN's and CasGAN's weights, the soft L1 loss dominates the sum of the losses, and an empty mask is a
    minimum of it into which an untrained network falls. A network with a soft loss is therefore trained with the Dice
    loss of the binary mask alone until its validation Dice is half of the way from b to 1, then with all losses and a
    learning rate that rises from a tenth. A run has failed if the validation Dice stays below b + 0.02 for a fifth of
    its steps, at any time after the warm-up. It is restarted once with another seed
    (:mod:`softmask.experiments.kinds`); a run that fails twice enters no mean. The papers do not mention such a rule.

    Attributes:
        baseline: b, in [0, 1]: larger validation Dice of two masks, empty and all foreground (ISBI 2012: 0.86).
        warmup: maximum number of warm-up epochs.
        epochs, steps: number of epochs of the whole training, and of steps in each epoch.
        losses: names of the losses that are used in the warm-up.
        restarts: whether, after a warm-up, the optimiser's state is cleared and the learning rate rises.
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
        """Return the first epoch (from 0) after the warm-up, given the ``curves`` of the epochs so far; None if the
        next epoch still belongs to the warm-up."""
        validation = curves.get("validation_dice", ())
        threshold = self.baseline + WARMUP_END * (1 - self.baseline)
        for epoch in range(max(map(len, curves.values()), default=0) + 1):
            if epoch == self.warmup or (epoch and validation and validation[epoch - 1] > threshold):
                return epoch
        return None

    def failed(self, curves: Curves) -> bool:
        """Return whether the training has failed, given the ``curves`` of the epochs so far."""
        validation, first_epoch = curves.get("validation_dice", ()), self.first(curves)
        if not validation or first_epoch is None or self.epochs * self.steps < MIN_STEPS:
            return False
        n_epochs = math.ceil(max(FAILURE_WINDOW * self.epochs * self.steps, MIN_STEPS) / self.steps)
        n_epochs = min(n_epochs, self.epochs - first_epoch)
        windows = (validation[start : start + n_epochs] for start in range(first_epoch, len(validation) - n_epochs + 1))
        return any(max(window) < self.baseline + FAILED_BELOW for window in windows)


@dataclass(frozen=True)
class Outcome:
    """Result of a training, apart from the network's weights.

    Attributes:
        curves: one number for each epoch, by name: ``train_loss`` and its weighted parts ``loss_<name>`` (``loss_gan``
            is the segmentor's side), ``validation_dice``, ``learning_rate`` (at the first step of the epoch),
            ``warmup`` (1 in warm-up epochs, else 0; only if there is a warm-up), and the values that an adversary
            reports (:mod:`softmask.train.objectives`). Training values are means over the steps of the epoch.
        best_epoch: epoch (from 1) whose weights the network holds.
        seconds: training time: processor time of all cores on a CPU, which excludes pauses; else elapsed time.
        failed: whether training ended early because it had failed (:class:`Start`).
    """

    curves: Curves
    best_epoch: int
    seconds: float
    failed: bool = False


@dataclass(frozen=True, eq=False)
class Task:
    """Training task: network, losses, data and settings.

    Attributes:
        objective: object with ``modules`` by name (the network to keep is called ``network``), ``optimisers`` by name,
            and ``step(batch, active_losses)``, which takes one optimiser step of each module on these losses and
            returns scalars by name.
        losses: names and weights of the losses that the curves report.
        images: (N, C, H, W), on the training device; example i of an epoch is made from image i modulo N.
        n: number of examples in an epoch.
        examples: function of the epoch (from 0) that draws the augmentation of the epoch and returns a function that
            makes a batch from the numbers of examples.
        validate: function that returns values for the curves. Raises NotFinite.
        depends_on: everything that the training depends on besides losses, settings, seed and initial weights, by name.
        keeps_best: whether the weights of the epoch with the best ``validation_dice`` are kept, or those of the last.
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
    """NaN or infinite numbers; the message says where."""


def fit(task: Task, folder: Path, *, name: str, progress: Progress | None = None) -> Outcome:
    """Train the run ``name`` for all epochs, or until it has failed; the network then holds the weights to keep.
    Continue from ``folder/checkpoint.pt`` if it belongs to the same training.

    Raises:
        TrainingError: if numbers are no longer finite, or a checkpoint cannot be written.
    """
    settings, seed, start, device = task.settings, task.seed, task.start, task.images.device
    modules, optimisers = task.objective.modules, task.objective.optimisers
    network, path = modules["network"], Path(folder) / "checkpoint.pt"
    components = {f"module {key}": module for key, module in modules.items()}
    components |= {f"optimiser {key}": optimiser for key, optimiser in optimisers.items()}
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
        for key, component in components.items():
            component.load_state_dict(state.states[key])
        if progress:
            progress(state.epochs, settings.epochs, state.curves)
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    with deterministic(device):
        for epoch in range(state.epochs, settings.epochs):
            if start.failed(state.curves):
                break
            start_time = clock()
            first_epoch = start.first(state.curves)  # first epoch after the warm-up; None: not known yet
            if start.ramps and epoch == first_epoch:
                # The weights of the soft losses make the gradients a hundred times as large now. Adam would divide
                # them by the root of the old mean of their squares, and its first steps would be far too large.
                optimisers["network"].state.clear()
            batches = _batches(task.n, settings, generator(seed, "batches", epoch)).to(device)  # (steps, B)
            steps_done, steps = epoch * len(batches), settings.epochs * len(batches)
            ramp_start = first_epoch * len(batches) if start.ramps and first_epoch is not None else None
            active_losses = start.losses if first_epoch is None else [loss for loss, _ in task.losses]
            examples = task.examples(epoch)
            for module in modules.values():
                module.train()
            step_values = []
            try:
                with seeded(derived(seed, "dropout", epoch)):
                    for step, indices in enumerate(batches, start=steps_done):
                        for optimiser in optimisers.values():
                            optimiser.param_groups[0]["lr"] = settings.rate(step, steps, ramp_start)
                        values = task.objective.step(examples(indices), active_losses)
                        step_values.append(torch.stack(list(values.values())))
                # Check all steps at once: a check after each step would synchronise the GPU every time.
                table = torch.stack(step_values).cpu()  # (steps, values)
                _check_finite(table, list(values), batches.cpu(), task)
                numbers = _means(table, list(values), task.losses)
                numbers["learning_rate"] = settings.rate(steps_done, steps, ramp_start)
                if start.ramps:
                    numbers["warmup"] = float(first_epoch is None)
                numbers |= task.validate()
            except NotFinite as error:
                hint = f"the last good checkpoint is kept at {path}" if epoch else "there is no checkpoint yet"
                raise TrainingError(
                    f"{name}: epoch {epoch + 1}, {error}; {hint}. Check the named images or losses, or lower the "
                    "learning rate"
                ) from error
            for key, value in numbers.items():
                state.curves.setdefault(key, []).append(value)
            if task.keeps_best:
                # any warm-up epoch scores lower than any later epoch
                score = numbers["validation_dice"] - 2 * numbers.get("warmup", 0)
                if not state.best or score > state.best_value:
                    state.best_value = score
                    state.best = {key: tensor.clone() for key, tensor in network.state_dict().items()}
            state.seconds += clock() - start_time
            state.states = {key: component.state_dict() for key, component in components.items()}
            checkpoints.save(path, state, fingerprint)
            if progress:
                progress(epoch + 1, settings.epochs, state.curves)
    best_epoch = settings.epochs
    if task.keeps_best:
        network.load_state_dict(state.best)
        first_epoch = start.first(state.curves)
        best_epoch = first_epoch + int(np.argmax(state.curves["validation_dice"][first_epoch:])) + 1
    return Outcome(state.curves, best_epoch, state.seconds, start.failed(state.curves))


def digest(*tensors: torch.Tensor) -> str:
    """Return the hex digest of the tensors' content."""
    arrays = (tensor.cpu().contiguous().numpy() for tensor in tensors)
    return sha256_of(*(array.reshape(-1).view(np.uint8).data for array in arrays))  # not copied: they may be gigabytes


def _batches(n: int, settings: Settings, source: torch.Generator) -> torch.Tensor:
    """Return (steps, B) int64: a random order of ``n`` examples in whole batches."""
    size = min(settings.batch_size, n)
    return torch.randperm(n, generator=source)[: n // size * size].view(-1, size)


def _means(table: torch.Tensor, names: Sequence[str], losses: Weighted) -> dict[str, float]:
    """Return means of ``table`` (steps, values) over steps and the sum of losses, both without warm-up-only losses."""
    means = dict(zip(names, table.double().mean(0).tolist(), strict=True))
    loss_keys = {f"loss_{name}" for name, _ in losses}
    means = {key: mean for key, mean in means.items() if key in loss_keys or not key.startswith("loss_")}
    return {"train_loss": sum(mean for key, mean in means.items() if key in loss_keys), **means}


def _check_finite(table: torch.Tensor, names: Sequence[str], batches: torch.Tensor, task: Task) -> None:
    """Raise NotFinite for the first row of ``table`` (steps, values) that is not finite, or if weights are not."""
    for step, row in enumerate(table):
        if not row.isfinite().all():
            indices = batches[step] % len(task.images)
            bad_indices = [int(i) for i in indices if not task.images[i].isfinite().all()]
            bad_names = ", ".join(name for name, value in zip(names, row, strict=True) if not value.isfinite())
            culprit = f"training images {bad_indices} (from 0)" if bad_indices else bad_names
            raise NotFinite(f"batch {step + 1} of {len(batches)}: NaN or infinite numbers in {culprit}")
    for name, module in task.objective.modules.items():
        for key, value in module.state_dict().items():
            if not value.isfinite().all():
                raise NotFinite(f"after its last batch: NaN or infinite numbers in {key} of the {name}")
