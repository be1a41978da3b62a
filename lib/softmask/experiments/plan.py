"""Which runs are there, which are missing, and how long those may take."""

from __future__ import annotations

import statistics
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from softmask.config import Config
from softmask.errors import ConfigError, DataError
from softmask.experiments import prepared, store
from softmask.experiments.record import Record, device_name
from softmask.experiments.spec import NUMERICS, RunSpec
from softmask.machine import cpu_model


@dataclass(frozen=True, eq=False)
class Planned:
    """One run that was asked for.

    Attributes:
        data: hex digest of its data.
        folder: its place in the store.
        record: of the finished run, from the store or the committed one; None where it is missing, or where only its
            weights are and a missing run needs them.
        stored: whether its weights are in the store.
        damage: what is wrong with what lies in its place, where something is.
        seconds: how long like runs took to train on a machine like this; None where none is known.
        needs: the runs that it builds on.
    """

    spec: RunSpec
    data: str
    folder: Path
    record: Record | None
    stored: bool = False
    damage: str = ""
    seconds: float | None = None
    needs: tuple[Planned, ...] = ()

    @property
    def key(self) -> str:
        return self.spec.key(self.data, [need.key for need in self.needs])

    @property
    def failed(self) -> bool:
        """Whether its training failed to start; known once it is finished."""
        return self.finished().failed

    def finished(self) -> Record:
        """Its record, read anew where it was missing. Raises DataError where it is (still) missing or damaged."""
        record = self.record or store.read(self.folder, self.spec, self.key)
        if record is None:
            raise DataError(f"{self.spec.name}: {self.folder} has no record; have the workers another store?")
        return record

    def network(self) -> nn.Module:
        """The trained network (:func:`softmask.experiments.store.network_of`)."""
        return store.network_of(self.folder, self.finished())


@dataclass(frozen=True, eq=False)
class Plan:
    """All runs that were asked for and those that they need, each once, every run after its needs."""

    runs: tuple[Planned, ...]

    @property
    def missing(self) -> list[Planned]:
        """The runs to train, the longest first; those of unknown length before all others."""
        missing = [run for run in self.runs if run.record is None]
        return sorted(missing, key=lambda run: float("inf") if run.seconds is None else run.seconds, reverse=True)


def plan(specs: Iterable[RunSpec], config: Config, weights: Iterable[RunSpec] = ()) -> Plan:
    """Look up ``specs`` in the store and among the committed records; nothing is trained.

    In a profile that trains for hours, a committed record counts as a finished run on a machine whose store has none;
    its network is trained again only where a missing run builds on it, or where it is one of ``weights``. Data that is
    not prepared yet is prepared, once.

    Raises:
        ConfigError: where two different runs have one name.
        MissingData: real data that is asked for and not there.
    """
    digests: dict[tuple, str] = {}
    keys: dict[RunSpec, str] = {}
    stored: dict[RunSpec, Record] = {}
    damage: dict[RunSpec, str] = {}
    wanted = distinct(specs)
    for spec in wanted:
        data = data_of(spec)
        if data not in digests:
            digests[data] = prepared.digest_of(spec, config)
        keys[spec] = spec.key(digests[data], [keys[need] for need in spec.needs])
        try:
            record = store.read(store.folder_of(keys[spec]), spec, keys[spec])
            if record is not None:
                stored[spec] = record
        except DataError as error:
            damage[spec] = str(error)
    finished = dict.fromkeys(wanted) | stored
    if config.profile.long:
        lost = [spec for spec in wanted if spec not in stored and spec not in damage]
        finished |= {spec: _committed(spec, keys[spec], config) for spec in lost}
        finished |= {spec: stored.get(spec) for spec in weights}
    for spec in reversed(wanted):  # every run after those that need it
        if finished[spec] is None:
            finished |= {need: stored.get(need) for need in spec.needs}
    known = seconds_known(config) if None in finished.values() else {}  # reading all records takes some time
    runs: dict[RunSpec, Planned] = {}
    for spec in wanted:
        runs[spec] = Planned(
            spec,
            digests[data_of(spec)],
            store.folder_of(keys[spec]),
            finished[spec],
            spec in stored,
            damage.get(spec, ""),
            known.get(likeness(spec)) if finished[spec] is None else None,
            tuple(runs[need] for need in spec.needs),
        )
    return Plan(tuple(runs.values()))


