"""The true lesion of a slice, and what it is made of."""

import numpy as np
import pytest

from phantoms import nodule as lesion
from phantoms.embedded import generator
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
