"""A model's folder from a finished run."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from softmask.config import Config
from softmask.errors import ConfigError, DataError
from softmask.files import write_atomic
from softmask.measure.lungs import dice3d
from softmask.models.card import card
from softmask.models.description import (
    CARD,
    FORMAT,
    MODEL,
    WEIGHTS,
    Description,
    check_spec,
    digest,
    networks,
    to_weights,
)
from softmask.models.model import Model, measure
from softmask.runs import prepared
from softmask.runs.execute import Run
from softmask.runs.prepared import Prepared
from softmask.runs.record import significant


def export(run: Run, folder: str | Path, data: Prepared | None = None) -> Model:
    """Write the model of a finished run to ``folder``, whole or not at all, and return it.

    Its measures are those of the rounded weights that are written, on the run's test part.

    Args:
        folder: is made; a model that is there is replaced, and nothing else is.
        data: what the run was trained and tested on; None prepares it.

    Raises:
        ConfigError: for a run of which no model is made, weights that are too many (``description.LARGEST``), data that
            the run was not tested on, or a folder that holds anything but a model.
        DataError: where the run's weights or its data cannot be read.
    """
    spec, record, folder = run.spec, run.record, Path(folder)
    check_spec(spec)
    _check_place(folder)
    if data is None:
        data = prepared.prepare(spec, Config.from_parameters(spec.profile, spec.source))
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
    found = dict(measure(model, data.test)["measures"])
    if spec.of_lungs:  # of a slice these are no measures, of all slices of a scan they are
        pixels = [found.pop(f"pixels_{which}") for which in ("true", "found", "common")]
        found["dice3d"] = np.array(list(dice3d(data.test.groups, *pixels).values()))
    model = replace(model, description=replace(description, measures={name: _mean(found[name]) for name in found}))
    files = {
        WEIGHTS: weights,
        MODEL: model.description.to_json(),
        CARD: card(model.name, model.description, record, len(weights)),
    }
    _write(folder, files)
    return model


def _mean(values: np.ndarray) -> tuple[float, int]:
    """Mean of the finite values, and how many they are."""
    finite = values[np.isfinite(values)]
    return (significant(float(finite.mean())) if len(finite) else float("nan")), len(finite)


def _check_place(folder: Path) -> None:
    """Raises ConfigError where ``folder`` is a file, or holds anything but a model."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; name a folder")
    others = sorted({path.name for path in folder.iterdir()} - {WEIGHTS, MODEL, CARD})
    if others:
        raise ConfigError(f"{folder}: holds {others[0]}, which is of no model; name another folder, or empty this one")


def _write(folder: Path, files: dict[str, bytes | str]) -> None:
    """Put ``files`` into ``folder`` in place of what is there, by renaming a folder that is complete.

    Raises:
        DataError: where it cannot be written; what was there is untouched.
    """
    folder = folder.absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", suffix=".part") as scratch:
            made, old = Path(scratch, "made"), Path(scratch, "old")
            for name, content in files.items():
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
