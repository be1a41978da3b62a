"""What the pictures of radiomics show."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd

from softmask.report import radiomics_panels


def test_areas_with_intervals_and_printed_values():
    values = {"auc": 0.8, "auc_low": 0.7, "auc_high": 0.9}
    found = {
        (dataset, features, classifier): values
        for dataset in ("lnsm", "lidc")
        for features in ("binary_roi", "area")
        for classifier in ("knn", "svm")
    }
    fig = radiomics_panels.areas_under_curves(found, {("lidc", "binary_roi", "svm"): 0.76})
    lnsm, lidc = fig.axes
    assert [ax.get_title() for ax in fig.axes] == ["LNSM", "LIDC"]
    assert [label.get_text() for label in lnsm.get_yticklabels()] == ["binary mask", "area alone"]
    assert len(lnsm.lines) == 1 + 2 * 4  # chance, and a line and a point for each
    assert len(lidc.lines) == len(lnsm.lines) + 1
    assert [text.get_text() for text in fig.legends[0].texts] == ["k nearest neighbours", "SVM", "printed"]
    plt.close(fig)


def test_stability_draws_every_feature_and_the_families_median():
    table = pd.DataFrame({"icc": [0.5, 0.7, 0.9, float("nan")]}, index=["glcm_a", "glcm_b", "ngtdm_a", "ngtdm_b"])
    fig = radiomics_panels.stability({"lidc": {"soft_roi": table, "dilated_roi": table}}, ("glcm", "ngtdm"))
    [ax] = fig.axes
    drawn = [line.get_xdata().tolist() for line in ax.lines]
    assert drawn == [[0.5, 0.7], [0.6], [0.9], [0.9]] * 2
    assert [text.get_text() for text in fig.legends[0].texts] == ["soft mask", "dilated binary mask"]
    plt.close(fig)
