"""Classification of images into two classes from a table of features, by nested cross-validation over patients.

The outer folds hold out whole patients. Scaling and the choice of hyper-parameters use only the training part of each
fold; the choice is made in an inner cross-validation of the same kind (Varma and Simon, BMC Bioinformatics 7, 2006).
The procedure is repeated with other folds. Every score is that of an image whose patient the classifier has not seen.

``classifier`` is a key of :data:`CLASSIFIERS`. Cross-validation raises DataError if a class has too few patients, or
there are too few images.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from softmask.errors import DataError
from softmask.measure.statistics import bootstrap_weights, group_numbers, percentile_interval, ratio

FOLDS, INNER_FOLDS = 5, 3

SHUFFLES = 5
"""Number of times that :func:`importance` shuffles columns."""

CLASSIFIERS: Mapping[str, Sequence[BaseEstimator]] = {
    "decision_tree": [
        DecisionTreeClassifier(min_samples_leaf=3, random_state=0, max_depth=depth) for depth in (3, 2, 5)
    ],
    "knn": [KNeighborsClassifier(n_neighbors=n) for n in (7, 3, 5, 11)],
    "svm": [SVC(kernel="rbf", gamma="scale", C=c) for c in (1.0, 0.1, 10.0, 100.0)],
}
"""The three classifiers of CasGAN, each with the settings of its hyper-parameters to choose from, the default first."""

LEAST_TRAINING = 11
"""Smallest number of images in a training part: the largest number of neighbours of ``knn``."""


class Examples(NamedTuple):
    """Images to classify: finite features (N, F); labels (N,) bool, True for class 1; the patient of each image."""

    features: np.ndarray
    labels: np.ndarray
    groups: Sequence[Hashable]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of N held-out images in R repetitions of a cross-validation.

    Attributes:
        scores: (R, N) float, higher where class 1 is more likely.
        predicted: (R, N) bool, whether the classifier predicts class 1.
        folds: (R, N) int, the fold in which each image was held out.
        labels: (N,) bool, whether each image is of class 1.
        groups: (N,) the patient of each image.
    """

    scores: np.ndarray
    predicted: np.ndarray
    folds: np.ndarray
    labels: np.ndarray
    groups: tuple[Hashable, ...]

    @property
    def correct(self) -> np.ndarray:
        """(N,) in [0, 1]: share of the repetitions that classify each image correctly; its mean is ACC."""
        return (self.predicted == self.labels).mean(axis=0)

    def auc(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Return the area under the ROC curve: the share of pairs of an image of class 1 and an image of class 0
        in which the first has the higher score; a pair with equal scores counts half.

            AUC = sum_r sum_{i in 1, j in 0, same fold in r} w_i w_j [s_i > s_j] / sum of w_i w_j over the same pairs

        Only images of the same fold form pairs: the scores of two fitted classifiers have different scales.

        Args:
            weights: (..., N) how often each image counts; None: each counts once.

        Returns:
            (...) in [0, 1]; NaN where the weights leave no pair.
        """
        positive, negative = self.labels, ~self.labels
        wins, pairs = np.zeros((2, positive.sum(), negative.sum()))  # times ranked correctly, and held out together
        for scores, folds in zip(self.scores, self.folds, strict=True):
            same_fold = folds[positive, None] == folds[None, negative]
            pairs += same_fold
            wins += same_fold * (np.sign(scores[positive, None] - scores[None, negative]) + 1) / 2
        weights = np.ones(len(self.labels)) if weights is None else np.asarray(weights, float)
        weighted_pairs = ((weights[..., positive] @ pairs) * weights[..., negative]).sum(axis=-1)
        weighted_wins = ((weights[..., positive] @ wins) * weights[..., negative]).sum(axis=-1)
        return ratio(weighted_wins, weighted_pairs)


def cross_validate(examples: Examples, classifier: str, seeds: Sequence[int], tuned: bool = True) -> Predictions:
    """Return the predictions for the held-out images, with one repetition for each of ``seeds``.

    Args:
        tuned: whether an inner cross-validation chooses the setting with the highest accuracy (ties: the highest AUC,
            then the earlier setting); otherwise, the default setting is used.
    """
    settings = CLASSIFIERS[classifier] if tuned else CLASSIFIERS[classifier][:1]
    repetitions = [_repeat(examples, settings, seed)[0] for seed in seeds]
    fields = ("scores", "predicted", "folds")
    arrays = {name: np.concatenate([getattr(repetition, name) for repetition in repetitions]) for name in fields}
    return replace(repetitions[0], **arrays)


def auc_interval(predictions: Predictions, seed: int) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the AUC over patients, without fitting the classifiers again."""
    return percentile_interval(predictions.auc(bootstrap_weights(predictions.groups, seed)))


def auc_difference(a: Predictions, b: Predictions, seed: int) -> tuple[float, float, float]:
    """Return AUC of ``a`` minus that of ``b``, with its 95 % bootstrap interval over patients."""
    weights = bootstrap_weights(a.groups, seed)
    low, high = percentile_interval(a.auc(weights) - b.auc(weights))
    return float(a.auc() - b.auc()), low, high


def against_chance(examples: Examples, classifier: str, n: int, seed: int) -> dict[str, float]:
    """Return a permutation test of the AUC with one repetition and the default setting: ``auc``, its mean over
    permuted labels (``auc_permuted``), and ``p``.

    p = (1 + number of permutations with at least this AUC) / (1 + n), which is never 0 (Phipson and Smyth 2010).
    The mean over permutations is 1/2 unless information leaks between the folds.
    """

    def auc(labels: np.ndarray) -> float:
        return float(cross_validate(examples._replace(labels=labels), classifier, [seed], tuned=False).auc())

    generator = np.random.default_rng(seed)
    null = np.array([auc(permuted(examples.labels, examples.groups, generator)) for _ in range(n)])
    observed = auc(examples.labels)
    p = float((1 + (null >= observed).sum()) / (1 + n))
    return {"auc": observed, "auc_permuted": float(null.mean()), "p": p}


def permuted(labels: np.ndarray, groups: Sequence[Hashable], generator: np.random.Generator) -> np.ndarray:
    """Return labels (N,) exchanged between patients with the same number of images, and shuffled within each patient.

    The labels of a patient stay together, unlike labels that are shuffled one by one.
    """
    numbers = group_numbers(groups)
    patient_rows = [np.flatnonzero(numbers == number) for number in range(numbers.max() + 1)]  # a block per patient
    new_labels = labels.copy()
    for size in sorted({len(block) for block in patient_rows}):
        same_size = [block for block in patient_rows if len(block) == size]
        for block, source in zip(same_size, generator.permutation(len(same_size)), strict=True):
            new_labels[block] = generator.permutation(labels[same_size[source]])
    return new_labels


def importance(
    examples: Examples, classifier: str, columns: Mapping[str, Sequence[int]], seed: int
) -> dict[str, float]:
    """Return, by name, the mean decrease of the AUC when columns are shuffled among the held-out images.

    Args:
        columns: by name, the columns that are shuffled together: a single feature, or a family of features that can
            replace one another.
    """
    generator = np.random.default_rng(seed)
    base, pipelines = _repeat(examples, CLASSIFIERS[classifier], seed)
    shuffled = {name: np.empty((SHUFFLES, len(examples.labels))) for name in columns}
    for held_out, pipeline in pipelines:
        for name, indices in columns.items():
            copies = np.repeat(examples.features[held_out][None], SHUFFLES, axis=0)  # (SHUFFLES, held out, F)
            for copy in copies:
                copy[:, indices] = copy[generator.permutation(len(held_out))][:, indices]
            shuffled[name][:, held_out] = _scores(pipeline, np.concatenate(copies)).reshape(SHUFFLES, -1)
    decreases = {}
    for name, scores in shuffled.items():
        perturbed = Predictions(scores, scores > 0, np.repeat(base.folds, SHUFFLES, axis=0), base.labels, base.groups)
        decreases[name] = float(base.auc()) - float(perturbed.auc())
    return decreases


def _repeat(
    examples: Examples,
    settings: Sequence[BaseEstimator],
    seed: int,
    splits: list[tuple[np.ndarray, np.ndarray]] | None = None,
) -> tuple[Predictions, list[tuple[np.ndarray, Pipeline]]]:
    """Return the predictions (R = 1) of one cross-validation over ``splits`` (None: :data:`FOLDS` folds), and the
    held-out rows and the fitted pipeline of each fold.

    The setting is the best of ``settings`` in an inner cross-validation of each training part, or the only one.
    """
    features, labels, groups = examples
    numbers = group_numbers(groups)
    scores, predicted, folds = np.empty((3, 1, len(labels)))
    pipelines = []
    for fold, (train, held_out) in enumerate(splits or _split(labels, numbers, FOLDS, seed)):
        training = Examples(features[train], labels[train], numbers[train])
        setting = settings[0] if len(settings) == 1 else _best(settings, training, seed)
        pipeline = make_pipeline(StandardScaler(), clone(setting)).fit(training.features, training.labels)
        scores[0, held_out] = _scores(pipeline, features[held_out])
        predicted[0, held_out] = pipeline.predict(features[held_out])
        folds[0, held_out] = fold
        pipelines.append((held_out, pipeline))
    return Predictions(scores, predicted.astype(bool), folds.astype(int), labels, tuple(groups)), pipelines


def _best(settings: Sequence[BaseEstimator], examples: Examples, seed: int) -> BaseEstimator:
    """Return the setting with the highest accuracy in :data:`INNER_FOLDS` folds (ties: the highest AUC, then the
    first)."""
    splits = _split(examples.labels, examples.groups, INNER_FOLDS, seed)

    def merit(setting: BaseEstimator) -> tuple[float, float]:
        predictions, _ = _repeat(examples, [setting], seed, splits)
        return predictions.correct.mean(), float(predictions.auc())

    return max(settings, key=merit)


def _split(labels: np.ndarray, numbers: np.ndarray, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return ``folds`` pairs of training rows and held-out rows, divided by patient and stratified by class."""
    for label in (False, True):
        patients = len(set(numbers[labels == label]))
        if patients < folds:
            raise DataError(
                f"class {int(label)} has {patients} patient{'' if patients == 1 else 's'}, too few for {folds} folds: "
                "widen the rule that makes the classes, or use more images"
            )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    splits = list(splitter.split(np.zeros(len(labels)), labels, numbers))
    if any(len(train) < LEAST_TRAINING or len(set(labels[train])) < 2 for train, _ in splits):
        raise DataError(
            f"{len(labels)} images in {folds} folds leave fewer than {LEAST_TRAINING} to train on, or one class only: "
            "use more images"
        )
    return splits


def _scores(pipeline: Pipeline, features: np.ndarray) -> np.ndarray:
    """Return scores (N,), higher where class 1 is more likely."""
    if hasattr(pipeline, "decision_function"):
        return pipeline.decision_function(features)
    return pipeline.predict_proba(features)[:, list(pipeline.classes_).index(True)]
