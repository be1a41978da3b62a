"""Finished runs for what is asked: from the store, trained where it lacks them, or from the committed records."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from softmask.config import Config
from softmask.errors import ConfigError, DataError, TrainingError
from softmask.experiments import prepared, store
from softmask.experiments.dispatch import Failure, Task, end_idle, local, on_cluster
from softmask.experiments.plan import Planned, data_of, plan, recorded, records_folder, stages
from softmask.experiments.record import Record
from softmask.experiments.spec import RunSpec
from softmask.experiments.watch import watched
from softmask.files import write_atomic
from softmask.machine import cores, release_freed_memory

MEMORY_OF_A_RUN = 12e9
"""Bytes of GPU memory that one run may take: what the largest network takes at full width."""


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run. ``folder`` is its place in the store; None where its record is there without its weights.

    ``needs`` are the runs that it builds on; recorded runs have none.
    """

    spec: RunSpec
    record: Record
    folder: Path | None = None
    needs: tuple[Planned, ...] = ()

    @property
    def key(self) -> str:
        return self.record.key

    @property
    def failed(self) -> bool:
        """Whether its training failed to start."""
        return self.record.failed

    def network(self) -> nn.Module:
        """The trained network, on the CPU, in evaluation mode.

        Raises:
            ConfigError: for a recorded run: records hold no weights.
            DataError: where the weights are damaged.
        """
        if self.folder is None:
            raise ConfigError(
                f"{self.spec.name} comes from its record, which holds no weights; run without SOFTMASK_RECORDED "
                "(--recorded) and without the committed record to train it"
            )
        return store.network_of(self.folder, self.record)


def fit(
    specs: Iterable[RunSpec],
    config: Config,
    jobs: int | None = None,
    dask: str | None = None,
    title: str = "",
    weights: bool = False,
) -> list[Run]:
    """The finished runs of ``specs``, in their order. What the store lacks is trained, each once, the longest first.
    With ``config.recorded``, nothing is trained: runs without a record of these settings are missing from the list.

    Each record goes to ``results/<run>/records`` as its run ends; one that is committed there counts as finished. An
    interrupted call keeps what is finished, and a checkpoint of
    every run that was under way; the next call goes on from there.

    Args:
        jobs: runs trained at once, a process each (default: ``SOFTMASK_JOBS``, else :func:`default_jobs`).
        dask: address of a dask scheduler to train on instead, such as ``tcp://host:8786``. Its workers need one
            thread each, and the store, the cache and the data under the same paths.
        title: of the progress bar.
        weights: whether the networks are needed, so that a committed record does not do.

    Raises:
        ConfigError: two runs of one name that differ, a wrong number of jobs, or no scheduler at the address.
        DataError: data that cannot be used, or a record that cannot be read; with ``config.recorded``, records that
            were measured on different data.
        TrainingError: runs that failed, each with its cause, after all others have finished.
    """
    specs = list(specs)
    if config.recorded:
        return _recorded(specs, config)
    planned = plan(specs, config, specs if weights else ())
    failures = _train(planned.missing, config, jobs, dask, title) if planned.missing else []
    failed = {failure.name for failure in failures}  # what they left is not looked at
    runs = {
        one.spec: Run(one.spec, one.finished(), None if one.record and not one.stored else one.folder, one.needs)
        for one in planned.runs
        if one.spec.name not in failed
    }
    for run in runs.values():
        publish(run.record, config)
    if failures:
        listed = "\n".join(f"- {failure.name}: {failure.why}" for failure in failures)
        raise TrainingError(f"{len(failures)} of {len(planned.runs)} runs failed; the others are kept:\n{listed}")
    return [runs[spec] for spec in specs]


