"""Points and intervals, drawn from numbers made up."""

import numpy as np
import pandas as pd
import pytest

from softmask.analysis.claims import judge
from softmask.measure.differences import Scores
from softmask.papers import Claim, Pair
from softmask.report import forest, verdicts
from softmask.report.figures import WIDEST
from softmask.report.forest import Interval, intervals

pytestmark = pytest.mark.usefixtures("style")

NODULES = {"any_doctor": np.array([0.2, 0.4, 0.6, np.nan]), "dsnet": np.array([0.1, 0.3, 0.5, 0.9])}
LOOKS = {"series": {"color": "black", "marker": "o"}}


def judged():
    random, ids = np.random.default_rng(0), tuple(map(str, range(40)))
    means = {"softgan": 0.8, "unet": 0.7, "medt": 0.8, "infnet": 0.9}
    scores = {
        (row, "lidc", "dice"): Scores(ids, ids, random.normal(mean, 0.01, (5, 40)), "embedded")
        for row, mean in means.items()
    }
    pairs = tuple(Pair("softgan", row, "lidc", delta=1) for row in ("unet", "medt", "infnet", "cfcnn"))
    return [judge(Claim("c", pairs), scores)]


def texts(fig) -> list[str]:
    return [text.get_text() for text in fig.legends[0].texts]


def rows_of(ax) -> list[str]:
    return [text.get_text() for text in ax.get_yticklabels()]


def points(ax):
    return [line for line in ax.lines if line.get_marker() not in ("None", "|")]


def test_groups_show_the_median_and_the_middle_half():
    members = {"all": np.ones(4, bool), "solid": np.array([1, 1, 0, 0], bool), "calcific": np.zeros(4, bool)}
    [ax] = forest.by_group(NODULES, members, "Dice").axes
    assert rows_of(ax) == ["all nodules (4)", "solid (2)"]
    medians = [float(line.get_xdata()[0]) for line in points(ax)]
    assert medians == pytest.approx([0.4, 0.4, 0.3, 0.2])
    assert ax.lines[0].get_xdata() == pytest.approx([0.3, 0.5])


def test_a_difference_shows_its_interval_and_its_verdict():
    fig = verdicts.figure(judged())
    [ax] = fig.axes
    assert rows_of(ax) == ["1. SoftGAN vs U-Net", "1. SoftGAN vs MedT", "1. SoftGAN vs Inf-Net"]
    assert [line.get_marker() for line in points(ax)] == ["o", "v", "X"]
    assert points(ax)[0].get_xdata()[0] == pytest.approx(10, abs=1)
    assert texts(fig) == ["holds", "contradicted", "gain ruled out"]


def test_areas_with_intervals_and_printed_values():
    values = {"auc": 0.8, "auc_low": 0.7, "auc_high": 0.9}
    places = [(d, f, c) for d in ("lnsm", "lidc") for f in ("binary_roi", "area") for c in ("knn", "svm")]
    fig = forest.areas_under_curves(dict.fromkeys(places, values), {("lidc", "binary_roi", "svm"): 0.76})
    lnsm, lidc = fig.axes
    assert [ax.get_title() for ax in fig.axes] == ["LNSM", "LIDC"]
    assert rows_of(lnsm) == ["binary mask", "area alone"]
    assert len(lnsm.lines) == 1 + 2 * 4  # chance, and a line and a point for each
    assert len(lidc.lines) == len(lnsm.lines) + 1
    assert texts(fig) == ["k nearest neighbours", "SVM", "printed"]


def test_stability_draws_every_feature_and_the_families_median():
    table = pd.DataFrame({"icc": [0.5, 0.7, 0.9, float("nan")]}, index=["glcm_a", "glcm_b", "ngtdm_a", "ngtdm_b"])
    fig = forest.stability({"lidc": {"soft_roi": table, "dilated_roi": table}}, ("glcm", "ngtdm"))
    [ax] = fig.axes
    assert [line.get_xdata().tolist() for line in points(ax)] == [[0.6]] * 2 + [[0.9]] * 2
    assert ax.lines[0].get_xdata().tolist() == [0.5, 0.7]
    assert texts(fig) == ["soft mask", "dilated binary mask"]


def test_panels_of_different_rows_stand_below_one_another_each_with_its_own():
    points = [Interval(panel, row, "series", 1, (0, 2)) for panel, row in (("lnsm", "unet"), ("lidc", "medt"))]
    fig, axes = intervals([*points, points[0]._replace(row="medt")], LOOKS, "difference")
    assert [rows_of(ax) for ax in axes] == [["U-Net", "MedT"], ["MedT"]]
    assert axes[0].get_position().y0 > axes[1].get_position().y0
    assert fig.get_figwidth() <= WIDEST


@pytest.mark.parametrize("n", [1, 2, 4])
def test_panels_of_the_same_rows_stand_side_by_side_and_no_figure_is_wider_than_a_page(n):
    fig, axes = intervals([Interval(str(i), "unet", "series", 1, (0, 2)) for i in range(n)], LOOKS, "difference")
    assert len({ax.get_position().y0 for ax in axes}) == 1
    assert fig.get_figwidth() <= WIDEST


def test_without_a_finished_comparison_there_is_nothing_to_draw():
    assert verdicts.figure([judge(Claim("c", (Pair("softgan", "unet", "lidc"),)), {})]) is None
