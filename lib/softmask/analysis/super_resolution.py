"""Super-resolution compared with the images before they were reduced, and with the true high resolution.

Test images are averaged over 4 x 4 pixels and upscaled. Whether details added to an original image are true can only be
checked in simulated CT. Rows are interpolations, and runs of one network with different losses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from softmask.analysis.doctors import rows_named
from softmask.analysis.examples import spread
from softmask.analysis.finished import Fitted, data_of, kind_of
from softmask.analysis.table import summarise, values_of
from softmask.analysis.training import trained_where
from softmask.config import BASE_SEED, Config
from softmask.data.sources import open_simulated
from softmask.measure.differences import Scores
from softmask.measure.resolution import INTERPOLATIONS, SCALE, interpolate, measure_upscaled
from softmask.measure.statistics import holm, paired_test
from softmask.papers import display
from softmask.report.panels import Example
from softmask.report.result import Cell
from softmask.train.super_resolution import upscale

METRICS = {"psnr": "dB", "ssim": "number", "sharpness": "ratio", "texture": "decades"}
"""Measures of :func:`softmask.measure.resolution.measure_upscaled`, with their units."""

PAIRS = (("content_only", "bicubic"), ("srgan", "bicubic"), ("srgan", "content_only"))  # compared: first minus second

SIZE = 64  # rows and columns of the scanned images that are compared with their truth
MOST = 60  # maximum number of test images whose true high resolution is drawn

Measured = Mapping[tuple[str, str], Scores]
"""Scores on the test images, by row and measure."""


@dataclass(frozen=True, eq=False)
class Truth:
    """Measures of the rows against the true high resolution, and some images."""

    measured: Measured
    examples: list[Example]


def quality(fitted: Fitted) -> dict[tuple[str, str], Scores]:
    """Return the measures of test images that were reduced and upscaled, by row and measure."""
    rows = [(row, runs, "") for (row, _), runs in fitted.items()]
    interpolated = [(method, runs[:1], f"_{method}") for method in INTERPOLATIONS for _, runs, _ in rows[:1]]
    scores = {}
    for (row, runs, suffix), metric in product([*interpolated, *rows], METRICS):
        record, values = runs[0].record, values_of(runs, f"{metric}{suffix}")
        scores[row, metric] = Scores(record.ids, record.groups, values, kind_of(runs[0]))
    return scores


def examples(fitted: Fitted, config: Config, n: int) -> list[Example]:
    """Return test images whose super-resolved images are kept in the records; no images without data."""
    runs = {row: seeds[0] for (row, _), seeds in fitted.items()}
    first_run = next(iter(runs.values()), None)
    data = data_of(first_run.spec, config) if first_run else None
    if data is None:
        return []
    names, examples = list(first_run.record.predictions), []
    for name in (names[i] for i in spread(range(len(names)), n)):
        i = data.test.ids.index(name)
        truth, mask = data.test.images[i, 0], data.test.masks[i, 0] > 0
        low = truth.reshape(len(truth) // SCALE, SCALE, -1, SCALE).mean(axis=(1, 3))
        upscaled = {method: interpolate(low[None], method)[0] for method in INTERPOLATIONS}
        upscaled |= {row: run.record.predictions[name] / 255 for row, run in runs.items()}
        examples.append(Example(low, upscaled, truth, mask))
    return examples


def truth(fitted: Fitted, n: int) -> Truth | None:
    """Return upscaled test images compared with their truth; None without truth or networks."""
    runs = [run for row_runs in fitted.values() for run in row_runs]
    if not runs or any(run.spec.source == "real" or run.folder is None for run in runs):
        return None
    record = runs[0].record
    rows = spread(range(len(record.ids)), MOST)
    ids, groups = (tuple(names[i] for i in rows) for names in (record.ids, record.groups))
    dataset = open_simulated(runs[0].spec.dataset)
    drawn_images = [dataset.high_resolution(row, SIZE) for row in rows_named(dataset, ids)]
    low, high, alpha = (np.stack([getattr(image, kind) for image in drawn_images]) for kind in ("low", "high", "alpha"))

    upscaled = {method: [interpolate(low, method)] for method in INTERPOLATIONS}  # (n, 4 SIZE, 4 SIZE) of every seed
    for (row, _), seeds in fitted.items():
        upscaled[row] = [upscale(run.network(), low[:, None])[:, 0] for run in seeds]
    scores = {}
    for row, seeds in upscaled.items():
        values = [measure_upscaled(images, high, alpha) for images in seeds]
        for metric in METRICS:
            scores[row, metric] = Scores(ids, groups, np.array([seed[metric] for seed in values]), "embedded")

    masks = alpha >= 0.5
    indices = spread(np.flatnonzero(masks.any(axis=(1, 2))), n)
    examples = [
        Example(low[i], {row: seeds[0][i] for row, seeds in upscaled.items()}, high[i], masks[i]) for i in indices
    ]
    return Truth(scores, examples)


def overview(fitted: Fitted) -> pd.DataFrame:
    """Return one line for each run: size, final validation PSNR, and where it was trained."""
    lines = [
        {
            "run": run.spec.name,
            "parameters": run.record.n_parameters,
            "epochs": run.spec.settings.epochs,
            "validation PSNR": run.record.curves["validation_psnr"][-1],
        }
        | trained_where(run)
        for runs in fitted.values()
        for run in runs
    ]
    columns = ["run", "parameters", "epochs", "validation PSNR", "seconds", "device", "from"]
    return pd.DataFrame(lines, columns=columns).set_index("run").round({"validation PSNR": 2})


def cells(measured: Measured, dataset: str) -> list[Cell]:
    """Return mean and spread of every row and measure; undefined values are left out."""
    columns = ["row", "metric", "run", "value", "source"]
    lines = [
        (row, metric, seed, value, scores.source)
        for (row, metric), scores in measured.items()
        for seed, values in enumerate(scores.values)
        for value in values
    ]
    return summarise(pd.DataFrame(lines, columns=columns).assign(dataset=dataset, failed=False))


def differences(measured: Measured) -> pd.DataFrame:
    """Return mean differences between :data:`PAIRS`, with intervals and p values over patients."""
    lines = []
    for (row, baseline), metric in product(PAIRS, METRICS):
        if (row, metric) in measured and (baseline, metric) in measured:
            first, second = measured[row, metric], measured[baseline, metric]
            test = paired_test(first.values.mean(axis=0), second.values.mean(axis=0), BASE_SEED, first.patients)
            names = (f"{display('rows', row)} minus {display('rows', baseline)}", display("metrics", metric))
            numbers = test.mean_difference, test.low, test.high, METRICS[metric], test.p, test.n_groups
            lines.append((*names, *numbers))
    columns = ["comparison", "measure", "difference", "low", "high", "unit", "p", "patients"]
    frame = pd.DataFrame(lines, columns=columns).round({"difference": 4, "low": 4, "high": 4})
    frame.insert(7, "p (Holm)", [f"{p:.2g}" for p in holm(frame["p"])])
    return frame.assign(p=[f"{p:.2g}" for p in frame["p"]])
