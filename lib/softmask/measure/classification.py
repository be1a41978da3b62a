"""Two classes told apart from a table of features: nested cross-validation in which no patient is on both sides.

The outer folds (scikit-learn's StratifiedGroupKFold) hold whole patients out; scaling and the choice of
hyper-parameters happen inside each training part, the choice in an inner cross-validation of the same kind (Varma and
Simon, "Bias in error estimation when using cross-validation for model selection", BMC Bioinformatics 7, 2006). The
whole is repeated with other folds. A score is always of an image that the classifier has not seen, nor any other of
its patient.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from softmask.errors import ConfigError, DataError
from softmask.measure.statistics import bootstrap_weights, percentile_interval

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

FOLDS, INNER_FOLDS = 5, 3
Split = tuple[np.ndarray, np.ndarray]  # rows to train on, rows held out


@dataclass(frozen=True)
class Classifier:
    """A classifier: how it is made, and the hyper-parameters to choose from, the default first.

    Attributes:
        make: the classifier with these hyper-parameters, its random choices seeded.
        grid: values by hyper-parameter.
    """

    make: Callable[..., Any]
    grid: Mapping[str, Sequence[Any]]

    def settings(self) -> list[dict[str, Any]]:
        """Every combination of the grid's values, that of the first values first."""
        return [dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())]

    def pipeline(self, setting: Mapping[str, Any]) -> Pipeline:
        """Scaling to mean 0 and standard deviation 1, then the classifier: fitted together, on training rows only."""
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), self.make(**setting))


def _tree(**setting: Any) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(min_samples_leaf=3, random_state=0, **setting)


def _knn(**setting: Any) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(**setting)


def _svm(**setting: Any) -> Any:
    from sklearn.svm import SVC

    return SVC(kernel="rbf", gamma="scale", **setting)


CLASSIFIERS: Mapping[str, Classifier] = MappingProxyType(
    {
        "decision_tree": Classifier(_tree, {"max_depth": (3, 2, 5)}),
        "knn": Classifier(_knn, {"n_neighbors": (7, 3, 5, 11)}),
        "svm": Classifier(_svm, {"C": (1.0, 0.1, 10.0, 100.0)}),
    }
)
"""CasGAN's three."""

