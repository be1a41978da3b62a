"""The true high resolution against the data set's own images, which stay what they were."""

import numpy as np
import pytest

from phantoms import lidc
from phantoms.geometry import block_mean
from phantoms.lidc import EmbeddedLidc, draw
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


def test_low_is_the_averaged_object_as_scanned(lnsm, monkeypatch):
    fine, _ = draw(*lnsm.plan(ROWS[0]), 4)
    monkeypatch.setattr(lidc, "scan", lambda hu, *args: hu)
    made = lnsm.high_resolution(ROWS[0], 128)
    np.testing.assert_array_equal(made.low, window_hu(block_mean(fine, 4)))
    np.testing.assert_array_equal(made.high, window_hu(fine))
