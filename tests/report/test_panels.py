"""The papers' pictures, drawn from small discs: what each panel shows, and what is said where there is nothing."""

from __future__ import annotations

import warnings
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.patheffects import withStroke  # noqa: F401  imported before warnings are errors

from softmask import label
from softmask.data.outlines import recist_axes
from softmask.data.sample import Dataset, Sample
from softmask.errors import DataError
from softmask.measure import radiomics
from softmask.report import figures, panels
from softmask.report.panels import Panel


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


KINDS = {"ground_glass": make(1), "tiny": absent(make(2, radius=4), 1)}


class Given(Dataset):
    origin, fingerprint, source = "made by a test", "0", "embedded"

    def __init__(self, samples, name="promise12") -> None:
        super().__init__()
        self.given, self.name = samples, name
        self.index = pd.DataFrame(
            {"patient": [f"p{i}" for i in range(len(samples))], "nodule": "n0", "slice": "s", "n_readers": 1}
        )

    def read(self, i):
        if isinstance(self.given[i], Exception):
            raise self.given[i]
        return self.given[i]


@pytest.fixture(autouse=True)
def _style():
    """The workbook's style; every figure is drawn whole, and a warning is an error."""
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("error")
        figures.style()
        yield
        for number in plt.get_fignums():
            plt.figure(number).canvas.draw()
    plt.close("all")


def shown(fig) -> list[list[np.ndarray | str | None]]:
    """What a grid shows: for each row of panels the image, or the words of one without."""
    axes = [ax for ax in fig.axes if ax.get_subplotspec() is not None]
    spec = axes[0].get_gridspec()
    content = [np.asarray(ax.images[0].get_array()) if ax.images else _words(ax) for ax in axes]
    return [content[i : i + spec.ncols] for i in range(0, len(content), spec.ncols)]


def _words(ax) -> str | None:
    inside = [text.get_text() for text in ax.texts if text.get_rotation() == 0]
    return inside[0] if inside else None


def titles(fig) -> list[str]:
    return [ax.get_title() for ax in fig.axes if ax.get_title()]


def names(fig) -> list[str]:
    return [text.get_text() for ax in fig.axes for text in ax.texts if text.get_rotation() == 90]


def legend(fig) -> dict[str, str]:
    (found,) = fig.legends
    return {
        t.get_text(): to_hex(line.get_color()) for t, line in zip(found.get_texts(), found.get_lines(), strict=True)
    }


def bars(fig) -> int:
    return sum(text.get_text() == "5 mm" for ax in fig.axes for text in ax.texts)


def test_a_grid_of_panels() -> None:
    image = np.eye(8)
    rows = [[Panel(image), Panel(None, note="not there")], [Panel(1 - image, spacing=1.0), Panel(image)]]
    fig = panels.grid(rows, ["left", "right"], ["upper", "lower"])
    found = shown(fig)
    np.testing.assert_array_equal(found[0][0], image)
    np.testing.assert_array_equal(found[1][0], 1 - image)
    assert found[0][1] == "not there"
    assert titles(fig) == ["left", "right"]
    assert names(fig) == ["upper", "lower"]
    assert bars(fig) == 1
    assert {ax.images[0].get_clim() for ax in fig.axes if ax.images} == {(0, 1)}  # black is 0, white is 1
    plain = panels.grid([[Panel(image)]])
    assert titles(plain) == names(plain) == []


def test_outlines_have_their_colours_and_axes_theirs() -> None:
    mask = np.zeros((8, 8), bool)
    mask[2:4, 2:5] = True
    axes = np.array([[[2, 1], [2, 6]], [[1, 3], [4, 3]]], float)
    (ax,) = panels.grid([[Panel(np.zeros((8, 8)), [(mask, "#ff0000"), (~mask, "#00ff00")], axes)]]).axes
    assert [to_hex(lines.get_color()[0]) for lines in ax.collections] == ["#ff0000", "#00ff00"]
    long, short = ax.lines
    assert (to_hex(long.get_color()), to_hex(short.get_color())) == (panels.LONG.lower(), panels.SHORT.lower())
    assert long.get_xydata().tolist() == [[1, 2], [6, 2]]  # x is the column
    assert short.get_xydata().tolist() == [[3, 1], [3, 4]]


