"""Table 5, its controls, chance and stability, on features made by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from softmask import papers
from softmask.analysis import claims
from softmask.analysis import radiomics_tested as study
from softmask.analysis.radiomics import FEATURE_SETS, FIRST_ORDER, WHOLE, Nodules
from softmask.config import Config
from softmask.errors import DataError
from softmask.measure.classification import CLASSIFIERS
from softmask.measure.radiomics import FEATURES
from softmask.report.result import ResultTable, join

N = 40


def made(n: int = N) -> Nodules:
    """Every feature tells the class a little, those of the soft region more; four nodules have no band."""
    generator = np.random.default_rng(4)
    burr = np.arange(n) % 2 == 1
    tables = {}
    for features in FEATURE_SETS:
        columns = FEATURES[:18] if features in FIRST_ORDER else FEATURES if features != "area" else ("area",)
        values = generator.normal(size=(n, len(columns)))
        values[burr] += 1.0 if features == "soft_roi" else 0.2
        tables[features] = pd.DataFrame(values, columns=list(columns))
    tables["band_roi"].iloc[:4] = np.nan
    ids, patients = tuple(f"lnsm/{i}" for i in range(n)), tuple(f"p{i // 4}{i % 2}" for i in range(n))
    pixels = pd.DataFrame(1, index=range(n), columns=["binary", "soft", "band"])
    return Nodules("lnsm", "real", ids, patients, burr, tables, pixels, ())


@pytest.fixture(scope="module")
def config() -> Config:
    return Config.from_parameters("smoke", "embedded", seeds=2)


@pytest.fixture(scope="module")
def found(config) -> list[study.CrossValidation]:
    """Both data sets are the same, but for their names."""
    lnsm = study.held_out(made(), config, (*WHOLE, "band_roi", "area"))
    return [lnsm, replace(lnsm, nodules=replace(lnsm.nodules, name="lidc"))]


def test_table_5_is_whole_with_the_control_beside_it(found):
    cells = study.table_cells(found)
    units = {"acc_dilated": "fraction", "auc_dilated": "fraction"}
    joined = join(ResultTable("casgan", "table-5", "", "made", cells, units))
    assert all(cell.run for cell in joined)
    assert {cell.metric for cell in joined if not cell.printed} == set(units)
    assert {(cell.n_images, cell.n_seeds) for cell in joined} == {(N, 2)}
    by = {cell.key: cell.ours_mean for cell in joined}
    assert by["svm", "lidc", "auc_soft"] > by["svm", "lidc", "auc_binary"]


def test_a_set_that_some_nodules_lack_is_tested_on_the_others_and_compared_with_none(found):
    assert len(found[0].predictions["band_roi", "knn"].labels) == N - 4
    scores = study.scores(found)
    assert ("band_roi", "lnsm", "acc_knn") not in scores
    first = scores["soft_roi", "lidc", "acc_svm"]
    assert first.values.shape == (2, N)
    assert first.values.mean() == pytest.approx(found[1].predictions["soft_roi", "svm"].correct.mean())


def test_the_claim_is_the_papers_over_every_classifier_and_both_data_sets(found):
    assert study.CLAIM in papers.load("casgan").claims
    pairs = study.CLAIM.pairs
    assert len(pairs) == 2 * len(CLASSIFIERS)
    verdict = claims.judge(study.CLAIM, study.scores(found))
    assert all(item.outcome.difference.images == N for item in verdict.pairs)
    assert str(pairs[2]) == "soft mask vs binary mask in accuracy of the SVM"
    assert {pair.better for asked in study.CONTROLS for pair in asked.pairs} <= set(FEATURE_SETS)


def test_intervals_hold_their_values_and_rows_are_told_apart(found):
    cells = {(cell.row, cell.dataset, cell.metric): cell.ours_mean for cell in study.interval_cells(found)}
    assert len(cells) == 2 * 5 * len(CLASSIFIERS) * 6
    for (row, dataset, metric), value in cells.items():
        if metric in ("acc", "auc"):
            assert cells[row, dataset, f"{metric}_low"] <= value <= cells[row, dataset, f"{metric}_high"]
    drawn = study.intervals_by_key(found)
    assert set(study.printed_areas()) <= set(drawn)
    assert drawn["lidc", "area", "knn"]["auc"] == cells["k nearest neighbours, area alone", "lidc", "auc"]
    points = {(cell.row, cell.metric): cell.ours_mean for cell in study.auc_cells(found[:1], [("soft_roi", "area")])}
    soft, area = (found[0].predictions[name, "svm"].auc() for name in ("soft_roi", "area"))
    assert points["SVM, soft mask over area alone", "difference"] == pytest.approx(100 * (soft - area))


def test_no_patient_is_on_both_sides_and_one_that_is_would_be_counted(found):
    assert study.patients_on_both_sides(found) == 0
    said = found[0].predictions["area", "svm"]
    leaking = replace(said, groups=("p0",) * len(said.groups))
    assert study.patients_on_both_sides([replace(found[0], predictions={("area", "svm"): leaking})]) == 1


def test_importance_and_stability_by_family():
    nodules = made()
    same = replace(nodules, features=nodules.features | {"dilated_roi": nodules.features["binary_roi"]})
    stable = study.stability(same, "binary_roi", "dilated_roi")
    assert stable["icc"].to_numpy() == pytest.approx(1)
    assert stable["spearman"].to_numpy() == pytest.approx(1)
    falls = {"soft_roi": study.importance(same, "knn", "soft_roi")}
    assert set(falls["soft_roi"]) == {*study.FAMILIES, *FEATURES}
    cells = {(cell.row, cell.metric): cell.ours_mean for cell in study.family_cells(same, falls)}
    assert cells["glcm", "icc_dilated_roi"] == pytest.approx(1)
    assert cells["glcm", "good_dilated_roi"] == 1
    assert cells["glcm", "icc_soft_roi"] < study.GOOD_ICC
    assert cells["ngtdm", "importance_soft_roi"] == pytest.approx(100 * falls["soft_roi"]["ngtdm"])
    shown = study.most_important(falls, 3)
    assert len(shown) == 3
    assert shown["soft_roi"].is_monotonic_decreasing


def test_too_few_patients_are_told_with_the_classes_names(config):
    few = made().rows([0, 1, 2, 3, 5, 7, 9, 11, 13])
    with pytest.raises(DataError, match=r"lnsm \(class 0 smooth, class 1 burr\): class 0 has 1 patient,"):
        study.against_chance(few, config, ["area"])
