"""The training loop: epochs, batches, steps, validation, checkpoints. Every network goes through :func:`fit`.

Adam with the poly learning rate (SoftGAN and DSNet, section "Implementation"): lr (1 - step / steps)^0.9 at each step,
after some epochs at a constant rate where the settings ask for it (CasGAN).

What the papers leave open: an incomplete last batch is left out; batches are drawn anew in each epoch, so that no image
is left out for long. Their order and dropout come from (seed, epoch). A training that was interrupted after some epochs
goes on from its checkpoint to the same weights, bit for bit, as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from softmask.errors import ConfigError, TrainingError
from softmask.files import sha256_of
from softmask.nets.softgan import PixelDiscriminator
from softmask.train import checkpoints
from softmask.train.checkpoints import Checkpoint
from softmask.train.device import derived, deterministic, generator, seeded
from softmask.train.losses import Weighted
from softmask.train.start import SLOW, Start

Curves = Mapping[str, list[float]]
Progress = Callable[[int, int, Curves], None]
"""Called with the number of epochs done, that of all epochs, and the curves so far."""


@dataclass(frozen=True)
class Settings:
    """How long and how fast to train.

    Attributes:
        epochs: passes over the training images.
        batch_size: images in a step; all of them where there are fewer.
        learning_rate: at the first step.
        power: of the poly schedule.
        hold: epochs at the beginning in which the rate stays as it is (CasGAN: 35).
        warmup: the most epochs at the beginning in which a network with a soft L1 or squared loss follows the Dice loss
            of the binary mask alone (:mod:`softmask.train.start`; not in the papers). A discriminator learns from the
            start. None of these epochs is chosen as the best, and the segmentor's optimiser starts afresh after them.
            In super-resolution the number of epochs of the content loss alone.
        ramp: steps after the warm-up in which the learning rate rises from a tenth to its full value.
        discriminator_width: channels of the discriminator, or of the critic's first block, where there is one.

    Raises:
        ConfigError: for a value that is not positive (``warmup``: negative, or that leaves no epoch after it).
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
            if not (value > 0 or (name in ("warmup", "hold", "ramp") and value == 0)):
                raise ConfigError(f"{name} must be positive, not {value!r}")
        if self.hold >= self.epochs:
            raise ConfigError(f"{self.hold} of {self.epochs} epochs at a constant rate leave none to lower it in")
        if self.warmup >= self.epochs:
            raise ConfigError(f"a warmup of {self.warmup} epochs leaves none of {self.epochs} to follow all losses")

    def steps(self, n: int) -> int:
        """Number of steps of the whole training on ``n`` images."""
        return self.epochs * (n // min(self.batch_size, n))

    def rate(self, step: int, steps: int, since: int | None = None) -> float:
        """Learning rate of ``step``, from 0, out of ``steps``: constant in the epochs of ``hold``, then poly. Where all
        losses began at step ``since``, times a factor that rises from a tenth to 1 over ``ramp`` steps."""
        held = steps * self.hold // self.epochs
        rate = self.learning_rate * (1 - max(step - held, 0) / (steps - held)) ** self.power
        if since is None or step >= since + self.ramp:
            return rate
        return rate * (SLOW + (1 - SLOW) * (step - since) / self.ramp)


@dataclass(frozen=True)
class Outcome:
    """What a training leaves besides the network's weights.

    Attributes:
        curves: one number for each epoch, by name: ``train_loss`` and its parts ``loss_<name>`` (with their weights;
            ``loss_gan`` is the segmentor's side), ``validation_dice``, ``learning_rate`` (at the epoch's first step);
            in adversarial training ``discriminator_loss``, and ``discriminator_accuracy_real`` and ``..._fake``, the
            shares of pixels judged correctly; with a critic ``critic_gap``, its numbers of real minus fake masks before
            its steps, and ``adversarial_share``, the length of the gradient that it gives the logits over the sum of
            its length and that of the pixels' losses. Those of training are means over the epoch's steps.
            ``warmup`` is 1 in epochs that follow the Dice loss alone, where there are such.
        best_epoch: whose weights the network holds, from 1.
        seconds: of training, interruptions not counted.
        device: ``cpu`` or ``cuda``.
        failed: whether the training ended early because it had failed to start.
    """

    curves: Curves
    best_epoch: int
    seconds: float
    device: str
    failed: bool = False


class Objective(Protocol):
    """What is trained, step by step (:mod:`softmask.train.objectives`, :mod:`softmask.train.super_resolution`).

    Attributes:
        modules, optimisers: by name; their states make a checkpoint. The network that is kept is called ``network``.
    """

    device: torch.device
    modules: Mapping[str, nn.Module]
    optimisers: Mapping[str, torch.optim.Optimizer]

    def step(self, batch: Any, followed: Collection[str]) -> dict[str, torch.Tensor]:
        """Update each module once, down the losses ``followed``. Returns scalars by name."""


class NotFinite(Exception):
    """Numbers that are NaN or infinite: where."""


def fit(
    objective: Objective,
    losses: Weighted,
    settings: Settings,
    seed: int,
    folder: Path,
    *,
    name: str,
    depends_on: Mapping[str, str],
    images: torch.Tensor,
    n: int,
    draw: Callable[[int], Callable[[torch.Tensor], Any]],
    validate: Callable[[], Mapping[str, float]],
    start: Start,
    keep_best: bool = True,
    progress: Progress | None = None,
) -> Checkpoint:
    """Train for all epochs, or until the training has failed to start.

    Goes on from ``folder/checkpoint.pt`` where there is one of the same training.

    Args:
        losses: with weights, which the curves tell of.
        name: of the run, for messages.
        depends_on: what the training depends on besides losses, settings, seed and first weights, by name.
        images: (N, C, H, W), what the ``n`` examples of an epoch are made of: example i of image i modulo N.
        draw: given an epoch's number, from 0, draws its augmentation, and returns what makes a batch of the numbers of
            its examples, int64.
        validate: returns numbers for the curves.
        start: which losses are followed in an epoch, and when the training has failed.
        keep_best: whether the weights of the epoch with the best ``validation_dice`` are kept.

    Returns:
        The state after the last epoch.

    Raises:
        TrainingError: when numbers are no longer finite, or a checkpoint cannot be written.
    """
    network = objective.modules["network"]
    path = Path(folder) / "checkpoint.pt"
    fingerprint = {
        "name": name,
        "losses": repr([(loss, float(weight)) for loss, weight in losses]),
        "settings": repr(settings),
        "seed": str(seed),
        "first weights": digest(*network.state_dict().values()),
        **depends_on,
    }
    state = checkpoints.load(path, fingerprint)
    for key, part in _parts(objective) if state.epochs else ():
        part.load_state_dict(state.states[key])
    if progress and state.epochs:
        progress(state.epochs, settings.epochs, state.curves)
    with deterministic(objective.device):
        for epoch in range(state.epochs, settings.epochs):
            if start.failed(state.curves):
                break
            began = time.perf_counter()
            first = start.first(state.curves)  # the epoch from which all losses are followed; None: not yet
            if start.ramps and epoch == first:
                # The soft losses' weights make gradients a hundred times as large now: divided by the root of what
                # their squares were until here, Adam's first steps would throw the network far away.
                objective.optimisers["network"].state.clear()
            batches = _batches(n, settings, generator(seed, "batches", epoch)).to(objective.device)  # (steps, B)
            done, steps = epoch * len(batches), settings.epochs * len(batches)
            since = first * len(batches) if start.ramps and first is not None else None
            followed = start.losses if first is None else [loss for loss, _ in losses]
            examples = draw(epoch)
            for module in objective.modules.values():
                module.train()
            rows = []
            try:
                with seeded(derived(seed, "dropout", epoch)):
                    for step, chosen in enumerate(batches, start=done):
                        for optimiser in objective.optimisers.values():
                            for group in optimiser.param_groups:
                                group["lr"] = settings.rate(step, steps, since)
                        values = objective.step(examples(chosen), followed)
                        rows.append(torch.stack(list(values.values())))
                # All steps at once: asking each of them whether it is finite would make a GPU wait for every answer.
                table = torch.stack(rows).cpu()  # (steps, values)
                _check_finite(table, list(values), images, batches.cpu() % len(images), objective)
                numbers = _means(table, list(values), losses) | {"learning_rate": settings.rate(done, steps, since)}
                numbers |= {"warmup": float(first is None)} if start.ramps else {}
                numbers |= validate()
            except NotFinite as error:
                kept = f"the last good checkpoint is kept at {path}" if epoch else "there is no checkpoint yet"
                raise TrainingError(
                    f"{name}: epoch {epoch + 1}, {error}; {kept}. Check those numbers, or lower the learning rate"
                ) from error
            for key, value in numbers.items():
                state.curves.setdefault(key, []).append(value)
            if keep_best:
                _keep_best(state, network)
            state.seconds += time.perf_counter() - began
            state.states = {key: part.state_dict() for key, part in _parts(objective)}
            checkpoints.save(path, state, fingerprint)
            if progress:
                progress(epoch + 1, settings.epochs, state.curves)
    return state


def _keep_best(state: Checkpoint, network: nn.Module) -> None:
    """Keep the weights where the last epoch has the highest validation Dice so far, one that followed the Dice loss
    alone counting less than any that did not."""
    value = state.curves["validation_dice"][-1] - 2 * state.curves.get("warmup", [0])[-1]
    if not state.best or value > state.best_value:
        state.best_value = value
        state.best = {key: tensor.clone() for key, tensor in network.state_dict().items()}


def digest(*tensors: torch.Tensor) -> str:
    """Hex digest of what they hold."""
    arrays = (tensor.cpu().contiguous().numpy() for tensor in tensors)
    return sha256_of(*(array.reshape(-1).view(np.uint8).data for array in arrays))  # not copied: gigabytes, some


def _batches(n: int, settings: Settings, source: torch.Generator) -> torch.Tensor:
    """(steps, B) int64: a random order of ``n`` examples in whole batches."""
    size = min(settings.batch_size, n)
    return torch.randperm(n, generator=source)[: n // size * size].view(-1, size)


def _means(table: torch.Tensor, names: Sequence[str], losses: Weighted) -> dict[str, float]:
    """Means over the steps of ``table`` (steps, values) by name, and the sum of the losses; without a loss that is only
    followed in a warm-up."""
    means = dict(zip(names, table.double().mean(0).tolist(), strict=True))
    own = {f"loss_{name}" for name, _ in losses}
    means = {key: mean for key, mean in means.items() if key in own or not key.startswith("loss_")}
    return {"train_loss": sum(mean for key, mean in means.items() if key.startswith("loss_")), **means}


def _check_finite(
    table: torch.Tensor, names: Sequence[str], images: torch.Tensor, batches: torch.Tensor, objective: Objective
) -> None:
    """Raises NotFinite for the first row of ``table`` (steps, values) that is not finite, or for such weights."""
    for step, row in enumerate(table):
        if not row.isfinite().all():
            bad = [int(i) for i in batches[step] if not images[i].isfinite().all()]
            wrong = ", ".join(name for name, value in zip(names, row, strict=True) if not value.isfinite())
            culprit = f"training images {bad} (from 0)" if bad else wrong
            raise NotFinite(f"batch {step + 1} of {len(batches)}: NaN or infinite numbers in {culprit}")
    for name, module in objective.modules.items():
        for key, value in module.state_dict().items():
            if not value.isfinite().all():
                raise NotFinite(f"after its last batch: NaN or infinite numbers in {key} of the {name}")


def _parts(objective: Objective) -> list[tuple[str, nn.Module | torch.optim.Optimizer]]:
    """All that has a state, by name."""
    modules = [(f"module {key}", module) for key, module in objective.modules.items()]
    return modules + [(f"optimiser {key}", optimiser) for key, optimiser in objective.optimisers.items()]
