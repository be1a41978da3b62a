"""Two classes told apart from a table of features: nested cross-validation in which no patient is on both sides.

The outer folds (scikit-learn's StratifiedGroupKFold) hold whole patients out; scaling and the choice of
hyper-parameters happen inside each training part, the choice in an inner cross-validation of the same kind (Varma and
Simon, "Bias in error estimation when using cross-validation for model selection", BMC Bioinformatics 7, 2006). The
whole is repeated with other folds. A score is always of an image that the classifier has not seen, nor any other of
its patient.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from softmask.errors import ConfigError, DataError
from softmask.measure.statistics import bootstrap_weights, group_numbers, percentile_interval

FOLDS, INNER_FOLDS = 5, 3
Split = tuple[np.ndarray, np.ndarray]  # rows to train on, rows held out
Fitted = tuple[np.ndarray, Pipeline]  # rows held out, what was fitted on the others

CLASSIFIERS: Mapping[str, Sequence[BaseEstimator]] = {
    "decision_tree": [
        DecisionTreeClassifier(min_samples_leaf=3, random_state=0, max_depth=depth) for depth in (3, 2, 5)
    ],
    "knn": [KNeighborsClassifier(n_neighbors=n) for n in (7, 3, 5, 11)],
    "svm": [SVC(kernel="rbf", gamma="scale", C=c) for c in (1.0, 0.1, 10.0, 100.0)],
}
"""CasGAN's three, each with the hyper-parameters to choose from, the default first."""

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
        """(N,) in [0, 1]: in what share of the repetitions each image was classified correctly; its mean is ACC."""
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
        one, zero = self.labels, ~self.labels
        wins, pairs = np.zeros((2, one.sum(), zero.sum()))  # how often ranked right, and held out together
        for scores, folds in zip(self.scores, self.folds, strict=True):
            together = folds[one, None] == folds[None, zero]
            pairs += together
            wins += together * (np.sign(scores[one, None] - scores[None, zero]) + 1) / 2
        weights = np.ones(len(self.labels)) if weights is None else np.asarray(weights, float)
        total = ((weights[..., one] @ pairs) * weights[..., zero]).sum(axis=-1)
        won = ((weights[..., one] @ wins) * weights[..., zero]).sum(axis=-1)
        return np.divide(won, total, out=np.full(np.shape(total), np.nan), where=total > 0)


def outer_splits(labels: np.ndarray, groups: Sequence[Hashable], folds: int, seed: int) -> list[Split]:
    """``folds`` parts of (N,) images, each held out once; whole patients, and as even in the classes as they allow.

    Raises:
        DataError: where a class has fewer patients than there are folds, or a training part lacks a class or has fewer
            than :data:`LEAST_TRAINING` images.
    """
    labels, numbers = np.asarray(labels, bool), group_numbers(groups)
    for name in (False, True):
        patients = len(set(numbers[labels == name]))
        if patients < folds:
            raise DataError(
                f"class {int(name)} has {patients} patient{'' if patients == 1 else 's'}, too few for {folds} folds, "
                "each of which holds out patients of both classes: widen the rule that makes the classes, use more "
                "images, or fewer folds"
            )
    divided = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    splits = list(divided.split(np.zeros(len(labels)), labels, numbers))
    if any(len(set(labels[train])) < 2 for train, _ in splits):
        raise DataError(f"a training part of {folds} folds lacks a class: one patient has nearly all of its images")
    if min(len(train) for train, _ in splits) < LEAST_TRAINING:
        raise DataError(f"{len(labels)} images in {folds} folds leave fewer than {LEAST_TRAINING} to train on")
    return splits


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
    """Return the scores of images held out, in one repetition for each of ``seeds``.

    Args:
        features: (N, F), finite.
        labels: (N,) bool, class 1 or class 0.
        groups: (N,) the patient of each image.
        classifier: one of :data:`CLASSIFIERS`.
        inner: folds of the inner cross-validation that chooses the hyper-parameters by its accuracy, among equals by
            its AUC, then the earlier setting; None: the default setting, nothing is chosen.

    Raises:
        ConfigError: for another classifier.
        DataError: features that are not finite, or a class with too few patients.
    """
    runs = [list(_fitted(features, labels, groups, classifier, seed, folds, inner)) for seed in seeds]
    return _predictions(runs, features, labels, groups)


def auc_interval(predictions: Predictions, seed: int) -> tuple[float, float]:
    """95 % bootstrap interval of the AUC that draws whole patients. The classifiers are not trained again: it says how
    much the AUC of these classifiers hangs on whom they were tested on."""
    return percentile_interval(predictions.auc(bootstrap_weights(predictions.groups, seed)))


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

    def auc(labels: np.ndarray) -> float:
        return float(cross_validate(features, labels, groups, classifier, [seed], inner=None).auc())

    labels = np.asarray(labels, bool)
    generator = np.random.default_rng(seed)
    null = np.array([auc(permuted(labels, groups, generator)) for _ in range(n)])
    observed = auc(labels)
    return Chance(observed, float(null.mean()), float((1 + (null >= observed).sum()) / (1 + n)))


