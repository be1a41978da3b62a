"""Graph cuts against every labelling there is, level sets on discs, and what both refuse."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import gaussian_filter

from softmask.errors import ConfigError, DataError
from softmask.measure.segmentation import dice
from softmask.nets import graph_cut
from softmask.nets.classical import CLASSICAL, classical
from softmask.nets.level_set_deep import REACH, evolve

ROW, COLUMN = np.mgrid[:64, :64]
SMALL = (3, 4)
ALL_LABELLINGS = np.array(list(product([False, True], repeat=12))).reshape(-1, *SMALL)


def disc(radius: float, row: float = 32, column: float = 32) -> np.ndarray:
    return np.hypot(ROW - row, COLUMN - column) <= radius


def scenes(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noisy bright discs beside a wall as bright, their masks, and what a rough network makes of them; (N, 1, H, W)."""
    generator = np.random.default_rng(seed)
    masks = np.stack([disc(r, *generator.normal(32, 2, 2)) for r in generator.uniform(5, 12, n)])
    images = 0.2 + 0.5 * (masks | (COLUMN > 56)) + generator.normal(0, 0.06, masks.shape)
    rough = [gaussian_filter(np.roll(mask, (1, -1), (0, 1)).astype(float), 1.5) for mask in masks]
    images, rough = images.clip(0, 1).astype(np.float32), np.array(rough, np.float32).clip(0, 1)
    return images[:, None], masks[:, None].astype(np.float32), rough[:, None]


@pytest.fixture(scope="module")
def training():
    return scenes(24)


@pytest.fixture(scope="module")
def fitted(training):
    segmentors = {name: classical(name) for name in CLASSICAL}
    for segmentor in segmentors.values():
        segmentor.fit(*training[:2])
    return segmentors


# ---- max-flow ----


def energies(log_odds: np.ndarray, image: np.ndarray, contrast: float, smoothness: float) -> np.ndarray:
    """Energy of every labelling of an image of 3 x 4 pixels, pixel by pixel and pair by pair."""
    energy = np.zeros(len(ALL_LABELLINGS))
    pixels = list(np.ndindex(SMALL))
    for i, p in enumerate(pixels):
        inside = ALL_LABELLINGS[:, *p]
        energy += np.where(inside, max(-log_odds[p], 0), max(log_odds[p], 0))
        for q in pixels[i + 1 :]:
            if max(abs(p[0] - q[0]), abs(p[1] - q[1])) == 1:
                weight = np.exp(-((image[p] - image[q]) ** 2) / (2 * contrast**2)) / np.hypot(p[0] - q[0], p[1] - q[1])
                energy += smoothness * weight * (inside != ALL_LABELLINGS[:, *q])
    return energy


@given(
    hnp.arrays(float, SMALL, elements=st.floats(-3, 3)),
    hnp.arrays(float, SMALL, elements=st.floats(0, 1)),
    st.floats(0.05, 1),
    st.floats(0, 3),
)
@settings(max_examples=40, deadline=None)
def test_no_labelling_has_less_energy_than_the_cut(log_odds, image, contrast, smoothness):
    found = graph_cut.cut(log_odds, image, contrast, smoothness)
    energy = energies(log_odds, image, contrast, smoothness)
    of_found = energy[(found == ALL_LABELLINGS).all(axis=(1, 2))]
    assert of_found == pytest.approx(energy.min(), abs=1e-9)


def test_without_smoothness_each_pixel_goes_by_its_own_odds():
    log_odds = np.random.default_rng(0).normal(size=(9, 7))
    np.testing.assert_array_equal(graph_cut.cut(log_odds, np.zeros((9, 7)), 1.0, 0.0), log_odds > 0)


