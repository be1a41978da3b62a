"""How well radiomics features tell smooth from burr nodules: table 5, its controls, chance, importance, stability."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from softmask import papers
from softmask.analysis import claims
from softmask.analysis.radiomics import FEATURE_SETS, PAPER_NODULES, Nodules
from softmask.analysis.table import NAN, numbers
from softmask.config import BASE_SEED, Config
from softmask.errors import DataError
from softmask.measure import classification
from softmask.measure.classification import CLASSIFIERS, Chance, Predictions
from softmask.measure.differences import Scores
from softmask.measure.statistics import bootstrap_interval, icc
from softmask.papers import Claim, display
from softmask.parallel import map_items
from softmask.report.result import Cell, Key

FAMILIES = ("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
"""The families of pyradiomics' features, by which their names begin."""

GOOD_ICC = 0.75
"""From here an agreement is called good (Koo and Li, Journal of Chiropractic Medicine 15, 2016)."""


@dataclass(frozen=True)
class Effort:
    """Repetitions of the cross-validation for each seed, and permutations of the labels."""

    repetitions: int
    permutations: int


EFFORTS: Mapping[str, Effort] = MappingProxyType(
    {"smoke": Effort(1, 4), "cpu": Effort(4, 99), "night": Effort(4, 99), "full": Effort(8, 999)}
)
"""By profile. Repetitions are powers of two: shares of them, and differences of shares, are then exact."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Predictions of classifiers for nodules that were held out.

    Attributes:
        nodules: those that have every set of features but, maybe, those of the band.
        predictions: by (features, classifier).
        n_seeds: how many seeds the repetitions are of.
    """

    nodules: Nodules
    predictions: Mapping[tuple[str, str], Predictions]
    n_seeds: int

    def cells(self, row: str, features: str, classifier: str, values: Mapping[str, float]) -> list[Cell]:
        """Numbers of one of the predictions, by metric."""
        n = len(self.predictions[features, classifier].labels)
        return numbers(row, self.nodules.name, values, n, self.n_seeds, self.nodules.source)


def row_of(features: str, classifier: str) -> str:
    """Return a table's row: the classifier and its input, in words."""
    return f"{display('rows', classifier)}, {display('rows', features)}"


def compared(words: str, better: str, worse: str) -> Claim:
    """Return whether ``better`` features give a higher accuracy than ``worse`` ones, by every classifier, on both
    sets."""
    places = [(dataset, f"acc_{classifier}") for dataset in PAPER_NODULES for classifier in CLASSIFIERS]
    return claims.own(words, *((better, worse, *place) for place in places))


CLAIM = next(claim for claim in papers.load("casgan").claims if claim.pairs and claim.pairs[0].better == "soft_roi")
CONTROLS = (
    compared("The soft mask's region tells more than the binary mask grown to its area", "soft_roi", "dilated_roi"),
    compared("The binary mask grown to that area tells more than the binary mask", "dilated_roi", "binary_roi"),
    compared(
        "First-order features weighted by alpha tell more than those of the binary mask",
        "first_order_weighted",
        "first_order_binary",
    ),
)
"""Questions beside the paper's claim."""


def seeds_of(config: Config) -> list[int]:
    """Return the seed of every repetition; those of one seed beside each other."""
    each = EFFORTS[config.profile.name].repetitions
    return [BASE_SEED + i for i in range(config.seeds * each)]


def held_out(nodules: Nodules, config: Config, sets: Sequence[str] = FEATURE_SETS) -> HeldOut:
    """Return cross-validated predictions for every set of features and every classifier.

    Every set is tested on the nodules that have its features: those of the band may be fewer.

    Raises:
        DataError: where a class has too few patients for the folds.
    """
    predict = partial(_predicted, nodules=nodules, seeds=seeds_of(config))
    return HeldOut(nodules, _by_place(predict, nodules, sets, "classifiers on"), config.seeds)


