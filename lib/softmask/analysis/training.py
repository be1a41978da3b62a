"""Results of training runs of segmentation networks for notebooks: tables, scores, curves, predictions.

A cell's mean and spread are over test images pooled over seeds. Undefined values (SEN of an empty truth, PPV of an
empty prediction) are left out and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from softmask import papers
from softmask.analysis import finished
from softmask.analysis.doctors import LARGEST_SLICE
from softmask.analysis.finished import Fitted, SpecsByKey, kind_of, succeeded
from softmask.analysis.table import Remarks, Values, numbers, of_runs, seed_cells, summarise, values_of
from softmask.config import Config
from softmask.data.sample import SUBSTITUTE
from softmask.experiments.night import GROUPS, NODULES, doubled
from softmask.experiments.prepare import Prepared
from softmask.experiments.rehearsal import steps
from softmask.experiments.rows import rows_of
from softmask.experiments.schedules import RATES, best_rate, subject_of, trials
from softmask.experiments.spec import RunSpec
from softmask.experiments.store import Record, Run
from softmask.measure import statistics
from softmask.measure.differences import Scores, compare
from softmask.measure.verdicts import RISING, last_gain
from softmask.papers import display
from softmask.report.result import Cell, Key

BEYOND = dict.fromkeys(
    ("hd95", "hd95_infinite", "surface_dice", "mae_band", "mae_alpha", "gradient_error", "soft_dice", "brier", "ece"),
    "fraction",
) | {"hd95": "pixels", "hd95_infinite": "count", "gradient_error": "number"}
"""Measures that the papers do not print, with their units."""

CONSENSUS = "dice_consensus"

OTHER_FORMS = ("dsnet_averaged", "dsnet_full_features", "dsnet_enlarged_twice", "dsnet_squared", "all_losses_binary")
"""Rows of the journal version besides the printed ones: forms of its input, and other readings of two rows."""


def scores(fitted: Fitted, metrics: Iterable[str]) -> dict[Key, Scores]:
    """Return the scores for :func:`softmask.analysis.claims.judge`, by (row, data set, metric)."""
    return {
        (row, dataset, metric): scores_of(runs, metric, fitted)
        for (row, dataset), runs in fitted.items()
        for metric in metrics
        if metric in runs[0].record.measures
    }


def scores_of(runs: Sequence[Run], metric: str, fitted: Fitted, values: Values = values_of) -> Scores:
    """Return the scores of a row's runs; ``fitted`` has the training runs of networks that these runs only test."""
    by_spec = _records(fitted)
    records = [run.record if run.spec.learns else by_spec.get(run.spec.prior) for run in runs]
    good_runs = [run for run, record in zip(runs, records, strict=True) if record is None or not record.failed]
    good_records = [record for record in records if record is not None and not record.failed]
    first = runs[0].record
    return Scores(
        first.ids,
        first.groups,
        values(good_runs, metric) if good_runs else np.empty((0, len(first.ids))),
        runs[0].spec.source,
        curves=tuple(record.curves["validation_dice"] for record in good_records if "validation_dice" in record.curves),
        failed=len(runs) - len(good_runs),
        restarts=sum(bool(record.failures) for record in good_records),
        fixed=not any(run.spec.learns or run.spec.prior for run in runs),
        substitute=kind_of(runs[0]) == SUBSTITUTE,
    )


def _records(fitted: Fitted) -> dict[RunSpec, Record]:
    return {run.spec: run.record for row_runs in fitted.values() for run in row_runs}


