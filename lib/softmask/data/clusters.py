"""Clustering of a scan's annotations into nodules, as by ``pylidc.Scan.cluster_annotations``.

Hancock and Magnan, Journal of Medical Imaging 3(4), 2016. Two annotations of a scan belong together when the smallest
distance between their contour points is at most a tolerance, which starts at the scan's slice thickness and shrinks by
a tenth while a group has more than four annotations. As in pylidc 0.2.3 the distance is counted in voxels (row, column,
slice index) though the tolerance is in mm: the published numbering of nodules depends on it.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

READERS = 4
"""Reader places of a nodule; a place beyond the readers who marked it is empty."""

_SHRINK, _SMALLEST = 0.9, 0.1


def cluster(voxels: list[np.ndarray], tolerance: float) -> list[list[int]]:
    """Group one scan's annotations into nodules, as ``pylidc.Scan.cluster_annotations`` with its defaults does.

    Args:
        voxels: for each annotation the (N, 3) contour points as (row, column, slice index).
        tolerance: largest distance at which two annotations are joined: the slice thickness.

    Returns:
        Lists of annotation numbers, ordered by the mean over the group of the annotations' mean slice index.
    """
    count = len(voxels)
    first, second, distance = _near_pairs(voxels, tolerance)
    while True:
        joined = distance <= tolerance
        edges = coo_array((np.ones(joined.sum(), bool), (first[joined], second[joined])), shape=(count, count))
        groups, group_of = connected_components(edges, directed=False)
        if np.bincount(group_of, minlength=1).max() <= READERS or tolerance * _SHRINK < _SMALLEST:
            break
        tolerance *= _SHRINK
    members = [np.flatnonzero(group_of == group).tolist() for group in range(groups)]
    height = [points[:, 2].mean() for points in voxels]
    return sorted(members, key=lambda group: np.mean([height[i] for i in group]))


def _near_pairs(voxels: list[np.ndarray], tolerance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs (i, j) of annotations whose smallest point distance is at most ``tolerance``, and that distance."""
    low = np.array([points.min(axis=0) for points in voxels])
    high = np.array([points.max(axis=0) for points in voxels])
    # no two points can be nearer than the gap between the boxes: nearly all pairs need no search
    gap = np.maximum(np.maximum(low[:, None] - high[None], low[None] - high[:, None]), 0)
    first, second = np.nonzero(np.triu(np.linalg.norm(gap, axis=2) <= tolerance, 1))
    trees = {i: cKDTree(voxels[i]) for i in np.union1d(first, second)}
    distance = np.array(
        [
            trees[i].query(voxels[j], distance_upper_bound=np.nextafter(tolerance, np.inf))[0].min()
            for i, j in zip(first, second, strict=True)
        ]
    )
    near = distance <= tolerance
    return first[near], second[near], distance[near]
