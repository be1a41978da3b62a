"""Kinds of runs: a function for each kind, which trains and tests a network, and the record of the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from softmask.config import PROFILES
from softmask.errors import TrainingError
from softmask.experiments.inputs import feed, network_outputs, predict_masks, read, soft_masks, with_channels
from softmask.experiments.prepare import Part, Prepared
from softmask.experiments.spec import NUMERICS, SOFTENED, TEMPERATURE, UNCHANGED, RunSpec
from softmask.experiments.store import AGAIN, Provenance, Record, Run, save_weights, surroundings
from softmask.measure.images import DOCTORS, THRESHOLD, measure_images
from softmask.measure.resolution import measure_interpolated, measure_upscaled
from softmask.measure.segmentation import dice
from softmask.measure.soft import best_temperature, calibration, tempered
from softmask.nets.classical import classical
from softmask.nets.perceptual import LAYERS, Perceptual
from softmask.nets.registry import build, n_parameters
from softmask.train.device import seeded
from softmask.train.loop import Curves, Outcome, Progress
from softmask.train.segmentation import predict, train
from softmask.train.super_resolution import degrade, train_super_resolution, upscale

ANOTHER_SEED = 1000
"""Number added to the seed when a failed training run is restarted."""

THRESHOLDS = np.concatenate([np.arange(0.05, 0.95, 0.05), np.arange(0.95, 0.996, 0.005)])
"""Thresholds tried on the validation images for networks trained on softened masks; CasGAN's is "close to 255"."""

KEPT = 48
"""Minimum number of predictions kept for test images marked by doctors, to include most kinds of nodules."""
SHOWN = 8
"""Number of super-resolved test images that a record keeps: grey images compress less well than masks."""

READER_MEASURES = (
    "dice_staple",
    *(f"{prefix}_{doctor}" for prefix in ("dice_others", "others", "staple") for doctor in DOCTORS),
)
"""Names of the measures that :func:`beside_readers` returns."""

_UNTRAINED = Outcome({}, 0, 0.0)

Tested = tuple[nn.Module | None, Outcome, dict[str, Any]]
"""Trained network (None if nothing was trained), its training, and the record's fields about the test images."""


def train_and_test(
    spec: RunSpec, data: Prepared, needs: Sequence[Run], folder: Path, progress: Progress | None = None
) -> Record:
    """Train, fit or only test a run that builds on the finished runs ``needs``, and measure it on the test images.
    Training continues from a checkpoint in ``folder``, where the weights are also saved. Returns the record."""
    machine_and_code = surroundings()  # at the start: the checkout may change while the run is trained
    network, outcome, fields = kind_of(spec)(spec, data, needs, folder, progress)
    origins = [data.origin, *(Perceptual(name).origin for name, _ in spec.losses if name in LAYERS)]
    provenance = Provenance(
        data=data.digest,
        numerics=NUMERICS,
        features=spec.features,
        origin="; ".join(origins),
        weights=save_weights(folder, network) if network else None,
        seconds=round(outcome.seconds, 1),
        needs=tuple(need.key for need in needs),
        **machine_and_code,
    )
    return Record(
        spec=spec,
        ids=data.test.ids,
        groups=data.test.groups,
        curves=outcome.curves,
        best_epoch=outcome.best_epoch,
        n_parameters=n_parameters(network) if network else 0,
        provenance=provenance,
        **fields,
    )


def kind_of(spec: RunSpec) -> Callable[[RunSpec, Prepared, Sequence[Run], Path, Progress | None], Tested]:
    """Return the function that trains and tests a run of this kind."""
    if spec.network == UNCHANGED:
        return evaluate
    if not spec.learns:
        return fit_classical
    return super_resolve if spec.upscales else segment