def recorded(spec: RunSpec, config: Config) -> Record | None:
    """The record beside the tables of a run with these settings and numerics, whatever its data; None without one. Of a
    damaged one there is a warning."""
    path = records_folder(config) / f"{spec.name}.json"
    if not path.exists():
        return None
    try:
        record = Record.read(path)
    except DataError as error:
        warnings.warn(f"{error}", stacklevel=3)
        return None
    return record if record.spec == spec and record.provenance.numerics == NUMERICS else None


def _committed(spec: RunSpec, key: str, config: Config) -> Record | None:
    """The :func:`recorded` one of the run with that key."""
    record = recorded(spec, config)
    return record if record is not None and record.key == key else None


def distinct(specs: Iterable[RunSpec]) -> list[RunSpec]:
    """``specs`` and what they need, each once, after its needs.

    Raises:
        ConfigError: where two that differ have one name, and so one record.
    """
    by_name: dict[str, RunSpec] = {}
    for wanted in specs:
        for spec in (*distinct(wanted.needs), wanted) if wanted.needs else (wanted,):
            if by_name.setdefault(spec.name, spec) != spec:
                raise ConfigError(f"{spec.name}: two runs of that name differ in width, size or settings; ask for one")
    return list(by_name.values())


def data_of(spec: RunSpec) -> tuple:
    """What of ``spec`` decides its prepared data."""
    return spec.dataset, spec.source, spec.size, spec.n_train


def likeness(spec: RunSpec) -> tuple:
    """What two runs that take about the same time have in common."""
    losses = tuple(name for name, _ in spec.losses)
    size = (spec.size, spec.scale, spec.reduction)
    return spec.dataset, spec.network, spec.width, spec.channels, losses, size, spec.n_train, spec.settings


def records_folder(config: Config) -> Path:
    """``results/<run>/records``: the records that are committed."""
    return config.results / "records"


def seconds_known(config: Config) -> Mapping[tuple, float]:
    """Median seconds of training by :func:`likeness`, of the store's and the committed runs on a machine like this."""
    here = (device_name(), cpu_model())
    seconds: defaultdict[tuple, list[float]] = defaultdict(list)
    for path in (*store.root().glob(f"*/{store.RECORD}"), *records_folder(config).glob("*.json")):
        with suppress(DataError):  # what cannot be read tells no time; fit and plan say so of the runs they want
            record = Record.read(path)
            if (record.provenance.device, record.provenance.cpu) == here:
                seconds[likeness(record.spec)].append(record.provenance.seconds)
    return {like: statistics.median(values) for like, values in seconds.items()}


def total_seconds(runs: Sequence[Planned], jobs: int) -> float | None:
    """How long ``runs`` take together, ``jobs`` at a time, each after its needs; None where nothing is known of one of
    them."""
    if any(run.seconds is None for run in runs):
        return None
    total = 0.0
    for stage in stages(runs):
        seconds = [run.seconds for run in stage]
        total += max(sum(seconds) / jobs, max(seconds))
    return total


def stages(runs: Sequence[Planned]) -> list[list[Planned]]:
    """``runs`` in groups, each run in a later group than those of ``runs`` that it needs."""
    groups: list[list[Planned]] = []
    waiting = list(runs)
    while waiting:
        names = {run.spec for run in waiting}
        groups.append([run for run in waiting if not names & set(run.spec.needs)])
        waiting = [run for run in waiting if names & set(run.spec.needs)]
    return groups
