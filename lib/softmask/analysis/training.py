"""From finished runs to tables: values of every test image, pooled over seeds, for each row and data set.

A cell's mean and spread are over test images pooled over seeds; the spread between seeds goes into the table's details.
Undefined values (SEN of an empty truth, PPV of an empty prediction) are left out and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from softmask import papers
from softmask.analysis.finished import Fitted, calibration, distinct, firsts, kind_of, note_of, succeeded
from softmask.data.words import SUBSTITUTE
from softmask.errors import DataError
from softmask.experiments.prepare import Prepared
from softmask.experiments.spec import RunSpec
from softmask.experiments.store import Run
from softmask.measure import statistics
from softmask.measure.calibration import Calibration
from softmask.measure.differences import Scores
from softmask.measure.verdicts import RISING, last_gain
from softmask.report.result import Cell

BEYOND = {
    "hd95": "pixels",
    "hd95_infinite": "count",
    "surface_dice": "fraction",
    "mae_band": "fraction",
    "mae_alpha": "fraction",
    "gradient_error": "number",
    "soft_dice": "fraction",
    "brier": "fraction",
    "ece": "fraction",
}
"""Measures that the papers do not print, with their units."""


CONSENSUS = "dice_consensus"


LARGEST = "lidc-largest"
"""The test images of LIDC, of each nodule the largest slice alone."""


TERMS: Mapping[str, str] = MappingProxyType(
    {
        "smoke": "narrow networks and a few steps, which show that everything runs and compare nothing",
        "cpu": "a training step of most networks costs about the same (of MedT nearly twice as much), so that networks "
        "are of about equal cost, not of equal numbers of parameters; learning rates are by network, most chosen "
        "on validation images of real data, some untried (docs/choices.md)",
        "night": "a training step of most networks costs about the same, so that networks are of about equal cost, not "
        "of equal numbers of parameters; about as many steps for each, until little is gained; learning rates are "
        "chosen on validation images, for every network among the same (docs/choices.md)",
        "full": "every network at its published width and with the paper's settings and a warm-up (docs/choices.md), "
        "so that numbers of parameters and cost differ",
    }
)
"""On what terms a profile compares networks, for captions."""


NOTHING = 0.05
"""Validation Dice below which a network is said to find nothing."""


def values_of(runs: Sequence[Run], metric: str) -> np.ndarray:
    """(seeds, N) of a measure.

    Raises:
        DataError: where the seeds were not measured on the same test images, or lack the measure.
    """
    for run in runs:
        if run.record.ids != runs[0].record.ids:
            raise DataError(f"{run.spec.name}: measured on other test images than {runs[0].spec.name}; train it again")
        if metric not in run.record.measures:
            raise DataError(f"{run.spec.name}: its record has no {metric}; it has {', '.join(run.record.measures)}")
    return np.array([run.record.measures[metric] for run in runs], dtype=float)


def scores(
    fitted: Fitted, metrics: Sequence[str], known: Fitted = MappingProxyType({})
) -> dict[tuple[str, str, str], Scores]:
    """What :func:`softmask.analysis.claims.judge` compares, by (row, data set, metric), where it was measured.

    Args:
        known: further runs, whose networks some of ``fitted`` only test.
    """
    made = {}
    for (row, dataset), runs in fitted.items():
        for metric in metrics:
            if runs and metric in runs[0].record.measures:
                made[row, dataset, metric] = scores_of(runs, partial(values_of, metric=metric), [fitted, known])
    return made


def scores_of(
    runs: Sequence[Run], values: Callable[[Sequence[Run]], np.ndarray], known: Sequence[Fitted] = ()
) -> Scores:
    """The scores of a row's runs. A run whose training failed to start is counted and enters no value.

    Args:
        values: gives (seeds, N) of runs.
        known: runs among which those are whose networks ``runs`` only test; their curves count.
    """
    trained = {run.spec: run.record for of in known for other in of.values() for run in other}
    specs = [run.spec if run.spec.learns else run.spec.prior for run in runs]
    records = [run.record if run.spec.learns else trained.get(spec) for run, spec in zip(runs, specs, strict=True)]
    failed = [record is not None and record.failed for record in records]
    good = [run for run, gone in zip(runs, failed, strict=True) if not gone]
    kept = [record for record, gone in zip(records, failed, strict=True) if record is not None and not gone]
    first = runs[0].record
    return Scores(
        first.ids,
        first.groups,
        values(good) if good else np.empty((0, len(first.ids))),
        runs[0].spec.source,
        curves=tuple(record.curves["validation_dice"] for record in kept if "validation_dice" in record.curves),
        failed=sum(failed),
        restarts=sum(bool(record.failures) for record in kept),
        fixed=not any(specs),
        substitute=kind_of(runs[0]) == SUBSTITUTE,
    )


def table_cells(paper: str, table: str, fitted: Fitted, besides: Sequence[str] = ()) -> list[Cell]:
    """The cells of a printed table that are run, but for the metrics ``besides``, which no run measures.

    Where the truth is not the readers' consensus and they marked the images, Dice with their consensus follows. The
    numbers on LIDC follow once more over the largest slice of each nodule alone: which slices the papers took is open.
    """
    printed = papers.load(paper).table(table).cells()
    cells = [
        _cell(cell.row, cell.dataset, cell.metric, fitted)
        for cell in printed
        if (cell.row, cell.dataset) in fitted and cell.metric not in besides
    ]
    for row, dataset in dict.fromkeys((cell.row, cell.dataset) for cell in cells):
        if CONSENSUS in fitted[row, dataset][0].record.measures:
            cells.append(_cell(row, dataset, CONSENSUS, fitted, extra=True))
    on_lidc = [cell for cell in cells if cell.dataset == "lidc"]
    largest = {(row, "lidc"): [largest_slices(run) for run in fitted[row, "lidc"]] for row in {c.row for c in on_lidc}}
    cells += [replace(_cell(cell.row, "lidc", cell.metric, largest, extra=True), dataset=LARGEST) for cell in on_lidc]
    return cells


def extra_cells(places: Iterable[tuple[str, str]], metrics: Sequence[str], fitted: Fitted) -> list[Cell]:
    """Cells of rows that the paper does not print, by (row, data set), where a run is finished."""
    return [
        _cell(row, dataset, metric, fitted, extra=True)
        for row, dataset in places
        if (row, dataset) in fitted
        for metric in metrics
    ]


def largest_slices(run: Run) -> Run:
    """The run as measured on the largest slice of each nodule of LIDC.

    That is the nodule's first among the test images, which come in the order of :mod:`softmask.data.selection`.
    """
    record = run.record
    nodules = [name.rsplit("/", 1)[0] for name in record.ids]
    kept = [i for i, nodule in enumerate(nodules) if nodule not in nodules[:i]]

    def of(values: Sequence) -> tuple:
        return tuple(values[i] for i in kept)

    measures = {name: of(values) for name, values in record.measures.items()}
    return replace(run, record=replace(record, ids=of(record.ids), groups=of(record.groups), measures=measures))


def beyond_cells(fitted: Fitted) -> list[Cell]:
    """Cells of the measures of :data:`BEYOND`, as far as they were taken, for every row and data set.

    Rows that stand for the same runs are given once, under their first name.

    The mean of ``hd95`` is over images on which it is finite; ``hd95_infinite`` counts the others, where nothing was
    found. ``ece`` is the calibration error of the probability of lesion over all pixels of all images; most are sure
    background, so that it is small.
    """
    cells = []
    named: dict[RunSpec, str] = {}
    for (row, dataset), every in fitted.items():
        runs = succeeded(every)
        if not runs or named.setdefault(every[0].spec, row) != row:
            continue
        for metric in BEYOND:
            if metric == "hd95_infinite":
                cells.append(_constant(row, dataset, metric, float(np.isinf(values_of(runs, "hd95")).sum()), runs))
            elif metric == "ece":
                cells.append(_constant(row, dataset, metric, calibration(runs).error, runs))
            elif metric in runs[0].record.measures:
                cells.append(_cell(row, dataset, metric, fitted, extra=True, use=np.isfinite))
    return cells


def _cell(
    row: str,
    dataset: str,
    metric: str,
    fitted: Fitted,
    *,
    extra: bool = False,
    use: Callable[[np.ndarray], np.ndarray] = lambda values: ~np.isnan(values),
) -> Cell:
    """Mean and spread (N - 1) over the values for which ``use`` is true, of trainings that did not fail to start."""
    every = fitted[row, dataset]
    runs = succeeded(every)
    values = values_of(runs, metric).ravel()
    kept, undefined = values[use(values)], int(np.isnan(values).sum())
    mean = float(kept.mean()) if len(kept) else float("nan")
    spread = float(kept.std(ddof=1)) if len(kept) > 1 and np.isfinite(kept).all() else float("nan")
    name = papers.display("datasets", dataset)
    notes = [note for note in [note_of(fitted, row, dataset)] if note]
    if undefined:
        notes.append(f"{name} {papers.display('metrics', metric)} is undefined on {undefined} of {len(values)} images")
    if metric == "dice" and (blind := sum(map(marks_everything, runs))):
        notes.append(f"{blind} of {len(runs)} networks on {name} call every pixel the object: they have learnt nothing")
    note = "; ".join(notes)
    return Cell(row, dataset, metric, mean, spread, len(kept), len(runs or every), kind_of(every[0]), note, extra)


def _constant(row: str, dataset: str, metric: str, value: float, runs: Sequence[Run]) -> Cell:
    """A number that belongs to all images together."""
    n_images = len(runs) * len(runs[0].record.ids)
    return Cell(row, dataset, metric, value, float("nan"), n_images, len(runs), kind_of(runs[0]), extra=True)


def seed_spread(cells: Sequence[Cell], fitted: Fitted) -> dict[str, Any]:
    """For a table's details: of each cell the mean of every seed, and their standard deviation (N - 1)."""
    seeds = {}
    for cell in cells:
        runs = succeeded(fitted.get((cell.row, cell.dataset), []))
        if not runs or cell.metric not in runs[0].record.measures:
            continue
        seeds[f"{cell.row} / {cell.dataset} / {cell.metric}"] = spread_of(runs, values_of(runs, cell.metric))
    return {"seeds": seeds}