def table_cells(paper: str, table: str, fitted: Fitted, besides: Sequence[str] = ()) -> list[Cell]:
    """Return the cells of a printed table that have finished runs, except the metrics ``besides``.

    Dice with the readers' consensus follows where the consensus is not the truth, and LIDC over the largest slice of
    each nodule (its first test image), because the papers do not say which slices they used.
    """
    printed_cells = papers.load(paper).table(table).cells
    cell_keys = [
        (cell.row, cell.dataset, cell.metric)
        for cell in printed_cells
        if (cell.row, cell.dataset) in fitted and cell.metric not in besides
    ]
    keys = dict.fromkeys(cell_key[:2] for cell_key in cell_keys)
    consensus_keys = [(*key, CONSENSUS) for key in keys if CONSENSUS in fitted[key][0].record.measures]
    cells = summarise(of_runs(fitted, cell_keys), remarks=remarks_on(fitted), extra=False)
    cells += summarise(of_runs(fitted, consensus_keys), remarks=remarks_on(fitted))
    lidc_lines = of_runs(fitted, [cell_key for cell_key in [*cell_keys, *consensus_keys] if cell_key[1] == "lidc"])
    nodules = lidc_lines.assign(nodule=lidc_lines["image"].str.rsplit("/", n=1).str[0])
    largest = lidc_lines[~nodules.duplicated(["row", "run", "metric", "nodule"])]
    return cells + [
        replace(cell, dataset=LARGEST_SLICE) for cell in summarise(largest, remarks=remarks_on(dict(fitted)))
    ]


def extra_cells(places: Iterable[tuple[str, str]], metrics: Sequence[str], fitted: Fitted) -> list[Cell]:
    """Return cells of rows that the paper does not print."""
    keys = [(*key, metric) for key in places if key in fitted for metric in metrics]
    return summarise(of_runs(fitted, keys), remarks=remarks_on(fitted))


def consensus_measure(dataset: str) -> str:
    """Return the name of Dice with the readers' consensus in records: on LIDC, the consensus is the truth."""
    return "dice" if dataset == "lidc" else CONSENSUS


def with_consensus(fitted: Fitted) -> pd.DataFrame:
    """Return the long table of :func:`consensus_measure`, as :data:`CONSENSUS`."""
    measures = {key: consensus_measure(key[1]) for key in fitted}
    consensus_keys = [(*key, name) for key, name in measures.items() if name in fitted[key][0].record.measures]
    return of_runs(fitted, consensus_keys).assign(metric=CONSENSUS)


def beyond_cells(fitted: Fitted) -> list[Cell]:
    """Return cells of the measures of :data:`BEYOND`; rows with the same runs are given once.

    ``hd95`` is the mean of the finite values, ``hd95_infinite`` counts the infinite ones; ``ece`` is over all pixels.
    """
    cells, order = [], list(BEYOND)
    row_by_spec: dict[RunSpec, str] = {}
    for (row, dataset), all_runs in fitted.items():
        runs = succeeded(all_runs)
        if not runs or row_by_spec.setdefault(all_runs[0].spec, row) != row:
            continue
        keys = [(row, dataset, metric) for metric in BEYOND if metric in runs[0].record.measures]
        image_cells = summarise(of_runs(fitted, keys), defined=np.isfinite, remarks=remarks_on(fitted))
        pooled = {"hd95_infinite": np.isinf(values_of(runs, "hd95")).sum(), "ece": finished.calibration(runs).error}
        pooled_cells = numbers(row, dataset, pooled, len(runs) * len(runs[0].record.ids), len(runs), kind_of(runs[0]))
        cells += sorted([*image_cells, *pooled_cells], key=lambda cell: order.index(cell.metric))
    return cells


def remarks_on(fitted: Fitted) -> Remarks:
    """Return remarks on runs, undefined values, networks that predict foreground everywhere, and networks that were
    trained again for a test on another processor, because records hold no weights."""
    by_spec = _records(fitted)

    def remarks(row: str, dataset: str, metric: str, values: np.ndarray) -> Iterable[str]:
        name, n_undefined = display("datasets", dataset), int(np.isnan(values).sum())
        yield finished.note_of(fitted, row, dataset)
        if n_undefined:
            where = f"{display('metrics', metric)} on {name}"
            yield f"{where} is undefined for {n_undefined:,} of {len(values):,} predictions"
        runs = succeeded(fitted[row, dataset])
        if metric == "dice" and (n_blind := sum(map(marks_everything, runs))):
            yield f"{n_blind} of {len(runs)} networks on {name} predict foreground everywhere: they have learnt nothing"
        tests = [run for run in runs if not run.spec.learns and run.spec.prior in by_spec]
        if any(run.record.provenance.cpu != by_spec[run.spec.prior].provenance.cpu for run in tests):
            yield f"the networks tested on {name} were trained again on another processor, which is like another seed"

    return remarks


