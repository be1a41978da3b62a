"""Long table of results, one value per line, and its summary as cells of printed and written tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from softmask.analysis.finished import Fitted, kind_of, succeeded
from softmask.errors import DataError
from softmask.experiments.store import Run
from softmask.report.result import Cell, Key

COLUMNS = ("row", "dataset", "run", "seed", "image", "patient", "metric", "value", "source", "failed")
"""Columns of the long table. A failed training run has one line for each metric, with the value NaN."""

Values = Callable[[Sequence[Run], str], np.ndarray]
"""Function that returns the values (seeds, N) of a metric for runs."""

Remarks = Callable[[str, str, str, np.ndarray], Iterable[str]]
"""Function that yields notes on a cell, from its row, data set, metric and all its values."""


def values_of(runs: Sequence[Run], metric: str) -> np.ndarray:
    """Return a measure of runs as (seeds, N).

    Raises:
        DataError: if the seeds were not measured on the same test images, or the measure is missing.
    """
    for run in runs:
        if run.record.ids != runs[0].record.ids:
            raise DataError(f"{run.spec.name}: measured on other test images than {runs[0].spec.name}; train it again")
        if metric not in run.record.measures:
            raise DataError(f"{run.spec.name}: its record has no {metric}; it has {', '.join(run.record.measures)}")
    return np.array([run.record.measures[metric] for run in runs], dtype=float)


def of_runs(fitted: Fitted, keys: Iterable[Key], values: Values = values_of) -> pd.DataFrame:
    """Return the long table of finished runs, in the order of ``keys``.

    Args:
        keys: (row, data set, metric), each with a run in ``fitted``.
        values: function for the values; if N is not the number of test images, as for scans, the images are numbered.
    """
    parts = []
    for row, dataset, metric in keys:
        all_runs = fitted[row, dataset]
        runs = succeeded(all_runs)
        arrays = iter(values(runs, metric))
        for run in all_runs:
            images, patients, array = [""], [""], [np.nan]
            if not run.record.failed:
                array = next(arrays)
                per_image = len(array) == len(run.record.ids)
                images, patients = (run.record.ids, run.record.groups) if per_image else (range(len(array)),) * 2
            part = pd.DataFrame({"image": images, "patient": patients, "value": np.asarray(array, float)})
            columns = {"row": row, "dataset": dataset, "metric": metric, "run": run.spec.name, "seed": run.spec.seed}
            parts.append(part.assign(**columns, source=kind_of(run), failed=run.record.failed))
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS)).astype({"value": float, "failed": bool})
    return pd.concat(parts, ignore_index=True)


def of_records(records: pd.DataFrame, by: str, metrics: Sequence[str], *, dataset: str, source: str) -> pd.DataFrame:
    """Return the long table of records of images; the column ``by`` names the row."""
    table = records[[by, *metrics]].rename(columns={by: "row"}).melt("row", var_name="metric")
    table = table.sort_values("row", key=lambda rows: pd.factorize(rows)[0], kind="stable")  # in order of appearance
    return table.assign(dataset=dataset, source=source, run="", failed=False)


def summarise(
    table: pd.DataFrame,
    defined: Callable[[np.ndarray], np.ndarray] = lambda values: ~np.isnan(values),
    remarks: Remarks = lambda *_: (),
    extra: bool = True,
) -> list[Cell]:
    """Return a cell for each row, data set and metric of a long table, in the order in which they occur.

    Values are pooled over images and seeds: their mean with its spread (N - 1) where all are finite, or their median
    for metrics called ``median_...``.

    Args:
        defined: function that returns which of the values are included.
        remarks: function for the note of a cell, from all its values, including those left out.
        extra: whether the paper does not print these cells.
    """
    cells = []
    for (row, dataset, metric), lines in table.groupby(["row", "dataset", "metric"], sort=False):
        good_lines = lines[~lines["failed"]]
        values = good_lines["value"].to_numpy(float)
        kept_values = values[defined(values)]
        is_median = metric.startswith("median_")
        mean = float(np.median(kept_values) if is_median else np.mean(kept_values)) if len(kept_values) else np.nan
        has_spread = not is_median and len(kept_values) > 1 and np.isfinite(kept_values).all()
        spread = float(kept_values.std(ddof=1)) if has_spread else np.nan
        counts = (len(kept_values), good_lines["run"].nunique() or lines["run"].nunique(), lines["source"].iloc[0])
        note = "; ".join(filter(None, remarks(row, dataset, metric, values)))
        cells.append(Cell(row, dataset, metric, mean, spread, *counts, note, extra))
    return cells


def image_cells(
    row: str, dataset: str, values: Mapping[str, np.ndarray], source: str, **options: Callable
) -> list[Cell]:
    """Return the cells of metrics with one value for each image (N,); ``options`` as in :func:`summarise`."""
    records = pd.DataFrame(values).assign(row=row)
    return summarise(of_records(records, "row", list(values), dataset=dataset, source=source), **options)


def numbers(
    row: str, dataset: str, values: Mapping[str, float | str], n_images: int, n_seeds: int, source: str
) -> list[Cell]:
    """Return a cell for each value that is not a mean over images, such as a count, or text."""
    cells = []
    for metric, value in values.items():
        mean, note = (np.nan, value) if isinstance(value, str) else (float(value), "")
        cells.append(Cell(row, dataset, metric, mean, np.nan, n_images, n_seeds, source, note, True))
    return cells


def seed_cells(row: str, dataset: str, values: Mapping[str, Sequence[float]], n_images: int, source: str) -> list[Cell]:
    """Return the mean and spread (N - 1) of metrics with one value for each seed."""
    cells = []
    for metric, seed_values in values.items():
        spread = float(np.std(seed_values, ddof=1)) if len(seed_values) > 1 else np.nan
        mean = float(np.mean(seed_values))
        cells.append(Cell(row, dataset, metric, mean, spread, n_images, len(seed_values), source, extra=True))
    return cells