def default_jobs() -> int:
    """Runs to train at once: ``SOFTMASK_JOBS``; else as many as the GPU's memory holds, 8 at most; else the cores.

    Raises:
        ConfigError: where ``SOFTMASK_JOBS`` is no whole number of at least 1.
    """
    given = os.environ.get("SOFTMASK_JOBS")
    if given:
        if not given.isdecimal() or int(given) < 1:
            raise ConfigError(f"SOFTMASK_JOBS must be a whole number of at least 1, not {given!r}")
        return int(given)
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory
        return max(1, min(8, cores(), int(memory // MEMORY_OF_A_RUN)))
    return cores()


def _recorded(specs: Sequence[RunSpec], config: Config) -> list[Run]:
    """The runs of ``specs`` that have a record of these settings and numerics; the first others are named on stderr."""
    runs, unfinished = {}, []
    for spec in dict.fromkeys(specs):
        record = recorded(spec, config)
        if record is None:
            unfinished.append(spec.name)
        else:
            runs[spec] = Run(spec, record)
    if unfinished:
        total = len(unfinished) + len(runs)
        count = f"{len(unfinished)} of {total} runs" if runs else f"None of {total} runs"
        state = "are not finished" if runs else "is finished"
        more = f" and {len(unfinished) - 3} more" if len(unfinished) > 3 else ""
        print(f"{count} {state}; without a record: {', '.join(unfinished[:3])}{more}", file=sys.stderr)
    _check_data(runs.values())
    return [runs[spec] for spec in specs if spec in runs]


def _check_data(runs: Iterable[Run]) -> None:
    """Raise DataError where two records of the same data name different contents of it."""
    first: dict[tuple, Run] = {}
    for run in runs:
        other = first.setdefault(data_of(run.spec), run)
        if run.record.provenance.data != other.record.provenance.data:
            raise DataError(
                f"{run.spec.name} and {other.spec.name} were trained and tested on different data "
                f"({run.record.provenance.data[:12]} and {other.record.provenance.data[:12]}); run without "
                "SOFTMASK_RECORDED (--recorded) to train what is out of date"
            )


def _train(missing: list[Planned], config: Config, jobs: int | None, dask: str | None, title: str) -> list[Failure]:
    """Train the ``missing`` runs. Returns those that failed."""
    jobs = default_jobs() if jobs is None else jobs
    if jobs < 1:
        raise ConfigError(f"jobs must be at least 1, not {jobs}")
    for run in missing:
        if run.damage:
            warnings.warn(f"{run.spec.name} is set aside and trained again: {run.damage}", stacklevel=3)
        if store.is_locked(run.folder):
            print(f"{run.spec.name} is being trained by another process; waiting for it", file=sys.stderr)
    for one in {data_of(run.spec): run.spec for run in missing}.values():
        prepared.prepare(one, config)  # once here, or every process would
    release_freed_memory()
    failures: dict[str, Failure] = {}
    with watched(missing, title) as finished:
        for stage in stages(missing):
            tasks = []
            known = list(dict.fromkeys(run.data for run in stage))
            for run in sorted(stage, key=lambda run: known.index(run.data)):  # a process holds one data set at a time
                lacking = [need.name for need in run.spec.needs if need.name in failures]
                if lacking:
                    failures[run.spec.name] = Failure(run.spec.name, f"it needs {lacking[0]}, which failed")
                else:
                    tasks.append(Task(run, config, prepared.prepare))
            for task, failure in on_cluster(tasks, dask) if dask else local(tasks, jobs):
                finished(task.run)
                if failure is None:
                    publish(task.run.finished(), config)
                else:
                    failures[failure.name] = failure
    if not dask:
        end_idle()
    return list(failures.values())


def publish(record: Record, config: Config) -> None:
    """Put the record beside the tables; one that is there already gets a new time, which tells the runner of the
    notebooks which of them stands behind it."""
    path, text = records_folder(config) / f"{record.spec.name}.json", record.to_json()
    if path.exists() and path.read_bytes() == text.encode():
        path.touch()
    else:
        write_atomic(path, text)
