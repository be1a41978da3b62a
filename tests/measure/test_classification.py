"""Cross-validation by patient: what it must not see, and its numbers against scikit-learn's and printed ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from softmask.errors import DataError
from softmask.measure import classification
from softmask.measure.classification import CLASSIFIERS, Examples, Predictions, cross_validate


def images(n: int = 60, each: int = 2, shift: float = 0.0, seed: int = 0):
    """``n`` images of 12 features, ``each`` images a patient: the class is the patient's, and moves four features."""
    generator = np.random.default_rng(seed)
    groups = [f"p{i // each}" for i in range(n)]
    labels = np.arange(n) // each % 2 == 1
    features = generator.normal(size=(n, 12))
    features[labels, :4] += shift
    return Examples(features, labels, groups)


def predictions(scores, folds, labels, groups=None) -> Predictions:
    scores, labels = np.atleast_2d(scores).astype(float), np.array(labels, bool)
    folds = np.broadcast_to(folds, scores.shape)
    return Predictions(scores, scores > 0, folds, labels, tuple(groups or range(len(labels))))


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_different_classes_are_told_apart_by_whole_patients(classifier):
    examples = images(each=3, shift=2.0)
    groups = examples.groups
    predicted = cross_validate(examples, classifier, [0, 1], tuned=classifier == "knn")
    assert predicted.auc() > 0.9
    assert predicted.correct.mean() > 0.8
    for folds in predicted.folds:
        assert sorted(set(folds)) == list(range(classification.FOLDS))
        assert all(len({folds[i] for i in range(len(groups)) if groups[i] == name}) == 1 for name in groups)
    assert not np.array_equal(*predicted.folds)  # another repetition, other folds


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_scaling_and_choice_see_no_image_that_is_held_out(classifier):
    """An image a million times as large as all others changes no score of those held out with it."""
    examples = images(each=1, shift=0.7)
    before = cross_validate(examples, classifier, [0])
    other = examples.features.copy()
    other[7] *= 1e6
    after = cross_validate(examples._replace(features=other), classifier, [0])
    same_fold = (before.folds[0] == before.folds[0, 7]) & (np.arange(len(other)) != 7)
    np.testing.assert_array_equal(after.scores[0, same_fold], before.scores[0, same_fold])
    assert not np.array_equal(after.scores[0, ~same_fold], before.scores[0, ~same_fold])


def test_one_fold_is_scikit_learns_auc():
    generator = np.random.default_rng(2)
    scores, labels = generator.integers(0, 6, 40), generator.random(40) < 0.4
    weights = generator.integers(0, 3, (5, 40))
    result = predictions(scores, 0, labels)
    assert result.auc() == pytest.approx(roc_auc_score(labels, scores))
    expected = [roc_auc_score(labels, scores, sample_weight=weight) for weight in weights]
    np.testing.assert_allclose(result.auc(weights), expected)


def test_only_scores_of_one_fold_are_compared():
    apart = predictions([0.1, 0.2, 10.1, 10.2], [0, 0, 1, 1], [0, 1, 0, 1])
    assert apart.auc() == 1  # all four together: 3/4
    repeated = predictions([[1, 2, 3, 4], [2, 1, 4, 3]], [0, 0, 1, 1], [0, 1, 0, 1])
    assert repeated.auc() == 0.5
    assert np.isnan(repeated.auc(np.array([1, 0, 1, 0])))


def test_intervals_hold_the_auc():
    result = cross_validate(images(shift=0.8), "svm", [0], tuned=False)
    low, high = classification.auc_interval(result, 0)
    assert low < result.auc() < high
    assert classification.auc_difference(result, result, 0) == (0, 0, 0)


def test_the_inner_choice_takes_the_better_setting(monkeypatch):
    """A stump cannot tell an exclusive or; a deeper tree can."""
    generator = np.random.default_rng(3)
    features = generator.choice([-1.0, 1.0], (120, 2)) + generator.normal(0, 0.1, (120, 2))
    labels = (features[:, 0] > 0) != (features[:, 1] > 0)
    trees = [clone(CLASSIFIERS["decision_tree"][0]).set_params(max_depth=depth) for depth in (1, 5)]
    monkeypatch.setattr(classification, "CLASSIFIERS", {"tree": trees})
    examples = Examples(features, labels, range(120))
    assert cross_validate(examples, "tree", [0]).correct.mean() > 0.9
    assert cross_validate(examples, "tree", [0], tuned=False).correct.mean() < 0.75


def test_permuted_labels_are_at_chance_and_true_ones_are_not():
    result = classification.against_chance(images(shift=1.5), "knn", 19, 0)
    assert result["p"] == 0.05
    assert 0.4 < result["auc_permuted"] < 0.6 < result["auc"]
    noise = classification.against_chance(images(seed=5), "knn", 19, 0)
    assert noise["p"] > 0.05


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.integers(0, 99))
@settings(max_examples=40)
def test_labels_move_between_patients_with_as_many_images(groups, seed):
    generator = np.random.default_rng(seed)
    labels = generator.random(len(groups)) < 0.5
    moved = classification.permuted(labels, groups, generator)

    def bags(of):
        return sorted(tuple(sorted(of[np.array(groups) == name])) for name in set(groups))

    assert bags(moved) == bags(labels)


def test_only_the_features_that_differ_are_important():
    columns = {"moved": range(4), "noise": range(4, 12), "one": [0]}
    falls = classification.importance(images(shift=1.5), "svm", columns, 0)
    assert falls["moved"] > 0.2
    assert abs(falls["noise"]) < 0.05
    assert falls["one"] < falls["moved"]


def test_a_class_with_too_few_patients_is_told():
    examples = images()
    few = np.array([name in ("p0", "p1", "p2") for name in examples.groups])
    with pytest.raises(DataError, match="class 1 has 3 patients, too few for 5 folds"):
        cross_validate(examples._replace(labels=few), "svm", [0])
    with pytest.raises(DataError, match="fewer than 11 to train on"):
        cross_validate(Examples(examples.features[:12], np.arange(12) % 2 == 0, range(12)), "svm", [0])
