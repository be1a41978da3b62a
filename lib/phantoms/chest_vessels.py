"""Vessel and airway trees of a whole lung, and what a slice of finite thickness shows of them.

A tree's leaves are spread evenly over the lung. The set of leaves is halved again and again, mostly across its longer
sides; each half is fed by a branch from its parent's fork towards its own middle. Radii follow Murray's law,
``r^e ~ leaves``.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from phantoms.chest_canvas import Canvas
from softmask.data.kinds import FRAME

_FINE = 2  # sub-pixels per pixel and axis
_SHIFT = 4  # binary digits of a drawn point's fraction
_MURRAY = 2.75


@dataclass(frozen=True)
class Branches:
    """Straight pieces: (M, 3) ends in mm (x, y, z), (M,) radius in mm."""

    begin: np.ndarray
    end: np.ndarray
    radius: np.ndarray


def grow(root: np.ndarray, leaves: np.ndarray, radius: float, rng: np.random.Generator) -> Branches:
    """A tree from ``root`` (3,) to ``leaves`` (2^k, 3), ``radius`` mm wide at its root."""
    groups, forks = leaves[None], np.asarray(root, float)[None]
    begins, ends, radii = [], [], []
    while True:
        count = groups.shape[1]
        middles = groups.mean(axis=1)
        # wide branches part near the root, so that all radiate from there
        part = np.interp(np.log2(count), (0, 1, 6, 11), (1.0, 0.65, 0.5, 0.25)) * rng.uniform(
            0.8, 1.15, (len(groups), 1)
        )
        nodes = forks + part * (middles - forks)
        nodes = nodes + rng.normal(0, 0.05, nodes.shape) * np.linalg.norm(nodes - forks, axis=1, keepdims=True)
        # two pieces with a knee, as vessels bend
        knees = (forks + nodes) / 2
        knees = knees + rng.normal(0, 0.06, knees.shape) * np.linalg.norm(nodes - forks, axis=1, keepdims=True)
        size = radius * (count / len(leaves)) ** (1 / _MURRAY)
        begins += [forks, knees]
        ends += [knees, nodes]
        radii.append(np.full(2 * len(groups), size))
        if count == 1:
            break
        across = groups.var(axis=1) * rng.normal(0, 1, (len(groups), 3))
        order = np.argsort((groups @ across[..., None])[..., 0], axis=1)
        groups = np.take_along_axis(groups, order[..., None], axis=1).reshape(2 * len(groups), count // 2, 3)
        forks = np.repeat(nodes, 2, axis=0)
    return Branches(np.concatenate(begins), np.concatenate(ends), np.concatenate(radii))


def join(trees: list[Branches]) -> Branches:
    """All pieces of several trees."""
    return Branches(*(np.concatenate([getattr(tree, name) for tree in trees]) for name in ("begin", "end", "radius")))


def beside(arteries: Branches, rng: np.random.Generator) -> Branches:
    """Airways that accompany the wider arteries."""
    wide = arteries.radius > 1.5
    away = rng.normal(size=3)
    away = 2.0 * away / np.linalg.norm(away)
    shift = 0.9 * arteries.radius[wide, None] * away
    return Branches(arteries.begin[wide] + shift, arteries.end[wide] + shift, 0.65 * arteries.radius[wide])


def share(branches: Branches, canvas: Canvas, z_mm: float, thickness: float) -> np.ndarray:
    """(512, 512) float32 in [0, 1]: share of each pixel's volume in the slice that the branches fill."""
    fine = np.zeros((_FINE * FRAME, _FINE * FRAME), np.uint8)
    low, high = z_mm - thickness / 2, z_mm + thickness / 2
    z0, z1, r = branches.begin[:, 2], branches.end[:, 2], branches.radius
    hit = (np.minimum(z0, z1) - 0.7 * r < high) & (np.maximum(z0, z1) + 0.7 * r > low)
    begin, end, r = branches.begin[hit], branches.end[hit], r[hit]
    if not len(r):
        return np.zeros((FRAME, FRAME), np.float32)
    run = end - begin
    rise = np.where(np.abs(run[:, 2]) < 1e-3, 1e-3, run[:, 2])
    # the piece of the centre line that is seen
    at = np.sort(np.stack([(low - 0.7 * r - begin[:, 2]) / rise, (high + 0.7 * r - begin[:, 2]) / rise]), axis=0)
    first, last = np.clip(at, 0, 1)
    ends = [begin[:, :2] + f[:, None] * run[:, :2] for f in (first, last)]
    flatness = np.sqrt(np.maximum(1 - (run[:, 2] / np.linalg.norm(run, axis=1)) ** 2, 0.02))
    filled = np.minimum(1.57 * r / flatness / thickness, 1)
    step = canvas.spacing / _FINE
    pixels = np.maximum(np.rint(2 * r / step), 1)
    drawn = np.where(pixels > 2, pixels - 1, pixels).astype(int)  # wide lines come out one pixel wider than asked for
    value = np.clip(filled * np.minimum(2 * r / step / pixels, 1) * 255, 1, 255).astype(int)
    origin = np.array([canvas.x[0, 0], canvas.y[0, 0]]) - canvas.spacing / 2 + step / 2
    one, other = (np.rint((end - origin) / step * (1 << _SHIFT)).astype(int) for end in ends)
    for k in np.argsort(value, kind="stable"):  # the fullest over the others
        cv2.line(fine, one[k], other[k], int(value[k]), int(drawn[k]), cv2.LINE_8, _SHIFT)
    small = cv2.resize(fine, (FRAME, FRAME), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / np.float32(255)