def seed_spread(keys: Iterable[Cell | Key], fitted: Fitted, values: Values = values_of) -> dict[str, Any]:
    """Return the mean of every seed for each cell, and the standard deviation (N - 1) of these means."""
    seeds = {}
    for row, dataset, metric in (key.key if isinstance(key, Cell) else key for key in keys):
        runs = succeeded(fitted.get((row, dataset), []))
        if runs and (values is not values_of or metric in runs[0].record.measures):
            means, spread = statistics.seed_spread(values(runs, metric))
            mean_by_seed = {str(run.spec.seed): float(mean) for run, mean in zip(runs, means, strict=True)}
            seeds[f"{row} / {dataset} / {metric}"] = {"means": mean_by_seed, "spread": spread}
    return {"seeds": seeds}


def marks_everything(run: Run) -> bool:
    """Return whether a trained network predicts foreground everywhere."""
    images = run.record.predictions.values()
    return run.spec.learns and bool(images) and all((image >= 255 * run.record.threshold).all() for image in images)


def overview(fitted: Fitted) -> pd.DataFrame:
    """Return one line for each run: size, training, and where it was trained. ``still rising``: undertrained
    (:mod:`softmask.measure.verdicts`); ``finds nothing``: validation Dice below 0.05."""
    lines = []
    for run in finished.distinct(fitted):
        record = run.record
        curve = record.curves.get("validation_dice", [np.nan])
        if curve[record.best_epoch - 1] < 0.05:
            end = "finds nothing"
        elif marks_everything(run):
            end = "marks everything"
        else:
            end = "still rising" if run.spec.learns and last_gain(curve) > RISING else ""
        line = {
            "run": run.spec.name,
            "parameters": record.n_parameters,
            "best epoch": f"{record.best_epoch} of {run.spec.settings.epochs}",
            "validation Dice": curve[record.best_epoch - 1],
            "at the end": end,
            "failed attempts": len(record.failures),
        }
        lines.append(line | trained_where(run))
    columns = ["run", "parameters", "best epoch", "validation Dice", "at the end", "failed attempts"]
    frame = pd.DataFrame(lines, columns=[*columns, "seconds", "device", "from"]).set_index("run")
    return frame.round({"validation Dice": 3})


def trained_where(run: Run) -> dict[str, Any]:
    """Return the last columns of an overview: seconds, device, and whether from a record or the store."""
    about = run.record.provenance
    return {"seconds": about.seconds, "device": about.device, "from": "record" if run.folder is None else "store"}


def parameters_of(fitted: Fitted, rows: Iterable[str]) -> str:
    """Return each finished row's number of parameters, without discriminators: ``MedT 1,379,905``."""
    counts = {row: runs[0].record.n_parameters for (row, _), runs in fitted.items()}
    texts = [f"{display('rows', row)} {counts[row]:,}" for row in dict.fromkeys(rows) if row in counts]
    return ", ".join(texts) or "no network is finished"


def curves_of(fitted: Fitted, rows: Sequence[str]) -> dict[str, dict[str, list[Mapping[str, Sequence[float]]]]]:
    """Return the training curves of every seed, by data set and row, with :func:`with_steps`."""
    return by_dataset(fitted, rows, lambda runs: [with_steps(run.record) for run in runs])


def with_steps(record: Record) -> dict[str, Sequence[float]]:
    """Return the curves of a training run, and as ``steps`` the number of steps after each epoch."""
    steps_per_epoch = steps(record.spec) / record.spec.settings.epochs
    epochs = max(map(len, record.curves.values()), default=0)
    return {**record.curves, "steps": [steps_per_epoch * epoch for epoch in range(1, epochs + 1)]}


def by_dataset(fitted: Fitted, rows: Sequence[str], use: Callable[[Sequence[Run]], Any]) -> dict[str, dict[str, Any]]:
    """Return the result of ``use`` for the successful runs, by data set and row."""
    results: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(dataset for _, dataset in fitted):
        runs_by_row = {row: succeeded(fitted.get((row, name), [])) for row in rows}
        if any(runs_by_row.values()):
            results[name] = {row: use(runs) for row, runs in runs_by_row.items() if runs}
    return results


