"""The long table of results, one value a line, and its summary in the cells of printed and written tables.

Every study gives its values as such a table and has :func:`summarise` average, spread and count them; a number that
belongs to all images together is a cell at once (:func:`numbers`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from softmask.analysis.finished import Fitted, kind_of, succeeded
from softmask.errors import DataError
from softmask.experiments.store import Run
from softmask.report.result import Cell, Key

NAN = float("nan")

COLUMNS = ("row", "dataset", "run", "seed", "image", "patient", "metric", "value", "source", "failed")
"""Of the long table. ``run`` names a training; ``seed`` is its seed. A training that failed to start has one line for
each metric, without a value."""

Remarks = Callable[[str, str, str, np.ndarray], Iterable[str]]
"""Notes on a cell, from its row, data set, metric and all its values."""


def values_of(runs: Sequence[Run], metric: str) -> np.ndarray:
    """Return a measure of runs as (seeds, N).

    Raises:
        DataError: where the seeds were not measured on the same test images, or lack the measure.
    """
    for run in runs:
        if run.record.ids != runs[0].record.ids:
            raise DataError(f"{run.spec.name}: measured on other test images than {runs[0].spec.name}; train it again")
        if metric not in run.record.measures:
            raise DataError(f"{run.spec.name}: its record has no {metric}; it has {', '.join(run.record.measures)}")
    return np.array([run.record.measures[metric] for run in runs], dtype=float)


def of_runs(
    fitted: Fitted, keys: Iterable[Key], values: Callable[[Sequence[Run], str], np.ndarray] = values_of
) -> pd.DataFrame:
    """Return the long table of finished runs, in the order of ``keys``.

    Args:
        keys: (row, data set, metric), each with a run in ``fitted``.
        values: (seeds, N) of runs and a metric. Where N is not the number of test images, as for scans, the images
            are numbered.
    """
    parts = [pd.DataFrame(columns=list(COLUMNS)).astype({"value": float, "failed": bool})]
    for row, dataset, metric in keys:
        every = fitted[row, dataset]
        runs = succeeded(every)
        for run, array in zip(runs, values(runs, metric), strict=True):
            record = run.record
            same = len(array) == len(record.ids)
            images, patients = (record.ids, record.groups) if same else (range(len(array)),) * 2
            parts.append(_part(row, dataset, run, metric, array, images, patients))
        parts += [_part(row, dataset, run, metric, [NAN], [""], [""]) for run in every if run.record.failed]
    return pd.concat(parts[1:] or parts, ignore_index=True)


def _part(row: str, dataset: str, run: Run, metric: str, values: Sequence, images: Sequence, patients: Sequence):
    about = {"row": row, "dataset": dataset, "run": run.spec.name, "seed": run.spec.seed, "metric": metric}
    about |= {"source": kind_of(run), "failed": run.record.failed}
    return pd.DataFrame({"image": images, "patient": patients, "value": np.asarray(values, float)}).assign(**about)


def of_records(
    records: pd.DataFrame, by: str, metrics: Sequence[str], *, dataset: str, source: str, order: Sequence[str] = ()
) -> pd.DataFrame:
    """Return the long table of records of single images, one column for each of ``metrics``.

    Args:
        by: the column that names the row. Rows come in ``order``, then as they occur.
    """
    names = {name: i for i, name in enumerate(dict.fromkeys([*order, *records[by]]))}
    long = records[[by, *metrics]].melt(by, var_name="metric")
    long = long.sort_values(by, key=lambda column: column.map(names), kind="stable").rename(columns={by: "row"})
    return long.assign(dataset=dataset, source=source, run="", failed=False)


def summarise(
    table: pd.DataFrame,
    statistic: Callable[[np.ndarray], float] = np.mean,
    defined: Callable[[np.ndarray], np.ndarray] = lambda values: ~np.isnan(values),
    remarks: Remarks = lambda *_: (),
    extra: bool = True,
) -> list[Cell]:
    """Return a cell for each row, data set and metric of a long table, in the order in which they occur.

    The values are pooled over images and seeds. A mean has its spread (N - 1) beside it, where all values are finite.

    Args:
        defined: which of the values enter; ``np.isfinite`` leaves out infinite ones too.
        remarks: on all values of a cell, also those left out; they become its note.
        extra: whether the paper does not print these cells.
    """
    cells = []
    for (row, dataset, metric), lines in table.groupby(["row", "dataset", "metric"], sort=False):
        good = lines[~lines["failed"]]
        values = good["value"].to_numpy(float)
        kept = values[defined(values)]
        mean = float(statistic(kept)) if len(kept) else NAN
        spreads = statistic is np.mean and len(kept) > 1 and np.isfinite(kept).all()
        spread = float(kept.std(ddof=1)) if spreads else NAN
        counts = (len(kept), good["run"].nunique() or lines["run"].nunique(), lines["source"].iloc[0])
        note = "; ".join(filter(None, remarks(row, dataset, metric, values)))
        cells.append(Cell(row, dataset, metric, mean, spread, *counts, note, extra))
    return cells


def numbers(
    row: str, dataset: str, values: Mapping[str, float | str], n_images: int, n_seeds: int, source: str
) -> list[Cell]:
    """Return a cell for each of ``values`` by metric that is no mean over images, such as a count; or a text."""
    return [
        Cell(row, dataset, metric, NAN, NAN, n_images, n_seeds, source, value, True)
        if isinstance(value, str)
        else Cell(row, dataset, metric, float(value), NAN, n_images, n_seeds, source, extra=True)
        for metric, value in values.items()
    ]
