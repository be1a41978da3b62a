"""A model's folder from a finished run, with its model card."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from jinja2 import Environment, StrictUndefined
from safetensors.torch import save as pack
from torch import nn

from softmask.apply.models import (
    CARD,
    FORMAT,
    LARGEST_FILE,
    MODEL,
    NETWORK,
    SR,
    WEIGHTS,
    Description,
    Model,
    check_spec,
    digest,
    networks,
)
from softmask.config import Config
from softmask.errors import ConfigError, DataError
from softmask.experiments import inputs, prepare
from softmask.experiments.kinds import measured
from softmask.experiments.prepare import Part, Prepared
from softmask.experiments.store import Record, Run, significant
from softmask.files import write_atomic
from softmask.measure.lungs import dice3d
from softmask.train.segmentation import predict

_LIDC = "LIDC-IDRI (The Cancer Imaging Archive), CC BY 3.0: name it where you publish with this model"
_LICENCES = {
    "lidc": _LIDC,
    "lnsm": "LIDC-IDRI (The Cancer Imaging Archive, CC BY 3.0) or DeepLesion (NIH): name it where you publish",
    "lidc-lung": _LIDC,
}
_OF_LESIONS = {
    "dice": "Dice",
    "iou": "IoU",
    "sen": "sensitivity, by pixel",
    "ppv": "positive predictive value, by pixel",
    "acc": "accuracy, by pixel",
    "hd95": "95 % Hausdorff distance, pixels",
    "auc": "area under the ROC curve, by pixel",
    "brier": "Brier score",
    "soft_dice": "Dice of the soft mask",
    "mae_band": "mean absolute error of the soft mask in its edge band",
    "mse_band": "mean squared error of the soft mask in its edge band",
}
_OF_LUNGS = {
    "iou": "IoU",
    "dice": "Dice",
    "hausdorff": "symmetric Hausdorff distance, stored pixels",
    "dice3d": "3D Dice, over the test slices of each scan",
    "nodules_inside": "share of a slice's nodule pixels that lie in the lung found",
    "nodules_at_wall_inside": "the same, of nodules at the lung's outline",
}


def export(run: Run, folder: str | Path, data: Prepared | None = None) -> Model:
    """Write the model of a finished run to ``folder``, whole or not at all, and return it.

    Its measures are those of the rounded weights that are written, on the run's test part.

    Args:
        folder: is made; a model that is there is replaced, and nothing else is.
        data: data that the run was trained and tested on; None prepares it.

    Raises:
        ConfigError: for a run of which no model is made, weights larger than
            :data:`~softmask.apply.models.LARGEST_FILE`, data that the run was not tested on, or a folder that holds
            anything but a model.
        DataError: where the run's weights or its data cannot be read.
    """
    spec, record, folder = run.spec, run.record, Path(folder)
    check_spec(spec)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; name a folder")
    others = sorted({path.name for path in folder.glob("*")} - {WEIGHTS, MODEL, CARD})
    if others:
        raise ConfigError(f"{folder}: holds {others[0]}, which is of no model; name another folder, or empty this one")
    if data is None:
        data = prepare.prepare(spec, Config.from_parameters(spec.profile, spec.source))
    if data.digest != record.provenance.data:
        raise ConfigError(
            f"{spec.name} was tested on other data than is there now ({record.provenance.data[:12]}, not "
            f"{data.digest[:12]}); train it again"
        )
    sr = next((need for need in run.needs if need.spec == spec.sr), None)
    if spec.sr is not None and sr is None:
        raise ConfigError(f"{spec.name} comes without {spec.sr.name}, which it builds on; take the run that fit gives")
    weights = to_weights(run.network(), sr and sr.network())
    description = Description(
        format=FORMAT,
        spec=spec,
        threshold=record.threshold,
        sha256=digest(weights),
        images=len(data.test),
        patients=len(set(data.test.groups)),
        measures={},
        trained_dice=significant(float(np.mean(record.measures["dice"]))),
        data=data.digest,
        origin=record.provenance.origin,
        commit=record.provenance.commit,
        dirty=record.provenance.dirty,
    )
    model = Model(folder.resolve().name, description, *networks(spec, weights, WEIGHTS))
    measures = dict(measure(model, data.test)["measures"])
    if spec.of_lungs:  # measures of all slices of a scan, not of each
        pixels = [measures.pop(f"pixels_{which}") for which in ("true", "found", "common")]
        measures["dice3d"] = np.array(list(dice3d(data.test.groups, *pixels).values()))
    means = {name: _finite_mean(values) for name, values in measures.items()}
    model = replace(model, description=replace(description, measures=means))
    text = card(model.name, model.description, record, len(weights))
    _write(folder.absolute(), {WEIGHTS: weights, MODEL: model.description.to_json(), CARD: text})
    return model


def to_weights(network: nn.Module, sr: nn.Module | None) -> bytes:
    """Return the file of weights: numbers with fractions in float16, others as they are.

    Raises:
        ConfigError: where the file would be too large, or a weight is too large for float16.
    """
    tensors = {}
    for prefix, module in ((NETWORK, network), (SR, sr)):
        for name, tensor in module.state_dict().items() if module is not None else ():
            small = (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
            if not torch.isfinite(small).all():
                raise ConfigError(f"{prefix}{name} has numbers that float16 cannot hold; train the run again")
            tensors[prefix + name] = small
    content = pack(tensors)
    if len(content) > LARGEST_FILE:
        raise ConfigError(
            f"the weights take {len(content) / 1e6:.1f} MB, and a model at most {LARGEST_FILE / 1e6:g}; "
            "take a narrower network (another profile)"
        )
    return content


def measure(model: Model, test: Part) -> dict[str, Any]:
    """Return what a record holds of a test part (:func:`softmask.experiments.kinds.measured`), for this model's
    weights, through the code that runs are measured with."""
    needs = [upscaler(model)] if model.sr is not None else []
    images = inputs.channels(model.spec, test.images, needs)
    answers = predict(inputs.seeing(model.spec, model.network, needs), images)
    return measured(test, *inputs.read(model.spec, answers), model.description.threshold)


def upscaler(model: Model) -> Run:
    """Return a model's super-resolution network as a finished run; its key is that of the weights."""
    return SimpleNamespace(spec=model.spec.sr, key=model.description.sha256, needs=(), network=lambda: model.sr)


