"""Export of a finished run to a model folder, with its model card."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as pack
from torch import nn

from softmask.apply import models, render
from softmask.apply.models import CARD, MAX_FILE_BYTES, MODEL, WEIGHTS, Description, Model
from softmask.config import Config
from softmask.errors import ConfigError, DataError
from softmask.experiments import prepare
from softmask.experiments.kinds import measured
from softmask.experiments.prepare import Part, Prepared
from softmask.experiments.spec import to_plain
from softmask.experiments.store import Run, significant
from softmask.files import PART, whole_path, write_atomic
from softmask.measure.lungs import dice3d


def export(run: Run, folder: str | Path, data: Prepared | None = None) -> Model:
    """Write the model of a finished run to ``folder``, completely or not at all, and return the model.

    Args:
        folder: folder of the model. It is created; a model in it is replaced.
        data: data that the run was trained and tested on; None prepares it.

    Raises:
        ConfigError: for a run that cannot become a model, too large weights, data that the run was not tested on, or a
            folder that contains files other than a model's.
        DataError: if the run's weights or its data cannot be read, or the folder cannot be written.
    """
    spec, record, folder = run.spec, run.record, Path(folder).absolute()
    models.check_spec(spec)
    whole_path(folder, "the model's folder")
    other_names = sorted({path.name for path in folder.glob("*")} - {WEIGHTS, MODEL, CARD})
    if other_names:
        raise ConfigError(f"{folder}: holds {other_names[0]}, which is of no model; name another folder")
    data = prepare.prepare(spec, Config.from_parameters(spec.profile, spec.source)) if data is None else data
    if data.digest != record.provenance.data:
        raise ConfigError(f"{spec.name} was tested on data other than those now available; train it again")
    sr = next((need for need in run.needs if need.spec == spec.sr), None)
    if spec.sr is not None and sr is None:
        raise ConfigError(f"{spec.name} comes without {spec.sr.name}; take the run that fit returns")
    weights = to_weights(run.network(), sr and sr.network())
    provenance = record.provenance
    description = Description(
        format=models.FORMAT,
        spec=spec,
        threshold=record.threshold,
        sha256=hashlib.sha256(weights).hexdigest(),
        images=len(data.test),
        patients=len(set(data.test.groups)),
        measures={},
        trained_dice=significant(float(np.mean(record.measures["dice"]))),
        **{name: getattr(provenance, name) for name in ("data", "origin", "commit", "dirty")},
    )
    model = Model(folder.resolve().name, description, **models.networks(spec, weights, WEIGHTS))
    measures = dict(measure(model, data.test)["measures"])
    if spec.of_lungs:  # measured over all slices of a scan together
        pixels = [measures.pop(f"pixels_{which}") for which in ("true", "found", "common")]
        measures["dice3d"] = np.array(list(dice3d(data.test.groups, *pixels).values()))
    finite_values = {name: values[np.isfinite(values)] for name, values in measures.items()}
    means = {
        name: (significant(float(values.mean())) if len(values) else float("nan"), len(values))
        for name, values in finite_values.items()
    }
    model = replace(model, description=replace(description, measures=means))
    text = json.dumps(to_plain(model.description), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    context = {"name": model.name, "about": model.description, "spec": spec, "record": record, "n_bytes": len(weights)}
    card = render("card.md.j2", **context)
    contents = {WEIGHTS: weights, MODEL: text, CARD: card}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", suffix=PART) as scratch:
            for name, content in contents.items():
                write_atomic(Path(scratch, name), content)
            for name in contents:  # after a kill in between, the SHA-256 shows a mixture of models
                os.replace(Path(scratch, name), folder / name)
    except OSError as error:
        raise DataError(f"{folder}: the model cannot be written ({error.strerror}); check its rights") from error
    return model


def to_weights(network: nn.Module, sr: nn.Module | None) -> bytes:
    """Return the weights file; floating-point weights are stored in float16. Raises ConfigError if the file is too
    large, or a weight is too large for float16."""
    tensors = nn.ModuleDict({"network": network} | ({} if sr is None else {"sr": sr})).state_dict()
    for name, tensor in tensors.items():
        tensors[name] = (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
        if not torch.isfinite(tensors[name]).all():
            raise ConfigError(f"{name} has numbers that float16 cannot hold; train the run again")
    content = pack(dict(tensors))
    if len(content) > MAX_FILE_BYTES:
        size = f"{len(content) / 1e6:.1f} MB, and a model at most {MAX_FILE_BYTES / 1e6:g}"
        raise ConfigError(f"the weights take {size}; take a narrower network (another profile)")
    return content


def measure(model: Model, test: Part) -> dict[str, Any]:
    """Return :func:`softmask.experiments.kinds.measured` of a test part, segmented in the same way as users' images."""
    probabilities, alphas, _ = map(np.stack, zip(*map(model.segment, test.images[:, 0]), strict=True))
    return measured(test, probabilities, alphas, model.description.threshold)
