"""From finished runs to tables: values of every test image, pooled over seeds, for each row and data set.

A cell's mean and spread are over test images pooled over seeds; the spread between seeds goes into the table's details.
Undefined values (SEN of an empty truth, PPV of an empty prediction) are left out and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from softmask import papers
from softmask.config import Config
from softmask.data.splits import SECTION_FOLDS, dataset_name
from softmask.data.words import SUBSTITUTE, data_kind, data_words
from softmask.errors import DataError, MissingData
from softmask.files import sha256_of
from softmask.measure import statistics
from softmask.measure.calibration import Calibration
from softmask.measure.verdicts import RISING, Scores, last_gain
from softmask.report import provenance
from softmask.report.result import Cell
from softmask.runs.execute import Run, fit
from softmask.runs.plan import Planned
from softmask.runs.prepared import Prepared, prepare
from softmask.runs.spec import RunSpec

Wanted = Mapping[tuple[str, str], Sequence[RunSpec]]
"""Specs of runs, one for each seed, by (row, data set)."""


class Fitted(dict[tuple[str, str], list[Run]]):
    """Finished runs, one for each seed, by (row, data set). A place without a finished run is missing.

    Attributes:
        wanted: the specs that were asked for, by (row, data set).
    """

    def __init__(self, runs: Mapping[tuple[str, str], Sequence[Run]], wanted: Wanted | None = None) -> None:
        super().__init__({place: list(of) for place, of in runs.items() if of})
        own = {place: [run.spec for run in of] for place, of in self.items()}
        self.wanted: Wanted = own if wanted is None else wanted


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


def fit_rows(wanted: Wanted, config: Config, title: str = "") -> Fitted:
    """The finished runs behind rows, from their specs (:func:`softmask.runs.specs`).

    What is missing is trained; with ``config.recorded``, it is left out. Runs on the folds of ISBI 2012 are joined
    (:func:`joined`): a row has one run there.
    """
    return fit_tables({"": wanted}, config, title)[""]


def fit_tables(wanted: Mapping[str, Wanted], config: Config, title: str = "") -> dict[str, Fitted]:
    """:func:`fit_rows` of several tables by name; what they lack is trained together, so that no process waits."""
    specs = [spec for rows in wanted.values() for of in rows.values() for spec in of]
    runs = {run.spec: run for run in fit(specs, config, title=title)}
    finished = {
        name: {place: joined([runs[spec] for spec in of if spec in runs], len(of)) for place, of in rows.items()}
        for name, rows in wanted.items()
    }
    return {name: Fitted(rows, wanted[name]) for name, rows in finished.items()}


def succeeded(runs: Sequence[Run]) -> list[Run]:
    """Those of ``runs`` whose training did not fail to start: what enters a mean."""
    return [run for run in runs if not run.record.failed]


def firsts(fitted: Fitted, rows: Iterable[str], dataset: str) -> dict[str, Run]:
    """The run of the first seed that is finished and did not fail to start, for each of ``rows`` that has one."""
    runs = {row: succeeded(fitted.get((row, dataset), [])) for row in rows}
    return {row: of[0] for row, of in runs.items() if of}


def unfinished(fitted: Fitted, rows: Iterable[str], datasets: Sequence[str]) -> str:
    """``CasGAN on PROMISE12``: which of ``rows`` have no finished run on which of ``datasets``; for figures."""
    return ", ".join(
        f"{papers.display('rows', row)} on {papers.display('datasets', dataset)}"
        for row in rows
        for dataset in datasets
        if (row, dataset) not in fitted
    )


def note_of(fitted: Fitted, row: str, dataset: str) -> str:
    """What a cell has to say about its runs: that some are not finished, trainings that failed to start; else empty."""
    runs = fitted[row, dataset]
    folds = bool(runs) and isinstance(runs[0], Joined)
    wanted = len(fitted.wanted[row, dataset]) if isinstance(fitted, Fitted) and not folds else len(runs)
    failed = sum(run.record.failed for run in runs)
    name = papers.display("datasets", dataset)
    notes = [f"{len(runs)} of {wanted} runs on {name} finished"] if len(runs) < wanted else []
    if failed == len(runs):
        notes.append(f"training on {name} failed ({failed} of {failed})")
    elif failed:
        notes.append(f"{failed} of {len(runs)} trainings on {name} failed to start")
    return "; ".join(notes)


@dataclass(frozen=True, eq=False)
class Joined(Run):
    """Runs on the folds of one specimen as one run, in whose record are the test images of all.

    Specification, place in the store and network are the first fold's.
    """

    folds: tuple[Run, ...] = ()


def joined(runs: Sequence[Run], wanted: int) -> list[Run]:
    """``runs``; where ``wanted`` are on several folds of ISBI 2012, one :class:`Joined`, none until all are finished.

    The measures and predictions of the folds' test images are put together, and the calibration is that of all their
    pixels; curves are averaged over folds. It failed if one of the folds did.
    """
    if wanted < 2 or not runs or runs[0].spec.dataset not in SECTION_FOLDS:
        return list(runs)
    if len(runs) < wanted:
        return []
    records = [run.record for run in runs]
    first = records[0]
    for record in records:
        if record.measures.keys() != first.measures.keys():
            raise DataError(f"{record.spec.name}: has other measures than {first.spec.name}; train it again")
    curves = {
        name: np.mean([record.curves[name] for record in records], axis=0).tolist()
        for name in first.curves
        if len({len(record.curves.get(name, ())) for record in records}) == 1
    }
    record = replace(
        first,
        ids=tuple(name for record in records for name in record.ids),
        groups=tuple(group for record in records for group in record.groups),
        measures={name: tuple(v for record in records for v in record.measures[name]) for name in first.measures},
        curves=curves,
        best_epoch=int(np.median([record.best_epoch for record in records])),
        calibration=calibration(runs) if first.calibration else None,
        predictions={name: image for record in records for name, image in record.predictions.items()},
        provenance=replace(
            first.provenance,
            data=sha256_of(*(record.provenance.data for record in records)),
            seconds=sum(record.provenance.seconds for record in records),
            needs=tuple(run.key for run in runs),
        ),
        failed=any(record.failed for record in records),
        failures=tuple(curves for record in records for curves in record.failures),
    )
    return [Joined(runs[0].spec, record, runs[0].folder, runs[0].needs, tuple(runs))]


def kind_of(run: Run) -> str:
    """What a run was tested on: a key of :data:`softmask.data.words.WORDS`."""
    return data_kind(run.spec.dataset, run.spec.source, run.record.provenance.origin)


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
    """What :func:`softmask.studies.claims.judge` compares, by (row, data set, metric), where it was measured.

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


