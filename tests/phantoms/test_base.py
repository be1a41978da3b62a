"""Geometry and scanner of simulated images against shapes, distances and spectra whose values are known."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf

from phantoms.base import (
    SUPERSAMPLING,
    Scanner,
    block_mean,
    generator,
    mean_outline,
    noise,
    outline_distance,
    scan,
    signed_distance,
    smooth_field,
    support,
    with_area,
)

WINDOW = (100, 200, 40, 48)
SPACING = 0.7
SHAPE = (128, 120)


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
    assert (signed_distance(np.ones((6, 9), bool)) < -6).all()  # without a border
    assert (signed_distance(np.zeros((6, 9), bool)) > 6).all()


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


def test_edge_spreads_as_the_point_spread_function_says():
    hu = np.full((64, 64), -800.0, np.float32)
    hu[:, 32:] = 0
    scanner = Scanner(psf_mm=0.9, noise_hu=0.0, noise_frequency=0.4)
    profile = scan(hu, SPACING, scanner, generator("edge"))[32]
    distance = (np.arange(64) - 31.5) * SPACING
    expected = -400 + 400 * erf(distance / (np.sqrt(2) * 0.9))
    assert np.abs(profile - expected)[8:-8].max() < 15  # a pixel grid samples the edge coarsely


@pytest.fixture(scope="module")
def pictures():
    scanner = Scanner(psf_mm=0.5, noise_hu=30.0, noise_frequency=0.35)
    return scanner, np.stack([noise(SHAPE, SPACING, scanner, generator("noise", k)) for k in range(150)])


def test_noise_power_spectrum(pictures):
    images = pictures[1]
    measured = (np.abs(np.fft.rfft2(images)) ** 2).mean(axis=0) / (SHAPE[0] * SHAPE[1])
    f = np.hypot(np.fft.fftfreq(SHAPE[0], SPACING)[:, None], np.fft.rfftfreq(SHAPE[1], SPACING)[None])
    edges = np.linspace(0.02, 0.6, 13)
    for low, high in pairwise(edges):
        ring = (f >= low) & (f < high)
        # the ramp with its roll-off, written out, scaled to the whole
        expected = (f * np.exp(-((f / 0.35) ** 2)))[ring].mean()
        scale = 30.0**2 / _plane_mean(f * np.exp(-((f / 0.35) ** 2)))
        assert measured[ring].mean() == pytest.approx(scale * expected, rel=0.06)


def _plane_mean(half):
    """Mean over the whole frequency plane of a spectrum given on the half that rfft2 keeps (even width)."""
    return (half.sum() + half[:, 1:-1].sum()) / (SHAPE[0] * SHAPE[1])


def test_scan_is_clipped_to_what_ct_stores():
    scanner = Scanner(psf_mm=0.4, noise_hu=45.0, noise_frequency=0.5)
    air = scan(np.full((32, 32), -1000.0, np.float32), SPACING, scanner, generator("air"))
    assert air.min() == -1024
    assert air.dtype == np.float32
