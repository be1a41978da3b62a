"""The start of a training: how it begins, and when it has failed. One rule for every network, fixed before the runs.

With SoftGAN's and CasGAN's weights a soft L1 loss is nearly all of the sum, and an empty mask is a minimum of it that a
fresh network falls into. So a network with a soft loss follows the Dice loss of the binary mask alone until it has
learnt something, then all losses, with a learning rate that rises from a tenth to its full value.

Let b be the validation Dice that needs no network: the better of an empty mask and of foreground everywhere (0.86 on
ISBI 2012). *Something* is half of the way from b to 1. A training has failed when the best validation Dice of a fifth
of its steps, counted from the first that follows all losses, is below b + 0.02. It is begun once more with another
seed (:mod:`softmask.experiments.kinds`); the failure is counted, and a run that fails twice enters no mean.

The papers say nothing of this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from softmask.measure.segmentation import dice

LEARNT = 0.5
"""Share of the way from b to 1 at which all losses are followed."""
FAILED_BELOW = 0.02
"""Gain over b in validation Dice that a training must have reached."""
FAILED_AFTER = 0.2
"""Share of all steps after which that is looked at."""
FEWEST_STEPS = 200
"""Steps that a network is given before it is looked at. Shorter trainings never fail: too few steps tell nothing."""
SLOW = 0.1
"""Share of the learning rate with which all losses begin."""


@dataclass(frozen=True)
class Start:
    """The rule for one training.

    Attributes:
        baseline: b, in [0, 1].
        warmup: the most epochs of the Dice loss alone; 0 for a training without a soft loss.
        epochs, steps: of the whole training; ``steps`` in each epoch.
        losses: names of those that are followed in the warm-up.
    """

    baseline: float
    warmup: int
    epochs: int
    steps: int
    losses: Sequence[str] = ()

    @property
    def ramps(self) -> bool:
        """Whether the optimiser starts afresh, and the learning rate rises, when all losses are followed."""
        return self.warmup > 0

    def first(self, curves: Mapping[str, Sequence[float]]) -> int | None:
        """The epoch, from 0, that is the first to follow all losses, from the ``curves`` of the epochs so far; None
        where the next one still follows the Dice loss alone."""
        validation = curves.get("validation_dice", ())
        learnt = self.baseline + LEARNT * (1 - self.baseline)
        for epoch in range(len(validation) + 1):
            if epoch == self.warmup or (epoch and validation[epoch - 1] > learnt):
                return epoch
        return None

    def failed(self, curves: Mapping[str, Sequence[float]]) -> bool:
        """Whether the training has failed, after the epochs of these ``curves``."""
        validation, first = curves.get("validation_dice", ()), self.first(curves)
        if first is None or self.epochs * self.steps < FEWEST_STEPS:
            return False
        given = math.ceil(max(FAILED_AFTER * self.epochs * self.steps, FEWEST_STEPS) / self.steps)  # epochs
        last = min(first + given, self.epochs)
        return len(validation) >= last and max(validation[first:last]) < self.baseline + FAILED_BELOW


def baseline(masks: np.ndarray, together: bool = False) -> float:
    """b of ``masks`` (N, S, S) bool: the Dice of an empty mask or of foreground everywhere, whichever is larger; the
    mean over images, or of all images ``together``."""
    if together:
        masks = masks.reshape(1, -1, masks.shape[-1])
    return max(float(dice(np.full_like(masks, value), masks).mean()) for value in (False, True))