def segment(spec: RunSpec, data: Prepared, needs: Sequence[Run], folder: Path, progress: Progress | None) -> Tested:
    """Train a segmentation network. A run that fails (:class:`softmask.train.loop.Start`) is restarted once with the
    seed increased by :data:`ANOTHER_SEED`; the curves of the failed attempt are kept in the record."""
    fed_data = feed(spec, data, needs)
    failures: list[Curves] = []
    seconds = 0.0
    for seed, attempt_folder in ((spec.seed, folder), (spec.seed + ANOTHER_SEED, folder / AGAIN)):
        model = fresh(spec, needs, seed)
        arguments = (spec.losses, spec.label, fed_data, spec.settings, seed, attempt_folder)
        outcome = train(model, *arguments, name=spec.name, upright=spec.of_lungs, progress=progress)
        seconds += outcome.seconds
        if not outcome.failed:
            break
        failures.append(outcome.curves)
    threshold = THRESHOLD
    if spec.label == SOFTENED and not outcome.failed:
        alphas = read(spec, predict(model, fed_data.validation.images))[1]
        threshold = best_threshold(alphas, data.validation.masks[:, 0], spec.name)
    del fed_data  # frees the memory of its channels
    probabilities, alphas = read(spec, network_outputs(spec, model, data.test.images, needs))
    fields = measured(data.test, probabilities, alphas, threshold, PROFILES[spec.profile].keeps)
    failed = outcome.failed or any(need.failed for need in needs if need.spec == spec.prior)
    fields |= {"failed": failed, "failures": tuple(failures)}
    network = model.network if spec.on_the_fly else model  # only the segmentor's weights are saved
    return network, replace(outcome, seconds=seconds), fields


def super_resolve(
    spec: RunSpec, data: Prepared, needs: Sequence[Run], folder: Path, progress: Progress | None
) -> Tested:
    """Train a super-resolution network. Test images are degraded, upscaled and compared with the originals."""
    with seeded(spec.seed):
        network = build(spec.network, spec.width)
    outcome = train_super_resolution(
        network, spec.losses, data, spec.settings, spec.seed, folder, name=spec.name, progress=progress
    )
    test = data.test
    images, masks = test.images[:, 0], test.masks[:, 0] > 0
    low = degrade(torch.from_numpy(test.images)).numpy()  # (N, 1, S/4, S/4)
    upscaled = upscale(network, low)[:, 0]  # (N, S, S)
    measures = measure_upscaled(upscaled, images, masks) | measure_interpolated(low[:, 0], images, masks)
    return network, outcome, {"measures": measures, "calibration": None, "predictions": kept(test, upscaled, SHOWN)}


def evaluate(spec: RunSpec, data: Prepared, needs: Sequence[Run], folder: Path, progress: Progress | None) -> Tested:
    """Test another run's network on other data, with a comparison with readers if they marked it; or after temperature
    scaling, with the temperature as the curve ``temperature``."""
    [prior], test, outcome, keeps = needs, data.test, _UNTRAINED, PROFILES[spec.profile].keeps
    probabilities, alphas = predict_masks(prior, test.images)
    if spec.label == TEMPERATURE:
        temperature = best_temperature(predict_masks(prior, data.validation.images)[0], data.validation.masks[:, 0])
        probabilities = alphas = tempered(probabilities, temperature)
        outcome = replace(outcome, curves={"temperature": [temperature]})
    fields = measured(test, probabilities, alphas, THRESHOLD, keeps) | {"failed": prior.failed}
    if set(DOCTORS) <= set(test.references):
        fields["measures"] |= beside_readers(probabilities >= THRESHOLD, test)
        fields["predictions"] = kept(test, probabilities, keeps and KEPT)
    return None, outcome, fields


def fit_classical(
    spec: RunSpec, data: Prepared, needs: Sequence[Run], folder: Path, progress: Progress | None
) -> Tested:
    """Fit a classical segmentor, which may start from the soft masks of another run's network."""
    test, segmentor = data.test, classical(spec.network)
    if segmentor.LEARNS:
        segmentor.fit(data.train.images, data.train.masks)
    start_masks = soft_masks(needs[0], test.images) if needs else None
    images = test.images
    if segmentor.NATIVE and "native_image" in test.references:  # as the scanner stored them
        images = test.references["native_image"] / np.float32(255)
    masks = segmentor.predict(images, start_masks)[:, 0]
    fields = measured(test, masks, masks, THRESHOLD, PROFILES[spec.profile].keeps)
    return None, _UNTRAINED, fields | {"failed": any(need.failed for need in needs)}