def predictions_of(fitted: Fitted, rows: Sequence[str], dataset: str) -> dict[str, Mapping[str, np.ndarray]]:
    """Return the first seed's kept predictions (S, S) in [0, 1] by row and image."""
    predictions = {
        row: run.record.some_predictions() for row, run in finished.first_runs(fitted, rows, dataset).items()
    }
    return {row: {name: image.astype(float) / 255 for name, image in predictions.get(row, {}).items()} for row in rows}


def pictures_of(data: Prepared | None, ids: Sequence[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return image (S, S) and bool truth of test images by name."""
    if data is None:
        return {}
    indices = {name: i for i, name in enumerate(data.test.ids)}
    images, masks = data.test.images[:, 0], data.test.masks[:, 0] > 0
    return {name: (images[indices[name]], masks[indices[name]]) for name in ids if name in indices}


def other_rows(config: Config) -> SpecsByKey:
    """Return the runs behind :data:`OTHER_FORMS`; none in the short profiles."""
    if not config.profile.long:
        return {}
    return {key: runs for name in NODULES for key, runs in rows_of(OTHER_FORMS, name, config, "dsnet-v2").items()}


def other_forms(fitted: Fitted) -> list[Cell]:
    """Return cells of :data:`OTHER_FORMS`, with the best epoch's validation Dice."""
    cells = extra_cells(list(fitted), ["dice", "sen", "ppv"], fitted)
    for (row, dataset), all_runs in fitted.items():
        records = [run.record for run in succeeded(all_runs)]
        if records:
            best_dice = [record.curves["validation_dice"][record.best_epoch - 1] for record in records]
            cells += seed_cells(row, dataset, {"validation_dice": best_dice}, 0, kind_of(all_runs[0]))
    return cells


def longer_rows(paper: str, config: Config) -> SpecsByKey:
    """Return the runs of rows that are trained both for their usual number of epochs and for twice as many."""
    groups = [group for group in GROUPS if config.profile.long and paper in group.rows]
    return {key: specs for group in groups for key, specs in doubled(group, config).items()}


def longer(fitted: Fitted) -> list[Cell]:
    """Return the gain in Dice of training twice as long, with its 95 % interval over patients and seeds."""
    cells = []
    for (row, dataset), runs in fitted.items():
        finished_runs = {run.spec: run for run in runs}
        pairs = [(run, finished_runs.get(spec.times(2))) for spec, run in finished_runs.items()]
        pairs = [pair for pair in pairs if pair[1] is not None]
        if not pairs:
            continue
        once, twice = (scores_of(side, "dice", fitted) for side in zip(*pairs, strict=True))
        gain = compare(twice, once)
        if gain is None:  # every training run failed
            continue
        values = {
            "dice": float(np.mean(once.values)),
            "dice_doubled": float(np.mean(twice.values)),
            "difference": 100 * gain.mean,
            "low": 100 * gain.low,
            "high": 100 * gain.high,
            "gain": 100 * float(np.mean([last_gain(curve) for curve in once.curves])),
            "epochs": len(once.curves[0]),
        }
        cells += numbers(row, dataset, values, len(once.ids), len(pairs), kind_of(runs[0]))
    return cells


def rates_tried(specs: list[RunSpec]) -> pd.DataFrame:
    """Return validation Dice of every learning rate tried, and the chosen rate."""
    subjects = {subject_of(spec.source, spec.dataset, spec.network, spec.width, spec.losses) for spec in specs}
    lines = {}
    for trial in trials():
        if trial.subject in subjects:
            line = lines.setdefault(f"{display('datasets', trial.dataset)}, {trial.network}, {trial.losses}", {})
            line[f"{trial.rate:g}"] = trial.validation_dice
            line["taken"] = best_rate(trial.subject)
    return pd.DataFrame.from_dict(lines, orient="index", columns=[*(f"{rate:g}" for rate in RATES), "taken"])
