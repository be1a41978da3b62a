"""Simulated chests: shape, tissues and masks of single slices and whole volumes."""

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from phantoms.chest import Chest, draw_slice
from phantoms.chest_canvas import Canvas
from phantoms.chest_lung import Branches, share_of
from phantoms.chest_shape import TUBES, Build, fit, lung_distance
from phantoms.embedded import generator

Z_MM = np.arange(0.0, 321.0, 2.0)


@lru_cache(maxsize=8)
def chest(name, dataset="lidc-lung"):
    return Chest(dataset, name, 0.72, 2.0, Z_MM, ())


def z_at(body, t):
    return body.build.apex_mm - t * body.build.height_mm


def frame(build, x, y):
    return round(build.row + y / build.spacing_mm), round(build.column + x / build.spacing_mm)


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_slice_depends_on_its_names_and_height_alone(name):
    body = chest(name)
    z = z_at(body, 0.4)
    first = draw_slice(body, z)
    draw_slice(body, z_at(body, 0.7))
    again = draw_slice(Chest("lidc-lung", name, 0.72, 2.0, Z_MM, ()), z)
    np.testing.assert_array_equal(first.hu, again.hu)
    np.testing.assert_array_equal(first.lungs, again.lungs)
    assert not np.array_equal(first.hu, draw_slice(chest("c"), z).hu)
    assert not np.array_equal(first.hu, draw_slice(Chest("qin-lung", name, 0.72, 2.0, Z_MM, ()), z).hu)


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_area_from_apex_to_base(name):
    body = chest(name)
    levels = np.array([-0.05, 0.02, 0.1, 0.25, 0.5, 0.7, 0.85, 0.95, 1.03])
    area = np.array([draw_slice(body, z_at(body, t)).lungs.sum() for t in levels]) * 0.72**2 / 100  # cm^2
    assert area[0] == area[-1] == 0
    assert (np.diff(area[1:5]) > 0).all()
    assert 170 < area[3:6].max() < 600
    assert area[7] < area[6] < area[5]
    assert area[1] < 60


@pytest.mark.parametrize("name", ["a", "b", "c", "d", "e"])
def test_trachea_is_air_and_not_lung(name):
    body = chest(name)
    build = body.build
    for t in (0.05, 0.15, 0.3):
        image = draw_slice(body, z_at(body, t))
        at, xs, ys, _ = TUBES["trachea"]
        x = np.interp(t, at, xs) * build.width_mm / 135 + build.shift
        y = np.interp(t, at, ys) * build.depth_mm / 97
        row, column = frame(build, x, y)
        around = np.s_[row - 2 : row + 3, column - 2 : column + 3]
        assert image.hu[around].mean() < -800
        assert not image.lungs[around].any()


def test_hu_of_tissues():
    outside, inside, solid = [], [], []
    for name in "abcdef":
        body = chest(name)
        image = draw_slice(body, z_at(body, 0.5))
        assert image.hu.dtype == np.float32
        assert image.hu.min() >= -1024
        assert image.hu.max() <= 3071
        outside.append(image.hu[:8, 200:300].mean())
        inside.append(np.median(image.hu[ndimage.binary_erosion(image.lungs, iterations=4)]))
        row, column = frame(body.build, 20 + body.build.shift, -25)  # the heart
        solid.append(image.hu[row - 5 : row + 6, column - 5 : column + 6].mean())
        assert 0.05 < image.lungs.mean() < 0.35
        assert (image.hu > 250).sum() > 300  # bone
        assert ((image.hu > -140) & (image.hu < -60)).sum() > 2000  # fat
    assert max(outside) < -970
    assert -920 < np.mean(inside) < -780
    assert 20 < np.min(solid) < np.max(solid) < 330


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    place=st.tuples(st.floats(-0.8, 0.8), st.floats(-0.7, 0.7), st.floats(0.15, 0.85)),
    radius=st.floats(1.5, 20),
)
def test_a_nodule_gets_into_the_lung(seed, place, radius):
    spacing, extent_mm = 0.7, (300.0, 260.0)
    row = 255.5 + place[1] * 90 / spacing
    column = 255.5 + place[0] * 120 / spacing
    nodule = np.array([[row, column, 300 - 260 * place[2], radius, radius]])
    build = fit(generator("fit", seed), extent_mm, spacing, nodule, np.array([False]))
    assert lung_distance(build, *build.points(*nodule[:, :3].T)) < 0


def test_a_wall_is_moved_to_a_nodule_that_touches_it():
    build = Build(generator("wall"), (300.0, 260.0), 0.7)
    nodule = np.array([[255.5, 255.5 - 0.85 * build.width_mm / 0.7, 170.0, 5.0, 5.0]])
    found = fit(generator("wall", 1), (300.0, 260.0), 0.7, nodule, np.array([True]))
    assert lung_distance(found, *found.points(*nodule[:, :3].T)) == pytest.approx(-5.75, abs=1.5)


@pytest.mark.parametrize(("height", "filled"), [(0.0, True), (6.0, False)])
def test_only_vessels_in_the_slice_are_seen(height, filled):
    canvas = Canvas(Chest("lidc-lung", "canvas", 0.7, 2.0, Z_MM, ()), 150.0)
    line = Branches(np.array([[-40.0, 10.0, 150 + height]]), np.array([[40.0, 10.0, 150 + height]]), np.ones(1) * 3)
    share = share_of(line, canvas)
    row, column = frame(canvas.build, 0, 10)
    assert share[row, column] == (pytest.approx(1, abs=0.01) if filled else 0)
    assert share.sum() * 0.7**2 == pytest.approx(80 * 6 + np.pi * 9 if filled else 0, rel=0.08)
