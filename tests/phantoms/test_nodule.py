"""The true lesion of a slice, what it is made of, and what surrounds it: vessels, wall and their HU."""

import numpy as np
import pytest

from phantoms import nodule as lesion
from phantoms import thorax
from phantoms.base import generator
from softmask.data.kinds import KINDS, place_of
from softmask.data.outlines import contour_mask

WINDOW = (0, 0, 64, 64)
SPACING = 0.7


def rating(**changes):
    smooth = {"margin": 5, "spiculation": 1, "lobulation": 1, "texture": 5, "subtlety": 5}
    return smooth | {"internalStructure": 1, "calcification": 6} | changes


def outline(radius, centre=(31, 32)):
    angle = np.linspace(0, 2 * np.pi, 12 * radius, endpoint=False)
    points = np.rint(np.column_stack([np.sin(angle), np.cos(angle)]) * radius + centre).astype(int)
    return [(True, points[np.any(points != np.roll(points, 1, axis=0), axis=1)])]


def plan(outlines, areas, ratings, slope=0.0, kind="isolated"):
    return lesion.Plan(outlines, areas, ratings, kind, place_of(255, 400), WINDOW, SPACING, 1.25, slope)


def draw(ratings, radii=(10, 11), slope=0.0, seed=0):
    outlines = [outline(radius) for radius in radii]
    areas = [float(contour_mask(o, (64, 64)).sum()) for o in outlines]
    shape = lesion.draw_shape(plan(outlines, areas, ratings, slope), generator("shape", seed))
    return shape, lesion.in_pixels(shape, shape.fraction, WINDOW)[0], areas


def test_area_lies_between_the_readers_and_edges_are_partial():
    for seed in range(5):
        _, alpha, areas = draw([rating(), rating()], seed=seed)
        assert areas[0] * 0.99 < alpha.sum() < areas[1] * 1.01
        assert alpha.min() >= 0
        assert alpha.max() == pytest.approx(1, abs=1e-6)
        partial = (alpha > 0.02) & (alpha < 0.98)
        assert 0.5 * 2 * np.pi * 10 < partial.sum() < 2.5 * 2 * np.pi * 10  # about the pixels of the perimeter
        assert len(np.unique(np.round(alpha[partial] * 16))) > 10  # sixteenths: four by four sub-pixels


def test_spicules_reach_beyond_the_outline():
    rows, columns = np.indices((64, 64))
    beyond = np.hypot(rows - 31, columns - 32) > 13.5
    plain, spiky = (
        [draw([rating(spiculation=grade)] * 2, seed=seed)[1][beyond].sum() for seed in range(5)] for grade in (1, 5)
    )
    assert max(plain) == 0
    assert min(spiky) > 0.5


def test_surface_slope():
    # a sphere of radius 10 mm cut every 2 mm: at height z the outline moves 2 z / r per slice
    def area(z):
        return np.pi * max(100 - z * z, 0)

    assert lesion.surface_slope((area(-2), area(0), area(2))) == 0
    assert lesion.surface_slope((area(4), area(6), area(8))) == pytest.approx(2 * 6 / 8, rel=0.02)
    assert 0 < lesion.surface_slope((0.0, 12.0, 0.0)) <= np.sqrt(12 / np.pi)


def inner(ratings, kind, radii=(10, 11)):
    shape, alpha, _ = draw(ratings, radii)
    hu = lesion.in_pixels(shape, lesion.substance(shape, plan([], [], ratings, kind=kind), generator(kind)), WINDOW)[1]
    return hu[alpha > 0.99]


@pytest.mark.parametrize("pattern", [1, 2, 3, 4, 5])
def test_calcium(pattern):
    hu = inner([rating(calcification=pattern)] * 2, "calcific")
    assert 300 < hu.max() < 900
    share = (hu > 150).mean()
    assert share > 0.75 if pattern == 3 else 0.03 < share < 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_lesion_of_a_few_pixels(kind):
    ratings = [rating(calcification=3, internalStructure=4, spiculation=4, lobulation=4, margin=1)] * 2
    outlines = [[(True, np.array([[30, 31], [31, 30], [32, 31], [31, 32]]))]]
    tiny = plan(outlines, [1.0], ratings, 0.5, kind)
    shape = lesion.draw_shape(tiny, generator("few"))
    alpha = lesion.in_pixels(shape, shape.fraction, WINDOW)[0]
    hu = lesion.in_pixels(shape, lesion.substance(shape, tiny, generator(kind)), WINDOW)[1]
    assert np.isfinite(hu).all()
    assert 0.3 < alpha.sum() < 12


def straight(height, radius=2.0):
    """A vessel along row 16 mm, from column 4 to 28 mm."""
    columns = np.arange(4, 28, 0.2)
    points = np.column_stack([np.full(len(columns), 16.0), columns])
    return thorax.Tubes(points, np.full(len(columns), radius), np.full(len(columns), height))


@pytest.mark.parametrize(("height", "thickness", "expected"), [(0, 8, 0.5), (0, 2, 1), (3, 4, 0.25), (9, 4, 0)])
def test_share_of_a_horizontal_vessel_is_its_chord(height, thickness, expected):
    share = thorax.share_of_tubes(straight(float(height)), (64, 64), 0.5, float(thickness))
    assert share[32, 32] == pytest.approx(expected, abs=0.03)
    assert share[32 + 6, 32] == 0  # 3 mm off a vessel of 2 mm
    assert share.min() >= 0
    assert share.max() <= 1


def surroundings(seed, row, column, wall_mm):
    slice_plan = lesion.Plan([], [], [], "isolated", place_of(row, column), (0, 0, 128, 128), 0.7, 1.25, 0.0)
    scene = thorax.Scene(
        slice_plan, 1, thorax.Patient(generator("patient", seed)), np.array([44.8, 44.8]), 5.0, wall_mm
    )
    return thorax.draw_surroundings(scene, generator("slice", seed), generator("nodule", seed))


@pytest.mark.parametrize("seed", range(3))
def test_wall_stands_where_it_was_asked_for(seed):
    around = surroundings(seed, 255.5, 440, 12.0)  # the chest's side: the wall is at larger columns
    assert around.wall[64, 64] == 0
    assert around.wall[64, 64 + round(10 / 0.7)] < 0.5
    assert around.wall[64, 64 + round(14 / 0.7)] > 0.5
    assert np.median(around.lung_hu) == pytest.approx(-865, abs=90)
    assert around.lung_hu.min() >= -985
    outside = around.wall_hu[around.wall > 0.99]
    assert np.isfinite(around.wall_hu).all()
    assert outside.max() < 2000
    assert outside.min() >= -1000


def test_tissues_of_the_wall_occur():
    around = [surroundings(seed, 255.5, 460, 6.0) for seed in range(8)]
    hu = np.concatenate([layers.wall_hu[layers.wall > 0.99] for layers in around])
    for low, high in ((-1001, -950), (-140, -70), (20, 90), (300, 2000)):  # air, fat, muscle, bone
        assert ((hu > low) & (hu < high)).mean() > 0.01
