"""``softmask run``: the runs behind tables, trained without a notebook, or just listed."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from softmask.config import Config
from softmask.data import configure
from softmask.data.splits import PAPER_SIZES
from softmask.errors import ConfigError
from softmask.experiments import night, rehearsal
from softmask.experiments.plan import missing, plan, records_folder, total_seconds
from softmask.experiments.rows import TABLES, rows_of, specs
from softmask.experiments.run import default_jobs, fit
from softmask.experiments.spec import RunSpec
from softmask.experiments.store import Run
from softmask.machine import clock


def run(arguments: argparse.Namespace, export: Callable[[Run, str], Any]) -> int:
    """Train what the store lacks of the chosen runs, or with ``--dry-run`` say what that is, or with ``--rehearse`` try
    each kind of run. Returns the exit status. ``export`` writes the model of a run to a folder, for ``--export``."""
    config = configure(arguments.profile, arguments.data, arguments.seeds, arguments.data_root)
    some = arguments.table or arguments.on or arguments.only
    if config.profile.name == "night" and not some and not arguments.rehearse:
        if arguments.dry_run:
            print(night.summary(config))
            return 0
        return night.run(config, arguments.jobs, arguments.dask)
    chosen = choose(arguments.table or TABLES, arguments.on, arguments.only, config)
    if arguments.export and len({(spec.dataset, spec.network, spec.losses) for spec in chosen}) > 1:
        raise ConfigError("--export writes one model; name one row and one data set, such as --on lungs-2d --only unet")
    if arguments.rehearse:
        if arguments.dask:
            raise ConfigError("--rehearse measures this machine; leave out --dask, and rehearse where a worker runs")
        return rehearsal.run(chosen)
    if arguments.dry_run:
        print(listing(plan(chosen, config), arguments.jobs or default_jobs()))
        return 0
    weights = bool(arguments.export)
    runs = fit(chosen, config, jobs=arguments.jobs, dask=arguments.dask, title=config.run, weights=weights)
    print(f"{len(set(chosen))} runs are there; their records are in {records_folder(config)}")
    for done in runs:
        dice = done.record.frame()["dice"].mean()
        print(f"{done.spec.name}  Dice {dice:.4f} over {len(done.record.ids)} test images")
    if arguments.export:
        model = export(max(runs, key=lambda run: max(run.record.curves["validation_dice"])), arguments.export)
        print(f"the model of {model.spec.name} is in {arguments.export}")
    return 0


def choose(
    tables: Sequence[str], datasets: Sequence[str] | None, rows: Sequence[str] | None, config: Config
) -> list[RunSpec]:
    """Return the runs of ``rows`` (default: all) of ``tables``, or of ``rows`` on ``datasets``, whether a table prints
    them or not; each once.

    Raises:
        ConfigError: for an unknown table or data set, or a row that is not there; it lists the valid ones.
    """
    if datasets and not rows:
        raise ConfigError("--on needs --only and the rows to train, such as --only unet")
    for dataset in datasets or ():
        if dataset not in PAPER_SIZES:
            raise ConfigError(f"unknown data set {dataset!r}; choose one of {', '.join(PAPER_SIZES)}")
    places = (
        [rows_of(rows, name, config) for name in datasets] if datasets else [specs(name, config) for name in tables]
    )
    by_row: dict[str, list[RunSpec]] = {}
    for place in places:
        for (row, _), runs in place.items():
            by_row.setdefault(row, []).extend(runs)
    for row in rows or ():
        if row not in by_row:
            raise ConfigError(f"{', '.join(tables)}: there is no row {row!r} to train; choose from {', '.join(by_row)}")
    return list(dict.fromkeys(spec for row in rows or by_row for spec in by_row[row]))


def listing(runs: Sequence[Run], jobs: int) -> str:
    """Return which runs are there and which are missing, and how long those may take, as text."""
    width = max(len(run.spec.name) for run in runs)
    lines = []
    for run in runs:
        state = "there" if run.record else "damaged" if run.damage else "missing"
        known = "" if run.record else "time not known" if run.seconds is None else f"about {clock(run.seconds)}"
        lines.append(f"{run.spec.name:<{width}}  {state:<7}  {known}".rstrip())
    ahead = missing(runs)
    if not ahead:
        return "\n".join([*lines, f"nothing is missing: all {len(runs)} runs are there"])
    seconds = total_seconds(ahead, jobs)
    known = "time not known" if seconds is None else f"about {clock(seconds)}"
    return "\n".join([*lines, f"{len(ahead)} of {len(runs)} runs are missing; {jobs} at a time: {known}"])