def test_more_smoothness_never_lengthens_the_boundary():
    generator = np.random.default_rng(1)
    log_odds = np.where(disc(14), 1.0, -1.0) + generator.normal(0, 1.5, ROW.shape)
    flat = np.zeros(ROW.shape)

    def boundary(mask: np.ndarray) -> float:
        pairs = [mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]]
        diagonals = [mask[1:, 1:] != mask[:-1, :-1], mask[1:, :-1] != mask[:-1, 1:]]
        return sum(p.sum() for p in pairs) + sum(d.sum() for d in diagonals) / np.sqrt(2)

    lengths = [boundary(graph_cut.cut(log_odds, flat, 1.0, weight)) for weight in (0, 0.1, 0.3, 1, 3, 30)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > 3 * lengths[3] > 0
    assert lengths[-1] == 0


def test_the_cut_runs_where_the_grey_value_changes():
    """The odds know only the middle of the disc and the border of the image."""
    log_odds = np.where(disc(4), 5.0, 0.0) - np.where(disc(28), 0.0, 5.0)
    np.testing.assert_array_equal(graph_cut.cut(log_odds, 0.2 + 0.6 * disc(12), 0.05, 1.0), disc(12))


def test_contrast_is_the_difference_between_neighbours():
    stripes = np.broadcast_to([0.0, 0.4], (2, 5, 2))  # 10 steps of 0.4 across, 16 of nothing down
    assert graph_cut.contrast_of(stripes) == pytest.approx(np.sqrt(10 * 0.4**2 / 26))
    with pytest.raises(DataError, match="flat"):
        graph_cut.contrast_of(np.full((2, 4, 4), 0.3))


def test_the_graph_cut_finds_the_disc_and_not_the_wall(training, fitted):
    images, masks, _ = scenes(6, seed=1)
    found = fitted["graph_cut"].predict(images)
    assert dice(found, masks).min() > 0.9
    assert not found[..., 50:].any()
    assert fitted["graph_cut"].smoothness in graph_cut.SMOOTHNESS


def test_the_graph_cut_learns_which_grey_is_lesion(training):
    images, masks, _ = training
    dark = classical("graph_cut")
    dark.fit(1 - images, masks)
    images, masks, _ = scenes(4, seed=2)
    assert dice(dark.predict(1 - images), masks).min() > 0.9
    assert dice(dark.predict(images), masks).max() < 0.5


# ---- from a network's probabilities ----


@pytest.mark.parametrize("name", ["graph_cut_deep", "level_set_deep"])
def test_a_rough_network_is_improved(fitted, name):
    images, masks, rough = scenes(6, seed=1)
    found = fitted[name].predict(images, rough)
    assert dice(found, masks).mean() > dice(rough >= 0.5, masks).mean() + 0.02
    assert dice(found, masks).min() > 0.93


@pytest.mark.parametrize("name", ["graph_cut_deep", "level_set_deep"])
@pytest.mark.parametrize("certainty", [0.0, 1.0])
def test_a_network_that_is_sure_of_everything_or_nothing_is_believed(fitted, name, certainty):
    images, _, _ = scenes(1)
    np.testing.assert_array_equal(fitted[name].predict(images, np.full_like(images, certainty)), certainty)


def test_a_saturated_network_is_overruled_where_the_image_is_clear(fitted):
    """Two stray pixels inside a flat disc, in which the network has no doubt at all."""
    image, mask = (0.2 + 0.5 * disc(10)).astype(np.float32), disc(10)
    wrong = mask.astype(np.float32)
    wrong[32, 32] = wrong[28, 30] = 0
    np.testing.assert_array_equal(fitted["graph_cut_deep"].predict(image[None, None], wrong[None, None])[0, 0], mask)


# ---- level sets ----


@pytest.mark.parametrize("radius", [3.5, 5.4, 9.5, 14.4])  # without single pixels at their four ends
def test_a_disc_stays_a_disc(radius):
    assert dice(evolve(0.2 + 0.5 * disc(radius), disc(radius)), disc(radius)) > 0.97
    assert dice(evolve(0.8 - 0.5 * disc(radius), disc(radius)), disc(radius)) > 0.97  # darker than its surroundings
    assert dice(evolve(np.full(ROW.shape, 0.3), disc(radius)), disc(radius)) > 0.97  # the shape alone


@pytest.mark.parametrize("drawn", [9, 11])
def test_a_contour_drawn_too_small_or_too_large_comes_nearer(drawn):
    image = 0.2 + 0.5 * disc(10)
    assert dice(evolve(image, disc(drawn)), disc(10)) > dice(disc(drawn), disc(10)) + 0.04


@pytest.mark.parametrize("brightness", [0.7, 1.0])
def test_a_leak_into_a_vessel_ends_near_the_shape(brightness, monkeypatch):
    vessel = (abs(ROW - 32) <= 2) & (COLUMN > 32)
    image = np.where(vessel & ~disc(10), brightness, 0.2 + 0.5 * disc(10))
    found = evolve(image, disc(10))
    assert not (found & ~disc(10 + REACH)).any()
    monkeypatch.setattr("softmask.nets.level_set_deep.SHAPE_WEIGHT", 0.0)
    assert (evolve(image, disc(10)) & ~disc(10 + REACH)).any()  # without the shape it does leak


def test_a_lesion_of_a_few_pixels_does_not_vanish(fitted):
    image = np.full((1, 1, 64, 64), 0.2, np.float32)
    image[0, 0, 20:22, 30:32] = 0.8
    mask = image > 0.5
    np.testing.assert_array_equal(fitted["level_set_deep"].predict(image, mask), mask)


def test_a_result_does_not_depend_on_the_images_before(fitted):
    images, _, rough = scenes(5, seed=3)
    for name, segmentor in fitted.items():
        together = segmentor.predict(images, rough)
        alone = [segmentor.predict(images[i : i + 1], rough[i : i + 1])[0] for i in (3, 1, 4, 0, 2)]
        np.testing.assert_array_equal(together[[3, 1, 4, 0, 2]], alone, err_msg=name)


# ---- the interface ----


def test_all_take_and_give_the_same(training, fitted):
    images, _, rough = scenes(2)
    for name, segmentor in fitted.items():
        found = segmentor.predict(images, rough)
        assert found.shape == images.shape, name
        assert found.dtype == np.float32, name
        assert set(np.unique(found)) <= {0, 1}, name
        assert found.any() or name == "morph", name  # which finds lungs, and there are none
    assert {name for name, segmentor in fitted.items() if segmentor.NEEDS_PROBABILITIES} == {
        "graph_cut_deep",
        "level_set_deep",
    }


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigError, match="graph_cut, graph_cut_deep, level_set_deep"):
        classical("snake")