def spread_of(runs: Sequence[Run], values: np.ndarray) -> dict[str, Any]:
    """For a table's details: the mean of ``values`` (S, N) for each seed of ``runs``, and their standard deviation."""
    means, spread = statistics.seed_spread(values)
    return {
        "means": {str(run.spec.seed): float(mean) for run, mean in zip(runs, means, strict=True)},
        "spread": spread,
    }


def marks_everything(run: Run) -> bool:
    """Whether a trained network's kept predictions are the object all over, which scores well where most pixels are."""
    kept = run.record.predictions.values()
    return run.spec.learns and bool(kept) and all((image >= 255 * run.record.threshold).all() for image in kept)


def overview(fitted: Fitted) -> pd.DataFrame:
    """One line for each run: size, training, and where it was trained.

    ``failed starts`` counts the trainings that failed to start before the run's own, or instead of it.
    ``at the end`` says ``still rising`` where a pair with this training would be called undertrained
    (:mod:`softmask.measure.verdicts`): more epochs would have changed the result. It says ``finds nothing`` where even
    the best epoch's validation Dice is below :data:`NOTHING`, and ``marks everything`` where
    :func:`marks_everything`.
    """
    runs = distinct(fitted)
    return pd.DataFrame(
        {
            "parameters": [run.record.n_parameters for run in runs],
            "best epoch": [f"{run.record.best_epoch} of {run.spec.settings.epochs}" for run in runs],
            "validation Dice": [_validation(run)[run.record.best_epoch - 1] for run in runs],
            "at the end": [_end(run) for run in runs],
            "failed starts": [len(run.record.failures) for run in runs],
            "seconds": [run.record.provenance.seconds for run in runs],
            "device": [run.record.provenance.device for run in runs],
            "from": ["record" if run.folder is None else "store" for run in runs],
        },
        index=pd.Index([run.spec.name for run in runs], name="run"),
    ).round({"validation Dice": 3})


