"""From records of single images to the cells of a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from softmask.report.result import Cell


def cells(
    records: pd.DataFrame, by: str, metrics: Sequence[str], *, dataset: str, source: str, order: Sequence[str] = ()
) -> list[Cell]:
    """Return a cell for each value of the column ``by`` and each of ``metrics``: mean and spread (N - 1) over records.

    NaN (an undefined value) is left out, and not counted in ``n_images``; an infinite value makes the mean infinite and
    the spread undefined. Rows come in ``order``, then as they occur. The cells are ``extra``: no paper prints them.
    """
    groups = dict(list(records.groupby(by, sort=False)))
    made = []
    for name in dict.fromkeys((*(name for name in order if name in groups), *groups)):
        for metric in metrics:
            values = groups[name][metric].dropna()
            spread = values.std(ddof=1) if len(values) > 1 and np.isfinite(values).all() else np.nan
            mean = float(values.mean()) if len(values) else np.nan
            made.append(Cell(str(name), dataset, metric, mean, float(spread), len(values), 1, source, extra=True))
    return made
