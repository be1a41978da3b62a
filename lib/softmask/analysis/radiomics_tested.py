"""Classification of smooth and burr nodules by radiomics features: CasGAN's table 5 and its controls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from softmask import papers
from softmask.analysis import claims
from softmask.analysis.radiomics import FEATURE_SETS, PAPER_NODULES, Nodules
from softmask.analysis.table import numbers
from softmask.config import BASE_SEED, Config
from softmask.errors import DataError
from softmask.measure import classification
from softmask.measure.classification import CLASSIFIERS, Examples, Predictions
from softmask.measure.differences import Scores
from softmask.measure.statistics import bootstrap_interval, icc
from softmask.papers import Claim, display
from softmask.parallel import map_items
from softmask.report.result import Cell, Key

FAMILIES = ("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
"""Families of pyradiomics' features, whose names begin with the family."""

GOOD_ICC = 0.75
"""ICC from which an agreement is called good (Koo and Li, Journal of Chiropractic Medicine 15, 2016)."""


REPETITIONS = {"smoke": 1, "cpu": 4, "night": 4, "full": 8}
"""Number of repetitions of the cross-validation for each seed, by profile; powers of two, so that shares are exact."""

PERMUTATIONS = {"smoke": 4, "cpu": 99, "night": 99, "full": 999}
"""Number of permutations of the labels, by profile."""


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Predictions of classifiers for nodules that were held out, by (features, classifier)."""

    nodules: Nodules
    predictions: Mapping[tuple[str, str], Predictions]
    n_seeds: int

    def cells(self, row: str, features: str, classifier: str, values: Mapping[str, float]) -> list[Cell]:
        """Return the cells of ``values``, by metric, of one of the predictions."""
        n = len(self.predictions[features, classifier].labels)
        return numbers(row, self.nodules.name, values, n, self.n_seeds, self.nodules.source)


def row_of(features: str, classifier: str) -> str:
    """Return the name of a table's row: the classifier and its input."""
    return f"{display('rows', classifier)}, {display('rows', features)}"


def compared(words: str, better: str, worse: str) -> Claim:
    """Return the claim that classifiers are more accurate with ``better`` features than with ``worse``."""
    columns = [(dataset, f"acc_{classifier}") for dataset in PAPER_NODULES for classifier in CLASSIFIERS]
    return claims.own_claim(words, *((better, worse, *column) for column in columns))


CLAIM = claims.find("casgan", "soft-mask ROI")
CONTROLS = (
    compared("The soft mask's region tells more than the binary mask grown to its area", "soft_roi", "dilated_roi"),
    compared("The binary mask grown to that area tells more than the binary mask", "dilated_roi", "binary_roi"),
    compared(
        "First-order features weighted by alpha tell more than those of the binary mask",
        "first_order_weighted",
        "first_order_binary",
    ),
)
"""Claims tested in addition to the paper's."""


def seeds_of(config: Config) -> list[int]:
    """Return the seed of every repetition; the repetitions for one seed of the run are adjacent."""
    return [BASE_SEED + i for i in range(config.seeds * REPETITIONS[config.profile.name])]


def held_out(nodules: Nodules, config: Config, sets: Sequence[str] = FEATURE_SETS) -> CrossValidation:
    """Return the cross-validated predictions for each set of features, of the nodules that have these features."""
    predict = partial(classification.cross_validate, seeds=seeds_of(config))
    return CrossValidation(nodules, _by_place(predict, nodules, sets, "classifiers on"), config.seeds)


def against_chance(nodules: Nodules, config: Config, sets: Sequence[str]) -> dict[tuple[str, str], dict[str, float]]:
    """Return the permutation test of every classifier, by (features, classifier)."""
    permute = partial(classification.against_chance, n=PERMUTATIONS[config.profile.name], seed=BASE_SEED)
    return _by_place(permute, nodules, sets, "permuted labels of")


def _by_place(work: Callable, nodules: Nodules, sets: Sequence[str], title: str) -> dict[tuple[str, str], Any]:
    """Return ``work(examples, classifier)`` by (features, classifier)."""
    keys = list(product(sets, CLASSIFIERS))
    inputs = [(_examples(nodules, features), classifier) for features, classifier in keys]
    try:
        tables = map_items(lambda given: work(*given), inputs, title=f"{title} {nodules.name}", unit="table")
    except DataError as error:
        raise DataError(f"{nodules.name} (class 0 smooth, class 1 burr): {error}") from error
    return dict(zip(keys, tables, strict=True))


def _examples(nodules: Nodules, features: str) -> Examples:
    """Return the nodules that have these features."""
    usable_nodules = nodules.having(features)
    return Examples(usable_nodules.features[features].to_numpy(), usable_nodules.burr, usable_nodules.patients)


def scores(tests: Iterable[CrossValidation]) -> dict[Key, Scores]:
    """Return, for each seed, the share of repetitions that classify a nodule correctly."""
    scores = {}
    for test in tests:
        nodules = test.nodules
        for (features, classifier), predictions in test.predictions.items():
            if len(predictions.labels) == len(nodules):
                is_correct = predictions.predicted == predictions.labels  # (seeds x repetitions, N)
                shares = is_correct.reshape(test.n_seeds, -1, len(nodules)).mean(axis=1)  # (seeds, N)
                key = (features, nodules.name, f"acc_{classifier}")
                scores[key] = Scores(nodules.ids, nodules.patients, shares, nodules.source)
    return scores


