"""Finished runs of table rows: fitting them, joining folds, their data and their provenance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from softmask.config import Config
from softmask.data.sample import data_kind, data_words
from softmask.data.splits import SECTION_FOLDS, dataset_name
from softmask.errors import DataError, MissingData
from softmask.experiments.prepare import Prepared, prepare
from softmask.experiments.run import fit
from softmask.experiments.spec import RunSpec
from softmask.experiments.store import Run
from softmask.files import sha256_of
from softmask.measure.soft import Calibration
from softmask.measure.statistics import ratio
from softmask.papers import display
from softmask.report import provenance

SpecsByKey = Mapping[tuple[str, str], Sequence[RunSpec]]
"""Specs of runs, one for each seed, by (row, data set)."""


class Fitted(dict[tuple[str, str], list[Run]]):
    """Finished runs of every seed by (row, data set), and the specs that were ``wanted``."""

    def __init__(self, runs: Mapping[tuple[str, str], Sequence[Run]], wanted: SpecsByKey | None = None) -> None:
        super().__init__({key: list(row_runs) for key, row_runs in runs.items() if row_runs})
        specs = {key: [run.spec for run in row_runs] for key, row_runs in self.items()}
        self.wanted: SpecsByKey = specs if wanted is None else wanted


def fit_rows(wanted: SpecsByKey, config: Config, title: str = "") -> Fitted:
    """Return the finished runs of ``wanted`` rows; missing runs are trained unless ``config.recorded``."""
    return fit_tables({"": wanted}, config, title)[""]


def fit_tables(wanted: Mapping[str, SpecsByKey], config: Config, title: str = "") -> dict[str, Fitted]:
    """Return :func:`fit_rows` of several tables, whose missing runs are all trained together."""
    specs = [spec for rows in wanted.values() for row_items in rows.values() for spec in row_items]
    runs = {run.spec: run for run in fit(specs, config, title=title)}
    tables = {}
    for name, rows in wanted.items():
        fitted_runs = {key: [runs[spec] for spec in row_items if spec in runs] for key, row_items in rows.items()}
        tables[name] = Fitted({key: joined(row_items, len(rows[key])) for key, row_items in fitted_runs.items()}, rows)
    return tables


def succeeded(runs: Sequence[Run]) -> list[Run]:
    """Return the ``runs`` whose training did not fail; only these enter means."""
    return [run for run in runs if not run.record.failed]


def first_runs(fitted: Fitted, rows: Iterable[str], dataset: str) -> dict[str, Run]:
    """Return the run of the first seed that is finished and did not fail, for each of ``rows`` that has one."""
    runs = {row: succeeded(fitted.get((row, dataset), [])) for row in rows}
    return {row: row_runs[0] for row, row_runs in runs.items() if row_runs}


def unfinished(fitted: Fitted, rows: Iterable[str], datasets: Sequence[str]) -> str:
    """Return the rows without a finished run: ``CasGAN on PROMISE12``."""
    keys = [(row, dataset) for row in rows for dataset in datasets if (row, dataset) not in fitted]
    return ", ".join(f"{display('rows', row)} on {display('datasets', dataset)}" for row, dataset in keys)


def note_of(fitted: Fitted, row: str, dataset: str) -> str:
    """Return the note on a row's unfinished and failed runs, or an empty string."""
    runs, name = fitted[row, dataset], display("datasets", dataset)
    n_wanted = 0 if isinstance(runs[0], Joined) else len(getattr(fitted, "wanted", fitted)[row, dataset])
    n_failed = len(runs) - len(succeeded(runs))
    notes = [f"{len(runs)} of {n_wanted} runs on {name} finished"] if len(runs) < n_wanted else []
    if n_failed == len(runs):
        notes.append(f"training on {name} failed ({n_failed} of {n_failed})")
    elif n_failed:
        notes.append(f"{n_failed} of {len(runs)} training runs on {name} failed")
    return "; ".join(notes)


@dataclass(frozen=True, eq=False)
class Joined(Run):
    """Runs on the folds of one specimen as one run; its network is that of the first fold."""

    folds: tuple[Run, ...] = ()


def joined(runs: Sequence[Run], wanted: int) -> list[Run]:
    """Return ``runs`` or, if they are on several folds of ISBI 2012, one :class:`Joined`, and no run until all
    ``wanted`` folds are finished. Curves are averaged over folds; the joined run failed if any fold failed."""
    if wanted < 2 or not runs or runs[0].spec.dataset not in SECTION_FOLDS:
        return list(runs)
    if len(runs) < wanted:
        return []
    records = [run.record for run in runs]
    first = records[0]
    for record in records:
        if record.measures.keys() != first.measures.keys():
            raise DataError(f"{record.spec.name}: its metrics differ from those of {first.spec.name}; train it again")
    record = replace(
        first,
        ids=sum((record.ids for record in records), ()),
        groups=sum((record.groups for record in records), ()),
        measures={name: tuple(v for record in records for v in record.measures[name]) for name in first.measures},
        curves={
            name: np.mean([record.curves[name] for record in records], axis=0).tolist()
            for name in first.curves
            if len({len(record.curves.get(name, ())) for record in records}) == 1
        },
        best_epoch=int(np.median([record.best_epoch for record in records])),
        calibration=calibration(runs) if first.calibration else None,
        predictions={name: image for record in records for name, image in record.predictions.items()},
        provenance=replace(
            first.provenance,
            data=sha256_of(*(record.provenance.data for record in records)),
            seconds=sum(record.provenance.seconds for record in records),
            needs=tuple(run.key for run in runs),
        ),
        failed=any(record.failed for record in records),
        failures=tuple(curves for record in records for curves in record.failures),
    )
    return [Joined(runs[0].spec, record, runs[0].folder, runs[0].needs, folds=tuple(runs))]


