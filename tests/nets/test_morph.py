"""Threshold and morphology on a drawn chest and on a real scan."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from softmask.data.ct import read_volume
from softmask.data.image_files import window_hu
from softmask.data.masks import lung_mask
from softmask.nets.classical import classical
from softmask.nets.morph import HIGHEST, LOWEST, SURROUNDINGS, lungs, optimal_threshold, without_surroundings

SIDE, DEPTH = 256, 24
ROW, COLUMN = np.mgrid[:SIDE, :SIDE]
SPACING = (2.5, 1.4, 1.4)


def ellipse(row: float, column: float, height: float, width: float) -> np.ndarray:
    return ((ROW - row) / height) ** 2 + ((COLUMN - column) / width) ** 2 <= 1


TRACHEA = ellipse(120, 128, 6, 6)
GAS = ellipse(85, 150, 10, 14)
NODULE = ellipse(130, 40, 4, 4)  # touches the outer wall
VESSEL = ellipse(140, 80, 3, 3)
LEFT, RIGHT = ellipse(130, 75, 55, 38), ellipse(130, 181, 55, 38)


def chest(*, touching: bool = False, noise: float = 25.0) -> tuple[np.ndarray, np.ndarray]:
    """(DEPTH, SIDE, SIDE) HU and the lungs in it: bowel gas below them, a trachea between them, a table behind."""
    hu = np.full((DEPTH, SIDE, SIDE), -1000.0)
    hu[:, ellipse(128, 128, 90, 115)] = 40
    hu[:, 225:229, 20:236] = 100
    truth = np.zeros(hu.shape, bool)
    truth[4:] = LEFT | RIGHT
    if touching:
        truth[10:14, 98:102, 75:181] = True
    hu[truth] = -850
    hu[4:, NODULE | VESSEL] = 40
    hu[6:, TRACHEA] = -1000
    hu[:3, GAS] = -1000
    hu += np.random.default_rng(0).normal(0, noise, hu.shape)
    return hu.astype(np.float32), truth & ~TRACHEA


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    return (found & truth).sum() / (found | truth).sum()


@pytest.mark.parametrize("touching", [False, True])
def test_both_lungs_are_found_in_a_volume(touching):
    hu, truth = chest(touching=touching)
    predicted = lungs(hu, SPACING)
    assert predicted.dtype == bool
    assert iou(predicted, truth) > 0.97
    assert predicted[6:, VESSEL].all()
    assert predicted[6:, NODULE & (LEFT | RIGHT)].mean() > 0.75  # a nodule at the wall is no dent, but for a thin rim
    assert not predicted[6:, TRACHEA].any()
    assert not predicted[:3].any()  # bowel gas
    assert not predicted[:, :30].any()  # air outside
    assert not predicted[:, 220:].any()  # air between back and table


@pytest.mark.parametrize("cut", [1, 15])
@pytest.mark.parametrize("side", ["left", "right", "front"])
def test_a_lung_that_the_image_cuts_off_stays(side, cut):
    """The image begins ``cut`` pixels inside a lung, as of a small field of view."""
    hu, truth = chest()
    inside = LEFT if side == "left" else RIGHT if side == "right" else LEFT | RIGHT
    axis = 0 if side == "front" else 1
    places = np.flatnonzero(inside.any(axis=1 - axis))
    shown = slice(None, places[-1] + 1 - cut) if side == "right" else slice(places[0] + cut, None)
    box = (slice(None), shown) if axis == 0 else (slice(None), slice(None), shown)
    assert iou(lungs(hu[box], SPACING), truth[box]) > 0.95


def test_single_slices_and_their_grey_images_give_nearly_the_same():
    hu, truth = chest()
    middle = lungs(hu[12])
    assert middle.shape == (SIDE, SIDE)
    assert iou(middle, truth[12]) > 0.97
    assert not middle[TRACHEA].any()
    grey = classical("morph").predict(window_hu(hu[[0, 12]])[:, None])
    assert grey.shape == (2, 1, SIDE, SIDE)
    assert iou(grey[1, 0] > 0, middle) > 0.99
    assert not grey[0].any()


def test_what_surrounds_the_body_becomes_air_and_nothing_else_changes():
    hu, truth = chest(noise=0)
    body = ellipse(128, 128, 90, 115)
    shown = without_surroundings(hu[5], SPACING[1:])
    rim = ndimage.binary_dilation(body, iterations=3) & ~ndimage.binary_erosion(body, iterations=3)
    assert (shown == SURROUNDINGS)[~body & ~rim].all()  # the table too
    np.testing.assert_array_equal(shown[body & ~rim], hu[5][body & ~rim])
    assert shown.dtype == hu.dtype
    assert truth[5][body & ~rim].any()
    assert (without_surroundings(np.full((64, 64), -1000, np.int16)) == SURROUNDINGS).all()


@pytest.mark.parametrize("value", [-2000, -1000, -850, 40])
def test_flat_images_have_no_lungs(value):
    assert not lungs(np.full((3, 40, 50), value, np.float32)).any()


@given(hnp.arrays(np.int16, hnp.array_shapes(min_dims=2, max_dims=3, max_side=9), elements=st.integers(-3024, 3071)))
@settings(max_examples=40)
def test_anything_gives_a_mask(hu):
    predicted = lungs(hu)
    assert predicted.shape == hu.shape
    assert predicted.dtype == bool


@given(st.lists(st.floats(-1024, 3071, width=32), min_size=1, max_size=50))
def test_the_threshold_stays_between_lung_and_tissue(values):
    assert LOWEST <= optimal_threshold(np.array(values, np.float32)) <= HIGHEST


def test_the_real_scan(real_data):
    """LUNG1-001 against its RTSTRUCT, whose outlines lie further on the tissue's side than half way up the blurred
    edge, where morph's do. The bounds are what is reached now, and no measure of other scans."""
    folder = real_data / "lung-ct" / "LUNG1-001"
    scan = read_volume(folder)
    truth, predicted = lung_mask(scan, folder / "RTSTRUCT.dcm"), lungs(scan.hu, scan.spacing_mm)
    common, either = (predicted & truth).sum(axis=(1, 2)), (predicted | truth).sum(axis=(1, 2))
    each = (common / np.maximum(either, 1))[either > 0]
    assert np.median(each) > 0.94
    assert each.mean() > 0.88
    assert 2 * common.sum() / (predicted.sum() + truth.sum()) > 0.97


@pytest.mark.parametrize("shape", [(9, 1100), (1100, 9), (2, 9, 1100)])
def test_narrow_images_have_a_mask_of_their_size(shape):
    predicted = lungs(np.full(shape, -1000.0))
    assert predicted.shape == shape
    assert not predicted.any()
