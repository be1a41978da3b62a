"""Graph cuts against every labelling, level sets on discs."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import gaussian_filter

from softmask.errors import ConfigError, DataError
from softmask.measure.segmentation import dice
from softmask.nets.classical import CLASSICAL, REACH, classical, contrast_of, cut, evolve

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
    labelling = cut(log_odds, image, contrast, smoothness)
    energy = energies(log_odds, image, contrast, smoothness)
    assert energy[(labelling == ALL_LABELLINGS).all(axis=(1, 2))] == pytest.approx(energy.min(), abs=1e-9)


def test_contrast_is_the_difference_between_neighbours():
    stripes = np.broadcast_to([0.0, 0.4], (2, 5, 2))  # 10 steps of 0.4 across, 16 of nothing down
    assert contrast_of(stripes) == pytest.approx(np.sqrt(10 * 0.4**2 / 26))
    with pytest.raises(DataError, match="flat"):
        contrast_of(np.full((2, 4, 4), 0.3))


def test_the_graph_cut_finds_the_disc_and_not_the_wall(training, fitted):
    images, masks, _ = scenes(6, seed=1)
    predicted = fitted["graph_cut"].predict(images)
    assert dice(predicted, masks).min() > 0.9
    assert not predicted[..., 50:].any()


@pytest.mark.parametrize("name", ["graph_cut_deep", "level_set_deep"])
def test_a_rough_network_is_improved(fitted, name):
    images, masks, rough = scenes(6, seed=1)
    predicted = fitted[name].predict(images, rough)
    assert dice(predicted, masks).mean() > dice(rough >= 0.5, masks).mean() + 0.02
    assert dice(predicted, masks).min() > 0.93


@pytest.mark.parametrize("radius", [3.5, 14.4])  # without single pixels at their four ends
@pytest.mark.parametrize("contrast", [0.5, -0.5, 0.0], ids=["bright", "dark", "the shape alone"])
def test_a_disc_stays_a_disc(radius, contrast):
    mask = disc(radius)
    assert dice(evolve(0.5 + contrast * mask, mask), mask) > 0.97


def test_a_leak_into_a_vessel_ends_near_the_shape(monkeypatch):
    vessel = (abs(ROW - 32) <= 2) & (COLUMN > 32)
    image = np.where(vessel & ~disc(10), 1.0, 0.2 + 0.5 * disc(10))
    assert not (evolve(image, disc(10)) & ~disc(10 + REACH)).any()
    monkeypatch.setattr("softmask.nets.classical.SHAPE_WEIGHT", 0.0)
    assert (evolve(image, disc(10)) & ~disc(10 + REACH)).any()  # without the shape it does leak


def test_a_lesion_of_a_few_pixels_does_not_vanish(fitted):
    image = np.full((1, 1, 64, 64), 0.2, np.float32)
    image[0, 0, 20:22, 30:32] = 0.8
    mask = image > 0.5
    np.testing.assert_array_equal(fitted["level_set_deep"].predict(image, mask), mask)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigError, match="graph_cut, graph_cut_deep, level_set_deep"):
        classical("snake")
