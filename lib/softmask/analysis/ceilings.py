"""How well soft labels can be learnt: their own Dice with the binary truth that predictions are measured against."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from softmask.analysis.finished import Fitted, data_of, kind_of
from softmask.config import Config
from softmask.experiments.prepare import SOFT_LABELS, Prepared
from softmask.papers import display
from softmask.report.result import Cell

CUTS = tuple(round(0.05 * i, 2) for i in range(1, 20))
"""Where a soft label is cut in the search for the best cut."""

CEILINGS = {"ceiling": "percent", "ceiling_best": "percent"}
"""Metrics of :func:`cells`, with their units."""


def ceiling(soft: np.ndarray, masks: np.ndarray, cut: float = 0.5) -> np.ndarray:
    """(N,) Dice of soft labels, cut at and above ``cut``, with the binary truth.

    A network that learns them without error reaches it.

    Args:
        soft: (N, S, S) in [0, 1].
        masks: (N, S, S), the truth, above 0 inside; none empty.
    """
    lesion, truth = soft >= cut, masks > 0
    shared = (lesion & truth).sum(axis=(1, 2))
    return 2 * shared / (lesion.sum(axis=(1, 2)) + truth.sum(axis=(1, 2)))


def cells(places: Iterable[tuple[str, str]], fitted: Fitted, config: Config) -> list[Cell]:
    """For tables of soft labels: the mean :func:`ceiling` of each row's label over the test images.

    It is given for the cut at 0.5, where predictions are cut, and for the best of :data:`CUTS`, which a note tells.

    Rows without a soft label, and those whose data is not at hand, are left out.

    Args:
        places: (row, data set) of each.
    """
    made = []
    opened: dict[str, Prepared | None] = {}
    for row, dataset in places:
        run = fitted[row, dataset][0]
        if run.spec.label not in SOFT_LABELS:
            continue
        if dataset not in opened:
            opened[dataset] = data_of(run.spec, config)
        data = opened[dataset]
        if data is None:
            continue
        soft, masks = data.test.soft[run.spec.label][:, 0], data.test.masks[:, 0]
        by_cut = {cut: ceiling(soft, masks, cut) for cut in (0.5, *CUTS)}
        best = max(by_cut, key=lambda cut: by_cut[cut].mean())
        note = f"{display('rows', row)} on {display('datasets', dataset)}: best cut {best:g}"
        for metric, values, said in (("ceiling", by_cut[0.5], ""), ("ceiling_best", by_cut[best], note)):
            spread = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
            counts = (len(values), 1, kind_of(run))
            made.append(Cell(row, dataset, metric, float(values.mean()), spread, *counts, said, extra=True))
    return made
