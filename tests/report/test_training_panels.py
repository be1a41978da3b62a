"""What the panels show of curves, calibrations, predictions and verdicts made for the purpose."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from softmask.analysis.claims import judge
from softmask.config import Config
from softmask.measure.differences import Scores
from softmask.measure.soft import calibration
from softmask.papers import Claim, Pair
from softmask.report import figures, training_panels


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def training(seed=0, epochs=10):
    falling = np.exp(-np.arange(epochs) / 5) + 0.02 * seed
    return {
        "train_loss": 90 * falling,
        "validation_dice": 0.8 - 0.5 * falling,
        "loss_dice": 5 * falling,
        "loss_soft_l1": 80 * falling,
        "loss_gan": 5 * falling,
        "discriminator_accuracy_real": 0.6 + 0.1 * falling,
        "discriminator_accuracy_fake": 0.7 + 0.1 * falling,
    }


ROWS = ("unet", "improved_backbone", "soft_mask_loss", "gan_loss")
CURVES = {name: {row: [training(i), training(i + 1)] for i, row in enumerate(ROWS)} for name in ("lnsm", "lidc")}


def reliable(seed, power):
    probabilities = np.random.default_rng(seed).uniform(size=4000)
    return calibration(probabilities, np.random.default_rng(seed + 1).uniform(size=4000) < probabilities**power)


def scores():
    random = np.random.default_rng(0)
    ids = tuple(map(str, range(40)))
    return {
        (row, "lidc", "dice"): Scores(ids, ids, random.normal(mean, 0.01, (5, 40)), "embedded")
        for row, mean in {"softgan": 0.8, "unet": 0.7, "medt": 0.8, "infnet": 0.9}.items()
    }


JUDGED = [
    judge(
        Claim("c", tuple(Pair("softgan", row, "lidc", delta=1) for row in ("unet", "medt", "infnet", "cfcnn"))),
        scores(),
    )
]


def test_every_seed_is_a_line_and_its_loss_begins_at_one():
    fig = training_panels.curves(CURVES)
    top, bottom = fig.axes[0], fig.axes[2]
    assert len(top.lines) == len(bottom.lines) == 8
    assert {line.get_ydata()[0] for line in top.lines} == {1.0}
    assert bottom.lines[0].get_ydata() == pytest.approx(training()["validation_dice"])
    assert [text.get_text() for text in fig.legends[0].texts] == ["U-Net", "improved backbone", "+ soft-mask loss",
                                                                  "+ GAN loss"]  # fmt: skip


def test_a_row_looks_the_same_on_both_data_sets_and_like_no_other():
    lacking = {"lnsm": {"gan_loss": CURVES["lnsm"]["gan_loss"]}, "lidc": CURVES["lidc"]}
    fig = training_panels.curves(lacking)
    alone, others = fig.axes[0].lines[0], fig.axes[1].lines
    same = [line for line in others if line.get_color() == alone.get_color()]
    assert same == [others[6], others[7]]
    many = training_panels._styles({"lidc": dict.fromkeys(map(str, range(14)))})
    assert len({tuple(style.values()) for style in many.values()}) == 14


def test_shares_of_the_loss_fill_the_panel():
    fig = training_panels.gan_health({name: rows["gan_loss"] for name, rows in CURVES.items()})
    top, bottom = fig.axes[0], fig.axes[2]
    assert len(top.lines) == 5  # two seeds, real and fake, and the level of guessing
    assert max(area.get_paths()[0].vertices[:, 1].max() for area in bottom.collections) == pytest.approx(1)
    first = bottom.collections[0].get_paths()[0].vertices
    assert first[first[:, 0] == 1][:, 1].max() == pytest.approx(5 / 90)


def test_bins_of_a_few_pixels_are_left_out_of_the_reliability_curve():
    sure = calibration(np.array([0.05] * 100 + [0.95] * 5), np.array([0] * 95 + [1] * 10))
    fig = training_panels.reliability({"lidc": {"unet": sure}})
    [_, line] = fig.axes[0].lines  # after the diagonal
    assert line.get_xdata() == pytest.approx([0.05])
    assert line.get_ydata() == pytest.approx([0.05])


def test_nodules_are_compared_row_by_row():
    image, truth = np.zeros((8, 8)), np.zeros((8, 8), bool)
    truth[2:5, 2:5] = True
    own = {name: np.full((8, 8), 0.8) for name in "abc"}
    fig = training_panels.compared({"a": (image, truth)}, ("softgan", own), {"dbresnet": own, "medt": {}}, most=2)
    grid = np.array(fig.axes).reshape(2, 5)
    assert [ax.get_title() for ax in grid[0]] == ["image", "SoftGAN,\nsoft mask", "ground truth", "DB-ResNet", "MedT"]
    assert [len(ax.images) for ax in grid[0]] == [1, 1, 1, 1, 0]
    assert len(grid[0, 2].collections) == 1  # the truth's outline
    shown = [float(grid[0, i].images[0].get_array().max()) for i in (1, 3)]
    assert shown == pytest.approx([0.64 / 0.68, 0.8])  # the soft mask's head, and a probability
    assert [len(ax.images) for ax in grid[1]] == [0, 1, 0, 1, 0]
    assert grid[1, 0].texts[0].get_text() == "image not\nat hand"
    assert grid[0, 4].texts[0].get_text() == "not finished"


def test_a_difference_shows_its_interval_and_its_verdict():
    fig = training_panels.differences(JUDGED)
    [ax] = fig.axes
    assert [text.get_text() for text in ax.get_yticklabels()] == ["1. SoftGAN over U-Net", "1. SoftGAN over MedT",
                                                                  "1. SoftGAN over Inf-Net"]  # fmt: skip
    points = [line for line in ax.lines if line.get_marker() in ("o", "X", "v")]
    assert [line.get_marker() for line in points] == ["o", "v", "X"]
    assert points[0].get_xdata()[0] == pytest.approx(10, abs=1)
    assert [text.get_text() for text in fig.legends[0].texts] == ["holds", "contradicted", "no such gain"]


def test_without_any_difference_there_is_nothing_to_draw():
    assert training_panels.differences([judge(Claim("c", (Pair("softgan", "unet", "lidc"),)), {})]) is None
    assert training_panels.curves({}) is training_panels.gan_health({}) is training_panels.critic_health({}) is None
    assert training_panels.reliability({}) is training_panels.compared({}, ("unet", {}), {}) is None


def drawings():
    return [
        training_panels.curves(CURVES),
        training_panels.gan_health({name: rows["gan_loss"] for name, rows in CURVES.items()}),
        training_panels.reliability({"lidc": {"softgan": reliable(0, 1), "unet": reliable(2, 2)}}),
        training_panels.differences(JUDGED),
    ]


def test_files_are_the_same_every_time(tmp_path, monkeypatch):
    files = []
    for i in range(2):
        monkeypatch.setenv("SOFTMASK_OUTPUT", str(tmp_path / str(i)))
        config = Config.from_parameters("cpu", "embedded")
        paths = [figures.save(fig, "workbook", f"f{n}", config, "caption") for n, fig in enumerate(drawings())]
        files.append([(path.read_bytes(), path.with_suffix(".pdf").read_bytes()) for path in paths])
    assert files[0] == files[1]


def test_critics_gaps_are_shares_of_their_largest():
    seeds = [{"critic_gap": [-1.0, 2.0, 4.0], "adversarial_share": [0.1, 0.2, 0.3]}] * 2
    fig = training_panels.critic_health({"lidc-lung": {"lgan_basic": seeds, "lgan_product": seeds}})
    top, bottom = fig.axes
    assert top.lines[0].get_ydata() == pytest.approx([-0.25, 0.5, 1.0])
    assert bottom.lines[0].get_ydata() == pytest.approx([0.1, 0.2, 0.3])
    assert [text.get_text() for text in fig.legends[0].texts] == ["LGAN basic", "LGAN product"]


def test_a_legend_is_no_wider_than_its_figure():
    seeds = [{"train_loss": [1.0, 0.5], "validation_dice": [0.3, 0.6]}]
    rows = ("unet", "improved_backbone", "soft_mask_loss", "gan_loss")
    fig = training_panels.curves({"lidc": dict.fromkeys(rows, seeds)})
    fig.canvas.draw()
    [legend] = fig.legends
    assert len(legend.get_texts()) == 4
    assert legend.get_window_extent().width <= fig.bbox.width