def against_chance(nodules: Nodules, config: Config, sets: Sequence[str]) -> dict[tuple[str, str], Chance]:
    """Return the permutation test of every classifier, by (features, classifier)."""
    permute = partial(_chance, nodules=nodules, n=EFFORTS[config.profile.name].permutations)
    return _by_place(permute, nodules, sets, "permuted labels of")


def _by_place(work: Callable, nodules: Nodules, sets: Sequence[str], title: str) -> dict[tuple[str, str], Any]:
    places = [(features, classifier) for features in sets for classifier in CLASSIFIERS]
    made = _named(nodules, map_items, work, places, title=f"{title} {nodules.name}", unit="table")
    return dict(zip(places, made, strict=True))


def _predicted(place: tuple[str, str], nodules: Nodules, seeds: Sequence[int]) -> Predictions:
    features, classifier = place
    used = nodules.having(features)
    values = used.features[features].to_numpy()  # (N, F)
    return classification.cross_validate(values, used.burr, used.patients, classifier, seeds)


def _chance(place: tuple[str, str], nodules: Nodules, n: int) -> Chance:
    features, classifier = place
    values = nodules.features[features].to_numpy()  # (N, F)
    return classification.against_chance(values, nodules.burr, nodules.patients, classifier, n, BASE_SEED)


def _named(nodules: Nodules, call: Callable, *args: Any, **options: Any) -> Any:
    """Errors of the classification with the data set's name, and what its classes 0 and 1 are."""
    try:
        return call(*args, **options)
    except DataError as error:
        raise DataError(f"{nodules.name} (class 0 smooth, class 1 burr): {error}") from error


def scores(tests: Iterable[HeldOut]) -> dict[Key, Scores]:
    """Return what :func:`softmask.analysis.claims.judge` compares: for each seed, in what share of its repetitions each
    nodule was classified rightly. Without the sets that only some nodules have."""
    made = {}
    for test in tests:
        nodules = test.nodules
        for (features, classifier), said in test.predictions.items():
            if len(said.labels) == len(nodules):
                right = (said.called == said.labels).reshape(test.n_seeds, -1, len(nodules)).mean(axis=1)  # (seeds, N)
                key = (features, nodules.name, f"acc_{classifier}")
                made[key] = Scores(nodules.ids, nodules.patients, right, nodules.source)
    return made


def table_cells(tests: Iterable[HeldOut]) -> list[Cell]:
    """Return CasGAN's table 5, and beside it the binary mask grown to the soft region's area."""
    cells = []
    for test in tests:
        for classifier in CLASSIFIERS:
            for column in ("binary", "soft", "dilated"):
                said = test.predictions[f"{column}_roi", classifier]
                values = {f"acc_{column}": said.correct.mean(), f"auc_{column}": said.auc()}
                cells += test.cells(classifier, f"{column}_roi", classifier, values)
    return [replace(cell, extra=cell.metric.endswith("_dilated")) for cell in cells]


def intervals(said: Predictions) -> dict[str, float]:
    """Return ACC and AUC, each with its 95 % bootstrap interval over patients."""
    acc, auc = (
        bootstrap_interval(said.correct, BASE_SEED, groups=said.groups),
        classification.auc_interval(said, BASE_SEED),
    )
    values = {"acc": said.correct.mean(), "acc_low": acc[0], "acc_high": acc[1]}
    return values | {"auc": float(said.auc()), "auc_low": auc[0], "auc_high": auc[1]}


def interval_cells(tests: Iterable[HeldOut]) -> list[Cell]:
    """Return :func:`intervals` of every set of features and classifier."""
    return [
        cell
        for test in tests
        for place, said in test.predictions.items()
        for cell in test.cells(row_of(*place), *place, intervals(said))
    ]


def drawn_areas(tests: Iterable[HeldOut]) -> dict[Key, dict[str, float]]:
    """Return for :func:`softmask.report.plots.areas_under_curves` AUC and interval by (data set, features,
    classifier)."""
    return {(test.nodules.name, *place): intervals(said) for test in tests for place, said in test.predictions.items()}


