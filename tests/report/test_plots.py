"""Content of plots, and of points with their intervals, drawn from numbers made up."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from softmask.analysis.claims import judge
from softmask.measure.differences import Scores
from softmask.measure.resolution import edge_profile, spectrum
from softmask.measure.soft import calibration
from softmask.papers import Claim, Pair
from softmask.report import forest, plots, verdicts
from softmask.report.forest import Interval, intervals

pytestmark = pytest.mark.usefixtures("style")


def training(seed=0, late=0):
    falling = np.exp(-np.arange(20) / 6) + 0.02 * seed
    return {
        "train_loss": 90 * falling,
        "validation_dice": 0.8 - 0.5 * falling,
        "loss_dice": 5 * falling,
        "loss_soft_l1": 80 * falling[late:],
        "loss_gan": 5 * falling[late:],
        "discriminator_accuracy_real": 0.6 + 0.1 * falling[late:],
        "discriminator_accuracy_fake": 0.7 + 0.1 * falling[late:],
        "steps": range(1, 21),
    }


ROWS = ("unet", "improved_backbone", "soft_mask_loss", "gan_loss")
CURVES = {name: {row: [training(i), training(i + 1)] for i, row in enumerate(ROWS)} for name in ("lnsm", "lidc")}
NODULES = {
    "any_doctor": {"a": np.array([0.2, 0.4, 0.6, np.nan])},
    "dsnet": {"a": np.array([0.1, 0.3, 0.5, 0.9]), "b": np.array([0.5, 0.5, 0.7, 0.8])},
}
LOOKS = {"series": {"color": "black", "marker": "o"}}


def texts(fig) -> list[str]:
    return [text.get_text() for text in fig.legends[0].texts]


def points(ax):
    return [line for line in ax.lines if line.get_marker() not in ("None", "|")]


def rows_of(ax) -> list[str]:
    return [text.get_text() for text in ax.get_yticklabels()]


def test_every_seed_is_a_line_its_loss_begins_at_one_and_a_row_looks_the_same_everywhere():
    fig = plots.curves({"lnsm": {"gan_loss": CURVES["lnsm"]["gan_loss"]}, "lidc": CURVES["lidc"]})
    alone, top, _, bottom = fig.axes
    assert len(top.lines) == len([line for line in bottom.lines if line.get_marker() != "x"]) == 8
    assert {line.get_ydata()[0] for line in top.lines} == {1.0}
    assert bottom.lines[0].get_ydata() == pytest.approx(training()["validation_dice"])
    assert texts(fig)[:4] == ["+ GAN loss", "U-Net", "improved backbone", "+ soft-mask loss"]
    color = alone.lines[0].get_color()
    assert [line for line in top.lines if line.get_color() == color] == [top.lines[6], top.lines[7]]
    assert fig.legends[0].get_window_extent().width <= fig.bbox.width
    many = plots.styles_of(map(str, range(14)))
    assert len({tuple(style.values()) for style in many.values()}) == 14


def test_steps_are_on_the_axis_and_a_cross_ends_what_still_rises():
    flat = {"train_loss": [1.0, 0.5] * 5, "validation_dice": [0.2] + [0.8] * 9, "steps": list(range(53, 531, 53))}
    rising = flat | {"validation_dice": np.linspace(0.1, 0.9, 10).tolist()}
    fig = plots.curves({"lidc": {"unet": [flat], "softgan": [rising]}})
    loss, validation = fig.axes
    assert validation.get_xlabel() == "step"
    assert [len(validation.lines), len(loss.lines)] == [3, 2]
    (cross,) = [line for line in validation.lines if line.get_marker() == "x"]
    assert cross.get_xydata().tolist() == [[530, 0.9]]
    assert cross.get_color() == validation.lines[1].get_color()
    assert texts(fig)[-1] == "undertrained"


def test_critics_gaps_are_shares_of_their_largest():
    seeds = [{"critic_gap": [-1.0, 2.0, 4.0], "adversarial_share": [0.1, 0.2, 0.3], "steps": [5, 10, 15]}] * 2
    fig = plots.curves({"lidc-lung": {"lgan_basic": seeds}}, ["critic_gap", "adversarial_share"])
    top, bottom = fig.axes
    assert top.lines[0].get_ydata() == pytest.approx([-0.25, 0.5, 1.0])
    assert bottom.lines[0].get_ydata() == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize("late", [0, 5])
def test_shares_of_the_loss_fill_the_panel_and_what_begins_late_ends_with_the_rest(late):
    fig = plots.gan_health({"lidc": [training(0, late), training(1, late)]})
    top, bottom = fig.axes
    assert [line.get_xdata()[[0, -1]].tolist() for line in top.lines[:4]] == [[1 + late, 20]] * 4
    assert max(area.get_paths()[0].vertices[:, 1].max() for area in bottom.collections) == pytest.approx(1)
    first = bottom.collections[0].get_paths()[0].vertices
    assert first[first[:, 0] == 1][:, 1].max() == pytest.approx(1 if late else 5 / 90)
    assert texts(fig)[3:] == ["Dice (binary mask)", "L1 (soft mask)", "GAN"]


def test_bins_of_a_few_pixels_are_left_out_of_the_reliability_curve():
    sure = calibration(np.array([[0.05] * 100 + [0.95] * 5]), np.array([[0] * 95 + [1] * 10]))
    [_, line] = plots.reliability({"lidc": {"unet": sure}}).axes[0].lines  # after the diagonal
    assert line.get_xydata() == pytest.approx(np.array([[0.05, 0.05]]))


def test_spectra_and_edges_are_means_over_the_examples(example):
    examples = [example(0), example(1)]
    left, right = plots.spectra({"made small": examples, "true": examples[:1]}).axes
    assert (left.get_title(), right.get_title()) == ("made small", "true")
    assert len(left.lines) == len(right.lines) == 3 + 2  # and the truth, and the low resolution's limit
    frequencies, power = spectrum(np.stack([item.truth for item in examples]))
    np.testing.assert_allclose(left.lines[0].get_xydata(), np.column_stack([frequencies, power.mean(axis=0)]))
    assert left.lines[-1].get_xdata()[0] == 0.125
    fig = plots.edges({"made small": examples})
    images, masks = (np.stack(of) for of in zip(*((e.upscaled["srgan"], e.mask) for e in examples), strict=True))
    distances, profiles = edge_profile(images, masks, plots.REACH)
    there = distances > -9  # the lesion's radius
    means = np.column_stack([distances[there], profiles[:, there].mean(axis=0)])
    np.testing.assert_allclose(fig.axes[0].lines[3].get_xydata(), means)
    assert texts(fig)[0] == "truth"


def test_distributions_rise_to_one_and_leave_out_what_is_undefined():
    fig = plots.distributions(NODULES, {"a": "with A", "b": "with B"})
    first, second = fig.axes
    assert [ax.get_title() for ax in fig.axes] == ["with A", "with B"]
    assert [line.get_ydata().max() for line in first.lines] == [1, 1]
    assert first.lines[0].get_xdata().max() == 0.6
    assert len(second.lines) == 1
    assert texts(fig) == ["mean over the doctors", "DSNet"]
    assert len({(line.get_color(), line.get_linestyle()) for line in first.lines}) == 2


def test_sizes_and_readers_count_every_slice() -> None:
    index = pd.DataFrame({"area": [3.0, 30.0, 300.0, 300.0, 40.0], "n_readers": [1, 4, 4, 3, 4]})
    left, right = plots.sizes_and_readers(SimpleNamespace(index=index)).axes
    assert sum(bar.get_height() for bar in left.patches) == 5
    assert left.get_xscale() == "log"
    assert [bar.get_height() for bar in right.patches] == [1, 1, 3]
    assert [tick.get_text() for tick in right.get_xticklabels()] == ["1", "3", "4"]


def test_errors_of_labels_one_box_each_and_a_legend() -> None:
    values = {"mask_soft": [0.1, 0.2, 0.3], "mask_binary": [0.4, np.nan, 0.6], "other": [9.0] * 3}
    records = pd.DataFrame([{"label": name, "mae": v} for name, column in values.items() for v in column])
    fig = plots.label_errors(records, ["mask_binary", "mask_soft", "recist_soft"], "mae", "error")
    (ax,) = fig.axes
    assert rows_of(ax) == ["one reader's mask", "soft mask from one reader's mask"]
    assert ax.get_xlabel() == "error"
    colors = [to_hex(line.get_color()) for line in fig.legends[0].get_lines()]
    assert texts(fig) == ["made by matting", "not"]
    assert [to_hex(box.get_facecolor()) for box in ax.patches] == colors[::-1]


def test_matrices_share_a_scale_and_leave_undefined_cells_empty():
    first, other = np.array([[1, 0.5], [0.5, 1]]), np.array([[1, np.nan], [np.nan, 1]])
    fig = plots.matrices({"printed": first, "ours": other}, ["a", "b"])
    left, right, *_ = fig.axes
    assert (left.get_title(), right.get_title()) == ("printed", "ours")
    assert left.images[0].get_clim() == right.images[0].get_clim() == (0.5, 1)
    assert [len(ax.texts) for ax in (left, right)] == [4, 2]


def test_without_any_content_there_is_nothing_to_draw():
    assert plots.curves({}) is plots.gan_health({}) is plots.reliability({}) is plots.spectra({}) is None


def test_many_panels_go_on_below_and_every_line_begins_with_its_label():
    fig = plots.curves({name: CURVES["lnsm"] for name in ("lnsm", "lidc", "isbi2012", "promise12", "lidc-119")})
    assert fig.get_figwidth() <= plots.WIDEST
    assert len(fig.axes) == 10
    assert [bool(ax.get_ylabel()) for ax in fig.axes] == [True, False] * 4 + [True, True]


def judged():
    random, ids = np.random.default_rng(0), tuple(map(str, range(40)))
    means = {"softgan": 0.8, "unet": 0.7, "medt": 0.8, "infnet": 0.9}
    scores = {
        (row, "lidc", "dice"): Scores(ids, ids, random.normal(mean, 0.01, (5, 40)), "embedded")
        for row, mean in means.items()
    }
    pairs = tuple(Pair("softgan", row, "lidc", delta=1) for row in ("unet", "medt", "infnet", "cfcnn"))
    return [judge(Claim("c", pairs), scores)]


def test_groups_show_the_median_and_the_middle_half():
    members = {"all": np.ones(4, bool), "solid": np.array([1, 1, 0, 0], bool), "calcific": np.zeros(4, bool)}
    [ax] = forest.by_group({name: by["a"] for name, by in NODULES.items()}, members, "Dice").axes
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
    assert fig.get_figwidth() <= plots.WIDEST


@pytest.mark.parametrize("n", [1, 2, 4])
def test_panels_of_the_same_rows_stand_side_by_side_and_no_figure_is_wider_than_a_page(n):
    fig, axes = intervals([Interval(str(i), "unet", "series", 1, (0, 2)) for i in range(n)], LOOKS, "difference")
    assert len({ax.get_position().y0 for ax in axes}) == 1
    assert fig.get_figwidth() <= plots.WIDEST


def test_without_a_finished_comparison_there_is_nothing_to_draw():
    assert verdicts.figure([judge(Claim("c", (Pair("softgan", "unet", "lidc"),)), {})]) is None