def calibration(runs: Sequence[Run]) -> Calibration:
    """The reliability of all seeds together."""
    parts = [run.record.calibration for run in runs]
    counts = np.sum([part.counts for part in parts], axis=0)

    def pooled(name: str) -> np.ndarray:
        totals = np.sum([part.counts * np.nan_to_num(getattr(part, name)) for part in parts], axis=0)
        return np.divide(totals, counts, out=np.full(len(counts), np.nan), where=counts > 0)

    mean_probability, observed = pooled("mean_probability"), pooled("observed")
    error = np.nansum(counts * np.abs(mean_probability - observed)) / counts.sum()
    return Calibration(counts, mean_probability, observed, float(error))


def marks_everything(run: Run) -> bool:
    """Whether a trained network's kept predictions are the object all over, which scores well where most pixels are."""
    kept = run.record.predictions.values()
    return run.spec.learns and bool(kept) and all((image >= 255 * run.record.threshold).all() for image in kept)


def needs_of(spec: RunSpec, fitted: Fitted) -> Sequence[Planned]:
    """The trained runs that the run of ``spec`` builds on; none where it is recorded or not finished."""
    return next((run.needs for run in distinct(fitted) if run.spec == spec), ())


def distinct(fitted: Fitted) -> list[Run]:
    """All runs, each once though several rows stand for it, and every fold of a :class:`Joined`."""
    each = (fold for runs in fitted.values() for run in runs for fold in getattr(run, "folds", None) or (run,))
    return list({run.spec: run for run in each}.values())


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


