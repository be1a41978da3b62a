"""A run that trains a segmentation network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from softmask.config import PROFILES
from softmask.errors import TrainingError
from softmask.measure.images import THRESHOLD
from softmask.measure.segmentation import dice
from softmask.nets.registry import build
from softmask.runs.inputs import Finished, channels, feed, read, seeing
from softmask.runs.measured import Made, measured
from softmask.runs.prepared import Prepared
from softmask.runs.spec import SOFTENED, RunSpec
from softmask.runs.store import AGAIN
from softmask.train.device import seeded
from softmask.train.loop import Curves, Progress
from softmask.train.segmentation import predict, train

ANOTHER_SEED = 1000
"""Added to the seed of a training that has failed to start."""

THRESHOLDS = np.concatenate([np.arange(0.05, 0.95, 0.05), np.arange(0.95, 0.996, 0.005)])
"""Tried on the validation images for a network trained on softened masks: CasGAN takes one "close to 255"."""


def make(spec: RunSpec, data: Prepared, folder: Path, needs: Sequence[Finished], progress: Progress | None) -> Made:
    """Train the network of ``spec`` and measure it on the test images. See :func:`softmask.runs.single.run_one`.

    A training that fails to start (:mod:`softmask.train.start`) is begun once more, with the seed that
    :data:`ANOTHER_SEED` gives; what it left stays in the record.
    """
    fed = feed(spec, data, needs)
    failures: list[Curves] = []
    seconds = 0.0
    for seed, place in ((spec.seed, folder), (spec.seed + ANOTHER_SEED, folder / AGAIN)):
        with seeded(seed):
            network = build(spec.network, spec.width, spec.inputs, spec.reduction)
        whole = seeing(spec, network, needs)
        outcome = train(
            whole,
            spec.losses,
            spec.label,
            fed,
            spec.settings,
            seed,
            place,
            name=spec.name,
            upright=spec.of_lungs,
            progress=progress,
        )
        seconds += outcome.seconds
        if not outcome.failed:
            break
        failures.append(outcome.curves)
    outcome = replace(outcome, seconds=seconds)
    threshold = THRESHOLD
    if spec.label == SOFTENED and not outcome.failed:
        alphas = read(spec, predict(whole, fed.validation.images))[1]
        threshold = best_threshold(alphas, data.validation.masks[:, 0], spec.name)
    del fed  # its channels and the test images' are not needed together
    answers = predict(whole, channels(spec, data.test.images, needs))
    fields = measured(data.test, *read(spec, answers), threshold, PROFILES[spec.profile].keeps)
    failed = outcome.failed or any(need.failed for need in needs if need.spec == spec.prior)
    return Made(network, outcome, fields | {"failed": failed, "failures": tuple(failures)})


def best_threshold(alphas: np.ndarray, masks: np.ndarray, name: str) -> float:
    """Of :data:`THRESHOLDS` that with the highest mean Dice of ``alphas`` (N, S, S), cut there, with ``masks``; the
    highest among equals.

    Raises:
        TrainingError: where no image has a pixel at or above any of them; ``name`` is the run's.
    """
    if alphas.max(initial=0) < THRESHOLDS[0]:
        raise TrainingError(
            f"{name}: no threshold fits: the highest value on all validation images is {alphas.max(initial=0):.3f}, "
            f"and the lowest threshold tried {THRESHOLDS[0]:g}; the network predicts no lesion anywhere"
        )
    means = np.array([dice(alphas >= threshold, masks).mean() for threshold in THRESHOLDS])
    return round(float(THRESHOLDS[np.flatnonzero(means == means.max())[-1]]), 3)
