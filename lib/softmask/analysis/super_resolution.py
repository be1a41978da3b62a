"""From finished super-resolution runs to tables and examples: against the images that were made small, and the truth.

Two questions. *How well is a smaller image made large again?* The test images are averaged over 4 x 4 pixels, upscaled,
and compared with themselves; the runs' records hold the answer. *Is what it adds to a whole image there?* Only
simulated CT can tell: its true high resolution (``high_resolution`` of the simulated data set) is compared with what
the networks make of the scanned image.

Rows are interpolations, which need no run, and runs of one network with different losses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from softmask.analysis.examples import spread
from softmask.analysis.finished import Fitted, data_of, kind_of
from softmask.analysis.training import values_of
from softmask.config import BASE_SEED, Config
from softmask.data.simulated import open_simulated
from softmask.data.words import SUBSTITUTE
from softmask.experiments.execute import Run
from softmask.measure.differences import Scores
from softmask.measure.resolution import INTERPOLATIONS, SCALE, interpolate, measure_upscaled
from softmask.measure.statistics import holm, paired_test
from softmask.papers import display
from softmask.report.panels import Example
from softmask.report.result import Cell
from softmask.train.super_resolution import upscale

METRICS = {"psnr": "dB", "ssim": "number", "sharpness": "ratio", "texture": "decades"}
"""Measures of :func:`softmask.measure.resolution.measure_upscaled`, with their units."""

PAIRS = (("content_only", "bicubic"), ("srgan", "bicubic"), ("srgan", "content_only"))
"""Rows that are compared, the first less the second."""

SIZE = 64
"""Rows and columns of the scanned images that are compared with their truth: as many as segmentation takes."""

MOST = 60
"""Test images whose true high resolution is drawn."""

Measured = Mapping[tuple[str, str], Scores]
"""By row and measure, the values on the test images."""


@dataclass(frozen=True, eq=False)
class Truth:
    """How near the rows come to the true high resolution.

    Attributes:
        measured: on :data:`MOST` test images.
        examples: some of these images.
    """

    measured: Measured
    examples: list[Example]


def quality(fitted: Fitted) -> dict[tuple[str, str], Scores]:
    """The test images made small and large again, as the records have them: interpolations and every row of runs; empty
    without a finished run."""
    if not fitted:
        return {}
    first, *_ = fitted.values()
    found = {
        (method, metric): _scores(first[0], values_of(first[:1], f"{metric}_{method}"))
        for method, metric in product(INTERPOLATIONS, METRICS)
    }
    return found | {
        (row, metric): _scores(runs[0], values_of(runs, metric))
        for (row, _), runs in fitted.items()
        for metric in METRICS
    }


def _scores(run: Run, values: np.ndarray) -> Scores:
    return Scores(run.record.ids, run.record.groups, values, kind_of(run))


def examples(fitted: Fitted, config: Config, n: int) -> list[Example]:
    """At most ``n`` of the test images whose super-resolved images the records keep, from the first seeds; none where
    no run is finished or the data is not at hand."""
    runs = {row: seeds[0] for (row, _), seeds in fitted.items()}
    first = next(iter(runs.values()), None)
    data = data_of(first.spec, config) if first else None
    if data is None:
        return []
    kept = list(first.record.predictions)
    places = {name: i for i, name in enumerate(data.test.ids)}
    found = []
    for name in (kept[i] for i in spread(range(len(kept)), n)):
        truth, mask = data.test.images[places[name], 0], data.test.masks[places[name], 0] > 0
        low = truth.reshape(len(truth) // SCALE, SCALE, -1, SCALE).mean(axis=(1, 3))
        upscaled = {method: interpolate(low[None], method)[0] for method in INTERPOLATIONS}
        upscaled |= {row: run.record.predictions[name] / 255 for row, run in runs.items()}
        found.append(Example(low, upscaled, truth, mask))
    return found


def truth(fitted: Fitted, n: int) -> Truth | None:
    """The scanned test images upscaled, against their true high resolution, with ``n`` of them as examples.

    None on real data, which has no truth, and for runs that are not finished or recorded, which have no networks.
    """
    runs = [run for of in fitted.values() for run in of]
    if not runs or any(run.spec.source == "real" or run.folder is None for run in runs):
        return None
    record = runs[0].record
    rows = spread(range(len(record.ids)), MOST)
    ids, groups = (tuple(names[i] for i in rows) for names in (record.ids, record.groups))
    low, high, alpha = _drawn(runs[0].spec.dataset, ids)

    upscaled = {method: [interpolate(low, method)] for method in INTERPOLATIONS}  # (n, 4 SIZE, 4 SIZE) of every seed
    for (row, _), seeds in fitted.items():
        upscaled[row] = [upscale(run.network(), low[:, None])[:, 0] for run in seeds]
    measured = {}
    for row, seeds in upscaled.items():
        found = [measure_upscaled(images, high, alpha) for images in seeds]
        for metric in METRICS:
            values = np.array([one[metric] for one in found])
            measured[row, metric] = Scores(ids, groups, values, "embedded")

    masks = alpha >= 0.5
    shown = spread(np.flatnonzero(masks.any(axis=(1, 2))), n)
    firsts = {row: seeds[0] for row, seeds in upscaled.items()}
    examples = [Example(low[i], {row: one[i] for row, one in firsts.items()}, high[i], masks[i]) for i in shown]
    return Truth(measured, examples)


def _drawn(name: str, ids: Sequence[str]) -> list[np.ndarray]:
    """Low resolution, high resolution and alpha of embedded images, each (n, ., .)."""
    dataset = open_simulated(name)
    places = {dataset.name_of(i): i for i in range(len(dataset))}
    drawn = [dataset.high_resolution(places[one], SIZE) for one in ids]
    return [np.stack([getattr(one, array) for one in drawn]) for array in ("low", "high", "alpha")]


def overview(fitted: Fitted) -> pd.DataFrame:
    """One line for each run: size, PSNR on the validation images after the last epoch, and where it was trained."""
    runs = [run for of in fitted.values() for run in of]
    return pd.DataFrame(
        {
            "parameters": [run.record.n_parameters for run in runs],
            "epochs": [run.spec.settings.epochs for run in runs],
            "validation PSNR": [run.record.curves["validation_psnr"][-1] for run in runs],
            "seconds": [run.record.provenance.seconds for run in runs],
            "device": [run.record.provenance.device for run in runs],
            "from": ["record" if run.folder is None else "store" for run in runs],
        },
        index=pd.Index([run.spec.name for run in runs], name="run"),
    ).round({"validation PSNR": 2})


def cells(measured: Measured, dataset: str) -> list[Cell]:
    """Mean and spread (N - 1) of every row and measure, over images pooled over seeds; undefined values left out."""
    made = []
    for (row, metric), scores in measured.items():
        values = scores.values[~np.isnan(scores.values)]
        counts = (len(values), len(scores.values), SUBSTITUTE if scores.substitute else scores.source)
        made.append(Cell(row, dataset, metric, float(values.mean()), float(values.std(ddof=1)), *counts))
    return made


def differences(measured: Measured) -> pd.DataFrame:
    """One line for each of :data:`PAIRS` that is there and each measure: the mean difference over test images, averaged
    over seeds, its 95 % bootstrap interval over patients, and Wilcoxon's p over patients, also corrected for all lines
    (:func:`softmask.measure.statistics.paired_test`, :func:`~softmask.measure.statistics.holm`)."""
    lines = []
    for (ours, theirs), metric in product(PAIRS, METRICS):
        if (ours, metric) not in measured or (theirs, metric) not in measured:
            continue
        first, second = measured[ours, metric], measured[theirs, metric]
        test = paired_test(first.values.mean(axis=0), second.values.mean(axis=0), BASE_SEED, first.patients)
        lines.append(
            {
                "comparison": f"{display('rows', ours)} less {display('rows', theirs)}",
                "measure": display("metrics", metric),
                "difference": test.mean_difference,
                "low": test.low,
                "high": test.high,
                "p": test.p,
                "patients": test.n_groups,
            }
        )
    frame = pd.DataFrame(lines, columns=["comparison", "measure", "difference", "low", "high", "p", "patients"])
    frame = frame.round({"difference": 4, "low": 4, "high": 4})
    frame.insert(6, "p (Holm)", [f"{p:.2g}" for p in holm(frame["p"])])
    return frame.assign(p=[f"{p:.2g}" for p in frame["p"]])
