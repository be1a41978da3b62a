"""From records of single images to the cells of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from softmask.report.result import Cell

if TYPE_CHECKING:
    import pandas as pd


def cells(
    records: pd.DataFrame, by: str, metrics: Sequence[str], *, dataset: str, source: str, order: Sequence[str] = ()
) -> list[Cell]:
    """One cell for each value of the column ``by`` and each of ``metrics``: mean and spread (N - 1) over the records.

    NaN (an undefined value) is left out, and not counted in ``n_images``; an infinite value makes the mean infinite and
    the spread undefined. Rows come in ``order``, then as they occur. The cells are ``extra``: no paper prints them.
    """
    groups = dict(list(records.groupby(by, sort=False)))
    names = [name for name in order if name in groups] + [name for name in groups if name not in order]
    made = []
    for name in names:
        for metric in metrics:
            values = groups[name][metric].dropna()
            defined = len(values) > 1 and np.isfinite(values).all()
            spread = float(values.std(ddof=1)) if defined else float("nan")
            mean = float(values.mean()) if len(values) else float("nan")
            made.append(Cell(str(name), dataset, metric, mean, spread, len(values), 1, source, extra=True))
    return made
