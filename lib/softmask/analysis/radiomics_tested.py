"""How well radiomics features tell smooth from burr nodules: table 5, its controls, chance, importance, stability."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from softmask import papers
from softmask.analysis import claims
from softmask.analysis.radiomics import FEATURE_SETS, PAPER_NODULES, Nodules
from softmask.config import BASE_SEED, Config
from softmask.errors import DataError
from softmask.measure import classification
from softmask.measure.agreement import icc
from softmask.measure.classification import CLASSIFIERS, Chance, Predictions
from softmask.measure.differences import Scores
from softmask.measure.statistics import bootstrap_interval
from softmask.papers import Claim, display
from softmask.parallel import map_items
from softmask.report.result import Cell

FAMILIES = ("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
"""The families of pyradiomics' features, by which their names begin."""

GOOD_ICC = 0.75
"""From here an agreement is called good (Koo and Li, Journal of Chiropractic Medicine 15, 2016)."""

NAN = float("nan")


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
    """What classifiers said of nodules that were held out.

    Attributes:
        nodules: those that have every set of features but, maybe, those of the band.
        found: by (features, classifier).
        n_seeds: how many seeds the repetitions are of.
    """

    nodules: Nodules
    found: Mapping[tuple[str, str], Predictions]
    n_seeds: int


def row_of(features: str, classifier: str) -> str:
    """A table's row: the classifier and what it was given, in words."""
    return f"{display('rows', classifier)}, {display('rows', features)}"


def compared(words: str, better: str, worse: str) -> Claim:
    """Whether ``better`` features give a higher accuracy than ``worse`` ones, by every classifier and on both sets."""
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
"""What is asked beside the paper's claim."""


def seeds_of(config: Config) -> list[int]:
    """Of every repetition; those of one seed beside each other."""
    each = EFFORTS[config.profile.name].repetitions
    return [BASE_SEED + seed * each + repetition for seed in range(config.seeds) for repetition in range(each)]


def held_out(nodules: Nodules, config: Config, sets: Sequence[str] = FEATURE_SETS) -> HeldOut:
    """Cross-validated predictions for every set of features and every classifier.

    Every set is tested on the nodules that have its features: those of the band may be fewer.

    Raises:
        DataError: where a class has too few patients for the folds.
    """
    places = [(features, classifier) for features in sets for classifier in CLASSIFIERS]
    work = partial(_predicted, nodules=nodules, seeds=seeds_of(config))
    with _named(nodules):
        found = map_items(work, places, title=f"classifiers on {nodules.name}", unit="table")
    return HeldOut(nodules, dict(zip(places, found, strict=True)), config.seeds)


def _predicted(place: tuple[str, str], nodules: Nodules, seeds: Sequence[int]) -> Predictions:
    features, classifier = place
    used = nodules.having(features)
    return classification.cross_validate(_array(used, features), used.burr, used.patients, classifier, seeds)


def _array(nodules: Nodules, features: str) -> np.ndarray:
    return nodules.features[features].to_numpy()  # (N, F)


