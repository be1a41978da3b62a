"""The clustering of annotations, against the rule written out."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

import softmask.data.annotations as annotations
from softmask.data.clusters import cluster


@pytest.fixture(scope="module")
def database():
    return annotations.load()


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
        voxels = [annotations._voxels(reading, positions) for reading in readings]
        groups = _written_out(voxels, nodules[0].slice_thickness_mm)
        found = cluster(voxels, nodules[0].slice_thickness_mm)
        assert found == groups


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 4)), min_size=1, max_size=9))
@settings(max_examples=80, deadline=None)
def test_clusters_of_random_annotations(places):
    square = np.array([(0, 0, 0), (0, 1, 0), (1, 1, 0), (1, 0, 0)])
    voxels = [square + np.array(place) for place in places]
    found, expected = cluster(voxels, 2.5), _written_out(voxels, 2.5)
    assert sorted(map(tuple, found)) == sorted(map(tuple, expected))
    heights = [np.mean([voxels[i][:, 2].mean() for i in group]) for group in found]
    assert heights == sorted(heights)
