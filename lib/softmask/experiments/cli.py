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
from softmask.experiments.execute import Run, default_jobs, fit
from softmask.experiments.plan import Plan, plan, records_folder, total_seconds
from softmask.experiments.spec import RunSpec
from softmask.experiments.tables import TABLES, rows_of, specs
from softmask.machine import clock


def run(arguments: argparse.Namespace, export: Callable[[Run, str], Any]) -> int:
    """Train what the store lacks of the chosen runs, or with ``--dry-run`` say what that is, or with
    ``--rehearse`` try each kind of run. The exit status.

    Args:
        export: writes the model of a run to a folder, for ``--export``.
    """
    config = configure(arguments.profile, arguments.data, arguments.seeds, arguments.data_root)
    some = arguments.table or arguments.on or arguments.only
    if config.profile.name == "night" and not some and not arguments.rehearse:
        if arguments.dry_run:
            print(night.summary(config))
            return 0
        return night.run(config, arguments.jobs, arguments.dask)
    if arguments.on:
        chosen = choose_on(arguments.on, arguments.only, config)
    else:
        chosen = choose(arguments.table or TABLES, arguments.only, config)
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
    for one in runs:
        dice = one.record.frame()["dice"].mean()
        print(f"{one.spec.name}  Dice {dice:.4f} over {len(one.record.ids)} test images")
    if arguments.export:
        model = export(max(runs, key=lambda run: max(run.record.curves["validation_dice"])), arguments.export)
        print(f"the model of {model.spec.name} is in {arguments.export}")
    return 0


def choose(tables: Sequence[str], rows: Sequence[str] | None, config: Config) -> list[RunSpec]:
    """The runs behind ``rows`` (default: all) of ``tables``, each once.

    Raises:
        ConfigError: for an unknown table, or a row that none of them has; it lists the valid ones.
    """
    by_row: dict[str, list[RunSpec]] = {}
    for table in tables:
        for (row, _), some in specs(table, config).items():
            by_row.setdefault(row, []).extend(some)
    for row in rows or ():
        if row not in by_row:
            raise ConfigError(f"{', '.join(tables)}: there is no row {row!r} to train; choose from {', '.join(by_row)}")
    return list(dict.fromkeys(spec for row in rows or by_row for spec in by_row[row]))


def choose_on(datasets: Sequence[str], rows: Sequence[str] | None, config: Config) -> list[RunSpec]:
    """The runs of ``rows`` on ``datasets``, whether a table prints them or not, each once.

    Raises:
        ConfigError: without rows, for a row without a method, or an unknown data set; it lists the valid ones.
    """
    if not rows:
        raise ConfigError("--on needs --only and the rows to train, such as --only unet")
    for dataset in datasets:
        if dataset not in PAPER_SIZES:
            raise ConfigError(f"unknown data set {dataset!r}; choose one of {', '.join(PAPER_SIZES)}")
    found = [rows_of(rows, dataset, config) for dataset in datasets]
    return list(dict.fromkeys(spec for places in found for some in places.values() for spec in some))


def listing(planned: Plan, jobs: int) -> str:
    """Which runs are there and which are missing, and how long those may take, as text."""
    width = max(len(run.spec.name) for run in planned.runs)
    lines = []
    for run in planned.runs:
        state = "there" if run.record else "damaged" if run.damage else "missing"
        known = "" if run.record else "time not known" if run.seconds is None else f"about {clock(run.seconds)}"
        lines.append(f"{run.spec.name:<{width}}  {state:<7}  {known}".rstrip())
    missing = planned.missing
    if not missing:
        return "\n".join([*lines, f"nothing is missing: all {len(planned.runs)} runs are there"])
    seconds = total_seconds(missing, jobs)
    known = "time not known" if seconds is None else f"about {clock(seconds)}"
    return "\n".join([*lines, f"{len(missing)} of {len(planned.runs)} runs are missing; {jobs} at a time: {known}"])
