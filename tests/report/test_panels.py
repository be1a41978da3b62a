"""Grids of images, drawn from small discs: content of each panel, and words where there is nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex

from softmask import label
from softmask.data.outlines import recist_axes
from softmask.data.sample import Sample
from softmask.errors import DataError
from softmask.measure import radiomics
from softmask.report import panels
from softmask.report.panels import Example, Panel

pytestmark = pytest.mark.usefixtures("style")
STEPS = ["image", "RECIST marks", "GrabCut", "trimap", "soft mask", "binary mask"]
READERS = [f"reader {i}" for i in range(1, 5)]


def disc(radius: float, centre=(40, 52), shape=(96, 100)) -> np.ndarray:
    row, column = np.indices(shape)
    return np.clip(radius + 0.5 - np.hypot(row - centre[0], column - centre[1]), 0, 1).astype(np.float32)


def make(i: int = 0, *, radius: float = 9, centre=(40, 52), **changes) -> Sample:
    alpha = disc(radius, centre)
    image = 0.2 + 0.5 * alpha + np.random.default_rng(i).normal(0, 0.03, alpha.shape)
    fields = {
        "image": np.clip(image, 0, 1).astype(np.float32),
        "readers": np.stack([disc(radius + more, centre) >= 0.5 for more in (1, -1, 0, 2)]),
        "present": np.ones(4, bool),
        "alpha": alpha,
        "spacing": (0.7, 0.7),
        **changes,
    }
    return Sample("lidc", "embedded", f"p{i}", "n0", f"s{i}", **fields)


def absent(sample: Sample, *places: int) -> Sample:
    present = ~np.isin(np.arange(4), places)
    return replace(sample, present=present, readers=sample.readers & present[:, None, None])


WHOLE, TINY = make(1), absent(make(2, radius=4), 1)


def shown(fig) -> list[list[np.ndarray | str | None]]:
    """By row of panels the image, or the words of one without."""
    axes = [ax for ax in fig.axes if ax.get_subplotspec() is not None]
    columns = axes[0].get_gridspec().ncols
    words = [[text.get_text() for text in ax.texts if text.get_rotation() == 0] for ax in axes]
    content = [
        np.asarray(ax.images[0].get_array()) if ax.images else (said or [None])[0]
        for ax, said in zip(axes, words, strict=True)
    ]
    return [content[i : i + columns] for i in range(0, len(content), columns)]


def titles(fig) -> list[str]:
    return [ax.get_title() for ax in fig.axes if ax.get_title()]


def names(fig) -> list[str]:
    return [text.get_text() for ax in fig.axes for text in ax.texts if text.get_rotation() == 90]


def legend(fig) -> dict[str, str]:
    (texts,) = fig.legends
    lines = zip(texts.get_texts(), texts.get_lines(), strict=True)
    return {text.get_text(): to_hex(line.get_color()) for text, line in lines}


def test_a_grid_of_panels() -> None:
    image = np.eye(8)
    rows = [[Panel(image), Panel(None, note="not there")], [Panel(1 - image, spacing=1.0), Panel(image > 0)]]
    fig = panels.grid(rows, ["left", "right"], ["upper", "lower"])
    [[first, words], [inverse, mask]] = shown(fig)
    np.testing.assert_array_equal([first, inverse, mask], [image, 1 - image, image])
    assert (words, titles(fig), names(fig)) == ("not there", ["left", "right"], ["upper", "lower"])
    assert sum(text.get_text() == "5 mm" for ax in fig.axes for text in ax.texts) == 1
    assert {ax.images[0].get_clim() for ax in fig.axes if ax.images} == {(0, 1)}  # black is 0, white is 1
    assert not any(ax.axison for ax in fig.axes if ax.images)


def test_outlines_and_axes_have_their_colours_and_do_not_shrink_the_image() -> None:
    mask = np.zeros((8, 8), bool)
    mask[2:4, 2:5] = True
    axes = np.array([[[2, -20], [2, 30]], [[1, 3], [4, 3]]], float)
    (ax,) = panels.grid([[Panel(np.zeros((8, 8)), [(mask, "#ff0000"), (~mask, "#00ff00")], axes)]]).axes
    assert [to_hex(lines.get_color()[0]) for lines in ax.collections] == ["#ff0000", "#00ff00"]
    long, short = ax.lines
    assert (to_hex(long.get_color()), to_hex(short.get_color())) == (panels.LONG.lower(), panels.SHORT.lower())
    assert long.get_xydata().tolist() == [[-20, 2], [30, 2]]  # x is the column
    assert short.get_xydata().tolist() == [[3, 1], [3, 4]]
    assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, 7.5), (7.5, -0.5))


@pytest.mark.parametrize(
    ("centre", "start"), [((40, 52), (8, 20)), ((12, 12), (0, 0)), ((85, 90), (32, 36)), ((12, 90), (0, 36))]
)
def test_the_window_is_round_the_lesion_and_inside_the_image(centre, start) -> None:
    sample = make(centre=centre)
    window = panels.crop(sample)
    assert [(s.start, s.stop) for s in window] == [(at, at + 64) for at in start]
    alone = replace(sample, readers=sample.readers[:0], present=sample.present[:0], recist=recist_axes(sample.masks[0]))
    assert panels.crop(alone) == window  # round the mark
    assert sample.image[panels.crop(sample, 512)].shape == sample.image.shape


def test_readers_consensus_and_a_soft_mask_of_them() -> None:
    views = ["image", *READERS, "50 % consensus", "soft mask"]
    fig = panels.of_samples([WHOLE, TINY], views, ["ground_glass", "tiny"], labels="readers", down=True)
    assert (titles(fig), names(fig)) == (["ground glass", "tiny"], views)
    texts = shown(fig)
    assert [row[1] if isinstance(row[1], str) else "" for row in texts] == ["", "", "not marked", "", "", "", ""]
    window = panels.crop(WHOLE)
    soft = label.soft_mask(WHOLE.image, readers=WHOLE.readers).alpha
    consensus = 2 * WHOLE.masks.sum(axis=0) >= len(WHOLE.masks)
    for row, expected in zip(texts, [WHOLE.image, *WHOLE.readers, consensus, soft], strict=True):
        np.testing.assert_array_equal(row[0], expected[window])
    three = replace(WHOLE, readers=WHOLE.readers[:3], present=WHOLE.present[:3])
    assert shown(panels.of_samples([three], READERS))[0][3] == "not marked"


def test_outlines_have_a_legend_and_the_network_is_shown_as_far_as_it_is_run() -> None:
    views = ["image", "readers 1–4", "DSNet"]
    fig = panels.of_samples([WHOLE, TINY], views, predictions={WHOLE.id: np.full(WHOLE.image.shape, 0.4)})
    first, second = shown(fig)
    assert np.unique(first[2]).tolist() == [0.4]
    assert second[2] == "not finished"
    colors = legend(fig)
    assert list(colors) == READERS
    drawn = [[to_hex(lines.get_color()[0]) for lines in ax.collections] for ax in (fig.axes[1], fig.axes[4])]
    assert drawn[0] == list(colors.values())
    assert drawn[1] == [colors[f"reader {i}"] for i in (1, 3, 4)]  # each keeps its colour where another is absent


@pytest.mark.parametrize("given", [True, False])
def test_steps_of_labelling_start_from_the_mark(given) -> None:
    sample = make(3)
    axes = recist_axes(sample.masks[1 if given else 0])
    fig = panels.of_samples([replace(sample, recist=axes) if given else sample], STEPS, labels="recist")
    made, window = label.soft_mask(sample.image, recist=axes), panels.crop(sample)
    assert titles(fig) == STEPS
    expected = (sample.image, sample.image, made.mask, made.trimap, made.alpha, made.binary)
    for texts, whole in zip(shown(fig)[0], expected, strict=True):
        np.testing.assert_array_equal(texts, whole[window])
    assert [len(ax.lines) for ax in fig.axes] == [0, 2, 0, 0, 0, 0]
    drawn = np.stack([line.get_xydata()[:, ::-1] for line in fig.axes[1].lines])
    np.testing.assert_allclose(drawn, axes - [window[0].start, window[1].start])


def test_trimaps_and_the_alphas_they_lead_to() -> None:
    trimaps = {"a": np.full(WHOLE.image.shape, 0.5), "b": np.zeros(WHOLE.image.shape)}
    alphas = {"b": np.full(WHOLE.image.shape, 0.2), "a": np.full(WHOLE.image.shape, 0.7)}
    fig = panels.trimaps_and_alphas(WHOLE, trimaps, alphas)
    top, bottom = shown(fig)
    assert titles(fig) == ["image", "a", "b"]
    assert [np.unique(x).tolist() for x in (*top[1:], *bottom[1:])] == [[0.5], [0], [0.7], [0.2]]
    np.testing.assert_array_equal(bottom[0], WHOLE.alpha[panels.crop(WHOLE)])
    real = panels.trimaps_and_alphas(replace(WHOLE, alpha=None), trimaps, alphas)
    assert shown(real)[1][0] == "true alpha\nunknown"


def test_regions_of_interest_are_the_image_inside_the_masks() -> None:
    made, window = label.label_sample(WHOLE, "recist"), panels.crop(WHOLE, 48)
    regions = radiomics.regions(made.alpha, made.binary)
    fig = panels.regions_of_interest([WHOLE], [regions])
    assert names(fig) == ["comparison", "binary mask", "soft mask", "between"]
    for (texts,), region in zip(shown(fig)[1:], regions, strict=True):
        np.testing.assert_array_equal(texts, np.where(region, WHOLE.image, 0)[window])
    colors = legend(fig)
    assert [to_hex(lines.get_color()[0]) for lines in fig.axes[0].collections] == list(colors.values())[::-1]


def test_other_sets_show_their_middle_image_or_the_next_that_can_be_read(dataset_of) -> None:
    middle = make(0, spacing=None, readers=make().readers[:1], present=np.ones(1, bool))
    damaged = dataset_of([middle, DataError("truncated"), DataError("truncated")], "promise12")
    whole = dataset_of([make(1), middle, make(2)], "isbi2012")
    fig = panels.other_sets({"isbi2012": whole, "promise12": damaged})
    assert names(fig) == ["ISBI 2012", "PROMISE12"]
    made = label.soft_mask(middle.image, mask=middle.masks[0])
    for row in shown(fig):
        for texts, expected in zip(row, (middle.image, middle.masks[0], made.trimap, made.alpha), strict=True):
            np.testing.assert_array_equal(texts, expected)
    assert [problem.where for problem in damaged.problems] == ["promise12/p1/n0/s1", "promise12/p2/n0/s2"]
    with pytest.raises(DataError, match="promise12: none of its 1 images can be read from made by a test"):
        panels.other_sets({"promise12": dataset_of([DataError("truncated")], "promise12")})


def test_predictions_are_compared_row_by_row():
    image, truth = np.zeros((8, 8)), np.zeros((8, 8), bool)
    truth[2:5, 2:5] = True
    own = {name: np.full((8, 8), 0.8) for name in "ab"}
    fig = panels.predicted({"a": (image, truth)}, ("softgan", own), {"dbresnet": own, "medt": {}})
    assert titles(fig) == ["image", "SoftGAN,\nsoft mask", "ground truth", "DB-ResNet", "MedT"]
    first, second = shown(fig)
    assert len(fig.axes[2].collections) == 1  # the truth's outline
    assert [float(first[i].max()) for i in (1, 3)] == pytest.approx([0.64 / 0.68, 0.8])  # soft head, probability
    assert (first[4], second[0], second[2]) == ("not finished", "image not\nat hand", "image not\nat hand")
    assert panels.predicted({}, ("unet", {}), {}) is None


def example(seed=0, size=64, mask=None):
    rows, columns = np.indices((size, size))
    mask = np.hypot(rows - 20, columns - 40) < 9 if mask is None else mask
    truth = np.clip(0.2 + 0.6 * mask + np.random.default_rng(seed).normal(0, 0.03, mask.shape), 0, 1)
    low = truth.reshape(size // 4, 4, size // 4, 4).mean(axis=(1, 3))
    upscaled = {row: np.kron(low, np.ones((4, 4))) for row in ("bilinear", "content_only", "srgan")}
    return Example(low, upscaled, truth, mask)


def test_every_enlarged_image_is_shown_whole_and_around_the_lesion():
    examples = [example(0), example(1)]
    fig = panels.enlarged(examples)
    texts = [title.replace("\n", " ") for title in titles(fig)]
    assert texts == ["low resolution", "bilinear", "SRGAN, content loss alone", "SRGAN", "truth"]
    for whole, part, one in zip(shown(fig)[::2], shown(fig)[1::2], examples, strict=True):
        np.testing.assert_array_equal(whole[3], one.upscaled["srgan"])
        np.testing.assert_array_equal(part[4], one.truth[8:32, 28:52])
        np.testing.assert_array_equal(part[0], one.low[2:8, 7:13])  # the same part of the scene


@pytest.mark.parametrize(
    ("rows", "columns", "part"),
    [
        (slice(60, 64), slice(0, 3), np.s_[40:64, 0:24]),  # in a corner
        (slice(8, 48), slice(20, 40), np.s_[0:52, 4:56]),  # larger than the window
        (slice(0, 64), slice(0, 64), np.s_[:, :]),
    ],
)
def test_the_part_holds_the_lesion_and_stays_inside_the_image(rows, columns, part):
    mask = np.zeros((64, 64), bool)
    mask[rows, columns] = True
    one = example(mask=mask)
    np.testing.assert_array_equal(shown(panels.enlarged([one]))[1][-1], one.truth[part])


def test_lungs_nodules_and_activations():
    image, truth = np.full((8, 8), 0.5), np.zeros((8, 8), bool)
    truth[:4] = True
    fig = panels.lungs([image], [truth], [{"lgan_basic": ~truth, "morph": truth}])
    [[reference, wrong, right]] = shown(fig)
    np.testing.assert_array_equal(reference, right)
    colors = {tuple(color) for color in wrong.reshape(-1, 3).round(6)}
    assert len(colors) == 2  # missed, and too much
    assert [text.get_text() for text in fig.legends[0].texts] == ["found", "missed", "found, and is no lung"]
    rows = shown(panels.nodules_in_lungs([image], [truth], [truth], [~truth]))
    np.testing.assert_array_equal(rows[0][0], rows[1][0])
    fig = panels.activations(image, {"encoder1": image, "bridge": image[:4, :4]}, truth)
    assert titles(fig) == ["image", "encoder, level 1\n8 × 8", "bridge\n4 × 4", "mask"]
    assert panels.lungs([], [], []) is panels.attention([], "DRTM") is panels.enlarged([]) is None