def provenance_of(fitted: Fitted, config: Config, started: float) -> dict[str, Any]:
    """:func:`softmask.report.provenance.collect` of runs: their data as their records name it, and each run.

    A data set stands there once for each content of it that a run was tested on.

    Args:
        started: ``time.perf_counter()`` when the work began.
    """
    runs = distinct(fitted)
    tested = {(run.spec.dataset, run.record.provenance.data): run for run in runs}
    datasets = [
        {
            "name": name,
            "source": kind_of(run),
            "origin": f"{run.record.provenance.origin} (test part)",
            "fingerprint": fingerprint,
            "n": len(run.record.ids),
            "problems": [],
        }
        for (name, fingerprint), run in tested.items()
    ]
    trained = [
        {
            "name": run.spec.name,
            "key": run.record.key,
            "seconds": run.record.provenance.seconds,
            "device": run.record.provenance.device,
            "commit": run.record.provenance.commit,
            "dirty": run.record.provenance.dirty,
            "parameters": run.record.n_parameters,
            "recorded": run.folder is None,
        }
        for run in runs
    ]
    seeds = sorted({run.spec.seed for run in runs})
    return provenance.collect(config, [], started, seeds) | {"datasets": datasets, "runs": trained}


def data_of(spec: RunSpec, config: Config) -> Prepared | None:
    """The data of a run; None where it is not on this machine, as may be where runs come from records."""
    try:
        return prepare(spec, config)
    except MissingData:
        return None


def example_of(spec: RunSpec, config: Config) -> Prepared:
    """:func:`data_of`, and where that is not at hand a little embedded data of the same kind. Without training, whole
    simulated data is not made for an example."""
    if config.recorded and spec.source == "embedded" and spec.n_train is None:
        return prepare(replace(spec, n_train=8), config)
    return data_of(spec, config) or prepare(replace(spec, source="embedded", n_train=8), config)


def left_out(fitted: Fitted, config: Config) -> pd.DataFrame:
    """One line for each image that could not be used: data set, image, why. Data that is not at hand has none."""
    one_of = {run.spec.dataset: run.spec for run in distinct(fitted)}
    of = {papers.display("datasets", name): data_of(spec, config) for name, spec in one_of.items()}
    lines = [(name, *image) for name, data in of.items() if data for image in data.left_out]
    return pd.DataFrame(lines, columns=["data set", "could not be used", "why"])


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


def sources_of(fitted: Fitted) -> str:
    """``lidc (simulated), lnsm (real, substitute), isbi2012 (real; one specimen, 5 folds of neighbouring
    sections)``, for captions; how many runs are finished, where some are not."""
    runs = distinct(fitted)
    words: dict[str, str] = {}
    folds = {run.spec.dataset for run in runs} & set(SECTION_FOLDS)
    for run in runs:
        name = run.spec.dataset
        shown = data_words(name, run.spec.source, run.record.provenance.origin)
        if name in folds:
            numbers = f"the first of {len(SECTION_FOLDS)}" if len(folds) == 1 else f"{len(folds)}"
            name, shown = dataset_name(name), f"{shown}; one specimen, {numbers} folds of neighbouring sections"
        words[name] = shown
    wanted = {spec for specs in fitted.wanted.values() for spec in specs} if isinstance(fitted, Fitted) else runs
    if not runs:
        return f"none of {len(wanted)} runs is finished" if wanted else "no run is finished"
    told = [f"{len(runs)} of {len(wanted)} runs finished"] if len(runs) < len(wanted) else []
    return ", ".join([*(f"{name} ({shown})" for name, shown in words.items()), *told])
