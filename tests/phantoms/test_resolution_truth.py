"""The true high resolution against the data set's own images, which stay what they were."""

import numpy as np
import pytest

from phantoms import lidc
from phantoms.geometry import block_mean
from phantoms.lidc import EmbeddedLidc, draw
from phantoms.scanner import blur
from softmask.data.image_files import window_hu

OWN = [  # data set, row, mean HU, standard deviation between neighbours, lesion in pixels
    ("lidc", 0, -644.689, 79.794, 109.447),
    ("lidc", 17, -786.718, 81.922, 762.523),
    ("lidc", 14002, -649.883, 82.559, 5.518),
    ("lnsm", 9999, -477.417, 74.105, 7.123),
]
ROWS = (17, 411, 9999)  # a calcific nodule, a spiculated one, one at a wall


@pytest.fixture(scope="module")
def lnsm():
    return EmbeddedLidc("lnsm")


@pytest.fixture(scope="module", params=ROWS)
def both(request, lnsm):
    """A sample, and both its resolutions."""
    return lnsm[request.param], lnsm.high_resolution(request.param)


@pytest.mark.parametrize(("name", "row", "hu", "noise", "area"), OWN)
def test_the_images_are_what_they_have_been(name, row, hu, noise, area):
    """Committed results were measured on them."""
    sample = EmbeddedLidc(name)[row]
    assert sample.hu.mean() == pytest.approx(hu, abs=0.01)
    assert np.diff(sample.hu).std() == pytest.approx(noise, abs=0.01)
    assert sample.alpha.sum() == pytest.approx(area, abs=0.01)


def test_shapes_and_ranges(both):
    _, made = both
    assert (made.low.shape, made.high.shape, made.alpha.shape) == ((64, 64), (256, 256), (256, 256))
    for array in vars(made).values():
        assert array.dtype == np.float32
        assert 0 <= array.min() < array.max() <= 1


def test_low_is_the_averaged_object_as_scanned(lnsm, monkeypatch):
    fine, _ = draw(*lnsm.plan(ROWS[0]), 4)
    monkeypatch.setattr(lidc, "scan", lambda hu, *args: hu)
    made = lnsm.high_resolution(ROWS[0], 128)
    np.testing.assert_array_equal(made.low, window_hu(block_mean(fine, 4)))
    np.testing.assert_array_equal(made.high, window_hu(fine))


def test_low_is_very_like_the_own_image(both):
    sample, made = both
    own = sample.image[32:96, 32:96]
    assert np.corrcoef(own.ravel(), made.low.ravel())[0, 1] > 0.99
    assert np.abs(own - made.low).mean() < 0.01


def test_the_lesion_is_the_own_one_drawn_finer(both):
    sample, made = both
    assert np.abs(block_mean(made.alpha, 4) - sample.alpha[32:96, 32:96]).max() < 0.05
    partly = lambda alpha: ((alpha > 0.05) & (alpha < 0.95)).mean()  # noqa: E731
    assert partly(made.alpha) < partly(sample.alpha[32:96, 32:96])


def test_high_has_neither_noise_nor_blur(lnsm):
    plan, draws = lnsm.plan(ROWS[0])
    made = lnsm.high_resolution(ROWS[0])
    quiet = blur(block_mean(made.high, 4), draws.scanner.psf_mm / plan.spacing)
    noise = (made.low - quiet)[8:-8, 8:-8] * 1400
    assert noise.std() == pytest.approx(draws.scanner.noise_hu, rel=0.25)


@pytest.mark.parametrize("fineness", [1, 2])
def test_an_object_drawn_coarser_is_nearly_its_average(lnsm, fineness):
    coarse_hu, coarse_alpha = draw(*lnsm.plan(ROWS[1]), fineness)
    fine_hu, fine_alpha = draw(*lnsm.plan(ROWS[1]), 4)
    factor = 4 // fineness
    assert coarse_hu.shape == (128 * fineness, 128 * fineness)
    assert np.abs(block_mean(fine_hu, factor) - coarse_hu).mean() < 20
    np.testing.assert_allclose(block_mean(fine_alpha, factor), coarse_alpha, atol=0.05)