def kind_of(run: Run) -> str:
    """Return the kind of data that a run was tested on, a key of :data:`softmask.data.sample.WORDS`."""
    return data_kind(run.spec.dataset, run.spec.source, run.record.provenance.origin)


def calibration(runs: Sequence[Run]) -> Calibration:
    """Return the calibration of all ``runs`` together."""
    parts = [run.record.calibration for run in runs]
    counts = np.sum([part.counts for part in parts], axis=0)

    def pool(name: str) -> np.ndarray:
        return ratio(np.sum([part.counts * np.nan_to_num(getattr(part, name)) for part in parts], axis=0), counts)

    mean_probability, observed = pool("mean_probability"), pool("observed")
    error = np.nansum(counts * np.abs(mean_probability - observed)) / counts.sum()
    return Calibration(counts, mean_probability, observed, float(error))


def folds_of(run: Run) -> Sequence[Run]:
    """Return the folds of a :class:`Joined`, or the run itself."""
    return getattr(run, "folds", ()) or (run,)


def distinct(fitted: Fitted) -> list[Run]:
    """Return all runs, each once; in place of a :class:`Joined`, its folds."""
    return list({fold.spec: fold for runs in fitted.values() for run in runs for fold in folds_of(run)}.values())


def provenance_of(fitted: Fitted, config: Config, started: float) -> dict[str, Any]:
    """Return the provenance of work that began at ``started`` (``perf_counter``)."""
    datasets, run_lines, seeds = {}, [], set()
    for run in distinct(fitted):
        record, run_provenance = run.record, run.record.provenance
        datasets[run.spec.dataset, run_provenance.data] = {
            "name": run.spec.dataset,
            "source": kind_of(run),
            "origin": f"{run_provenance.origin} (test part)",
            "fingerprint": run_provenance.data,
            "n": len(record.ids),
            "problems": [],
        }
        line = {"name": run.spec.name, "key": record.key, "parameters": record.n_parameters}
        line |= {name: getattr(run_provenance, name) for name in ("seconds", "device", "commit", "dirty")}
        run_lines.append(line | {"recorded": run.folder is None})
        seeds.add(run.spec.seed)
    collected = provenance.collect(config, [], started, sorted(seeds))
    return collected | {"datasets": list(datasets.values()), "runs": run_lines}


def data_of(spec: RunSpec, config: Config) -> Prepared | None:
    """Return the data of a run, or None if it is missing."""
    try:
        return prepare(spec, config)
    except MissingData:
        return None


def example_of(spec: RunSpec, config: Config) -> Prepared:
    """Return :func:`data_of`, or a few embedded images instead."""
    if config.recorded and spec.source == "embedded" and spec.n_train is None:
        return prepare(replace(spec, n_train=8), config)
    return data_of(spec, config) or prepare(replace(spec, source="embedded", n_train=8), config)


def left_out(fitted: Fitted, config: Config) -> pd.DataFrame:
    """Return each image that could not be used: data set, image, why."""
    specs = {run.spec.dataset: run.spec for run in distinct(fitted)}
    datasets = {display("datasets", name): data_of(spec, config) for name, spec in specs.items()}
    lines = [(name, *image) for name, data in datasets.items() if data for image in data.left_out]
    return pd.DataFrame(lines, columns=["data set", "could not be used", "why"])


def sources_of(fitted: Fitted) -> str:
    """Return the data and the number of finished runs for captions, such as ``lidc (simulated)``."""
    runs = distinct(fitted)
    data_texts: dict[str, str] = {}
    folds = {run.spec.dataset for run in runs} & set(SECTION_FOLDS)
    for run in runs:
        name = run.spec.dataset
        data_text = data_words(name, run.spec.source, run.record.provenance.origin)
        if name in folds:
            count = f"the first of {len(SECTION_FOLDS)}" if len(folds) == 1 else f"{len(folds)}"
            name, data_text = dataset_name(name), f"{data_text}; one specimen, {count} folds of neighbouring sections"
        data_texts[name] = data_text
    wanted_runs = {spec for specs in fitted.wanted.values() for spec in specs} if isinstance(fitted, Fitted) else runs
    if not runs:
        return f"none of {len(wanted_runs)} runs is finished" if wanted_runs else "no run is finished"
    notes = [f"{len(runs)} of {len(wanted_runs)} runs finished"] if len(runs) < len(wanted_runs) else []
    return ", ".join([*(f"{name} ({data_text})" for name, data_text in data_texts.items()), *notes])
