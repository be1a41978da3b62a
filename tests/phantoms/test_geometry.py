"""Signed distances, coverage and outlines against shapes whose values are known."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantoms.embedded import generator
from phantoms.geometry import (
    SUPERSAMPLING,
    block_mean,
    mean_outline,
    outline_distance,
    signed_distance,
    smooth_field,
    support,
    with_area,
)

WINDOW = (100, 200, 40, 48)


def circle(centre, radius):
    """Contour pixels of a disc, in order: as a reader's outline, the first pixels outside."""
    angle = np.linspace(0, 2 * np.pi, max(16, int(12 * radius)), endpoint=False)
    points = np.rint(np.column_stack([np.sin(angle), np.cos(angle)]) * radius + centre).astype(int)
    return points[np.any(points != np.roll(points, 1, axis=0), axis=1)]


def test_signed_distance_of_a_disc():
    row, col = np.indices((81, 81)) - 40
    away = np.hypot(row, col)
    distance = signed_distance(away <= 25)
    assert np.abs(distance - (away - 25))[away > 2].max() < 1.0
    assert ((distance < 0) == (away <= 25)).all()


@pytest.mark.parametrize("value", [True, False])
def test_signed_distance_without_a_border(value):
    distance = signed_distance(np.full((6, 9), value))
    assert (distance < -6).all() if value else (distance > 6).all()


def test_outline_has_the_area_of_the_readers_mask():
    points = circle((120, 224), 9)
    for area in (150.0, 210.0, 254.0):
        distance = outline_distance([(True, points)], area, WINDOW)
        assert block_mean((distance < 0).astype(float)).sum() == pytest.approx(area, rel=0.02)
        centre, extent, radius = support(distance, WINDOW, np.array([1.0, 0.0]))
        assert centre == pytest.approx([120, 224], abs=0.2)
        assert extent == pytest.approx(np.sqrt(area / np.pi), abs=0.6)
        assert radius == pytest.approx(np.sqrt(area / np.pi), rel=0.012)


def test_mean_outline_lies_between_the_readers():
    distances = [outline_distance([(True, circle((120, 224), r))], np.pi * r**2, WINDOW) for r in (5, 8, 11)]
    areas = [np.pi * r**2 for r in (5, 8, 11)]
    mean = mean_outline(distances, areas)
    area = (mean < 0).sum() / SUPERSAMPLING**2
    assert area == pytest.approx(np.exp(np.mean(np.log(areas))), rel=0.02)
    assert ((mean < 0) | ~(distances[0] < 0)).all()
    assert ((distances[2] < 0) | ~(mean < 0)).all()


@given(st.floats(0, 400), st.integers(0, 2**32 - 1))
def test_with_area(area, seed):
    distance = smooth_field((64, 64), 7, np.random.default_rng(seed))
    count = ((with_area(distance, area)) < 0).sum()
    assert 1 <= count < distance.size
    assert abs(count - np.clip(area * 16, 1, distance.size - 1)) <= 2


def test_ties_do_not_empty_an_outline():
    flat = np.zeros((16, 16), np.float32)
    flat[4:8, 4:8] = -1
    assert ((with_area(flat, 0.25) < 0) == (flat < 0)).all()


def test_smooth_field_is_the_same_on_any_number_of_threads():
    before, fields = cv2.getNumThreads(), []
    try:
        for threads in (1, 2, 3, 4):
            cv2.setNumThreads(threads)
            fields.append([smooth_field((420, 430), 55.2, generator("field", k)) for k in range(3)])
            assert cv2.getNumThreads() == threads
    finally:
        cv2.setNumThreads(before)
    for other in fields[1:]:
        np.testing.assert_array_equal(other, fields[0])


def test_smooth_field_has_unit_deviation_and_the_asked_scale():
    fields = np.stack([smooth_field((96, 80), 6, generator("field", k)) for k in range(60)])
    assert fields.mean() == pytest.approx(0, abs=0.05)
    assert fields.std() == pytest.approx(1, abs=0.08)
    near = (fields * np.roll(fields, 1, axis=1))[:, 1:].mean() / fields.var()
    far = (fields[:, 18:] * fields[:, :-18]).mean() / fields.var()
    assert near > 0.93
    assert abs(far) < 0.08
