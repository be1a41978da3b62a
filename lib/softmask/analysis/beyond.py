"""Soft labels beyond the papers: predictions against the readers themselves, not against one mask cut at 0.5.

Everything is computed from the predictions that records keep and the readers' masks of the data set, so that runs of
any age are measured alike; nothing is trained, and no network is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import pandas as pd

from softmask.analysis.doctors import rows_named
from softmask.analysis.finished import Fitted
from softmask.analysis.table import of_runs
from softmask.cache import cached_arrays, code_digest
from softmask.config import Config
from softmask.data.splits import crops, dataset_name
from softmask.errors import DataError
from softmask.experiments.inputs import recorded_soft_masks
from softmask.experiments.spec import RunSpec
from softmask.experiments.store import Run
from softmask.files import sha256_of
from softmask.measure import readers as measures
from softmask.measure.soft import Calibration
from softmask.parallel import map_items

UNITS = dict.fromkeys(measures.MEASURES, "fraction") | {"ged": "number", "crps_area": "pixels"}
"""Units of the measures against readers."""


class AgainstReaders:
    """Measures of finished runs against the readers of their test images (:mod:`softmask.measure.readers`).

    Called with runs and a metric it returns (seeds, N), as :func:`softmask.analysis.table.values_of` does: the
    ``values`` of :func:`softmask.analysis.table.of_runs` and, with the metric bound, of
    :func:`softmask.analysis.training.scores_of`. NaN for images whose prediction the record does not keep (in the small
    profiles it keeps eight) and that no reader marked. Opens each data set once; measures are kept in the cache.

    Raises:
        MissingData: real data that is not there.
        DataError: a metric that is none of these, seeds with different test images, images that the data set lacks, or
            no image with a reader.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._readers: dict[tuple, dict[str, np.ndarray]] = {}
        self._measures: dict[RunSpec, dict[str, np.ndarray]] = {}

    def __call__(self, runs: Sequence[Run], metric: str) -> np.ndarray:
        if metric not in measures.MEASURES:
            raise DataError(f"{metric} is no measure against readers; choose one of {', '.join(measures.MEASURES)}")
        for run in runs:
            if run.record.ids != runs[0].record.ids:
                raise DataError(f"{run.spec.name}: measured on other test images than {runs[0].spec.name}")
        return np.array([self._measured(run)[metric] for run in runs])

    def table(self, fitted: Fitted) -> pd.DataFrame:
        """Return the long table (:data:`softmask.analysis.table.COLUMNS`) of all runs and measures of ``fitted``."""
        return of_runs(fitted, [(*place, metric) for place in fitted for metric in measures.MEASURES], self)

    def reliability(self, runs: Sequence[Run]) -> Calibration:
        """Return the calibration against the votes of all kept images and ``runs`` together."""
        _, predictions, readers = zip(*map(self._pairs, runs), strict=True)
        return measures.reliability(chain(*predictions), chain(*readers))

    def _measured(self, run: Run) -> dict[str, np.ndarray]:
        """Return (N,) for each measure."""
        if run.spec in self._measures:
            return self._measures[run.spec]
        names, *pairs = self._pairs(run)

        def build() -> dict[str, np.ndarray]:
            title = f"{run.spec.name} against readers"
            lines = map_items(_measures, list(zip(*pairs, strict=True)), title=title, unit="image")
            return {metric: np.array([line[metric] for line in lines]) for metric in measures.MEASURES}

        content = [array.tobytes() for array in chain(*pairs)]
        values = cached_arrays("against-readers", sha256_of(code_digest("measure"), *names, *content), build)
        places = {name: place for place, name in enumerate(run.record.ids)}
        measured = {metric: np.full(len(run.record.ids), np.nan) for metric in measures.MEASURES}
        for metric, array in measured.items():
            array[[places[name] for name in names]] = values[metric]
        self._measures[run.spec] = measured
        return measured

    def _pairs(self, run: Run) -> tuple[list[str], list[np.ndarray], list[np.ndarray]]:
        """Return the images that have a prediction and readers: names, soft masks (S, S), readers (R, S, S)."""
        from softmask.data import open_dataset

        spec, kept = run.spec, recorded_soft_masks(run.record)
        known = self._readers.setdefault((spec.dataset, spec.source, spec.size), {})
        if unknown := [name for name in kept if name not in known]:
            dataset = open_dataset(dataset_name(spec.dataset), replace(self.config, data=spec.source))
            for row in rows_named(dataset, unknown):
                sample = dataset[row]
                [place] = crops(spec.dataset, sample, spec.size)
                known[sample.id] = np.array([place.of(mask, spec.size) for mask in sample.masks], bool)
        names = [name for name in kept if len(known[name])]
        if not names:
            raise DataError(f"{spec.name}: no reader marked an image whose prediction its record keeps")
        return names, [kept[name] for name in names], [known[name] for name in names]


def _measures(pair: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    return measures.against_readers(*pair)