def test_a_mark_that_leaves_the_window_does_not_shrink_the_image() -> None:
    far = np.array([[[4, -20], [4, 30]], [[1, 3], [4, 3]]], float)
    (ax,) = panels.grid([[Panel(np.zeros((8, 8)), axes=far)]]).axes
    assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, 7.5), (7.5, -0.5))


@pytest.mark.parametrize(
    ("centre", "start"), [((40, 52), (8, 20)), ((12, 12), (0, 0)), ((85, 90), (32, 36)), ((12, 90), (0, 36))]
)
def test_the_window_is_round_the_lesion_and_inside_the_image(centre, start) -> None:
    window = panels.crop(make(centre=centre))
    assert [(s.start, s.stop) for s in window] == [(at, at + 64) for at in start]


def test_the_window_without_a_reader_is_round_the_mark_and_small_images_are_shown_whole() -> None:
    sample = make()
    alone = replace(sample, readers=sample.readers[:0], present=sample.present[:0], recist=recist_axes(sample.masks[0]))
    assert panels.crop(alone) == panels.crop(sample)
    assert sample.image[panels.crop(sample, 512)].shape == sample.image.shape


def test_nodule_kinds_over_their_masks() -> None:
    fig = panels.nodule_kinds(KINDS)
    assert titles(fig) == ["ground glass", "tiny"]
    images, masks = shown(fig)
    for sample, image, mask in zip(KINDS.values(), images, masks, strict=True):
        window = panels.crop(sample)
        np.testing.assert_array_equal(image, sample.image[window])
        np.testing.assert_array_equal(mask, 2 * sample.masks.sum(axis=0)[window] >= len(sample.masks))
    assert bars(fig) == 2
    assert bars(panels.nodule_kinds({"tiny": replace(make(), spacing=None)})) == 0


def test_kinds_and_labels_say_which_reader_is_absent() -> None:
    fig = panels.kinds_and_labels(KINDS)
    assert names(fig) == ["image", "reader 1", "reader 2", "reader 3", "reader 4", "soft mask"]
    found = shown(fig)
    assert [len(row) for row in found] == [2] * 6
    assert [row[1] if isinstance(row[1], str) else "" for row in found] == ["", "", "not marked", "", "", ""]
    sample = KINDS["ground_glass"]
    window = panels.crop(sample)
    for i in range(4):
        np.testing.assert_array_equal(found[1 + i][0], sample.readers[i][window])
    np.testing.assert_array_equal(found[5][0], label.soft_mask(sample.image, readers=sample.readers).alpha[window])


def test_fewer_than_four_places_are_absent_readers() -> None:
    sample = make()
    three = replace(sample, readers=sample.readers[:3], present=sample.present[:3])
    assert [row[0] if isinstance(row[0], str) else "" for row in shown(panels.kinds_and_labels({"tiny": three}))] == [
        "", "", "", "", "not marked", ""
    ]  # fmt: skip


def test_kinds_and_doctors_have_a_legend_and_the_network_as_far_as_it_is_run() -> None:
    first = next(iter(KINDS.values()))
    fig = panels.kinds_and_doctors(KINDS, {first.id: np.full(first.image.shape, 0.4)})
    assert names(fig) == ["image", "readers 1–4", "50 % consensus", "DSNet"]
    predicted, absent = shown(fig)[3]
    assert np.unique(predicted).tolist() == [0.4]
    assert absent == "not finished"
    colors = legend(fig)
    assert list(colors) == [f"reader {i}" for i in range(1, 5)]
    drawn = [[to_hex(lines.get_color()[0]) for lines in ax.collections] for ax in fig.axes[2:4]]
    assert drawn[0] == list(colors.values())
    assert drawn[1] == [colors[f"reader {i}"] for i in (1, 3, 4)]  # each keeps its colour where another is absent
    assert len(set(colors.values())) == 4