def _validation(run: Run) -> Sequence[float]:
    """Validation Dice of each epoch; one NaN where nothing was trained."""
    return run.record.curves.get("validation_dice", [float("nan")])


def _end(run: Run) -> str:
    dice, best = _validation(run), run.record.best_epoch
    if dice[best - 1] < NOTHING:
        return "finds nothing"
    if marks_everything(run):
        return "marks everything"
    return "still rising" if run.spec.learns and last_gain(dice) > RISING else ""


def parameters_of(fitted: Fitted, rows: Iterable[str]) -> str:
    """``U-Net 31,036,481, MedT 1,379,905``: trainable parameters of each row's network, for captions.

    A discriminator is not counted: it takes no part in a prediction.
    """
    counts = {row: runs[0].record.n_parameters for (row, _), runs in fitted.items()}
    return ", ".join(f"{papers.display('rows', row)} {counts[row]:,}" for row in dict.fromkeys(rows) if row in counts)


def curves_of(fitted: Fitted, rows: Sequence[str]) -> dict[str, dict[str, list[Mapping[str, Sequence[float]]]]]:
    """The training curves of every seed, by data set and row; rows without a finished run, and trainings that failed to
    start, are left out."""
    return _by_dataset(fitted, rows, lambda runs: [run.record.curves for run in runs])


def calibrations_of(fitted: Fitted, rows: Sequence[str]) -> dict[str, dict[str, Calibration]]:
    """:func:`calibration` by data set and row; left out as in :func:`curves_of`."""
    return _by_dataset(fitted, rows, calibration)


def _by_dataset(fitted: Fitted, rows: Sequence[str], what: Callable[[Sequence[Run]], Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(dataset for _, dataset in fitted):
        there = {row: succeeded(fitted.get((row, name), [])) for row in rows}
        if any(there.values()):
            found[name] = {row: what(runs) for row, runs in there.items() if runs}
    return found


def predictions_of(fitted: Fitted, rows: Sequence[str], dataset: str) -> dict[str, Mapping[str, np.ndarray]]:
    """The first seed's kept predictions, (S, S) probabilities in [0, 1] by image, for each row; empty where no run is
    finished."""
    kept = {row: run.record.shown() for row, run in firsts(fitted, rows, dataset).items()}
    return {row: {name: image.astype(float) / 255 for name, image in kept.get(row, {}).items()} for row in rows}


def pictures_of(data: Prepared | None, ids: Sequence[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(S, S) image and bool truth of those of ``ids`` that the test part has; none without data."""
    if data is None:
        return {}
    places = {name: i for i, name in enumerate(data.test.ids)}
    images, masks = data.test.images[:, 0], data.test.masks[:, 0] > 0
    return {name: (images[places[name]], masks[places[name]]) for name in ids if name in places}