@contextmanager
def _named(nodules: Nodules) -> Iterator[None]:
    """Errors of the classification with the data set's name, and what its classes 0 and 1 are."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{nodules.name} (class 0 smooth, class 1 burr): {error}") from error


def scores(tests: Iterable[HeldOut]) -> dict[tuple[str, str, str], Scores]:
    """What :func:`softmask.analysis.claims.judge` compares: for each seed, in what share of its repetitions each nodule
    was called rightly. Without the sets that only some nodules have."""
    made = {}
    for one in tests:
        nodules = one.nodules
        for (features, classifier), said in one.found.items():
            if len(said.labels) == len(nodules):
                right = (said.called == said.labels).reshape(one.n_seeds, -1, len(nodules)).mean(axis=1)  # (seeds, N)
                place = (features, nodules.name, f"acc_{classifier}")
                made[place] = Scores(nodules.ids, nodules.patients, right, nodules.source)
    return made


def table_cells(tests: Iterable[HeldOut]) -> list[Cell]:
    """CasGAN's table 5, and beside it the binary mask grown to the soft region's area."""
    columns = {"binary": "binary_roi", "soft": "soft_roi", "dilated": "dilated_roi"}
    cells = []
    for one in tests:
        for classifier in CLASSIFIERS:
            for column, features in columns.items():
                said = one.found[features, classifier]
                for metric, value in (("acc", said.correct.mean()), ("auc", said.auc())):
                    place = (classifier, one.nodules.name, f"{metric}_{column}")
                    cells.append(_cell(*place, value, one, said, extra=column == "dilated"))
    return cells


def _cell(row: str, dataset: str, metric: str, value: float, one: HeldOut, said: Predictions, **more) -> Cell:
    return Cell(row, dataset, metric, float(value), NAN, len(said.labels), one.n_seeds, one.nodules.source, **more)


def interval_cells(tests: Iterable[HeldOut]) -> list[Cell]:
    """ACC and AUC of every set of features and classifier, each with its 95 % bootstrap interval over patients."""
    cells = []
    for one in tests:
        for (features, classifier), said in one.found.items():
            acc = bootstrap_interval(said.correct, BASE_SEED, groups=said.groups)
            auc = classification.auc_interval(said, BASE_SEED)
            values = {"acc": said.correct.mean(), "acc_low": acc[0], "acc_high": acc[1]}
            values |= {"auc": said.auc(), "auc_low": auc[0], "auc_high": auc[1]}
            row = row_of(features, classifier)
            cells += [_cell(row, one.nodules.name, name, value, one, said) for name, value in values.items()]
    return cells


def drawn_areas(tests: Iterable[HeldOut]) -> dict[tuple[str, str, str], dict[str, float]]:
    """For :func:`softmask.report.plots.areas_under_curves`: AUC and interval by (data set, features,
    classifier)."""
    tests = list(tests)
    places = {row_of(*place): place for one in tests for place in one.found}
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for cell in interval_cells(tests):
        found.setdefault((cell.dataset, *places[cell.row]), {})[cell.metric] = cell.ours_mean
    return found


def printed_areas() -> dict[tuple[str, str, str], float]:
    """The AUC that table 5 prints, by (data set, features, classifier)."""
    features = {"auc_binary": "binary_roi", "auc_soft": "soft_roi"}
    printed = papers.load("casgan").table("table-5").cells()
    return {(cell.dataset, features[cell.metric], cell.row): cell.mean for cell in printed if cell.metric in features}


def auc_cells(tests: Iterable[HeldOut], compared: Iterable[tuple[str, str]]) -> list[Cell]:
    """Differences in AUC between two sets of features, in percentage points, with intervals over patients."""
    cells = []
    compared = list(compared)
    for one in tests:
        for better, worse in compared:
            for classifier in CLASSIFIERS:
                said = one.found[better, classifier]
                values = classification.auc_difference(said, one.found[worse, classifier], BASE_SEED)
                row = f"{row_of(better, classifier)} over {display('rows', worse)}"
                for name, value in zip(("difference", "low", "high"), values, strict=True):
                    cells.append(_cell(row, one.nodules.name, name, 100 * value, one, said))
    return cells


def against_chance(nodules: Nodules, config: Config, sets: Sequence[str]) -> dict[tuple[str, str], Chance]:
    """The permutation test of every classifier, by (features, classifier)."""
    places = [(features, classifier) for features in sets for classifier in CLASSIFIERS]
    work = partial(_chance, nodules=nodules, n=EFFORTS[config.profile.name].permutations)
    with _named(nodules):
        found = map_items(work, places, title=f"permuted labels of {nodules.name}", unit="table")
    return dict(zip(places, found, strict=True))


def _chance(place: tuple[str, str], nodules: Nodules, n: int) -> Chance:
    features, classifier = place
    return classification.against_chance(
        _array(nodules, features), nodules.burr, nodules.patients, classifier, n, BASE_SEED
    )


def chance_cells(nodules: Nodules, found: Mapping[tuple[str, str], Chance]) -> list[Cell]:
    """AUC, the mean AUC over permuted labels, and p."""
    return [
        Cell(row_of(*place), nodules.name, metric, value, NAN, len(nodules), 1, nodules.source)
        for place, one in found.items()
        for metric, value in (("auc", one.auc), ("auc_permuted", one.chance), ("p", one.p))
    ]


def importance(nodules: Nodules, classifier: str, features: str) -> dict[str, float]:
    """Fall in AUC when a family of features (:data:`FAMILIES`), or one feature, is shuffled among nodules held out."""
    table = nodules.features[features]
    columns = {family: [i for i, name in enumerate(table) if name.startswith(f"{family}_")] for family in FAMILIES}
    columns |= {name: [i] for i, name in enumerate(table)}
    with _named(nodules):
        return classification.importance(
            table.to_numpy(), nodules.burr, nodules.patients, classifier, columns, [BASE_SEED]
        )


def stability(nodules: Nodules, a: str = "binary_roi", b: str = "soft_roi") -> pd.DataFrame:
    """Of each feature (rows), how much it agrees between two regions of the same nodules: ``icc``, ICC(2,1), and
    ``spearman``, the rank correlation. NaN for a feature that does not vary."""
    one, other = nodules.features[a], nodules.features[b]
    values = np.stack([one.to_numpy().T, other.to_numpy().T], axis=-1)  # (F, N, 2)
    varies = (np.ptp(values, axis=1) > 0).all(axis=1)  # (F,)
    ranks = [spearmanr(*pair.T).statistic if known else NAN for pair, known in zip(values, varies, strict=True)]
    return pd.DataFrame({"icc": icc(values), "spearman": ranks}, index=one.columns)


def family_cells(nodules: Nodules, falls: Mapping[str, Mapping[str, float]]) -> list[Cell]:
    """For each family its importance inside both masks, and how stable its features are between the regions.

    Args:
        falls: :func:`importance` by set of features.
    """
    cells = []
    tables = {b: stability(nodules, "binary_roi", b) for b in ("soft_roi", "dilated_roi")}
    for family in FAMILIES:
        values = {f"importance_{features}": 100 * of[family] for features, of in falls.items()}
        for b, table in tables.items():
            mine = table[table.index.str.startswith(f"{family}_")]
            values |= {f"icc_{b}": mine["icc"].median(), f"good_{b}": (mine["icc"] >= GOOD_ICC).mean()}
            values |= {f"spearman_{b}": mine["spearman"].median()}
        for metric, value in values.items():
            place = (family, nodules.name, metric)
            cells.append(Cell(*place, float(value), NAN, len(nodules), 1, nodules.source))
    return cells


def most_important(falls: Mapping[str, Mapping[str, float]], n: int = 8) -> pd.DataFrame:
    """The ``n`` single features with the largest mean fall in AUC (percentage points) over ``falls``' columns."""
    frame = 100 * pd.DataFrame(falls).drop(index=list(FAMILIES))
    return frame.loc[frame.mean(axis=1).sort_values(ascending=False, kind="stable").index[:n]].round(2)


def patients_on_both_sides(tests: Iterable[HeldOut]) -> int:
    """How many patients were, in any repetition, in more than one fold: 0, or the folds leak."""
    leaking = set()
    for one in tests:
        for said in one.found.values():
            for folds in said.folds:
                seen = pd.Series(folds).groupby(np.asarray(said.groups)).nunique()
                leaking |= set(seen.index[seen > 1])
    return len(leaking)