@pytest.mark.parametrize("name", CLASSICAL)
def test_what_cannot_be_learned_from_is_refused(training, name):
    images, masks, _ = training
    segmentor = classical(name)
    for bad_images, bad_masks, message in [
        (images[:, 0], masks, r"\(N, 1, H, W\)"),
        (images[:0], masks[:0], "at least one image"),
        (images[:3], masks, "but masks of shape"),
        (images * np.nan, masks, "NaN"),
        (images, masks * 0.5, "binarise"),
        (images, masks * 0, "some lesion"),
        (images, masks * 0 + 1, "some background"),
    ]:
        with pytest.raises(DataError, match=message):
            segmentor.fit(bad_images, bad_masks)


@pytest.mark.parametrize("name", ["graph_cut", "graph_cut_deep"])
def test_nothing_is_predicted_before_something_is_learned(training, name):
    with pytest.raises(ConfigError, match="call fit"):
        classical(name).predict(training[0], training[2])


def test_a_level_set_has_nothing_to_learn(training, fitted):
    images, _, rough = scenes(2)
    np.testing.assert_array_equal(
        classical("level_set_deep").predict(images, rough), fitted["level_set_deep"].predict(images, rough)
    )


@pytest.mark.parametrize("name", CLASSICAL)
def test_what_is_no_image_or_probability_is_refused(fitted, name):
    images, _, rough = scenes(2)
    for bad in (images[:, 0], images[:0], images * np.nan, images + 1):
        with pytest.raises(DataError, match="images"):
            fitted[name].predict(bad, rough)
    if fitted[name].NEEDS_PROBABILITIES:
        with pytest.raises(ConfigError, match="network's probabilities"):
            fitted[name].predict(images)
        for bad in (rough[:1], rough[..., :60], rough * np.nan, rough[:, 0]):
            with pytest.raises(DataError, match="probabilities"):
                fitted[name].predict(images, bad)


def test_places_are_known_only_in_images_of_the_learned_size(fitted):
    with pytest.raises(DataError, match="resample"):
        fitted["graph_cut"].predict(np.zeros((1, 1, 32, 32)))