LEAST_TRAINING = 11
"""Images that a training part must have: as many as the most neighbours."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What R repetitions of a cross-validation said of N images while these were held out.

    Attributes:
        scores: (R, N) float, the higher the surer of class 1.
        called: (R, N) bool, whether the classifier said class 1.
        folds: (R, N) int, the fold in which each image was held out.
        labels: (N,) bool, whether it is of class 1.
        groups: (N,) the patient of each image.
    """

    scores: np.ndarray
    called: np.ndarray
    folds: np.ndarray
    labels: np.ndarray
    groups: tuple[Hashable, ...]

    @property
    def correct(self) -> np.ndarray:
        """(N,) float in [0, 1]: in what share of the repetitions each image was called rightly; its mean is ACC."""
        return (self.called == self.labels).mean(axis=0)

    def auc(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Area under the ROC curve: of the pairs of an image of class 1 and one of class 0, the share in which the
        first has the higher score; half a pair where the scores are equal.

            AUC = sum_r sum_{i in 1, j in 0, same fold in r} w_i w_j [s_i > s_j] / sum of w_i w_j over the same pairs

        Pairs are those that one fold holds out together: scores of two classifiers are on two scales.

        Args:
            weights: (..., N) how often each image counts; None: once.

        Returns:
            (...) in [0, 1]; NaN where the weights leave no pair.
        """
        wins, pairs = self._pairs()  # (P, Q) over the images of class 1 and of class 0
        weights = np.ones(len(self.labels)) if weights is None else np.asarray(weights, float)
        ones, zeros = weights[..., self.labels], weights[..., ~self.labels]
        total = ((ones @ pairs) * zeros).sum(axis=-1)
        won = ((ones @ wins) * zeros).sum(axis=-1)
        return np.divide(won, total, out=np.full(np.shape(total), np.nan), where=total > 0)

    def _pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """(P, Q) in how many repetitions a pair was held out together, and in how many of these it was ranked right."""
        wins = np.zeros((self.labels.sum(), (~self.labels).sum()))
        pairs = np.zeros_like(wins)
        for scores, folds in zip(self.scores, self.folds, strict=True):
            together = folds[self.labels, None] == folds[None, ~self.labels]
            difference = scores[self.labels, None] - scores[None, ~self.labels]
            pairs += together
            wins += together * (np.sign(difference) + 1) / 2
        return wins, pairs


def outer_splits(labels: np.ndarray, groups: Sequence[Hashable], folds: int, seed: int) -> list[Split]:
    """``folds`` parts of (N,) images, each held out once; whole patients, and as even in the classes as they allow.

    Raises:
        DataError: where a class has fewer patients than there are folds, or a training part lacks a class or has fewer
            than :data:`LEAST_TRAINING` images.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    labels, numbers = np.asarray(labels, bool), _numbers(groups)
    for name in (False, True):
        patients = len(set(numbers[labels == name]))
        if patients < folds:
            count = f"{patients} patient{'' if patients == 1 else 's'}"
            raise DataError(
                f"class {int(name)} has {count}, too few for {folds} folds, each of which holds out patients of both "
                "classes: widen the rule that makes the classes, use more images, or fewer folds"
            )
    divided = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    found = list(divided.split(np.zeros(len(labels)), labels, numbers))
    if any(len(set(labels[train])) < 2 for train, _ in found):
        raise DataError(f"a training part of {folds} folds lacks a class: one patient has nearly all of its images")
    if min(len(train) for train, _ in found) < LEAST_TRAINING:
        raise DataError(f"{len(labels)} images in {folds} folds leave fewer than {LEAST_TRAINING} to train on")
    return found


def cross_validate(
    features: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[Hashable],
    classifier: str,
    seeds: Sequence[int],
    *,
    folds: int = FOLDS,
    inner: int | None = INNER_FOLDS,
) -> Predictions:
    """Scores of images held out, in one repetition for each of ``seeds``.

    Args:
        features: (N, F), finite.
        labels: (N,) bool, class 1 or class 0.
        groups: (N,) the patient of each image.
        classifier: one of :data:`CLASSIFIERS`.
        inner: folds of the inner cross-validation that chooses the hyper-parameters by its accuracy, among equals by
            its AUC, then the earlier setting; None: the default setting, nothing is chosen.

    Raises:
        ConfigError: for another classifier.
        DataError: features that are not finite or do not fit the labels, or a class with too few patients.
    """
    features, labels = _checked(features, labels, groups)
    scores = np.empty((len(seeds), len(labels)))
    called, of_fold = np.empty(scores.shape, bool), np.empty(scores.shape, int)
    for r, seed in enumerate(seeds):
        fitted = _fitted(features, labels, groups, classifier, seed, folds, inner)
        for fold, (held_out, pipeline) in enumerate(fitted):
            scores[r, held_out] = _scores(pipeline, features[held_out])
            called[r, held_out] = pipeline.predict(features[held_out])
            of_fold[r, held_out] = fold
    return Predictions(scores, called, of_fold, labels, tuple(groups))


def auc_interval(found: Predictions, seed: int) -> tuple[float, float]:
    """95 % bootstrap interval of the AUC that draws whole patients. The classifiers are not trained again: it says how
    much the AUC of these classifiers hangs on whom they were tested on."""
    return percentile_interval(found.auc(bootstrap_weights(found.groups, seed)))


def auc_difference(a: Predictions, b: Predictions, seed: int) -> tuple[float, float, float]:
    """AUC of ``a`` minus that of ``b``, on the same images, with its 95 % bootstrap interval over patients.

    Raises:
        DataError: where the images differ.
    """
    if a.groups != b.groups or not np.array_equal(a.labels, b.labels):
        raise DataError("two AUCs can only be compared on the same images")
    weights = bootstrap_weights(a.groups, seed)
    low, high = percentile_interval(a.auc(weights) - b.auc(weights))
    return float(a.auc() - b.auc()), low, high


@dataclass(frozen=True)
class Chance:
    """AUC with the labels as they are, the mean AUC over permuted labels, and the p value."""

    auc: float
    chance: float
    p: float


def against_chance(
    features: np.ndarray, labels: np.ndarray, groups: Sequence[Hashable], classifier: str, n: int, seed: int
) -> Chance:
    """Permutation test of "the features say nothing about the class": AUC of one repetition, default setting.

    p = (1 + number of permutations with at least this AUC) / (1 + n), which is never 0 (Phipson and Smyth 2010).
    Labels are permuted by patient (:func:`permuted`). The mean over them is 1/2 unless something leaks.
    """

    def auc(of: np.ndarray) -> float:
        return float(cross_validate(features, of, groups, classifier, [seed], inner=None).auc())

    labels = np.asarray(labels, bool)
    generator = np.random.default_rng(seed)
    null = np.array([auc(permuted(labels, groups, generator)) for _ in range(n)])
    observed = auc(labels)
    return Chance(observed, float(null.mean()), float((1 + (null >= observed).sum()) / (1 + n)))


def permuted(labels: np.ndarray, groups: Sequence[Hashable], generator: np.random.Generator) -> np.ndarray:
    """(N,) labels, handed from patient to patient among those with as many images, and shuffled within each.

    A patient's images keep belonging together, which labels shuffled one by one would undo.
    """
    labels, numbers = np.asarray(labels), _numbers(groups)
    rows = [np.flatnonzero(numbers == number) for number in range(numbers.max() + 1)]
    moved = labels.copy()
    for size in sorted({len(mine) for mine in rows}):
        alike = [mine for mine in rows if len(mine) == size]
        for mine, other in zip(alike, generator.permutation(len(alike)), strict=True):
            moved[mine] = generator.permutation(labels[alike[other]])
    return moved


def importance(
    features: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[Hashable],
    classifier: str,
    columns: Mapping[str, Sequence[int]],
    seeds: Sequence[int],
    *,
    n: int = 5,
) -> dict[str, float]:
    """By how much the AUC falls when columns are shuffled among the images held out (Breiman 2001), by name.

    Args:
        columns: by name, which columns are shuffled together: one, or a family of features that can stand in for
            one another.
        seeds: of the repetitions; the mean over them and over ``n`` shuffles of each.

    Raises:
        As :func:`cross_validate`.
    """
    features, labels = _checked(features, labels, groups)
    falls = {name: [] for name in columns}
    for seed in seeds:
        generator = np.random.default_rng(seed)
        whole, of_fold = np.empty((1, len(labels))), np.empty((1, len(labels)), int)
        shuffled = {name: np.empty((n, len(labels))) for name in columns}
        fitted = _fitted(features, labels, groups, classifier, seed, FOLDS, INNER_FOLDS)
        for fold, (held_out, pipeline) in enumerate(fitted):
            of_fold[:, held_out] = fold
            whole[:, held_out] = _scores(pipeline, features[held_out])
            for name, chosen in columns.items():
                copies = np.repeat(features[held_out][None], n, axis=0)  # (n, held out, F)
                for copy in copies:
                    copy[:, chosen] = copy[generator.permutation(len(held_out))][:, chosen]
                shuffled[name][:, held_out] = _scores(pipeline, np.concatenate(copies)).reshape(n, -1)

        def auc(scores: np.ndarray, of_fold: np.ndarray = of_fold) -> float:
            folds = np.repeat(of_fold, len(scores), axis=0)
            return float(Predictions(scores, scores > 0, folds, labels, tuple(groups)).auc())

        before = auc(whole)
        for name, scores in shuffled.items():
            falls[name].append(before - auc(scores))
    return {name: float(np.mean(fall)) for name, fall in falls.items()}


def _checked(features: np.ndarray, labels: np.ndarray, groups: Sequence[Hashable]) -> tuple[np.ndarray, np.ndarray]:
    features, labels = np.asarray(features, float), np.asarray(labels, bool)
    if features.ndim != 2 or labels.shape != features.shape[:1] or len(groups) != len(labels):
        raise DataError(
            f"features {features.shape}, labels {labels.shape} and {len(groups)} patients are not of the same images"
        )
    if not np.isfinite(features).all():
        row, column = np.argwhere(~np.isfinite(features))[0]
        raise DataError(f"feature {column} of image {row} is {features[row, column]}: leave the image or feature out")
    return features, labels


def _fitted(
    features: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[Hashable],
    classifier: str,
    seed: int,
    folds: int,
    inner: int | None,
) -> Iterator[tuple[np.ndarray, Pipeline]]:
    """For each outer fold its rows held out, and the pipeline that was chosen and fitted on the others."""
    if classifier not in CLASSIFIERS:
        raise ConfigError(f"unknown classifier {classifier!r}; choose one of {', '.join(CLASSIFIERS)}")
    kind, numbers = CLASSIFIERS[classifier], _numbers(groups)
    for train, held_out in outer_splits(labels, groups, folds, seed):
        setting = kind.settings()[0]
        if inner is not None:
            setting = _chosen(kind, features[train], labels[train], numbers[train].tolist(), inner, seed)
        yield held_out, kind.pipeline(setting).fit(features[train], labels[train])


def _chosen(
    kind: Classifier, features: np.ndarray, labels: np.ndarray, groups: Sequence[Hashable], folds: int, seed: int
) -> dict[str, Any]:
    splits = outer_splits(labels, groups, folds, seed)
    of_fold = np.empty((1, len(labels)), int)
    for fold, (_, held_out) in enumerate(splits):
        of_fold[0, held_out] = fold
    best, best_reached = {}, (-1.0, -1.0)
    for setting in kind.settings():
        scores, called = np.empty(of_fold.shape), np.empty(of_fold.shape, bool)
        for train, held_out in splits:
            pipeline = kind.pipeline(setting).fit(features[train], labels[train])
            scores[0, held_out] = _scores(pipeline, features[held_out])
            called[0, held_out] = pipeline.predict(features[held_out])
        found = Predictions(scores, called, of_fold, labels, tuple(groups))
        reached = (found.correct.mean(), float(found.auc()))
        if reached > best_reached:
            best, best_reached = setting, reached
    return best


def _scores(pipeline: Pipeline, features: np.ndarray) -> np.ndarray:
    """(N,) the higher the surer of class 1."""
    if hasattr(pipeline, "decision_function"):
        return pipeline.decision_function(features)
    return pipeline.predict_proba(features)[:, list(pipeline.classes_).index(True)]


def _numbers(groups: Sequence[Hashable]) -> np.ndarray:
    """(N,) int: the number of each image's patient, counted from 0 in order of appearance."""
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(group, len(number)) for group in groups], int)
