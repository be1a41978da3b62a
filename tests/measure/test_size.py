"""Sizes in millimetres against analytic shapes, SimpleITK, and the pixels that an outline encloses."""

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from softmask.data.outlines import fill
from softmask.measure.size import lesion_size, outline_axes, outlines

SIZE = 48
FINE = (np.arange(10) + 0.5) / 10 - 0.5  # places of 100 points in a pixel


class Ellipse:
    """Of half axes ``a`` and ``b`` mm, turned by ``angle``, on pixels of ``spacing`` mm."""

    def __init__(self, a: float, b: float, angle: float, spacing: tuple[float, float], middle=(SIZE / 2, SIZE / 2)):
        self.a, self.b, self.angle, self.spacing, self.middle = a, b, angle, np.array(spacing), np.array(middle)

    def inside(self, shift=(0, 0)) -> np.ndarray:
        points = (np.moveaxis(np.indices((SIZE, SIZE)), 0, -1) + shift - self.middle) * self.spacing
        along = np.array([np.cos(self.angle), np.sin(self.angle)])
        return (points @ along / self.a) ** 2 + (points @ self.across / self.b) ** 2 <= 1

    @property
    def across(self) -> np.ndarray:
        """(row, column) of the short axis' direction."""
        return np.array([-np.sin(self.angle), np.cos(self.angle)])

    @property
    def alpha(self) -> np.ndarray:
        return np.mean([self.inside((row, column)) for row in FINE for column in FINE], axis=0)


@st.composite
def ellipses(draw) -> Ellipse:
    spacing = draw(st.floats(0.5, 1)), draw(st.floats(0.5, 1))
    a = draw(st.floats(4, 14)) * np.mean(spacing)
    b = a * draw(st.floats(0.5, 1))
    middle = SIZE / 2 + draw(st.floats(0, 1)), SIZE / 2 + draw(st.floats(0, 1))
    return Ellipse(a, b, draw(st.floats(0, np.pi)), spacing, middle)


@settings(max_examples=60)
@given(ellipses())
def test_an_ellipse_on_pixels_that_are_not_square(ellipse):
    alpha = ellipse.alpha
    size = lesion_size({5: alpha}, {5: alpha >= 0.5}, (2.5, *ellipse.spacing))
    half_pixel = max(ellipse.spacing) / 2
    assert size.long_mm == pytest.approx(2 * ellipse.a, abs=half_pixel)
    assert size.short_mm == pytest.approx(2 * ellipse.b, abs=half_pixel)
    area = np.pi * ellipse.a * ellipse.b
    assert size.soft_area_mm2 == pytest.approx(area, rel=0.02)
    assert size.area_mm2 == pytest.approx(area, abs=half_pixel * 2 * np.pi * ellipse.a)
    assert size.soft_volume_mm3 == pytest.approx(2.5 * size.soft_area_mm2)
    assert size.slice == 5
    long, short = (size.axes[:, 1] - size.axes[:, 0]) * ellipse.spacing
    assert abs(long @ short) < 1e-6
    if ellipse.b < 0.9 * ellipse.a:
        assert abs(long @ ellipse.across) < 0.45 * size.long_mm


@settings(max_examples=60)
@given(ellipses())
def test_without_alpha_half_a_pixel_at_each_end_and_as_simpleitk(ellipse):
    mask = ellipse.inside()
    size = lesion_size({0: mask.astype(float)}, {0: mask}, (1, *ellipse.spacing))
    assert size.long_mm == pytest.approx(2 * ellipse.a, abs=1.3 * max(ellipse.spacing))
    image = SimpleITK.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(ellipse.spacing[::-1].tolist())
    shape = SimpleITK.LabelShapeStatisticsImageFilter()
    shape.ComputeFeretDiameterOn()
    shape.Execute(image)
    assert size.area_mm2 == pytest.approx(shape.GetPhysicalSize(1))
    # SimpleITK's runs between pixel centres, the outline half a pixel beyond them at each end
    between = size.long_mm - shape.GetFeretDiameter(1)
    assert 0 < between <= max(ellipse.spacing) + 1e-6


masks = arrays.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@given(masks, st.randoms(use_true_random=False))
def test_outlines_enclose_the_masks_pixels_and_no_others(mask, random):
    alpha = np.array([[random.random() for _ in row] for row in mask]).reshape(mask.shape)
    enclosed = np.zeros(mask.shape, bool)
    for points in outlines(mask, alpha):
        np.testing.assert_array_equal(points[0], points[-1])
        enclosed ^= fill(points[:-1].round(3), mask.shape)
    np.testing.assert_array_equal(enclosed, mask)


@given(masks.filter(np.any), st.floats(0.3, 3), st.floats(0.3, 3))
def test_the_short_axis_is_the_shorter_and_both_end_on_the_mask(mask, row_mm, column_mm):
    axes = outline_axes(mask, mask.astype(float), (row_mm, column_mm))
    long, short = np.linalg.norm((axes[:, 1] - axes[:, 0]) * (row_mm, column_mm), axis=1)
    assert 0 < short <= long + 1e-6
    pixels = np.argwhere(mask)
    for end in axes.reshape(-1, 2):
        assert np.abs(pixels - end).max(axis=1).min() <= 1


def test_a_rectangle_by_hand():
    mask = np.zeros((9, 14), bool)
    mask[3:6, 2:12] = True  # 3 x 10 pixels: the outline's corners are cut, and its long axis leads from edge to edge
    axes = outline_axes(mask, mask.astype(float))
    long, short = np.linalg.norm(axes[:, 1] - axes[:, 0], axis=1)
    assert long == pytest.approx(np.hypot(10, 2))
    assert short == pytest.approx(np.hypot(3, 3 * 2 / 10), abs=0.02)
    pixel = np.pad([[True]], 1)
    axes = outline_axes(pixel, pixel.astype(float), (2, 1))
    np.testing.assert_allclose(axes, [[[0.5, 1], [1.5, 1]], [[1, 0.5], [1, 1.5]]])


def test_the_largest_part_is_measured_across_its_holes_on_the_slice_of_the_longest_axis():
    masks = {z: np.zeros((30, 30), bool) for z in (2, 3, 4)}
    masks[2][4:9, 4:9] = True
    masks[3][4:14, 4:14] = True
    masks[3][6:12, 6:12] = False  # a cavity
    masks[3][20:22, 20:22] = True  # another part
    size = lesion_size({z: mask * 0.75 for z, mask in masks.items()}, masks, (3, 1, 1))
    solid = np.pad(np.ones((10, 10), bool), (4, 16))
    assert size.slice == 3
    np.testing.assert_allclose(size.axes, outline_axes(solid, masks[3] * 0.75))
    assert size.area_mm2 == 68
    assert size.soft_area_mm2 == 51
    assert (size.volume_mm3, size.soft_volume_mm3) == (3 * 93, 3 * 93 * 0.75)


def test_an_empty_mask_has_no_axes():
    empty = np.zeros((4, 4), bool)
    size = lesion_size({0: np.zeros((4, 4)), 1: np.full((4, 4), 0.25)}, {0: empty, 1: empty}, (1, 1, 1))
    assert size.slice == 1
    assert size.axes is None
    assert np.isnan([size.long_mm, size.short_mm]).all()
    assert (size.area_mm2, size.soft_area_mm2, size.soft_volume_mm3) == (0, 4, 4)
