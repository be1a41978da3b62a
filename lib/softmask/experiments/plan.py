"""Plan of a training: finished and missing runs, their order, and the expected training time."""

from __future__ import annotations

import statistics
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from softmask.config import Config
from softmask.errors import ConfigError, DataError
from softmask.experiments import prepare, store
from softmask.experiments.spec import NUMERICS, RunSpec
from softmask.experiments.store import Record, Run, device_name
from softmask.files import read_bytes, sha256_of, write_atomic
from softmask.machine import cpu_model


def plan(specs: Iterable[RunSpec], config: Config, weights: Iterable[RunSpec] = ()) -> list[Run]:
    """Return ``specs`` and the runs that they need, each once and after its needs, as found in the store and among the
    committed records. A run without a record is missing; a damaged run is also missing, with a warning.

    In a profile that trains for hours, a committed record counts as a finished run if the store has no record. If a
    missing run builds on its network, or if the run is one of ``weights``, the committed weights are copied to the
    store; a run without committed weights is then trained again.

    Raises:
        ConfigError: if two different runs have the same name.
        MissingData: if real data is asked for and not there.
    """
    digests: dict[tuple, str] = {}
    runs: dict[RunSpec, Run] = {}
    retrained_specs = set(weights)
    for spec in distinct(specs):
        if data_of(spec) not in digests:
            digests[data_of(spec)] = prepare.digest_of(spec, config)
        run = Run(spec, needs=tuple(runs[need] for need in spec.needs), data=digests[data_of(spec)])
        folder, record = store.folder_of(run.key), None
        try:
            record = store.read(folder, spec, run.key)
        except DataError as error:
            warnings.warn(f"{spec.name} is damaged; training sets it aside and begins again: {error}", stacklevel=3)
            retrained_specs.add(spec)
        runs[spec] = replace(run, folder=folder, record=record)
    for spec in reversed(list(runs)):  # every run before those that it needs
        run = runs[spec]
        committed_record = recorded(spec, config) if run.record is None and config.profile.long else None
        if committed_record and committed_record.key == run.key:
            if spec not in retrained_specs:
                runs[spec] = run = replace(run, record=committed_record, folder=None)
            elif _restored(run.folder, committed_record, config):
                runs[spec] = run = replace(run, record=committed_record)
        if run.record is None:
            retrained_specs.update(spec.needs)
    for spec, run in runs.items():
        runs[spec] = replace(run, needs=tuple(runs[need] for need in spec.needs))
    return list(runs.values())


def _restored(folder: Path, record: Record, config: Config) -> bool:
    """Copy a committed record and its weights to the ``folder`` of the store; return whether the weights are there."""
    path, weights_file = weights_path(record.spec, config), record.provenance.weights
    if weights_file is None or not path.exists():
        return False
    content = read_bytes(path, "restore it from git")
    if sha256_of(content) != weights_file.sha256:
        warnings.warn(f"{path}: are not the weights of its record; the network is trained again", stacklevel=4)
        return False
    with store.locked(folder, record.spec.name):
        store.begin(folder, record.spec)
        write_atomic(folder / store.WEIGHTS, content)
        store.finish(folder, record)
    return True


def missing(runs: Iterable[Run]) -> list[Run]:
    """Return the runs to train."""
    return [run for run in runs if run.record is None]


def stages(runs: Sequence[Run]) -> list[list[Run]]:
    """Return ``runs`` in groups, each run in a later group than the ``runs`` that it needs."""
    groups: list[list[Run]] = []
    waiting_runs = list(runs)
    while waiting_runs:
        specs = {run.spec for run in waiting_runs}
        groups.append([run for run in waiting_runs if not specs & set(run.spec.needs)])
        waiting_runs = [run for run in waiting_runs if specs & set(run.spec.needs)]
    return groups


def distinct(specs: Iterable[RunSpec]) -> list[RunSpec]:
    """Return ``specs`` and the runs that they need, each once and after its needs. Raises ConfigError if two different
    runs have the same name, and so the same record."""
    specs_by_name: dict[str, RunSpec] = {}
    for requested_spec in specs:
        for spec in (*distinct(requested_spec.needs), requested_spec):
            if specs_by_name.setdefault(spec.name, spec) != spec:
                raise ConfigError(f"{spec.name}: two runs of that name differ in width, size or settings; ask for one")
    return list(specs_by_name.values())


def data_of(spec: RunSpec) -> tuple:
    """Return the settings of ``spec`` that determine its prepared data."""
    return spec.dataset, spec.source, spec.size, spec.n_train, spec.upscales


def likeness(spec: RunSpec) -> tuple:
    """Return the settings that runs of about the same training time have in common."""
    losses = tuple(name for name, _ in spec.losses)
    size = (spec.size, spec.scale, spec.reduction)
    return spec.dataset, spec.network, spec.width, spec.channels, losses, size, spec.n_train, spec.settings


def seconds_known(config: Config) -> Mapping[tuple, float]:
    """Return the median training time in seconds by :func:`likeness`, from runs on the same device and processor."""
    this_machine = (device_name(), cpu_model())
    seconds: defaultdict[tuple, list[float]] = defaultdict(list)
    for path in (*store.root().glob(f"*/{store.RECORD}"), *records_folder(config).glob("*.json")):
        with suppress(DataError):  # a damaged record has no known time
            record = Record.read(path)
            if (record.provenance.device, record.provenance.cpu) == this_machine:
                seconds[likeness(record.spec)].append(record.provenance.seconds)
    return {like: statistics.median(values) for like, values in seconds.items()}


def records_folder(config: Config) -> Path:
    """Return ``results/<run>/records``, the folder of the records that are committed."""
    return config.results / "records"


def weights_path(spec: RunSpec, config: Config) -> Path:
    """Return the file of the weights beside the record of a run, which only super-resolution networks have: all other
    networks of the papers need them, and they are small (200 KB)."""
    return records_folder(config) / f"{spec.name}.safetensors"


def recorded(spec: RunSpec, config: Config) -> Record | None:
    """Return the record beside the tables of a run with these settings and numerics, whatever its data; None if there
    is none, or, with a warning, if it is damaged."""
    path = records_folder(config) / f"{spec.name}.json"
    if not path.exists():
        return None
    try:
        record = Record.read(path)
    except DataError as error:
        warnings.warn(f"{error}", stacklevel=3)
        return None
    return record if record.spec == spec and record.provenance.numerics == NUMERICS else None