def permuted(labels: np.ndarray, groups: Sequence[Hashable], generator: np.random.Generator) -> np.ndarray:
    """(N,) labels, handed from patient to patient among those with as many images, and shuffled within each.

    A patient's images keep belonging together, which labels shuffled one by one would undo.
    """
    numbers = group_numbers(groups)
    rows = [np.flatnonzero(numbers == number) for number in range(numbers.max() + 1)]  # of each patient
    moved = labels.copy()
    for size in sorted({len(own) for own in rows}):
        alike = [own for own in rows if len(own) == size]
        for own, other in zip(alike, generator.permutation(len(alike)), strict=True):
            moved[own] = generator.permutation(labels[alike[other]])
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
    falls = {name: [] for name in columns}
    for seed in seeds:
        generator = np.random.default_rng(seed)
        fitted = list(_fitted(features, labels, groups, classifier, seed, FOLDS, INNER_FOLDS))
        whole = _predictions([fitted], features, labels, groups)
        shuffled = {name: np.empty((n, len(labels))) for name in columns}
        for held_out, pipeline in fitted:
            for name, chosen in columns.items():
                copies = np.repeat(features[held_out][None], n, axis=0)  # (n, held out, F)
                for copy in copies:
                    copy[:, chosen] = copy[generator.permutation(len(held_out))][:, chosen]
                shuffled[name][:, held_out] = _scores(pipeline, np.concatenate(copies)).reshape(n, -1)
        for name, scores in shuffled.items():
            folds = np.repeat(whole.folds, n, axis=0)
            after = Predictions(scores, scores > 0, folds, whole.labels, whole.groups)
            falls[name].append(float(whole.auc()) - float(after.auc()))
    return {name: float(np.mean(fall)) for name, fall in falls.items()}


def _fitted(
    features: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[Hashable],
    classifier: str,
    seed: int,
    folds: int,
    inner: int | None,
) -> Iterator[Fitted]:
    """For each outer fold its rows held out, and the pipeline that was chosen and fitted on the others."""
    if classifier not in CLASSIFIERS:
        raise ConfigError(f"unknown classifier {classifier!r}; choose one of {', '.join(CLASSIFIERS)}")
    if not np.isfinite(features).all():
        row, column = np.argwhere(~np.isfinite(features))[0]
        raise DataError(f"feature {column} of image {row} is {features[row, column]}: leave the image or feature out")
    numbers = group_numbers(groups)
    for train, held_out in outer_splits(labels, numbers, folds, seed):
        inside = features[train], labels[train], numbers[train]
        chosen = CLASSIFIERS[classifier][0]
        if inner is not None:
            merit = partial(_merit, inside, outer_splits(*inside[1:], inner, seed))
            chosen = max(CLASSIFIERS[classifier], key=merit)  # the first of equals
        yield held_out, _fit(chosen, *inside[:2])


def _merit(
    inside: tuple[np.ndarray, np.ndarray, np.ndarray], splits: Sequence[Split], setting: BaseEstimator
) -> tuple[float, float]:
    """Accuracy and AUC of a setting on what ``splits`` hold out of ``inside``: features, labels, groups."""
    features, labels, _ = inside
    fitted = [(held_out, _fit(setting, features[train], labels[train])) for train, held_out in splits]
    predictions = _predictions([fitted], *inside)
    return predictions.correct.mean(), float(predictions.auc())


def _fit(setting: BaseEstimator, features: np.ndarray, labels: np.ndarray) -> Pipeline:
    """Scaling to mean 0 and standard deviation 1, then the classifier: fitted together, on training rows only."""
    return make_pipeline(StandardScaler(), clone(setting)).fit(features, labels)


def _predictions(
    runs: Sequence[Iterable[Fitted]], features: np.ndarray, labels: np.ndarray, groups: Sequence[Hashable]
) -> Predictions:
    """The predictions of every repetition's fitted pipelines for the rows that they have not seen."""
    scores, called, folds = np.empty((3, len(runs), len(labels)))
    for r, fitted in enumerate(runs):
        for fold, (held_out, pipeline) in enumerate(fitted):
            scores[r, held_out] = _scores(pipeline, features[held_out])
            called[r, held_out] = pipeline.predict(features[held_out])
            folds[r, held_out] = fold
    return Predictions(scores, called.astype(bool), folds.astype(int), np.asarray(labels, bool), tuple(groups))


def _scores(pipeline: Pipeline, features: np.ndarray) -> np.ndarray:
    """(N,) the higher the surer of class 1."""
    if hasattr(pipeline, "decision_function"):
        return pipeline.decision_function(features)
    return pipeline.predict_proba(features)[:, list(pipeline.classes_).index(True)]