def test_trimaps_and_the_alphas_they_lead_to() -> None:
    sample = make()
    window = panels.crop(sample)
    trimaps = {"a": np.full(sample.image.shape, 0.5), "b": np.zeros(sample.image.shape)}
    alphas = {"b": np.full(sample.image.shape, 0.2), "a": np.full(sample.image.shape, 0.7)}
    fig = panels.trimaps_and_alphas(sample, trimaps, alphas)
    top, bottom = shown(fig)
    assert titles(fig) == ["image", "a", "b"]
    assert [np.unique(x).tolist() for x in (*top[1:], *bottom[1:])] == [[0.5], [0], [0.7], [0.2]]
    np.testing.assert_array_equal(bottom[0], sample.alpha[window])
    real = panels.trimaps_and_alphas(replace(sample, alpha=None), trimaps, alphas)
    assert shown(real)[1][0] == "true alpha\nunknown"


@pytest.mark.parametrize("given", [True, False])
def test_labelling_steps_start_from_the_mark(given) -> None:
    sample = make()
    axes = recist_axes(sample.masks[1 if given else 0])
    fig = panels.labelling_steps([replace(sample, recist=axes) if given else sample])
    made, window = label.soft_mask(sample.image, recist=axes), panels.crop(sample)
    assert names(fig) == ["(a) RECIST marks", "(b) trimap", "(c) soft mask", "(d) binarised"]
    for (found,), expected in zip(shown(fig), (sample.image, made.trimap, made.alpha, made.binary), strict=True):
        np.testing.assert_array_equal(found, expected[window])
    drawn = np.stack([line.get_xydata()[:, ::-1] for line in fig.axes[0].lines])
    np.testing.assert_allclose(drawn, axes - [window[0].start, window[1].start])


def test_pipeline_steps_show_the_trimap_that_was_used() -> None:
    samples = [make(3), make(4, radius=6)]
    fig = panels.pipeline_steps(samples)
    assert titles(fig) == ["image", "RECIST", "GrabCut", "trimap", "soft mask", "binary"]
    for row, sample in zip(shown(fig), samples, strict=True):
        made, window = label.label_sample(sample, "recist"), panels.crop(sample)
        expected = (sample.image, sample.image, made.mask, made.trimap, made.alpha, made.binary)
        for found, whole in zip(row, expected, strict=True):
            np.testing.assert_array_equal(found, whole[window])
    assert [len(ax.lines) for ax in fig.axes] == [0, 2, 0, 0, 0, 0] * 2


def test_regions_of_interest_are_the_image_inside_the_masks() -> None:
    sample = make()
    made, window = label.label_sample(sample, "recist"), panels.crop(sample, 48)
    regions = radiomics.regions(made.alpha, made.binary)
    fig = panels.regions_of_interest([sample], [regions])
    assert names(fig) == ["comparison", "binary mask", "soft mask", "between"]
    _, *inside = shown(fig)
    for (found,), region in zip(inside, regions, strict=True):
        np.testing.assert_array_equal(found, np.where(region, sample.image, 0)[window])
    colors = legend(fig)
    assert list(colors) == ["binary mask", "region of the soft mask"]
    assert [to_hex(lines.get_color()[0]) for lines in fig.axes[0].collections] == list(colors.values())[::-1]


def test_doctors_side_by_side_and_the_network_as_far_as_it_is_run() -> None:
    samples = [make(5), absent(make(6), 2)]
    fig = panels.doctors_side_by_side(samples, "CasGAN", {})
    assert titles(fig) == ["image", "doctor 1", "doctor 2", "doctor 3", "doctor 4", "50 % consensus", "CasGAN"]
    first, second = shown(fig)
    assert (first[6], second[6], second[3]) == ("not finished", "not finished", "not marked")
    soft = np.random.default_rng(0).random(samples[0].image.shape)
    first, second = shown(panels.doctors_side_by_side(samples, "network", {samples[0].id: soft}))
    np.testing.assert_array_equal(first[6], soft[panels.crop(samples[0])])
    assert second[6] == "not finished"
    for i in range(4):
        np.testing.assert_array_equal(first[1 + i], samples[0].readers[i][panels.crop(samples[0])])


def test_a_sample_that_cannot_be_labelled_is_named() -> None:
    flat = replace(make(7), image=np.full((96, 100), 0.5, np.float32))
    for draw in (panels.labelling_steps, panels.pipeline_steps):
        with pytest.raises(Exception, match="lidc/p7/n0/s7: the image is constant"):
            draw([flat])


