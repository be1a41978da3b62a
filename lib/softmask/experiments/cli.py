"""``softmask run``: train the runs behind the tables without a notebook, or list them."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from softmask.config import Config
from softmask.data import configure
from softmask.data.splits import PAPER_SIZES
from softmask.errors import ConfigError, unknown
from softmask.experiments import night, rehearsal
from softmask.experiments.plan import likeness, missing, plan, records_folder, seconds_known, stages
from softmask.experiments.rows import METHODS, TABLES, rows_of, specs
from softmask.experiments.run import default_jobs, fit
from softmask.experiments.spec import RunSpec
from softmask.experiments.store import Run
from softmask.machine import clock


def run(arguments: argparse.Namespace, export: Callable[[Run, str], Any]) -> int:
    """Train the chosen runs that are missing; list the chosen runs (``--dry-run``), or try each kind of run
    (``--rehearse``). Returns the exit status. ``export`` writes the model of a run to a folder, for ``--export``."""
    config = configure(arguments.profile, arguments.data, arguments.seeds, arguments.data_root)
    selection = arguments.table or arguments.on or arguments.only
    if config.profile.name == "night" and not selection and not arguments.rehearse:
        if arguments.dry_run:
            print(night.summary(config))
            return 0
        return night.run(config, arguments.jobs, arguments.dask)
    chosen_specs = choose(arguments.table or TABLES, arguments.on, arguments.only, config)
    if arguments.export and len({(spec.dataset, spec.network, spec.losses) for spec in chosen_specs}) > 1:
        raise ConfigError("--export writes one model; name one row and one data set, such as --on lungs-2d --only unet")
    if arguments.rehearse:
        if arguments.dask:
            raise ConfigError("--rehearse measures this machine; leave out --dask, and rehearse where a worker runs")
        return rehearsal.run(chosen_specs)
    if arguments.dry_run:
        print(listing(plan(chosen_specs, config), config, arguments.jobs or default_jobs()))
        return 0
    weights = bool(arguments.export)
    runs = fit(chosen_specs, config, jobs=arguments.jobs, dask=arguments.dask, title=config.run, weights=weights)
    print(f"Finished runs: {len(runs)}; their records are in {records_folder(config)}")
    for finished_run in runs:
        dice = finished_run.record.frame()["dice"].mean()
        print(f"{finished_run.spec.name}  Dice {dice:.4f} over {len(finished_run.record.ids)} test images")
    if arguments.export:
        model = export(max(runs, key=lambda run: max(run.record.curves["validation_dice"])), arguments.export)
        print(f"the model of {model.spec.name} is in {arguments.export}")
    return 0


def choose(
    tables: Sequence[str], datasets: Sequence[str] | None, rows: Sequence[str] | None, config: Config
) -> list[RunSpec]:
    """Return the distinct runs of ``rows`` (default: all) of ``tables``, or, if ``datasets`` are given, of ``rows`` on
    these data sets, even if no table has them.

    Raises:
        ConfigError: for an unknown table, data set or row; the message lists the valid names.
    """
    if datasets and not rows:
        raise ConfigError("--on needs --only and the rows to train, such as --only unet")
    selections = []
    for dataset in datasets or ():
        if dataset not in PAPER_SIZES:
            raise unknown("data set", dataset, PAPER_SIZES)
        selections.append(rows_of(rows, dataset, config))
    if not datasets:
        selections = [specs(table, config) for table in tables]
    runs_by_row: dict[str, list[RunSpec]] = {}
    for runs_by_key in selections:
        for (row, _), runs in runs_by_key.items():
            runs_by_row.setdefault(row, []).extend(runs)
    for row in rows or ():
        if row in METHODS and row not in runs_by_row:
            raise ConfigError(f"row {row!r} is in none of {', '.join(tables)}; to train it, add --on and a data set")
        if row not in runs_by_row:
            raise unknown("row", row, runs_by_row)
    return list(dict.fromkeys(spec for row in rows or runs_by_row for spec in runs_by_row[row]))


def listing(runs: Sequence[Run], config: Config, jobs: int) -> str:
    """Return a text that lists finished and missing runs, with the expected training time of the missing runs."""
    known_seconds, missing_runs = seconds_known(config), missing(runs)

    def seconds(run: Run) -> float:
        return known_seconds.get(likeness(run.spec), math.nan)

    states = ["finished" if run.record else f"missing, {_about(seconds(run))}" for run in runs]
    lines = [f"{run.spec.name}  {state}" for run, state in zip(runs, states, strict=True)]
    total_seconds = 0.0  # a stage takes at least as long as its longest run
    for stage in stages(missing_runs):
        times = np.array([seconds(run) for run in stage])
        total_seconds += np.maximum(times.sum() / jobs, times.max())  # NaN if any time is unknown
    lines.append(f"{len(missing_runs)} of {len(runs)} runs are missing; {jobs} at a time: {_about(total_seconds)}")
    return "\n".join(lines)


def _about(seconds: float) -> str:
    return "time not known" if math.isnan(seconds) else f"about {clock(seconds)}"
