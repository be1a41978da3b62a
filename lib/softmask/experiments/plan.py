"""Which runs are finished and which are missing, and how long those may take."""

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
from softmask.machine import cpu_model


def plan(specs: Iterable[RunSpec], config: Config, weights: Iterable[RunSpec] = ()) -> list[Run]:
    """Look up ``specs`` and what they need in the store and among the committed records, each once, after its needs;
    nothing is trained. A run without a record is missing; a damaged one is, too, with a warning.

    In a profile that trains for hours, a committed record counts as a finished run on a machine whose store has none;
    its network is trained again only where a missing run builds on it, or where it is one of ``weights``.

    Raises:
        ConfigError: where two different runs have one name.
        MissingData: real data that is asked for and not there.
    """
    digests: dict[tuple, str] = {}
    runs: dict[RunSpec, Run] = {}
    retrained = set(weights)
    for spec in distinct(specs):
        if data_of(spec) not in digests:
            digests[data_of(spec)] = prepare.digest_of(spec, config)
        run = Run(spec, needs=tuple(runs[need] for need in spec.needs), data=digests[data_of(spec)])
        folder, record = store.folder_of(run.key), None
        try:
            record = store.read(folder, spec, run.key)
        except DataError as error:
            warnings.warn(f"{spec.name} is damaged; training sets it aside and begins again: {error}", stacklevel=3)
            retrained.add(spec)
        runs[spec] = replace(run, folder=folder, record=record)
    for spec in reversed(list(runs)):  # every run before those that it needs
        run = runs[spec]
        if run.record is None and config.profile.long and spec not in retrained:
            committed = recorded(spec, config)
            if committed and committed.key == run.key:
                runs[spec] = run = replace(run, record=committed, folder=None)
        if run.record is None:
            retrained.update(spec.needs)
    for spec, run in runs.items():
        runs[spec] = replace(run, needs=tuple(runs[need] for need in spec.needs))
    return list(runs.values())


def missing(runs: Iterable[Run]) -> list[Run]:
    """Return the runs to train."""
    return [run for run in runs if run.record is None]


def stages(runs: Sequence[Run]) -> list[list[Run]]:
    """Return ``runs`` in groups, each run in a later group than those of ``runs`` that it needs."""
    groups: list[list[Run]] = []
    waiting = list(runs)
    while waiting:
        specs = {run.spec for run in waiting}
        groups.append([run for run in waiting if not specs & set(run.spec.needs)])
        waiting = [run for run in waiting if specs & set(run.spec.needs)]
    return groups


def distinct(specs: Iterable[RunSpec]) -> list[RunSpec]:
    """Return ``specs`` and what they need, each once, after its needs. Raises ConfigError where two that differ have
    one name, and so one record."""
    by_name: dict[str, RunSpec] = {}
    for wanted in specs:
        for spec in (*distinct(wanted.needs), wanted):
            if by_name.setdefault(spec.name, spec) != spec:
                raise ConfigError(f"{spec.name}: two runs of that name differ in width, size or settings; ask for one")
    return list(by_name.values())


def data_of(spec: RunSpec) -> tuple:
    """Return what of ``spec`` decides its prepared data."""
    return spec.dataset, spec.source, spec.size, spec.n_train, spec.upscales


def likeness(spec: RunSpec) -> tuple:
    """Return what two runs that take about the same time have in common."""
    losses = tuple(name for name, _ in spec.losses)
    size = (spec.size, spec.scale, spec.reduction)
    return spec.dataset, spec.network, spec.width, spec.channels, losses, size, spec.n_train, spec.settings


def seconds_known(config: Config) -> Mapping[tuple, float]:
    """Return the median seconds of training by :func:`likeness`, of known runs on a machine like this."""
    here = (device_name(), cpu_model())
    seconds: defaultdict[tuple, list[float]] = defaultdict(list)
    for path in (*store.root().glob(f"*/{store.RECORD}"), *records_folder(config).glob("*.json")):
        with suppress(DataError):  # a damaged record tells no time
            record = Record.read(path)
            if (record.provenance.device, record.provenance.cpu) == here:
                seconds[likeness(record.spec)].append(record.provenance.seconds)
    return {like: statistics.median(values) for like, values in seconds.items()}


def records_folder(config: Config) -> Path:
    """Return ``results/<run>/records``: the records that are committed."""
    return config.results / "records"


def recorded(spec: RunSpec, config: Config) -> Record | None:
    """Return the record beside the tables of a run with these settings and numerics, whatever its data; None without
    one. Of a damaged one there is a warning."""
    path = records_folder(config) / f"{spec.name}.json"
    if not path.exists():
        return None
    try:
        record = Record.read(path)
    except DataError as error:
        warnings.warn(f"{error}", stacklevel=3)
        return None
    return record if record.spec == spec and record.provenance.numerics == NUMERICS else None
