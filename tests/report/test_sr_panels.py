"""What the pictures of super-resolution show of images made for the purpose."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from softmask.errors import DataError
from softmask.measure.resolution import edge_profile, spectrum
from softmask.report import sr_panels
from softmask.report.sr_panels import Example

ROWS = ("bilinear", "bicubic", "content_only", "srgan")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def example(seed=0, size=64):
    random = np.random.default_rng(seed)
    rows, columns = np.indices((size, size))
    mask = np.hypot(rows - 20, columns - 40) < 9
    truth = np.clip(0.2 + 0.6 * mask + random.normal(0, 0.03, mask.shape), 0, 1)
    low = truth.reshape(size // 4, 4, size // 4, 4).mean(axis=(1, 3))
    upscaled = {row: np.clip(np.kron(low, np.ones((4, 4))) + 0.01 * i, 0, 1) for i, row in enumerate(ROWS)}
    return Example(low, upscaled, truth, mask)


def training(seed=0, epochs=6, late=2):
    falling = np.exp(-np.arange(epochs) / 3) + 0.02 * seed
    return {
        "train_loss": falling,
        "loss_content": falling,
        "validation_psnr": 30 - 5 * falling,
        "loss_adversarial": 0.1 * falling[late:],
        "loss_vgg22": 0.2 * falling[late:],
        "loss_total_variation": 1e-6 * falling[late:],
        "discriminator_accuracy_real": 0.6 + 0.1 * falling[late:],
        "discriminator_accuracy_fake": 0.5 + 0.1 * falling[late:],
    }


def test_every_image_is_shown_whole_and_around_the_lesion():
    examples = [example(0), example(1)]
    fig = sr_panels.images(examples)
    axes = np.array(fig.axes).reshape(4, 6)
    titles = [ax.get_title().replace("\n", " ") for ax in axes[0]]
    assert titles == ["low resolution", "bilinear", "bicubic", "SRGAN, content loss alone", "SRGAN", "truth"]
    for i, one in enumerate(examples):
        np.testing.assert_array_equal(axes[2 * i, 4].images[0].get_array(), one.upscaled["srgan"])
        np.testing.assert_array_equal(axes[2 * i + 1, 5].images[0].get_array(), one.truth)
    low, high = axes[1, 0], axes[1, 5]  # the same part of the scene
    assert (high.get_xlim(), high.get_ylim()) == ((27.5, 51.5), (31.5, 7.5))
    assert (low.get_xlim(), low.get_ylim()) == ((6.5, 12.5), (7.5, 1.5))


@pytest.mark.parametrize(
    ("rows", "columns", "columns_shown", "rows_shown"),
    [
        (slice(60, 64), slice(0, 3), (-0.5, 23.5), (63.5, 39.5)),  # in a corner
        (slice(8, 48), slice(20, 40), (3.5, 55.5), (51.5, -0.5)),  # larger than the window
        (slice(0, 64), slice(0, 64), (-0.5, 63.5), (63.5, -0.5)),
    ],
)
def test_the_window_holds_the_lesion_and_stays_inside_the_image(rows, columns, columns_shown, rows_shown):
    one = example()
    mask = np.zeros(one.mask.shape, bool)
    mask[rows, columns] = True
    axes = sr_panels.images([Example(one.low, one.upscaled, one.truth, mask)]).axes
    assert (axes[-1].get_xlim(), axes[-1].get_ylim()) == (columns_shown, rows_shown)


def test_an_example_without_a_lesion_is_refused():
    one = example()
    with pytest.raises(DataError, match="empty"):
        sr_panels.images([Example(one.low, one.upscaled, one.truth, np.zeros(one.mask.shape, bool))])


def test_spectra_are_means_over_the_examples():
    examples = [example(0), example(1)]
    fig = sr_panels.spectra({"made small": examples, "true": examples[:1]})
    left, right = fig.axes
    assert (left.get_title(), right.get_title()) == ("made small", "true")
    assert len(left.lines) == len(right.lines) == len(ROWS) + 2  # and the truth, and the low resolution's limit
    frequencies, power = spectrum(np.stack([one.truth for one in examples]))
    np.testing.assert_allclose(left.lines[0].get_xydata(), np.column_stack([frequencies, power.mean(axis=0)]))
    assert fig.legends[0].texts[0].get_text() == "truth"
    assert left.lines[-1].get_xdata()[0] == 0.125


def test_edges_are_mean_profiles():
    examples = [example(0), example(1)]
    [ax] = sr_panels.edges({"made small": examples}).axes
    distances, profiles = edge_profile(
        np.stack([one.upscaled["srgan"] for one in examples]), np.stack([one.mask for one in examples]), sr_panels.REACH
    )
    there = distances > -9  # the lesion's radius
    np.testing.assert_allclose(
        ax.lines[4].get_xydata(), np.column_stack([distances[there], profiles[:, there].mean(axis=0)])
    )


def test_curves_end_together_though_some_begin_late():
    found = {"content_only": [training(0), training(1)], "srgan": [training(2), training(3)]}
    left, middle, right = sr_panels.curves(found).axes
    assert len(left.lines) == 4
    for line in left.lines:
        assert line.get_xdata().tolist() == [1, 2, 3, 4, 5, 6]
    for line in middle.lines[:4]:
        assert line.get_xdata().tolist() == [3, 4, 5, 6]
    content = right.collections[0].get_paths()[0].vertices
    assert content[:, 1].max() == 1  # the whole loss in the first epochs
    labels = [text.get_text() for text in right.get_legend().get_texts()]
    assert labels == ["content", "adversarial", "perceptual", "total variation"]
