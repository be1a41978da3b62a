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
from softmask.report import figures, lung_panels, panels
from softmask.report.panels import Panel

pytestmark = pytest.mark.usefixtures("style")
STEPS = ["image", "RECIST marks", "GrabCut", "trimap", "soft mask", "binary mask", "soft − binary"]
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
    for radius, size in ((2, 24), (4, 26), (9, 46), (40, 64)):  # twice the lesion, which a reader drew 2 pixels larger
        assert sample.image[panels.crop(make(radius=radius), None)].shape == (size, size)


def test_a_panel_says_what_its_colours_mean_and_points_at_places():
    rows = [[Panel(np.eye(8) / 2, bar=panels.SOFT_MASK, note="Dice 0.50"), Panel(np.eye(8), arrow=(2, 6), spacing=0)]]
    fig = panels.grid(rows)
    soft, other, bar = fig.axes
    assert (soft.images[0].get_cmap().name, bar.get_ylabel()) == ("magma", "soft mask")
    assert "Dice 0.50" in [text.get_text() for text in soft.texts]
    assert "10 pixels" in [text.get_text() for text in other.texts]
    (arrow,) = [text for text in other.texts if text.get_text() == ""]
    assert tuple(arrow.xy) == (6, 2)


def test_readers_consensus_and_a_soft_mask_of_them() -> None:
    views = ["image", *READERS, "50 % consensus", "soft mask"]
    fig = panels.of_samples([WHOLE, TINY], views, ["ground_glass", "tiny"], labels="readers", down=True)
    assert (titles(fig), names(fig)) == (["ground glass", "tiny"], views)
    texts = shown(fig)
    assert [row[1] if isinstance(row[1], str) else "" for row in texts] == ["", "", "not marked", "", "", "", ""]
    window = panels.crop(WHOLE)
    soft = label.soft_mask(WHOLE.image, readers=WHOLE.readers).alpha
    for row, expected in zip(texts, [*[WHOLE.image] * 6, soft], strict=True):
        np.testing.assert_array_equal(row[0], expected[window])
    consensus = 2 * WHOLE.masks.sum(axis=0) >= len(WHOLE.masks)
    for ax, mask in zip(fig.axes[2:12:2], [*WHOLE.readers, consensus], strict=True):  # the outlines on them
        (lines,) = ax.collections
        assert sorted(map(str, lines.get_segments())) == sorted(map(str, [*figures.edge_segments(mask[window])]))
    three = replace(WHOLE, readers=WHOLE.readers[:3], present=WHOLE.present[:3])
    assert shown(panels.of_samples([three], READERS))[0][3] == "not marked"


def test_outlines_have_a_legend_and_the_network_is_shown_as_far_as_it_is_run() -> None:
    views = ["image", "readers 1–4", "DSNet"]
    fig = panels.of_samples([WHOLE, TINY], views, predictions={WHOLE.id: WHOLE.readers[2] * 0.6})
    assert shown(fig)[1][2] == "not finished"
    notes = [text.get_text() for text in fig.axes[2].texts]
    assert notes == ["Dice 0.89"]  # of the third reader with the consensus of four
    colors = legend(fig)
    assert list(colors) == [*READERS, "50 % consensus", "network"]
    assert [to_hex(lines.get_color()[0]) for lines in fig.axes[2].collections] == list(colors.values())[4:]
    colors = {name: colors[name] for name in READERS}
    drawn = [[to_hex(lines.get_color()[0]) for lines in ax.collections] for ax in (fig.axes[1], fig.axes[4])]
    assert drawn[0] == list(colors.values())
    assert drawn[1] == [colors[f"reader {i}"] for i in (1, 3, 4)]  # each keeps its colour where another is absent


@pytest.mark.parametrize("given", [True, False])
def test_steps_of_labelling_start_from_the_mark(given) -> None:
    sample = make(3)
    axes = recist_axes(sample.masks[1 if given else 0])
    fig = panels.of_samples([replace(sample, recist=axes) if given else sample], STEPS, labels="recist", window=None)
    made, window = label.soft_mask(sample.image, recist=axes), panels.crop(sample, None)
    assert titles(fig) == STEPS
    difference = made.alpha - made.binary
    expected = (sample.image, sample.image, made.mask, made.trimap, made.alpha, made.binary, difference)
    for texts, whole in zip(shown(fig)[0], expected, strict=True):
        np.testing.assert_array_equal(texts, whole[window])
    assert [len(ax.lines) for ax in fig.axes[:7]] == [0, 2, 0, 0, 0, 0, 0]
    assert {ax.get_ylabel() for ax in fig.axes[7:]} == {"soft mask", "soft mask − binary mask"}
    drawn = np.stack([line.get_xydata()[:, ::-1] for line in fig.axes[1].lines])
    np.testing.assert_allclose(drawn, axes - [window[0].start, window[1].start])


