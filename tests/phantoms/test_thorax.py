"""Surroundings of a nodule: vessels, wall and their HU."""

import numpy as np
import pytest

from phantoms import vessels
from phantoms.embedded import generator
from phantoms.nodule import Plan
from phantoms.thorax import Patient, Scene, draw_surroundings
from softmask.data.kinds import place_of


def straight(height, radius=2.0):
    """A vessel along row 16 mm, from column 4 to 28 mm."""
    columns = np.arange(4, 28, 0.2)
    points = np.column_stack([np.full(len(columns), 16.0), columns])
    return vessels.Tubes(points, np.full(len(columns), radius), np.full(len(columns), height))


@pytest.mark.parametrize(("height", "thickness", "expected"), [(0, 8, 0.5), (0, 2, 1), (3, 4, 0.25), (9, 4, 0)])
def test_share_of_a_horizontal_vessel_is_its_chord(height, thickness, expected):
    share = vessels.share(straight(float(height)), (64, 64), 0.5, float(thickness))
    assert share[32, 32] == pytest.approx(expected, abs=0.03)
    assert share[32 + 6, 32] == 0  # 3 mm off a vessel of 2 mm
    assert share.min() >= 0
    assert share.max() <= 1


def surroundings(seed, row, column, wall_mm):
    plan = Plan([], [], [], "isolated", place_of(row, column), (0, 0, 128, 128), 0.7, 1.25, 0.0)
    scene = Scene(plan, 1, Patient(generator("patient", seed)), np.array([44.8, 44.8]), 5.0, wall_mm)
    return draw_surroundings(scene, generator("slice", seed), generator("nodule", seed))


@pytest.mark.parametrize("seed", range(6))
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
    hu = np.concatenate([(a := surroundings(k, 255.5, 460, 6.0)).wall_hu[a.wall > 0.99] for k in range(8)])
    for low, high in ((-1001, -950), (-140, -70), (20, 90), (300, 2000)):  # air, fat, muscle, bone
        assert ((hu > low) & (hu < high)).mean() > 0.01
