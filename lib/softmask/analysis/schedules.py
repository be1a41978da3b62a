"""Whether trainings were long enough and their learning rates fair: twice as long a training, and the rates tried."""

from __future__ import annotations

import pandas as pd

from softmask.analysis.finished import fit_rows, kind_of, sources_of, succeeded
from softmask.config import BASE_SEED, Config
from softmask.experiments.night import GROUPS, doubled
from softmask.experiments.schedules import RATES, chosen, subject_of, trials
from softmask.experiments.spec import RunSpec
from softmask.measure.statistics import paired_test
from softmask.measure.verdicts import last_gain
from softmask.papers import display
from softmask.report.result import WORKBOOK, Cell, ResultTable

UNITS = {"gain": "percentage points", "difference": "percentage points", "low": "percentage points"}
UNITS |= {"high": "percentage points", "epochs": "count"}


def longer(paper: str, config: Config) -> ResultTable | None:
    """The workbook's table of the rows of a paper that were also trained twice as long, with one seed.

    ``dice`` and ``dice_doubled`` are means over test images; ``difference`` is of the two, image by image, with its
    95 % bootstrap interval over patients; ``gain`` is the rise of the best validation Dice at the end of
    training (:func:`softmask.measure.verdicts.last_gain`). None where no training is that long, or
    finished.
    """
    pairs = {
        place: specs
        for group in GROUPS
        if config.profile.long and paper in group.rows
        for place, specs in doubled(group, config).items()
    }
    fitted = fit_rows({place: list(pair) for place, pair in pairs.items()}, config, title="twice as long")
    cells = []
    for (row, dataset), runs in fitted.items():
        good = {run.spec: run.record for run in succeeded(runs)}
        once, twice = (good.get(spec) for spec in pairs[row, dataset])
        if once is None or twice is None:
            continue
        test = paired_test(twice.measures["dice"], once.measures["dice"], BASE_SEED, once.groups)
        numbers = {
            "dice": sum(once.measures["dice"]) / len(once.ids),
            "dice_doubled": sum(twice.measures["dice"]) / len(once.ids),
            "difference": 100 * test.mean_difference,
            "low": 100 * test.low,
            "high": 100 * test.high,
            "gain": 100 * last_gain(once.curves["validation_dice"]),
            "epochs": float(len(once.curves["validation_dice"])),
        }
        around = (len(once.ids), 1, kind_of(runs[0]))
        cells += [Cell(row, dataset, metric, value, float("nan"), *around) for metric, value in numbers.items()]
    title = f"{display('papers', paper)}: what a training twice as long changes"
    caption = (
        f"{sources_of(fitted)}; one seed, test images; low and high: 95 % interval over patients; gain: of validation"
    )
    return ResultTable(WORKBOOK, f"{paper}-doubled", title, f"{caption}.", cells, UNITS) if cells else None


def tried(specs: list[RunSpec]) -> pd.DataFrame:
    """Validation Dice of every learning rate that was tried for the networks, losses and data sets of ``specs``, a line
    for each of these and a column for each rate; the rate taken is in the last column."""
    subjects = {subject_of(spec.source, spec.dataset, spec.network, spec.width, spec.losses) for spec in specs}
    lines = {}
    for trial in trials():
        if trial.subject in subjects:
            line = lines.setdefault(f"{display('datasets', trial.dataset)}, {trial.network}, {trial.losses}", {})
            line[f"{trial.rate:g}"] = trial.validation_dice
            line["taken"] = chosen(trial.subject)
    return pd.DataFrame.from_dict(lines, orient="index", columns=[*(f"{rate:g}" for rate in RATES), "taken"])