def table_cells(tests: Iterable[CrossValidation]) -> list[Cell]:
    """Return CasGAN's table 5, and in addition the binary mask dilated to the soft region's area."""
    cells = []
    for test in tests:
        for classifier in CLASSIFIERS:
            for column in ("binary", "soft", "dilated"):
                predictions = test.predictions[f"{column}_roi", classifier]
                values = {f"acc_{column}": predictions.correct.mean(), f"auc_{column}": predictions.auc()}
                cells += test.cells(classifier, f"{column}_roi", classifier, values)
    return [replace(cell, extra=cell.metric.endswith("_dilated")) for cell in cells]


def intervals(predictions: Predictions) -> dict[str, float]:
    """Return ACC and AUC, each with its 95 % bootstrap interval over patients."""
    acc_low, acc_high = bootstrap_interval(predictions.correct, BASE_SEED, groups=predictions.groups)
    auc_low, auc_high = classification.auc_interval(predictions, BASE_SEED)
    values = {"acc": predictions.correct.mean(), "acc_low": acc_low, "acc_high": acc_high}
    return values | {"auc": float(predictions.auc()), "auc_low": auc_low, "auc_high": auc_high}


def interval_cells(tests: Iterable[CrossValidation]) -> list[Cell]:
    """Return :func:`intervals` of every set of features and classifier."""
    return [
        cell
        for test in tests
        for key, predictions in test.predictions.items()
        for cell in test.cells(row_of(*key), *key, intervals(predictions))
    ]


def intervals_by_key(tests: Iterable[CrossValidation]) -> dict[Key, dict[str, float]]:
    """Return :func:`intervals` by (data set, features, classifier)."""
    return {
        (test.nodules.name, *key): intervals(predictions)
        for test in tests
        for key, predictions in test.predictions.items()
    }


def printed_areas() -> dict[Key, float]:
    """Return the AUC printed in table 5, by (data set, features, classifier)."""
    features = {"auc_binary": "binary_roi", "auc_soft": "soft_roi"}
    printed = papers.load("casgan").table("table-5").cells
    return {(cell.dataset, features[cell.metric], cell.row): cell.mean for cell in printed if cell.metric in features}


def auc_cells(tests: Iterable[CrossValidation], pairs: Sequence[tuple[str, str]]) -> list[Cell]:
    """Return differences in AUC, in percentage points, with intervals over patients."""
    cells = []
    for test in tests:
        for better, worse in pairs:
            for classifier in CLASSIFIERS:
                predictions = (test.predictions[features, classifier] for features in (better, worse))
                values = 100 * np.array(classification.auc_difference(*predictions, BASE_SEED))
                row = f"{row_of(better, classifier)} over {display('rows', worse)}"
                values_by_metric = dict(zip(("difference", "low", "high"), values, strict=True))
                cells += test.cells(row, better, classifier, values_by_metric)
    return cells


def chance_cells(nodules: Nodules, tests: Mapping[tuple[str, str], Mapping[str, float]]) -> list[Cell]:
    """Return the AUC, the mean AUC over permuted labels, and the p value."""
    cells = []
    for key, values in tests.items():
        cells += numbers(row_of(*key), nodules.name, values, len(nodules), 1, nodules.source)
    return cells


def importance(nodules: Nodules, classifier: str, features: str) -> dict[str, float]:
    """Return the fall in AUC when a family of features, or a single feature, is shuffled."""
    table = nodules.features[features]
    columns = {family: [i for i, name in enumerate(table) if name.startswith(f"{family}_")] for family in FAMILIES}
    columns |= {name: [i] for i, name in enumerate(table)}
    return classification.importance(_examples(nodules, features), classifier, columns, BASE_SEED)


def stability(nodules: Nodules, a: str = "binary_roi", b: str = "soft_roi") -> pd.DataFrame:
    """Return ICC(2,1) and rank correlation of each feature between two regions."""
    first, second = nodules.features[a], nodules.features[b]
    values = np.stack([first.to_numpy().T, second.to_numpy().T], axis=-1)  # (F, N, 2)
    varies = (np.ptp(values, axis=1) > 0).all(axis=1)  # (F,)
    ranks = [spearmanr(*pair.T).statistic if defined else np.nan for pair, defined in zip(values, varies, strict=True)]
    return pd.DataFrame({"icc": icc(values), "spearman": ranks}, index=first.columns)


def family_cells(nodules: Nodules, falls: Mapping[str, Mapping[str, float]]) -> list[Cell]:
    """Return each family's importance (``falls``) and stability between the regions."""
    cells = []
    tables = {b: stability(nodules, "binary_roi", b) for b in ("soft_roi", "dilated_roi")}
    for family in FAMILIES:
        values = {f"importance_{features}": 100 * fall[family] for features, fall in falls.items()}
        for b, table in tables.items():
            lines = table[table.index.str.startswith(f"{family}_")]
            values |= {f"icc_{b}": lines["icc"].median(), f"good_{b}": (lines["icc"] >= GOOD_ICC).mean()}
            values |= {f"spearman_{b}": lines["spearman"].median()}
        cells += numbers(family, nodules.name, values, len(nodules), 1, nodules.source)
    return cells


def most_important(falls: Mapping[str, Mapping[str, float]], n: int = 8) -> pd.DataFrame:
    """Return the features with the largest mean fall in AUC, in percentage points."""
    frame = 100 * pd.DataFrame(falls).drop(index=list(FAMILIES))
    return frame.loc[frame.mean(axis=1).sort_values(ascending=False, kind="stable").index[:n]].round(2)


def patients_on_both_sides(tests: Iterable[CrossValidation]) -> int:
    """Return the number of patients in more than one fold; above 0, the folds leak."""
    leaking_patients = set()
    for test in tests:
        for predictions in test.predictions.values():
            for folds in predictions.folds:
                folds_per_patient = pd.Series(folds).groupby(np.asarray(predictions.groups)).nunique()
                leaking_patients |= set(folds_per_patient.index[folds_per_patient > 1])
    return len(leaking_patients)
