"""One run from first weights to record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from softmask.errors import TrainingError
from softmask.measure.calibration import calibration
from softmask.measure.images import THRESHOLD, measure_images
from softmask.measure.resolution import measure_interpolated, measure_upscaled
from softmask.measure.segmentation import dice
from softmask.nets.classical import classical
from softmask.nets.perceptual import LAYERS, Perceptual
from softmask.nets.registry import build, n_parameters
from softmask.runs.inputs import Finished, channels, feed, read, soft_masks
from softmask.runs.prepared import Prepared
from softmask.runs.record import Provenance, Record, WeightsFile, surroundings
from softmask.runs.spec import SOFTENED, UNCHANGED, RunSpec
from softmask.train.device import seeded
from softmask.train.engine import predict, train
from softmask.train.epochs import Outcome, Progress
from softmask.train.super_resolution import degrade, train_super_resolution, upscale

SHOWN = 8
"""Test images whose predictions a record keeps."""

THRESHOLDS = np.concatenate([np.arange(0.05, 0.95, 0.05), np.arange(0.95, 0.996, 0.005)])
"""Tried on the validation images for a network trained on softened masks: CasGAN takes one "close to 255"."""


def run_one(
    spec: RunSpec,
    data: Prepared,
    folder: Path,
    *,
    code_digest: str,
    save: Callable[[nn.Module], WeightsFile],
    needs: Sequence[Finished] = (),
    progress: Progress | None = None,
) -> Record:
    """Train, measure on the test images, and put the record together.

    Args:
        folder: of the checkpoint, from which an interrupted training goes on.
        code_digest: goes into the provenance.
        save: given the trained network, keeps its weights.
        needs: the finished runs of ``spec.needs``.
        progress: see :data:`softmask.train.epochs.Progress`.
    """
    around = surroundings()  # of the code as it is when training starts
    kind = _upscale if spec.upscales else _segment if spec.learns else _test
    network, outcome, found = kind(spec, data, folder, needs, progress)
    return Record(
        spec=spec,
        ids=data.test.ids,
        groups=data.test.groups,
        curves=outcome.curves,
        best_epoch=outcome.best_epoch,
        n_parameters=n_parameters(network) if network else 0,
        provenance=Provenance(
            data=data.digest,
            code=code_digest,
            origin="; ".join([data.origin, *(Perceptual(name).origin for name, _ in spec.losses if name in LAYERS)]),
            weights=save(network) if network else None,
            seconds=round(outcome.seconds, 1),
            **around,
            needs=tuple(need.key for need in needs),
        ),
        **found,
    )


Made = tuple[nn.Module | None, Outcome, dict[str, Any]]
"""The trained network, how training went, and what of the record comes from the test images."""


def _segment(spec: RunSpec, data: Prepared, folder: Path, needs: Sequence[Finished], progress: Progress | None) -> Made:
    with seeded(spec.seed):
        network = build(spec.network, spec.width, spec.inputs)
    fed = feed(spec, data, needs)
    outcome = train(
        network, spec.losses, spec.label, fed, spec.settings, spec.seed, folder, name=spec.name, progress=progress
    )
    threshold = THRESHOLD
    if spec.label == SOFTENED:
        alphas = read(spec, predict(network, fed.validation.images))[1]
        threshold = best_threshold(alphas, data.validation.masks[:, 0], spec.name)
    return network, outcome, _measured(data, *read(spec, predict(network, fed.test.images)), threshold)


def _test(spec: RunSpec, data: Prepared, folder: Path, needs: Sequence[Finished], progress: Progress | None) -> Made:
    """The network of ``spec.prior`` as it is; or max-flow and level sets, which may start from its soft masks."""
    none = Outcome({}, 0, 0.0, "cpu")
    if spec.network == UNCHANGED:
        [prior] = needs
        seen = channels(prior.spec, data.test.images, prior.needs)
        return None, none, _measured(data, *read(prior.spec, predict(prior.network(), seen)), THRESHOLD)
    segmentor = classical(spec.network)
    segmentor.fit(data.train.images, data.train.masks)
    starts = soft_masks(needs[0], data.test.images) if needs else None
    found = segmentor.predict(data.test.images, starts)[:, 0]
    return None, none, _measured(data, found, found, THRESHOLD)


def _measured(data: Prepared, probabilities: np.ndarray, alphas: np.ndarray, threshold: float) -> dict[str, Any]:
    test = data.test
    masks = test.masks[:, 0] > 0
    references = {name: reference[:, 0] for name, reference in test.references.items()}
    soft = test.soft["soft_mask"][:, 0]
    return {
        "measures": measure_images(probabilities, masks, soft, references, alphas, threshold),
        "calibration": calibration(probabilities, masks),
        "predictions": {test.ids[i]: _grey(probabilities[i]) for i in shown(len(test.ids))},
        "threshold": threshold,
    }


def _upscale(spec: RunSpec, data: Prepared, folder: Path, needs: Sequence[Finished], progress: Progress | None) -> Made:
    with seeded(spec.seed):
        network = build(spec.network, spec.width)
    outcome = train_super_resolution(
        network, spec.losses, data, spec.settings, spec.seed, folder, name=spec.name, progress=progress
    )
    test = data.test
    images, masks = test.images[:, 0], test.masks[:, 0] > 0
    low = degrade(torch.from_numpy(test.images)).numpy()  # (N, 1, S/4, S/4)
    upscaled = upscale(network, low)[:, 0]  # (N, S, S)
    found = {
        "measures": measure_upscaled(upscaled, images, masks) | measure_interpolated(low[:, 0], images, masks),
        "calibration": None,
        "predictions": {test.ids[i]: _grey(upscaled[i]) for i in shown(len(test.ids))},
    }
    return network, outcome, found


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


def shown(n: int) -> list[int]:
    """Rows of the test images whose predictions are kept: at most :data:`SHOWN`, evenly spread over all ``n``."""
    return np.linspace(0, n - 1, min(n, SHOWN)).round().astype(int).tolist()


def _grey(image: np.ndarray) -> np.ndarray:
    return np.rint(image * 255).astype(np.uint8)