def card(name: str, about: Description, record: Record, n_bytes: int) -> str:
    """Return the model card in Markdown. ``n_bytes`` is the size of the weights."""
    spec = about.spec
    rows = []
    for measure, title in (_OF_LUNGS if spec.of_lungs else _OF_LESIONS).items():
        mean, count = about.measures.get(measure, (0.0, 0))
        unit = "" if not spec.of_lungs else " scans" if measure == "dice3d" else " slices"
        if measure in about.measures and (count or not spec.of_lungs):  # there may be no nodule at the wall
            rows.append((title, f"{mean:.4g}", f"{count}{unit}"))
    options = {"trim_blocks": True, "lstrip_blocks": True, "keep_trailing_newline": True}
    text = (files("softmask.apply") / "card.md.j2").read_text(encoding="utf-8")
    template = Environment(undefined=StrictUndefined, **options).from_string(text)
    return template.render(
        name=name,
        about=about,
        spec=spec,
        record=record,
        n_bytes=n_bytes,
        lungs=spec.of_lungs,
        size=f"{spec.size} x {spec.size} pixels",
        losses=" + ".join(f"{weight:g} {loss}" for loss, weight in spec.losses),
        licence=_LICENCES.get(spec.dataset, "the data set's own terms hold"),
        measures=rows,
    )


def _finite_mean(values: np.ndarray) -> tuple[float, int]:
    """Return the mean of the finite values, and how many they are."""
    finite = values[np.isfinite(values)]
    return (significant(float(finite.mean())) if len(finite) else float("nan")), len(finite)


def _write(folder: Path, contents: dict[str, bytes | str]) -> None:
    """Put the files into ``folder`` in place of what is there, by renaming a folder that is complete.

    Raises:
        DataError: where it cannot be written; what was there is untouched.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", suffix=".part") as scratch:
            made, old = Path(scratch, "made"), Path(scratch, "old")
            for name, content in contents.items():
                write_atomic(made / name, content)
            if folder.exists():
                os.replace(folder, old)
            try:
                os.replace(made, folder)
            except OSError:
                if old.exists():
                    os.replace(old, folder)
                raise
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"{error.filename or folder}: the model cannot be written ({error.strerror}); check the path and its rights"
        ) from error