def printed_areas() -> dict[Key, float]:
    """Return the AUC that table 5 prints, by (data set, features, classifier)."""
    features = {"auc_binary": "binary_roi", "auc_soft": "soft_roi"}
    printed = papers.load("casgan").table("table-5").cells()
    return {(cell.dataset, features[cell.metric], cell.row): cell.mean for cell in printed if cell.metric in features}


def auc_cells(tests: Iterable[HeldOut], pairs: Sequence[tuple[str, str]]) -> list[Cell]:
    """Return differences in AUC between two sets of features, in percentage points, with intervals over patients."""
    cells = []
    for test in tests:
        for better, worse in pairs:
            for classifier in CLASSIFIERS:
                both = (test.predictions[features, classifier] for features in (better, worse))
                values = 100 * np.array(classification.auc_difference(*both, BASE_SEED))
                row = f"{row_of(better, classifier)} over {display('rows', worse)}"
                named = dict(zip(("difference", "low", "high"), values, strict=True))
                cells += test.cells(row, better, classifier, named)
    return cells


def chance_cells(nodules: Nodules, tests: Mapping[tuple[str, str], Chance]) -> list[Cell]:
    """Return AUC, the mean AUC over permuted labels, and p."""
    cells = []
    for place, test in tests.items():
        values = {"auc": test.auc, "auc_permuted": test.chance, "p": test.p}
        cells += numbers(row_of(*place), nodules.name, values, len(nodules), 1, nodules.source)
    return cells


def importance(nodules: Nodules, classifier: str, features: str) -> dict[str, float]:
    """Return the fall in AUC when a family of features (:data:`FAMILIES`), or one feature, is shuffled among nodules
    held out."""
    table = nodules.features[features]
    columns = {family: [i for i, name in enumerate(table) if name.startswith(f"{family}_")] for family in FAMILIES}
    columns |= {name: [i] for i, name in enumerate(table)}
    data = (table.to_numpy(), nodules.burr, nodules.patients)
    return _named(nodules, classification.importance, *data, classifier, columns, BASE_SEED)


def stability(nodules: Nodules, a: str = "binary_roi", b: str = "soft_roi") -> pd.DataFrame:
    """Return, of each feature (rows), how much it agrees between two regions of the same nodules: ``icc``, ICC(2,1),
    and ``spearman``, the rank correlation. NaN for a feature that does not vary."""
    first, second = nodules.features[a], nodules.features[b]
    values = np.stack([first.to_numpy().T, second.to_numpy().T], axis=-1)  # (F, N, 2)
    varies = (np.ptp(values, axis=1) > 0).all(axis=1)  # (F,)
    ranks = [spearmanr(*pair.T).statistic if known else NAN for pair, known in zip(values, varies, strict=True)]
    return pd.DataFrame({"icc": icc(values), "spearman": ranks}, index=first.columns)


def family_cells(nodules: Nodules, falls: Mapping[str, Mapping[str, float]]) -> list[Cell]:
    """Return for each family its importance inside both masks, and how stable its features are between the regions.

    Args:
        falls: :func:`importance` by set of features.
    """
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
    """Return the ``n`` single features with the largest mean fall in AUC (percentage points) over ``falls``'
    columns."""
    frame = 100 * pd.DataFrame(falls).drop(index=list(FAMILIES))
    return frame.loc[frame.mean(axis=1).sort_values(ascending=False, kind="stable").index[:n]].round(2)


def patients_on_both_sides(tests: Iterable[HeldOut]) -> int:
    """Return how many patients were, in any repetition, in more than one fold: 0, or the folds leak."""
    leaking = set()
    for test in tests:
        for said in test.predictions.values():
            for folds in said.folds:
                seen = pd.Series(folds).groupby(np.asarray(said.groups)).nunique()
                leaking |= set(seen.index[seen > 1])
    return len(leaking)