def test_trimaps_and_the_alphas_they_lead_to() -> None:
    trimaps = {"a": np.full(WHOLE.image.shape, 0.5), "b": np.zeros(WHOLE.image.shape)}
    alphas = {"b": np.full(WHOLE.image.shape, 0.2), "a": np.full(WHOLE.image.shape, 0.7)}
    fig = panels.trimaps_and_alphas(WHOLE, trimaps, alphas)
    top, bottom = shown(fig)
    assert titles(fig) == ["image", "a", "b"]
    assert [np.unique(x).tolist() for x in (*top[1:], *bottom[1:])] == [[0.5], [0], [0.7], [0.2]]
    np.testing.assert_array_equal(bottom[0], WHOLE.alpha[panels.crop(WHOLE, None)])
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
    assert titles(fig) == ["image and\nground truth", "SoftGAN,\nsoft mask", "SoftGAN", "DB-ResNet", "MedT"]
    first, second = shown(fig)
    assert len(fig.axes[0].collections) == 1  # the truth's outline
    assert len(fig.axes[3].collections) == 2
    assert "Dice 0.25" in [text.get_text() for text in fig.axes[3].texts]  # 9 pixels, and all 64
    assert first[1].max() == pytest.approx(0.64 / 0.68)  # by the soft head
    assert (first[4], second[0]) == ("not finished", "image not\nat hand")
    assert second[3].all()
    assert panels.predicted({}, ("unet", {}), {}) is None


def test_every_enlarged_image_is_shown_whole_and_around_the_lesion(example):
    examples = [example(0), example(1)]
    fig = panels.enlarged(examples)
    texts = [title.replace("\n", " ") for title in titles(fig)]
    assert texts == ["low resolution", "bilinear", "SRGAN, content loss alone", "SRGAN", "truth"]
    for whole, part, first in zip(shown(fig)[::2], shown(fig)[1::2], examples, strict=True):
        np.testing.assert_array_equal(whole[3], first.upscaled["srgan"])
        np.testing.assert_array_equal(part[4], first.truth[8:32, 28:52])
        np.testing.assert_array_equal(part[0], first.low[2:8, 7:13])  # the same part of the scene


@pytest.mark.parametrize(
    ("rows", "columns", "part"),
    [
        (slice(60, 64), slice(0, 3), np.s_[40:64, 0:24]),  # in a corner
        (slice(8, 48), slice(20, 40), np.s_[0:52, 4:56]),  # larger than the window
        (slice(0, 64), slice(0, 64), np.s_[:, :]),
    ],
)
def test_the_part_holds_the_lesion_and_stays_inside_the_image(example, rows, columns, part):
    mask = np.zeros((64, 64), bool)
    mask[rows, columns] = True
    first = example(mask=mask)
    np.testing.assert_array_equal(shown(panels.enlarged([first]))[1][-1], first.truth[part])


def test_places_look_within_the_frame_where_no_padding_decides():
    look = panels.Look(np.zeros((32, 32)), np.zeros((128, 128)), *np.random.default_rng(0).random((2, 32, 32)))
    fig = panels.attention([look], "DRTM")
    assert [image.shape for image in shown(fig)[0]] == [(24, 24), (96, 96), (24, 24), (24, 24)]
    assert panels.attention([], "DRTM") is panels.enlarged([]) is None


def test_lungs_nodules_and_activations():
    image, truth = np.full((16, 16), 0.5), np.zeros((16, 16), bool)
    truth[:8] = True
    fig = lung_panels.lungs([image], [truth], [{"lgan_basic": ~truth, "morph": truth}])
    [[whole, reference, wrong, right]] = shown(fig)
    np.testing.assert_array_equal(reference, right)
    assert (whole.shape, reference.shape) == ((16, 16, 3), (6, 6, 3))
    assert [sum(text.get_text() == "" for text in ax.texts) for ax in fig.axes] == [0, 0, 1, 0]  # an arrow at the error
    colors = {tuple(color) for color in wrong.reshape(-1, 3).round(6)}
    assert len(colors) == 2  # missed, and too much
    assert [text.get_text() for text in fig.legends[0].texts] == ["found", "missed", "found, and is no lung"]
    [above], [below] = shown(lung_panels.nodules_in_lungs([image], [truth], [truth], [~truth]))
    np.testing.assert_array_equal(above, below)
    fig = lung_panels.activations(image, {"encoder1": image, "bridge": image[:4, :4]}, truth)
    assert titles(fig) == ["image", "encoder, level 1\n16 × 16", "bridge\n4 × 4", "mask"]
    assert lung_panels.lungs([], [], []) is None