def test_sizes_and_readers_count_every_slice() -> None:
    dataset = Given([make()])
    dataset.index = pd.DataFrame({"area": [3.0, 30.0, 300.0, 300.0, 40.0], "n_readers": [1, 4, 4, 3, 4]})
    left, right = panels.sizes_and_readers(dataset).axes
    assert sum(bar.get_height() for bar in left.patches) == 5
    assert left.get_xscale() == "log"
    assert [bar.get_height() for bar in right.patches] == [1, 1, 3]
    assert [tick.get_text() for tick in right.get_xticklabels()] == ["1", "3", "4"]


def test_other_sets_show_their_middle_image() -> None:
    one = make(0, spacing=None)
    samples = {"isbi2012": Given([make(1), one, make(2)], "isbi2012"), "promise12": Given([one])}
    fig = panels.other_sets(samples)
    assert names(fig) == ["ISBI 2012", "PROMISE12"]
    made = label.soft_mask(one.image, mask=one.masks[0])
    for row in shown(fig):
        for found, expected in zip(row, (one.image, one.masks[0], made.trimap, made.alpha), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_an_unreadable_image_makes_way_for_the_next() -> None:
    dataset = Given([make(0), DataError("truncated"), DataError("truncated")])
    np.testing.assert_array_equal(shown(panels.other_sets({"promise12": dataset}))[0][0], make(0).image)
    assert [problem.where for problem in dataset.problems] == ["promise12/p1/n0/s", "promise12/p2/n0/s"]
    with pytest.raises(DataError, match="promise12: none of its 1 images can be read from made by a test"):
        panels.other_sets({"promise12": Given([DataError("truncated")])})


def test_errors_of_labels_one_box_each_and_a_legend() -> None:
    values = {"mask_soft": [0.1, 0.2, 0.3], "mask_binary": [0.4, np.nan, 0.6], "other": [9.0] * 3}
    records = pd.DataFrame([{"label": name, "mae": v} for name, column in values.items() for v in column])
    fig = panels.label_errors(records, ["mask_binary", "mask_soft", "recist_soft"], "mae", "error")
    (ax,) = fig.axes
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [
        "one reader's mask",
        "soft mask from one reader's mask",
    ]
    assert ax.get_xlabel() == "error"
    colors = legend(fig)
    assert list(colors) == ["made by matting", "not"]
    assert [to_hex(box.get_facecolor()) for box in ax.patches] == [colors["not"], colors["made by matting"]]
    medians = [line.get_xdata()[0] for line in ax.lines if to_hex(line.get_color()) == "#000000" and line.get_lw() == 2]
    assert medians == pytest.approx([0.5, 0.2])
    assert ax.yaxis_inverted()  # the first label on top


def test_matrices_show_their_numbers_on_one_scale() -> None:
    one = np.array([[1, 0.5], [0.5, np.nan]])
    two = np.array([[1, 0.8], [0.8, 1]])
    fig = panels.matrices({"one": one, "two": two}, ["a", "b"])
    left, right, bar = fig.axes
    assert [text.get_text() for text in left.texts] == ["1.00", "0.50", "0.50"]  # NaN stays empty
    assert {ax.images[0].get_clim() for ax in (left, right)} == {(0.5, 1)}
    assert titles(fig) == ["one", "two"]
    assert [tick.get_text() for tick in left.get_xticklabels()] == ["a", "b"]
    assert bar.get_ylabel() == "Dice"
    assert {text.get_text(): text.get_color() for text in left.texts} == {"1.00": "black", "0.50": "white"}


@pytest.mark.parametrize("matrix", [np.ones((2, 2)), np.full((2, 2), np.nan)])
def test_matrices_of_ones_or_of_nothing(matrix) -> None:
    (ax, _) = panels.matrices({"one": matrix}, ["a", "b"]).axes
    assert [text.get_text() for text in ax.texts] == ["1.00"] * int(np.isfinite(matrix).sum())


def test_the_same_samples_give_the_same_picture() -> None:
    pictures = []
    for _ in range(2):
        fig = panels.kinds_and_doctors(KINDS, {})
        fig.canvas.draw()
        pictures.append(np.asarray(fig.canvas.buffer_rgba()).copy())
    np.testing.assert_array_equal(*pictures)
