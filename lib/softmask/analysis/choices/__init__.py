"""The ledger of ambiguities, measured: what the choices change that the papers leave open."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd

from softmask.analysis.choices import labels, readers, records
from softmask.analysis.choices.comparison import NEEDS_TRAINING, Choice, compared, table
from softmask.analysis.doctors import rows_named
from softmask.analysis.examples import spread
from softmask.config import Config
from softmask.data import open_dataset, selection
from softmask.data.sample import Dataset
from softmask.errors import MissingData
from softmask.parallel import map_samples

__all__ = ["NEEDS_TRAINING", "Choice", "compared", "labels", "measured", "readers", "records", "table"]

NODULES = ("lidc", "lnsm")
SHOWN_SMALLER = {"isbi2012": 64, "promise12": 64}
"""Data sets that are shown with fewer pixels than are stored, and with how many."""

EACH = 20
"""Stored images of each of :data:`SHOWN_SMALLER` that are compared."""


def measured(config: Config, lidc: Dataset, found: pd.DataFrame) -> list[Choice]:
    """Every choice that can be compared without training: from readers' masks, from labels, and from the run's records
    as far as there are any.

    Args:
        found: of :func:`softmask.analysis.choices.readers.read`, the four-reader slices of ``lidc``.
    """
    four = selection.four_reader_rows(lidc.index)
    few = spread(selection.largest_per_nodule(lidc.index, four), 2 * config.profile.cap("matting"))
    lines = pd.DataFrame(map_samples(labels.label_choices, lidc, few, title="choices about labels"))
    made = readers.choices(found, lidc.source) + labels.choices(lines, lidc.source, lidc.source == "embedded")
    for name, size in SHOWN_SMALLER.items():
        try:
            dataset = open_dataset(name, config)
        except MissingData:
            continue
        rows = spread(range(len(dataset)), EACH)
        shrunk = map_samples(partial(labels.shrunk, dataset=name, size=size), dataset, rows, title=name)
        made.append(labels.shrunk_choice(shrunk, name, dataset.source))
    return made + _from_records(config, lidc)


def _from_records(config: Config, lidc: Dataset) -> list[Choice]:
    kept = records.read(config, (*NODULES, "lidc-lung"))
    made = [choice for name in NODULES for choice in records.lesions(kept[name], name)]
    same = _alike(kept["lidc"])
    if same:
        rows = rows_named(lidc, same[0].predictions)
        seen = map_samples(partial(records.kept, records=same), lidc, rows, title="kept predictions")
        made += records.kept_choices(seen, "lidc", lidc.source)
    return made + records.lungs(kept["lidc-lung"], "lidc-lung")


def _alike(found: Sequence[records.Record]) -> list[records.Record]:
    """Those that keep predictions of the same images as the first."""
    return [one for one in found if set(one.predictions) == set(found[0].predictions)]