def fresh(spec: RunSpec, needs: Sequence[Run], seed: int) -> nn.Module:
    """Return the untrained network of a run, with inputs as in :func:`softmask.experiments.inputs.with_channels`."""
    with seeded(seed):
        network = build(spec.network, spec.width, spec.inputs, spec.reduction)
    return with_channels(spec, network, needs)


def measured(
    test: Part, probabilities: np.ndarray, alphas: np.ndarray, threshold: float, keeps: int | None = 8
) -> dict[str, Any]:
    """Return the record's fields about the segmented test images: measures, calibration, predictions, threshold.

    ``probabilities`` of foreground, binarised at ``threshold``, and soft masks ``alphas`` are (N, S, S) in [0, 1].
    Lungs are measured at the size stored by the scanner, and their probabilities may also have that size. For ``keeps``
    see :attr:`softmask.config.Profile.keeps`.
    """
    masks = test.masks[:, 0] > 0
    if "native" in test.references:
        from softmask.measure.lungs import measure_lungs, reduced

        native, nodules = (test.references[name][:, 0] for name in ("native", "nodules"))
        measures = measure_lungs(probabilities, native, nodules, threshold)
        probabilities = reduced(probabilities, masks.shape[-2:])
    else:
        references = {name: reference[:, 0] for name, reference in test.references.items()}
        soft = test.soft["soft_mask"][:, 0]
        measures = measure_images(probabilities, masks, soft, references, alphas, threshold)
    predictions, reliability = kept(test, probabilities, keeps), calibration(probabilities, masks)
    return {"measures": measures, "calibration": reliability, "predictions": predictions, "threshold": threshold}


def kept(test: Part, predictions: np.ndarray, keeps: int | None) -> dict[str, np.ndarray]:
    """Return at most ``keeps`` of ``predictions`` (N, S, S) in [0, 1], evenly spaced, by image id: (S, S) uint8."""
    n = len(test.ids)
    indices = np.linspace(0, n - 1, n if keeps is None else min(n, keeps)).round().astype(int)
    return {test.ids[i]: np.rint(predictions[i] * 255).astype(np.uint8) for i in indices}


def best_threshold(alphas: np.ndarray, masks: np.ndarray, name: str) -> float:
    """Return the threshold of :data:`THRESHOLDS` at which ``alphas`` (N, S, S) have the highest mean Dice with
    ``masks``; of equal thresholds the highest. Raises TrainingError with the run's ``name`` if no pixel reaches any
    threshold."""
    if alphas.max(initial=0) < THRESHOLDS[0]:
        raise TrainingError(
            f"{name}: no threshold fits: the highest value on all validation images is {alphas.max(initial=0):.3f}, "
            f"and the lowest threshold tried {THRESHOLDS[0]:g}; the network predicts no lesion anywhere"
        )
    means = np.array([dice(alphas >= threshold, masks).mean() for threshold in THRESHOLDS])
    return round(float(THRESHOLDS[np.flatnonzero(means == means.max())[-1]]), 3)


def beside_readers(segmented: np.ndarray, test: Part) -> dict[str, np.ndarray]:
    """Return measures that compare network and readers, each (N,), NaN where any doctor's mask lies outside the crop.

    ``dice_others_doctor1`` is the network's Dice with the 50 % consensus of all doctors except doctor 1, and
    ``others_doctor1`` doctor 1's Dice with the same consensus. ``dice_staple`` and ``staple_doctor1`` are the network's
    and doctor 1's Dice with STAPLE of all four doctors, binarised at 0.5. Measures of other doctors are named likewise.
    ``segmented`` is (N, S, S) bool.
    """
    from softmask.label import consensus

    reader_masks = np.stack([test.references[doctor][:, 0] > 0 for doctor in DOCTORS], axis=1)  # (N, 4, S, S)
    rows = np.full((len(segmented), len(READER_MEASURES)), np.nan)
    for row, mask, marks in zip(rows, segmented, reader_masks, strict=True):
        if marks.any(axis=(1, 2)).all():
            others, staple = consensus.leave_one_out(marks), consensus.staple(marks) >= 0.5  # (4, S, S), (S, S)
            row[:] = [dice(mask, staple), *dice(mask[None], others), *dice(marks, others), *dice(marks, staple)]
    return dict(zip(READER_MEASURES, rows.T, strict=True))
