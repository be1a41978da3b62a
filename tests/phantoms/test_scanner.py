"""Blur and noise against their analytic values."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.special import erf

from phantoms.embedded import generator
from phantoms.scanner import Scanner, noise, noise_spectrum, scan

SPACING = 0.7
SHAPE = (128, 120)


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
    peak = f.ravel()[np.argmax(noise_spectrum(SHAPE, SPACING, 0.35))]
    assert peak == pytest.approx(0.35 / np.sqrt(2), abs=0.02)


def _plane_mean(half):
    """Mean over the whole frequency plane of a spectrum given on the half that rfft2 keeps (even width)."""
    return (half.sum() + half[:, 1:-1].sum()) / (SHAPE[0] * SHAPE[1])


def test_scan_is_clipped_to_what_ct_stores():
    scanner = Scanner(psf_mm=0.4, noise_hu=45.0, noise_frequency=0.5)
    air = scan(np.full((32, 32), -1000.0, np.float32), SPACING, scanner, generator("air"))
    assert air.min() == -1024
    assert air.dtype == np.float32
